"""Validation against a structural schema, compiled once into closures.

Each position becomes a list of checks; the texts, kinds and paths of the causes are those of
``kube-openapi``'s validator as ``apiextensions-apiserver`` reports them, because people and
programs know them. A check appends causes and never raises. Lists that are sets or maps are
checked for duplicates here too.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from skerry.machinery import causes
from skerry.machinery.errors import Cause

Json = dict[str, Any]
Check = Callable[[Any, str, list[Cause]], None]

BODY = "in body"


def type_name(value: Any) -> str:
    """The JSON schema type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "array": list,
    "object": dict,
}


@cache
def pattern(text: str) -> re.Pattern[str]:
    """Compile a schema's pattern; RE2's syntax is close enough to Python's for what schemas use."""
    return re.compile(text.replace(r"\z", r"\Z"))


def compile_schema(schema: Json) -> Check:
    """Compile one position."""
    kind = "" if schema.get("x-kubernetes-int-or-string") else schema.get("type", "")
    nullable = bool(schema.get("nullable"))
    inner = [check for check in (*_by_type(kind, schema), *_common(schema)) if check is not None]
    expected = PYTHON_TYPES.get(kind)

    def check(value: Any, path: str, found: list[Cause]) -> None:
        if value is None:
            if kind and not nullable:
                _wrong_type(value, kind, path, found)
            return
        if kind and not (isinstance(value, expected) if expected else _is_number(value, kind)):
            _wrong_type(value, kind, path, found)
            return
        for each in inner:
            each(value, path, found)

    if schema.get("x-kubernetes-int-or-string"):
        return _int_or_string(check)
    return check


def _int_or_string(check: Check) -> Check:
    def either(value: Any, path: str, found: list[Cause]) -> None:
        if value is None or isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            check(value, path, found)
        else:
            _wrong_type(value, "integer,string", path, found)

    return either


def _is_number(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return False
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, int | float)


def _wrong_type(value: Any, kind: str, path: str, found: list[Cause]) -> None:
    got = type_name(value)
    found.append(causes.type_invalid(path, got, f'{path} in body must be of type {kind}: "{got}"'))


def _by_type(kind: str, schema: Json) -> list[Check | None]:
    match kind:
        case "string":
            return [_first(_length(schema), _pattern(schema)), _format(schema)]
        case "integer" | "number":
            return [_range(schema), _width(schema)]
        case "array":
            return [_items(schema), _item_count(schema), _list_type(schema)]
        case "object":
            return [_member_count(schema), _members(schema)]
        case "":
            return [_members(schema) if schema.get("properties") or schema.get("required") else None]
    return []


def _fail(path: str, value: Any, text: str, found: list[Cause]) -> None:
    found.append(causes.invalid(path, value, f"{path} {BODY} {text}"))


def _first(*checks: Check | None) -> Check | None:
    """Report only what the first failing check finds, as Kubernetes does for the length and the pattern of a string."""
    present = [check for check in checks if check is not None]
    if len(present) < 2:
        return present[0] if present else None

    def check(value: Any, path: str, found: list[Cause]) -> None:
        before = len(found)
        for each in present:
            each(value, path, found)
            if len(found) > before:
                return

    return check


def _length(schema: Json) -> Check | None:
    low, high = schema.get("minLength"), schema.get("maxLength")
    if low is None and high is None:
        return None

    def check(value: Any, path: str, found: list[Cause]) -> None:
        size = len(value)
        if high is not None and size > high:
            found.append(causes.too_long(path, high))
        if low is not None and size < low:
            _fail(path, value, f"should be at least {low} chars long", found)

    return check


def _pattern(schema: Json) -> Check | None:
    text = schema.get("pattern")
    if not text:
        return None
    search = pattern(text).search

    def check(value: Any, path: str, found: list[Cause]) -> None:
        if not search(value):
            _fail(path, value, f"should match '{text}'", found)

    return check


def _range(schema: Json) -> Check | None:
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is None and high is None and step is None:
        return None
    open_low, open_high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")

    def check(value: Any, path: str, found: list[Cause]) -> None:
        if high is not None and (value >= high if open_high else value > high):
            _fail(path, value, f"should be less than {'' if open_high else 'or equal to '}{causes.go_value(high)}", found)
        if low is not None and (value <= low if open_low else value < low):
            _fail(path, value, f"should be greater than {'' if open_low else 'or equal to '}{causes.go_value(low)}", found)
        if step is not None and value % step:
            _fail(path, value, f"should be a multiple of {causes.go_value(step)}", found)

    return check


def _width(schema: Json) -> Check | None:
    """Integers of 32 and 64 bits; the cause has no field, as Kubernetes reports it."""
    bits = {"int32": 32, "int64": 64}.get(schema.get("format", ""))
    if bits is None:
        return None
    most = 2 ** (bits - 1)

    def check(value: Any, path: str, found: list[Cause]) -> None:
        if not -most <= value < most:
            found.append(causes.invalid("<nil>", "", f"Checked value must be of type integer with format int{bits} in {path}"))

    return check


def _items(schema: Json) -> Check | None:
    items = schema.get("items")
    if not items:
        return None
    item = compile_schema(items)

    def check(value: Any, path: str, found: list[Cause]) -> None:
        for index, each in enumerate(value):
            item(each, f"{path}[{index}]", found)

    return check


