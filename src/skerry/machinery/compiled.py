"""A schema as one Python function that answers quickly whether a value is surely valid.

Nearly every object is. ``validate.py`` finds out *why* one is not, by walking closures, which
costs ten times as much; so a kind that is written often gets a function written for it, in
which every position of the schema is a few lines of straight code. It may say no to something
odd that is valid after all (a float for an integer, keys that cannot be hashed), never yes to
something that is not: the slow walk has the last word.

The source is made of a fixed set of lines, and everything that comes from the schema stands in
it as a constant's name or a ``repr``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from skerry.machinery.validate import FORMATS, compile_schema, pattern

Json = dict[str, Any]
Fast = Callable[[Any], bool]

EXOTIC = ("allOf", "anyOf", "oneOf", "not", "uniqueItems", "multipleOf", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string")
TYPES = {"string": "str", "boolean": "bool", "integer": "int", "array": "list", "object": "dict"}
DEEPEST = 12
"""Loops in loops; Python itself allows twenty."""


def fast(schema: Json) -> Fast:
    """Compile a schema."""
    source = _Source()
    source.line("def check(v0):")
    with source.block():
        source.line("try:")
        with source.block():
            source.position(schema, "v0", 0)
            source.line("return True")
        source.line("except TypeError:")
        with source.block():
            source.line("return False")
    exec(compile("\n".join(source.lines), "<schema>", "exec"), source.constants)  # noqa: S102 see above: no text of the schema is code
    made: Fast = source.constants["check"]
    return made


class _Source:
    """The function as it is written."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {"ABSENT": object()}
        self._numbers = count(1)
        self._indent = 0

    def line(self, text: str) -> None:
        self.lines.append(" " * self._indent + text)

    @contextmanager
    def block(self) -> Iterator[None]:
        self._indent += 1
        yield
        self._indent -= 1

    def constant(self, value: Any) -> str:
        name = f"c{next(self._numbers)}"
        self.constants[name] = value
        return name

    def refuse(self, condition: str) -> None:
        self.line(f"if {condition}: return False")

    def position(self, schema: Json, var: str, depth: int) -> None:
        """Write the checks of one position, whose value is in ``var``."""
        if depth > DEEPEST or any(schema.get(each) for each in EXOTIC):
            found = f"f{next(self._numbers)}"
            self.line(f"{found} = []")
            self.line(f"{self.constant(compile_schema(schema))}({var}, '', {found})")
            self.refuse(found)
            return
        kind = schema.get("type", "")
        if kind and not schema.get("nullable"):
            self._present(schema, kind, var, depth)
            return
        self.line(f"if {var} is not None:")
        with self.block():
            self.line("pass")
            self._present(schema, kind, var, depth)

    def _present(self, schema: Json, kind: str, var: str, depth: int) -> None:
        if kind == "number":
            self.refuse(f"type({var}) is not int and type({var}) is not float")
        elif kind:
            self.refuse(f"type({var}) is not {TYPES[kind]}")
        if schema.get("enum") is not None:
            self.refuse(f"{var} not in {self.constant(schema['enum'])}")
        match kind:
            case "string":
                self._string(schema, var)
            case "integer" | "number":
                self._number(schema, var)
            case "array":
                self._list(schema, var, depth)
            case "object":
                self._object(schema, var, depth)
            case "" if schema.get("properties") or schema.get("required"):
                self.line(f"if type({var}) is dict:")
                with self.block():
                    self.line("pass")
                    self._object(schema, var, depth)

    def _limits(self, text: str, low: Any, high: Any) -> None:
        if low is not None:
            self.refuse(f"{text} < {low!r}")
        if high is not None:
            self.refuse(f"{text} > {high!r}")

    def _string(self, schema: Json, var: str) -> None:
        self._limits(f"len({var})", schema.get("minLength"), schema.get("maxLength"))
        if schema.get("pattern"):
            self.refuse(f"not {self.constant(pattern(schema['pattern']).search)}({var})")
        if schema.get("format") in FORMATS:
            self.refuse(f"not {self.constant(FORMATS[schema['format']])}({var})")

    def _number(self, schema: Json, var: str) -> None:
        self._limits(var, schema.get("minimum"), schema.get("maximum"))
        if schema.get("exclusiveMinimum"):
            self.refuse(f"{var} == {schema.get('minimum')!r}")
        if schema.get("exclusiveMaximum"):
            self.refuse(f"{var} == {schema.get('maximum')!r}")
        bits = {"int32": 31, "int64": 63}.get(schema.get("format", ""))
        if bits:
            self._limits(var, -(2**bits), 2**bits - 1)

    def _list(self, schema: Json, var: str, depth: int) -> None:
        self._limits(f"len({var})", schema.get("minItems"), schema.get("maxItems"))
        kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
        items = schema.get("items") or {}
        number = next(self._numbers)
        if kind == "set" and not keys:
            self.refuse(f"len(set({var})) != len({var})")
        if items:
            self.line(f"for v{number} in {var}:")
            with self.block():
                self.line("pass")
                self.position(items, f"v{number}", depth + 1)
        if kind == "map" and keys and items.get("type") == "object":
            properties = items.get("properties") or {}
            marks = ", ".join(f"v{number}.get({key!r}, {self.constant(properties.get(key, {}).get('default'))})" for key in keys)
            self.refuse(f"len({{({marks},) for v{number} in {var}}}) != len({var})")
        elif kind == "map":
            self.refuse("True")

    def _object(self, schema: Json, var: str, depth: int) -> None:
        self._limits(f"len({var})", schema.get("minProperties"), schema.get("maxProperties"))
        properties, required = schema.get("properties") or {}, schema.get("required") or ()
        for name in required:
            if name not in properties:
                self.refuse(f"{name!r} not in {var}")
        for name, below in properties.items():
            member = f"v{next(self._numbers)}"
            self.line(f"{member} = {var}.get({name!r}, ABSENT)")
            self.line(f"if {member} is not ABSENT:")
            with self.block():
                self.line("pass")
                self.position(below, member, depth)
            if name in required:
                self.line("else: return False")
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            key, member = f"k{next(self._numbers)}", f"v{next(self._numbers)}"
            self.line(f"for {key}, {member} in {var}.items():")
            with self.block():
                if properties:
                    self.line(f"if {key} in {self.constant(frozenset(properties))}: continue")
                self.line("pass")
                self.position(extra, member, depth + 1)
