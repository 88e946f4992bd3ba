"""Why an object breaks its schema: every cause, in the words and the order of a kube-apiserver.

The compiled checks (``compiled.py``) say yes or no and nearly always say yes. Where they say
no, this module walks schema and value together, as ``kube-openapi``'s validator does, and
collects :class:`Fault`s. People and programs know those texts, so its habits are kept:

* a fault that was told already is not told again, even if another branch found it;
* of the branches of ``anyOf`` and ``oneOf`` the one with the most passed checks is blamed, which
  is why a :class:`Verdict` counts;
* on an update, what was broken before and has not changed is forgiven (*ratcheting*), wherever
  the old value can be found: map members by name, items of list-maps by key.

One habit is not kept: where the schema asks for a string of some format, Kubernetes lets a list
pass. Sorting: members are visited in the schema's order (Kubernetes' order is random).
Duplicates in lists and embedded objects are judged in ``invariants.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from skerry.machinery import causes
from skerry.machinery.errors import Cause
from skerry.machinery.formats import format_of, tester
from skerry.machinery.gotext import number, quoted
from skerry.machinery.patterns import matcher

Json = dict[str, Any]

TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
BIGGEST = 2**63
EXACT = 2**53 - 1


class Fault(NamedTuple):
    """One fault: the validator's own text, by which repetitions are known, and the cause that the caller sees."""

    text: str
    cause: Cause


class Absent:
    """Stands for an old value that there is not."""


ABSENT = Absent()


@dataclass(slots=True)
class Verdict:
    """What was found at one position and below: the faults by their text, and how many checks passed."""

    faults: dict[str, Cause] = field(default_factory=dict)
    matches: int = 0

    def add(self, *faults: Fault) -> None:
        """Add faults that were not told yet."""
        for text, cause in faults:
            self.faults.setdefault(text, cause)

    def merge(self, other: Verdict) -> None:
        """Add what another verdict found, and its count."""
        for text, cause in other.faults.items():
            self.faults.setdefault(text, cause)
        self.matches += other.matches


def explain(schema: Json, value: Any, old: Any = ABSENT, prefix: str = "") -> list[Cause]:
    """Return the causes why a value breaks a schema; ``prefix`` goes before their fields (not into their texts)."""
    found = judge(schema, value, "", old).faults
    if not prefix:
        return list(found.values())
    return [Cause(each.kind, each.message, _under(prefix, each.field)) for each in found.values()]


def _under(prefix: str, name: str) -> str:
    return prefix if name == "<nil>" else f"{prefix}.{name}"


def judge(schema: Json, value: Any, path: str, old: Any = ABSENT) -> Verdict:
    """Judge one position; ``path`` begins with a dot below additional properties of the root, as Kubernetes writes it."""
    verdict = Verdict()
    types = types_of(schema)
    if value is None:
        if types and not schema.get("nullable"):
            verdict.add(_wrong_type(path, ",".join(types), "null"))
        else:
            verdict.matches += 1
        verdict.add(*_enum(schema, value, path))
    else:
        for check in _checks(schema, types, value):
            verdict.merge(check(schema, value, path, old))
            verdict.matches += 1
        verdict.matches += 1
    if verdict.faults and old is not ABSENT and _text(old) == _text(value):
        verdict.faults.clear()
    return verdict


Check = Callable[[Json, Any, str, Any], Verdict]


def _checks(schema: Json, types: tuple[str, ...], value: Any) -> Iterable[Check]:
    """The checks that apply to a value, in Kubernetes' order."""
    if types or format_of(schema):
        yield _type
    yield _combinations
    if isinstance(value, str):
        yield _string
        if format_of(schema):
            yield _format
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield _number
    elif isinstance(value, list):
        yield _list
    yield _common
    if isinstance(value, dict):
        yield _object


def types_of(schema: Json) -> tuple[str, ...]:
    """The types that a schema takes; empty if it takes any."""
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def type_of(value: Any) -> str:
    """The type of a value; whole numbers beyond 64 bits are floats, as they are for Go."""
    if isinstance(value, int) and not isinstance(value, bool) and not -BIGGEST <= value < BIGGEST:
        return "number"
    return TYPES.get(type(value), "null")


def child(path: str, name: str) -> str:
    """The path of a declared member."""
    return f"{path}.{name}" if path else name


def _field(path: str) -> str:
    return path.removeprefix(".") or "<nil>"


def _fault(path: str, value: Any, rule: str) -> Fault:
    text = f"{path} in body {rule}"
    return Fault(text, causes.invalid(_field(path), value, text))


def _plain(text: str) -> Fault:
    return Fault(text, causes.invalid("<nil>", "", text))


def _wrong_type(path: str, expected: str, found: str) -> Fault:
    text = f"{path} in body must be of type {expected}: {quoted(found)}"
    return Fault(text, causes.type_invalid(_field(path), found, text))


