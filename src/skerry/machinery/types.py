"""How a value is owned: the part of a schema that server-side apply cares for.

A *map* is owned field by field, a *list* item by item (a set by value, a list-map by the
values of its keys), an *atomic* value and a *scalar* as a whole. An *untyped* value, where
the schema keeps what it does not know, is deduced from what is there: objects are maps,
everything else is owned whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Shape(Enum):
    """The five ways of being owned."""

    SCALAR = "scalar"
    MAP = "map"
    LIST = "list"
    ATOMIC = "atomic"
    UNTYPED = "untyped"


@dataclass(frozen=True, eq=False)
class FieldType:
    """One position: ``fields`` are a map's named members, ``element`` the type of every other member or of list items.

    A list with ``keys`` is a list-map, without them a set. ``key_defaults`` stand in for absent keys.
    """

    shape: Shape
    fields: dict[str, FieldType] = field(default_factory=dict)
    element: FieldType | None = None
    keys: tuple[str, ...] = ()
    key_defaults: dict[str, Any] = field(default_factory=dict)

    def member(self, name: str) -> FieldType:
        """The type of a map's member."""
        return self.fields.get(name) or self.element or UNTYPED


SCALAR = FieldType(Shape.SCALAR)
ATOMIC = FieldType(Shape.ATOMIC)
UNTYPED = FieldType(Shape.UNTYPED)


def field_type(schema: dict[str, Any]) -> FieldType:
    """Read the ownership type of a structural schema."""
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        return SCALAR
    if kind == "array":
        return _list_type(schema)
    preserve = schema.get("x-kubernetes-preserve-unknown-fields", False)
    properties = schema.get("properties") or {}
    if kind == "object" or properties:
        if schema.get("x-kubernetes-map-type") == "atomic":
            return ATOMIC
        extra = schema.get("additionalProperties")
        element = field_type(extra) if isinstance(extra, dict) else UNTYPED if preserve or extra or not properties else None
        fields = {name: field_type(prop) for name, prop in properties.items()}
        if schema.get("x-kubernetes-embedded-resource"):
            fields = {"apiVersion": SCALAR, "kind": SCALAR, **fields, "metadata": META}
        return FieldType(Shape.MAP, fields, element)
    return SCALAR if kind else UNTYPED


def _list_type(schema: dict[str, Any]) -> FieldType:
    items = schema.get("items") or {}
    match schema.get("x-kubernetes-list-type"):
        case "set":
            return FieldType(Shape.LIST, element=field_type(items))
        case "map":
            keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
            properties = items.get("properties") or {}
            defaults = {key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})}
            return FieldType(Shape.LIST, element=field_type(items), keys=keys, key_defaults=defaults)
    return ATOMIC


_SCALAR_MAP = FieldType(Shape.MAP, element=SCALAR)

META = FieldType(
    Shape.MAP,
    {
        "labels": _SCALAR_MAP,
        "annotations": _SCALAR_MAP,
        "finalizers": FieldType(Shape.LIST, element=SCALAR),
        "ownerReferences": FieldType(
            Shape.LIST,
            element=ATOMIC,
            keys=("uid",),
        ),
    },
    element=SCALAR,
)
"""ObjectMeta, as every kind has it."""
