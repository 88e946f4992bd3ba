"""A schema as one function that answers quickly whether pruning would surely leave a value alone.

``prune.py`` has the rules; nearly every object keeps them. As in ``compiled.py`` a yes is sure
and a no is not. What is scalar in the schema and an object in the value counts as untidy,
because whatever is inside it is unknown.
"""

from __future__ import annotations

from types import NoneType
from typing import Any

from skerry.machinery.prune import TYPE_META
from skerry.machinery.source import Answer, Source

Json = dict[str, Any]

SCALARS = frozenset((str, int, float, bool))
PLAIN = {"string": ("str",), "integer": ("int",), "number": ("int", "float"), "boolean": ("bool",)}


def surely_tidy(schema: Json, *, root: bool = False) -> Answer:
    """Compile a schema; a root has apiVersion, kind and metadata, which are looked at elsewhere."""
    writer = _Writer()
    if root:
        properties = {name: prop for name, prop in (schema.get("properties") or {}).items() if name not in TYPE_META}
        schema = {**schema, "properties": properties, "x-kubernetes-embedded-resource": False}
    writer.object(schema, "v0", 0, TYPE_META if root else frozenset())
    return writer.source.finished()


def is_scalar(schema: Json) -> bool:
    """Whether nothing may stand below a position: no object, no list."""
    return not (schema.get("type") in {"object", "array"} or schema.get("properties") or schema.get("x-kubernetes-preserve-unknown-fields"))


class _Writer:
    """Writes the checks of every position; ``loops`` counts the loops around it."""

    def __init__(self) -> None:
        self.source = Source()

    def position(self, schema: Json, var: str, loops: int) -> None:
        """Write the checks of one position, whose value is in ``var``; null is nearly always a no."""
        keeps = schema.get("x-kubernetes-preserve-unknown-fields")
        if schema.get("x-kubernetes-embedded-resource") or (keeps and (schema.get("items") or schema.get("type") == "array")):
            self.source.refuse("True")
        elif keeps and not (schema.get("properties") or schema.get("additionalProperties")):
            if not schema.get("nullable"):
                self.source.refuse(f"{var} is None")
        elif is_scalar(schema):
            self.scalar(schema, var)
        elif schema.get("type") == "array":
            self.source.refuse(f"type({var}) is not list")
            self.items(schema.get("items") or {}, var, loops)
        elif self.source.too_deep(loops):
            self.source.refuse(f"not {self.source.constant(surely_tidy(schema))}({var})")
        else:
            self.object(schema, var, loops, frozenset())

    def scalar(self, schema: Json, var: str) -> None:
        """Hold a scalar against its type: nobody knows what is inside an object that stands in its place."""
        expected = ("str", "int") if schema.get("x-kubernetes-int-or-string") else PLAIN.get(schema.get("type", ""), ("str",))
        self.source.refuse(" and ".join(f"type({var}) is not {each}" for each in expected))

    def types(self, values: str, *, nullable: bool) -> None:
        """Hold values against the types that scalars have."""
        allowed = SCALARS | {NoneType} if nullable else SCALARS
        self.source.refuse(f"not {self.source.constant(allowed.issuperset)}(map(type, {values}))")

    def items(self, items: Json, var: str, loops: int) -> None:
        """Write the checks of a list's items."""
        if is_scalar(items):
            self.types(var, nullable=True)
            return
        item = self.source.variable()
        with self.source.block(f"for {item} in {var}:"):
            self.position(items, item, loops + 1)

    def object(self, schema: Json, var: str, loops: int, own: frozenset[str]) -> None:
        """Write the checks of an object; a value of another type stumbles over ``.values()``."""
        properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
        if extra and properties:
            self.source.refuse(f"type({var}) is not dict or {var}")
        elif extra:
            self.others(extra if isinstance(extra, dict) else {"nullable": True}, var, loops)
        elif not properties and not schema.get("x-kubernetes-preserve-unknown-fields"):
            self.source.refuse(f"type({var}) is not dict or not {self.source.constant(own.issuperset)}({var})")
        else:
            self.named(schema, var, loops, own)

    def named(self, schema: Json, var: str, loops: int, own: frozenset[str]) -> None:
        """Write the checks of an object's members; a value of another type stumbles over one of the lines."""
        properties, required = schema.get("properties") or {}, schema.get("required") or ()
        keeps = schema.get("x-kubernetes-preserve-unknown-fields")
        if not keeps:
            self.source.refuse(f"not {self.source.constant((own | properties.keys()).issuperset)}({var})")
        if not keeps and not own and all(is_scalar(prop) for prop in properties.values()):
            self.types(f"{var}.values()", nullable=all(prop.get("nullable") for prop in properties.values()))
            return
        for name, below in properties.items():
            member = self.source.variable()
            if name in required:
                self.source.line(f"{member} = {var}[{name!r}]")
                self.position(below, member, loops)
                continue
            with self.source.block(f"if {name!r} in {var}:", f"{member} = {var}[{name!r}]"):
                self.position(below, member, loops)

    def others(self, extra: Json, var: str, loops: int) -> None:
        """Write the checks of members that have one schema."""
        if is_scalar(extra):
            self.types(f"{var}.values()", nullable=bool(extra.get("nullable")))
            return
        member = self.source.variable()
        with self.source.block(f"for {member} in {var}.values():"):
            self.position(extra, member, loops + 1)