def _one(*faults: Fault | None) -> Verdict:
    return Verdict({fault.text: fault.cause for fault in faults if fault})


def _type(schema: Json, value: Any, path: str, _: Any) -> Verdict:
    types, name = types_of(schema), format_of(schema)
    found = type_of(value)
    alike = found == "number" and is_whole(value) and "integer" in types
    fits = found in types or alike or (found == "integer" and "number" in types)
    if name and not fits and not isinstance(value, str | list):
        return _one(_wrong_type(path, name, {"integer": "int64", "number": "float64"}.get(found, "")))
    if not fits and not (name and isinstance(value, str) and not {"integer", "number"} & set(types)):
        return _one(_wrong_type(path, ",".join(types), found))
    return Verdict(matches=1)


def is_whole(value: float) -> bool:
    """Whether Kubernetes takes a number for an integer: one that JavaScript can count to, give or take a billionth of it."""
    if not -EXACT <= value <= EXACT:
        return False
    return value == round(value) or abs(value - round(value)) < abs(round(value)) * 1e-9


def _string(schema: Json, value: str, path: str, _: Any) -> Verdict:
    size = len(value)
    if (most := schema.get("maxLength")) is not None and size > most:
        return _one(Fault(f"{path} in body should be at most {most} chars long", causes.too_long(_field(path), most)))
    if (least := schema.get("minLength")) is not None and size < least:
        return _one(_fault(path, value, f"should be at least {least} chars long"))
    if (pattern := schema.get("pattern")) and not matcher(pattern)(value):
        return _one(_fault(path, value, f"should match '{pattern}'"))
    return Verdict()


def _format(schema: Json, value: str, path: str, _: Any) -> Verdict:
    name = format_of(schema)
    test = tester(name)
    return Verdict() if test is None or test(value) else _one(_wrong_type(path, name, value))


def _number(schema: Json, value: float, path: str, _: Any) -> Verdict:
    verdict = Verdict(matches=1)
    verdict.add(*_capacity(schema, value, "Checked", path))
    for keyword, (prefix, judged) in BOUNDS.items():
        bound = schema.get(keyword)
        if bound is None:
            continue
        beyond = _capacity(schema, bound, prefix, path)
        native = int if type_of(value) == "integer" and not beyond and int(bound) else float
        rule = judged(schema, native(value), native(bound))
        verdict.add(*beyond, *([_fault(path, native(value), rule)] if rule else []))
    return verdict


def _multiple(_: Json, value: float, factor: float) -> str:
    if factor <= 0:
        return ""
    quotient = value / factor if factor >= 1 else 1 / factor * value
    whole = value % factor == 0 if isinstance(value, int) else is_whole(quotient)
    return "" if whole else f"should be a multiple of {number(factor)}"


def _least(schema: Json, value: float, bound: float) -> str:
    if schema.get("exclusiveMinimum"):
        return f"should be greater than {number(bound)}" if value <= bound else ""
    return f"should be greater than or equal to {number(bound)}" if value < bound else ""


def _most(schema: Json, value: float, bound: float) -> str:
    if schema.get("exclusiveMaximum"):
        return f"should be less than {number(bound)}" if value >= bound else ""
    return f"should be less than or equal to {number(bound)}" if value > bound else ""


BOUNDS = {"multipleOf": ("MultipleOf", _multiple), "minimum": ("Minimum boundary", _least), "maximum": ("Maximum boundary", _most)}


def _capacity(schema: Json, value: float, prefix: str, path: str) -> list[Fault]:
    """Whether a number fits the type and its format."""
    types, name = types_of(schema), format_of(schema)
    if types == ("integer",):
        most = 2**31 if name == "int32" else BIGGEST
        if value == value // 1 and -most <= value < most:
            return []
    elif name != "float" or abs(value) < 3.4028235677973366e38:
        return []
    suffix = f"with format {name}" if name else "(default format)"
    return [_plain(f"{prefix} value must be of type {types[0]} {suffix} in {path}")]


def _list(schema: Json, value: list[Any], path: str, old: Any) -> Verdict:
    verdict = Verdict()
    items = schema.get("items")
    if items:
        before = _old_items(schema, value, old)
        for index, item in enumerate(value):
            verdict.merge(judge(items, item, f"{path}[{index}]", before.get(index, ABSENT)))
    size = len(value)
    if (least := schema.get("minItems")) is not None and size < least:
        verdict.add(_fault(path, size, f"should have at least {least} items"))
    if (most := schema.get("maxItems")) is not None and size > most:
        verdict.add(Fault(f"{path} in body should have at most {most} items", causes.too_many(_field(path), size, most)))
    if schema.get("uniqueItems") and len({_text(item) for item in value}) < size:
        verdict.add(_fault(path, "", "shouldn't contain duplicates"))
    verdict.matches += 1
    return verdict


