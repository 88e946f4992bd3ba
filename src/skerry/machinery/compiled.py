"""A schema as one function that answers quickly whether a value is surely valid.

Nearly every object is. ``validate.py`` and ``invariants.py`` find out *why* one is not, by a walk
that costs ten times as much; so a kind that is written often gets a function written for it, in
which every position of the schema is a few lines of straight code (``source.py``). It may say no
to something odd that is valid after all (a float for an integer, items that cannot be hashed),
never yes to something that is not: the walk has the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skerry.machinery.formats import format_of, tester
from skerry.machinery.invariants import is_valid, is_whole_object
from skerry.machinery.patterns import matcher
from skerry.machinery.source import Answer, Source
from skerry.machinery.validate import BIGGEST

Json = dict[str, Any]

TYPES = {"string": "str", "boolean": "bool", "integer": "int", "array": "list", "object": "dict"}
ODD = ("oneOf", "not", "uniqueItems")
"""What is left to the walk, position by position."""
EITHER = ([{"type": "integer"}, {"type": "string"}], [{"type": "string"}, {"type": "integer"}])
"""How ``x-kubernetes-int-or-string`` is said a second time in nearly every definition that has it."""


def surely_valid(schema: Json) -> Answer:
    """Compile a schema."""
    writer = _Writer()
    writer.position(schema, "v0", 0)
    return writer.source.finished()


class _Writer:
    """Writes the checks of every position; ``loops`` counts the loops around it."""

    def __init__(self) -> None:
        self.source = Source()

    def position(self, schema: Json, var: str, loops: int) -> None:
        """Write the checks of one position, whose value is in ``var``."""
        if self.source.too_deep(loops):
            self.call(surely_valid(schema), var)
        elif schema.get("nullable") or not (schema.get("type") or schema.get("x-kubernetes-int-or-string")):
            if schema.get("enum"):  # in which null has to stand, too
                self.walk(schema, var)
                return
            with self.source.block(f"if {var} is not None:"):
                self.present(schema, var, loops)
        else:
            self.present(schema, var, loops)

    def call(self, function: Callable[[Any], object], var: str) -> None:
        """Leave a value to a function."""
        self.source.refuse(f"not {self.source.constant(function)}({var})")

    def present(self, schema: Json, var: str, loops: int) -> None:
        """Write the checks of a value that is not null."""
        kind = schema.get("type", "")
        if schema.get("x-kubernetes-int-or-string"):
            self.int_or_string(schema, var)
        elif kind == "string":
            self.string(schema, var)
        elif kind in {"integer", "number"}:
            self.number(schema, kind, var)
        elif kind == "array":
            self.list(schema, var, loops)
        elif kind == "object":
            self.source.refuse(f"type({var}) is not dict")
            self.object(schema, var, loops)
        elif kind:
            self.source.refuse(f"type({var}) is not {TYPES[kind]}")
        elif {"properties", "required", "additionalProperties", "items", "minimum", "maximum", "pattern", "format"} & schema.keys():
            self.walk(schema, var)
        if schema.get("enum") and kind != "string":
            self.walk({"enum": schema["enum"]}, var)
        self.combined(schema, var)

    def walk(self, schema: Json, var: str) -> None:
        """Leave what a schema says to the walk."""
        self.call(lambda value: is_valid(schema, value), var)

    def combined(self, schema: Json, var: str) -> None:
        """Write what the branches ask for; a no of a branch is no proof, so ``oneOf`` and ``not`` are the walk's."""
        for each in schema.get("allOf") or ():
            self.call(surely_valid(each), var)
        if schema.get("anyOf") and not (schema["anyOf"] in EITHER and schema.get("x-kubernetes-int-or-string")):
            some = " or ".join(f"{self.source.constant(surely_valid(each))}({var})" for each in schema["anyOf"])
            self.source.refuse(f"not ({some})")
        odd = {name: schema[name] for name in ODD if name in schema}
        if odd:
            self.walk(odd, var)
        if schema.get("x-kubernetes-embedded-resource"):
            self.call(is_whole_object, var)

    def limits(self, text: str, low: Any, high: Any) -> None:
        """Hold a number between two others, of which each may be None."""
        if low is not None and high is not None:
            self.source.refuse(f"not {low!r} <= {text} <= {high!r}")
        elif low is not None:
            self.source.refuse(f"{text} < {low!r}")
        elif high is not None:
            self.source.refuse(f"{text} > {high!r}")

    def string(self, schema: Json, var: str) -> None:
        """Write the checks of a string; a pattern's search finds out by itself whether it is one."""
        if not schema.get("pattern"):
            self.source.refuse(f"type({var}) is not str")
        self.limits(f"len({var})", schema.get("minLength") or None, schema.get("maxLength"))
        if schema.get("enum"):
            self.source.refuse(f"{var} not in {self.source.constant(frozenset(each for each in schema['enum'] if isinstance(each, str)))}")
        if schema.get("pattern"):
            self.call(matcher(schema["pattern"]), var)
        test = tester(format_of(schema))
        if test is not None:
            self.call(test, var)

    def int_or_string(self, schema: Json, var: str) -> None:
        """Write the checks of a value that may be either."""
        with self.source.block(f"if type({var}) is not int:"):
            self.string({**schema, "type": "string", "enum": None}, var)
        with self.source.block(f"if type({var}) is int:"):
            self.number({**schema, "type": "integer", "format": ""}, "integer", var)

    def number(self, schema: Json, kind: str, var: str) -> None:
        """Write the checks of a number; a float where an integer is asked for is left to the walk."""
        integer = kind == "integer"
        self.source.refuse(f"type({var}) is not int" if integer else f"type({var}) is not int and type({var}) is not float")
        low, high = schema.get("minimum"), schema.get("maximum")
        if integer:
            most = 2**31 if schema.get("format") == "int32" else BIGGEST
            low, high = (-most if low is None else max(low, -most)), (most - 1 if high is None else min(high, most - 1))
        self.limits(var, low, high)
        if schema.get("exclusiveMinimum") and "minimum" in schema:
            self.source.refuse(f"{var} == {schema['minimum']!r}")
        if schema.get("exclusiveMaximum") and "maximum" in schema:
            self.source.refuse(f"{var} == {schema['maximum']!r}")
        if schema.get("multipleOf") is not None or (kind == "number" and schema.get("format")):
            self.walk({name: schema[name] for name in ("type", "format", "multipleOf") if name in schema}, var)

    def list(self, schema: Json, var: str, loops: int) -> None:
        """Write the checks of a list and its items."""
        self.source.refuse(f"type({var}) is not list")
        self.limits(f"len({var})", schema.get("minItems") or None, schema.get("maxItems"))
        items = schema.get("items") or {}
        with self.source.block(f"for {(item := self.source.variable())} in {var}:"):
            self.position(items, item, loops + 1)
        kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
        if kind == "set":
            self.source.refuse(f"len(set({var})) != len({var})")
        elif kind == "map" and items.get("type") == "object" and not items.get("nullable"):
            required = items.get("required") or ()
            marks = [f"{item}[{key!r}]" if key in required else f"{item}.get({key!r})" for key in keys]
            mark = marks[0] if len(marks) == 1 else f"({', '.join(marks)},)"
            self.source.refuse(f"len({{{mark} for {item} in {var}}}) != len({var})" if marks else f"len({var}) > 1")
        elif kind == "map":
            self.source.refuse("True")

    def object(self, schema: Json, var: str, loops: int) -> None:
        """Write the checks of an object and its members."""
        self.limits(f"len({var})", schema.get("minProperties") or None, schema.get("maxProperties"))
        properties, required = schema.get("properties") or {}, schema.get("required") or ()
        for name in required:
            if name not in properties:
                self.source.refuse(f"{name!r} not in {var}")
        for name, below in properties.items():
            member = self.source.variable()
            if name in required:
                self.source.line(f"{member} = {var}[{name!r}]")
                self.position(below, member, loops)
                continue
            with self.source.block(f"if {name!r} in {var}:", f"{member} = {var}[{name!r}]"):
                self.position(below, member, loops)
        self.others(schema, var, loops)

    def others(self, schema: Json, var: str, loops: int) -> None:
        """Write the checks of the members that have no names of their own."""
        extra, properties = schema.get("additionalProperties"), schema.get("properties") or {}
        if extra is False:
            self.source.refuse(f"not {self.source.constant(frozenset(properties).issuperset)}({var})")
        elif isinstance(extra, dict) and properties:
            self.walk({"properties": {name: {} for name in properties}, "additionalProperties": extra}, var)
        elif isinstance(extra, dict):
            member = self.source.variable()
            with self.source.block(f"for {member} in {var}.values():"):
                self.position(extra, member, loops + 1)