def _item_count(schema: Json) -> Check | None:
    low, high, unique = schema.get("minItems"), schema.get("maxItems"), schema.get("uniqueItems")
    if low is None and high is None and not unique:
        return None

    def check(value: Any, path: str, found: list[Cause]) -> None:
        if low is not None and len(value) < low:
            _fail(path, len(value), f"should have at least {low} items", found)
        if high is not None and len(value) > high:
            found.append(causes.too_many(path, len(value), high))

    return check


def _list_type(schema: Json) -> Check | None:
    kind = schema.get("x-kubernetes-list-type")
    if kind not in {"set", "map"}:
        return None
    keys = schema.get("x-kubernetes-list-map-keys", [])
    properties = (schema.get("items") or {}).get("properties") or {}
    defaults = {key: properties[key].get("default") for key in keys if "default" in properties.get(key, {})}

    def check(value: Any, path: str, found: list[Cause]) -> None:
        seen = set()
        for index, item in enumerate(value):
            if keys and not isinstance(item, dict):
                continue  # its type is wrong, and that is said elsewhere
            mark = {key: item.get(key, defaults.get(key)) for key in keys if key in item or key in defaults} if keys else item
            text = json.dumps(mark, sort_keys=True)
            if text in seen:
                found.append(causes.duplicate(f"{path}[{index}]", mark))
            seen.add(text)

    return check


def _member_count(schema: Json) -> Check | None:
    low, high = schema.get("minProperties"), schema.get("maxProperties")
    if low is None and high is None:
        return None

    def check(value: Any, path: str, found: list[Cause]) -> None:
        if low is not None and len(value) < low:
            _fail(path, len(value), f"should have at least {low} properties", found)
        if high is not None and len(value) > high:
            found.append(causes.too_many(path, len(value), high))

    return check


def _members(schema: Json) -> Check | None:
    children = {name: compile_schema(prop) for name, prop in (schema.get("properties") or {}).items()}
    required = schema.get("required") or ()
    extra = schema.get("additionalProperties")
    other = compile_schema(extra) if isinstance(extra, dict) else None
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    if not children and not required and other is None and not embedded:
        return None

    def check(value: Any, path: str, found: list[Cause]) -> None:
        if not isinstance(value, dict):
            return
        for name, member in value.items():
            child = children.get(name, other)
            if child is not None:
                child(member, f"{path}.{name}" if path else name, found)
        found.extend(causes.required(f"{path}.{name}" if path else name) for name in required if name not in value)
        if embedded:
            found.extend(causes.required(f"{path}.{name}") for name in ("apiVersion", "kind") if not value.get(name))

    return check


def _common(schema: Json) -> list[Check | None]:
    return [_enum(schema), _combined(schema)]


def _enum(schema: Json) -> Check | None:
    allowed = schema.get("enum")
    if allowed is None:
        return None
    names = [each if isinstance(each, str) else json.dumps(each) for each in allowed]

    def check(value: Any, path: str, found: list[Cause]) -> None:
        if value not in allowed:
            found.append(causes.not_supported(path, value, names))

    return check


def _combined(schema: Json) -> Check | None:
    every = [compile_schema(each) for each in schema.get("allOf") or ()]
    some = [compile_schema(each) for each in schema.get("anyOf") or ()]
    one = [compile_schema(each) for each in schema.get("oneOf") or ()]
    never = compile_schema(schema["not"]) if schema.get("not") else None
    if not (every or some or one or never):
        return None

    def passes(check: Check, value: Any, path: str) -> bool:
        inner: list[Cause] = []
        check(value, path, inner)
        return not inner

    def check(value: Any, path: str, found: list[Cause]) -> None:
        for each in every:
            each(value, path, found)
        if some and not any(passes(each, value, path) for each in some):
            _fail(
                path,
                value if not isinstance(value, dict | list) else "",
                "must validate at least one schema (anyOf)".replace("in body ", ""),
                found,
            )
        if one and (valid := sum(passes(each, value, path) for each in one)) != 1:
            many = f"Found {valid} valid alternatives" if valid else "Found none valid"
            found.append(causes.invalid("<nil>", "", f'"{path}" must validate one and only one schema (oneOf). {many}'))
        if never is not None and passes(never, value, path):
            _fail(path, value if not isinstance(value, dict | list) else "", "must not validate the schema (not)", found)

    return check


def _is_time(value: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", value):
        return False
    try:
        datetime.fromisoformat(re.sub(r"\.\d+", "", value.upper()))
    except ValueError:
        return False
    return True


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _address(version: int) -> Callable[[str], bool]:
    def valid(value: str) -> bool:
        try:
            return ipaddress.ip_address(value).version == version
        except ValueError:
            return False

    return valid


def _is_cidr(value: str) -> bool:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return "/" in value


FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _is_time,
    "byte": _is_base64,
    "ipv4": _address(4),
    "ipv6": _address(6),
    "cidr": _is_cidr,
    "uuid": lambda value: bool(re.fullmatch(r"(?i)[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", value)),
    "uri": lambda value: bool(re.match(r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$|^/", value)),
    "email": lambda value: bool(re.fullmatch(r"[^@\s]+@[^@\s]+", value)),
    "hostname": lambda value: bool(re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*", value)),
}


def _format(schema: Json) -> Check | None:
    name = schema.get("format", "")
    valid = FORMATS.get(name)
    if valid is None:
        return None

    def check(value: Any, path: str, found: list[Cause]) -> None:
        if not valid(value):
            found.append(causes.type_invalid(path, value, f'{path} in body must be of type {name}: "{value}"'))

    return check