def _old_items(schema: Json, new: list[Any], old: Any) -> Mapping[int, Any]:
    """The old items of a list-map by the index of the new ones; nothing for any other list."""
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(old, list):
        return {}
    keys = schema.get("x-kubernetes-list-map-keys", ())
    marks = {_mark(item, keys): item for item in reversed(old) if isinstance(item, dict)}
    found = ((index, marks.get(_mark(item, keys), ABSENT)) for index, item in enumerate(new) if isinstance(item, dict))
    return {index: item for index, item in found if item is not ABSENT}


def _mark(item: Json, keys: Iterable[str]) -> str:
    return _text([item.get(key) for key in keys])


def _text(value: Any) -> str:
    """A value in a form that tells true from 1, which Python's own comparison does not."""
    return json.dumps(value, sort_keys=True)


def _common(schema: Json, value: Any, path: str, _: Any) -> Verdict:
    return _one(*_enum(schema, value, path))


def _enum(schema: Json, value: Any, path: str) -> list[Fault]:
    allowed = schema.get("enum")
    if not allowed or any(each == value and isinstance(each, bool) == isinstance(value, bool) for each in allowed if each is not None):
        return []
    names = [each if isinstance(each, str) else json.dumps(each, separators=(",", ":"), ensure_ascii=False) for each in allowed]
    return [Fault(f"{path} in body should be one of {names}", causes.not_supported(_field(path), value, names))]


def _object(schema: Json, value: Json, path: str, old: Any) -> Verdict:
    verdict = Verdict()
    size = len(value)
    if (least := schema.get("minProperties")) is not None and size < least:
        verdict.add(_fault(path, size, f"should have at least {least} properties"))
    if (most := schema.get("maxProperties")) is not None and size > most:
        verdict.add(Fault(f"{path} in body should have at most {most} properties", causes.too_many(_field(path), size, most)))
    properties: Json = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    before = old if isinstance(old, dict) else {}
    for name, member in value.items():
        if name not in properties and extra is False:
            verdict.add(_forbidden(path, name))
        elif name not in properties and isinstance(extra, dict):
            verdict.merge(judge(extra, member, f"{path}.{name}", before.get(name, ABSENT)))
    for name, prop in properties.items():
        if name in value:
            known = before.get(name, ABSENT) if path or name not in {"apiVersion", "kind"} else ABSENT
            verdict.merge(judge(prop, value[name], child(path, name), known))
    for name in schema.get("required") or ():
        if name not in value:
            verdict.add(Fault(f"{path}.{name} in body is required", causes.required(_field(f"{path}.{name}"))))
    return verdict


def _forbidden(path: str, name: str) -> Fault:
    text = f"{path}.{name} in body is a forbidden property"
    return Fault(text, causes.invalid(_field(path), name, text))


def _combinations(schema: Json, value: Any, path: str, _: Any) -> Verdict:
    verdict = Verdict()
    if branches := schema.get("anyOf"):
        _any_of([judge(each, value, path) for each in branches], path, verdict)
    if branches := schema.get("oneOf"):
        _one_of([judge(each, value, path) for each in branches], path, verdict)
    if branches := schema.get("allOf"):
        _all_of([judge(each, value, path) for each in branches], path, verdict)
    if "not" in schema and not judge(schema["not"], value, path).faults:
        verdict.add(_plain(f"{quoted(path)} must not validate the schema (not)"))
    verdict.matches += 1
    return verdict


def _best(branches: Iterable[Verdict]) -> Verdict:
    """The first of those branches that passed the most checks."""
    return max(branches, key=lambda each: each.matches)


def _any_of(branches: list[Verdict], path: str, verdict: Verdict) -> None:
    passed = next((each for each in branches if not each.faults), None)
    if passed is None:
        verdict.add(_plain(f"{quoted(path)} must validate at least one schema (anyOf)"))
    verdict.merge(passed or _best(branches))


def _one_of(branches: list[Verdict], path: str, verdict: Verdict) -> None:
    passed = [each for each in branches if not each.faults]
    if len(passed) == 1:
        verdict.merge(passed[0])
        return
    why = f"Found {len(passed)} valid alternatives" if passed else "Found none valid"
    verdict.add(_plain(f"{quoted(path)} must validate one and only one schema (oneOf). {why}"))
    if not passed:
        verdict.merge(_best(branches))


def _all_of(branches: list[Verdict], path: str, verdict: Verdict) -> None:
    for each in branches:
        verdict.merge(each)
    broken = sum(1 for each in branches if each.faults)
    if broken:
        verdict.add(_plain(f"{quoted(path)} must validate all the schemas (allOf){'. None validated' if broken == len(branches) else ''}"))
