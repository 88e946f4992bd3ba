"""How a value is owned: the part of a schema that server-side apply cares for.

A *map* is owned field by field, a *list* item by item (a set by value, a list-map by the
values of its keys), an *atomic* value and a *scalar* as a whole. An *untyped* value, where
the schema keeps what it does not know, is deduced from what is there: objects are maps,
everything else is owned whole. Two shapes have no owner: what *nobody* owns because the server
keeps it (name, uid, revision ...), and what stands *apart* because this way of writing does not
reach it (the status at the main resource, everything else at the status subresource).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any


class Shape(Enum):
    """The ways of being owned, and the two of not being."""

    SCALAR = "scalar"
    MAP = "map"
    LIST = "list"
    ATOMIC = "atomic"
    UNTYPED = "untyped"
    NOBODY = "nobody"
    APART = "apart"


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
        """The type of a map's member; what a closed map does not know is owned by nobody."""
        return self.fields.get(name, self.element or NOBODY)

    def at(self, key: str) -> FieldType:
        """The type behind a path element (``f:name``, ``k:{...}``, ``v:...``)."""
        return self.member(key[2:]) if key.startswith("f:") else self.item

    @cached_property
    def item(self) -> FieldType:
        """The type of a list's items."""
        return self.element or UNTYPED

    @property
    def parts(self) -> tuple[FieldType, ...]:
        """The types directly below."""
        return (*self.fields.values(), *([] if self.element is None else [self.element]))

    @cached_property
    def is_map(self) -> bool:
        """Whether an object at this position is owned member by member."""
        return self.shape is Shape.MAP or self.shape is Shape.UNTYPED

    @cached_property
    def is_list(self) -> bool:
        """Whether a list at this position is owned item by item."""
        return self.shape is Shape.LIST

    @cached_property
    def is_unowned(self) -> bool:
        """Whether nothing here has an owner."""
        return self.shape is Shape.NOBODY or self.shape is Shape.APART

    @cached_property
    def is_loose(self) -> bool:
        """Whether values here, or anywhere below, may change their JSON type: 1 and true are then told apart."""
        if self.shape is Shape.MAP or self.shape is Shape.LIST:
            return any(each.is_loose for each in self.parts)
        return self.shape is Shape.UNTYPED or self is ATOMIC

    @cached_property
    def to_loose(self) -> Mapping[str, FieldType]:
        """The named members that are loose or lead to something that is."""
        return {name: child for name, child in self.fields.items() if child.is_loose}

    @cached_property
    def to_atomic(self) -> Mapping[str, FieldType]:
        """The named members that are atomic or lead to something that is."""
        return {name: child for name, child in self.fields.items() if child.has_atomic}

    @cached_property
    def has_atomic(self) -> bool:
        """Whether something here or below is owned as a whole though it has parts."""
        if self.shape is Shape.MAP or self.shape is Shape.LIST:
            return any(each.has_atomic for each in self.parts)
        return self.shape is Shape.ATOMIC

    @cached_property
    def beside_status(self) -> FieldType:
        """Of a whole object: what the main resource may write."""
        return FieldType(Shape.MAP, {**self.fields, "status": APART}, self.element)

    @cached_property
    def status_alone(self) -> FieldType:
        """Of a whole object: what the status subresource may write."""
        apart = dict.fromkeys((*self.fields, "metadata"), APART)
        return FieldType(Shape.MAP, {**apart, "apiVersion": NOBODY, "kind": NOBODY, "status": self.member("status")}, APART)


SCALAR = FieldType(Shape.SCALAR)
ATOMIC = FieldType(Shape.ATOMIC)
"""Owned whole, and open to values of any type."""
TYPED_ATOMIC = FieldType(Shape.ATOMIC)
"""Owned whole, and every value in it has a type of its own."""
UNTYPED = FieldType(Shape.UNTYPED)
NOBODY = FieldType(Shape.NOBODY)
APART = FieldType(Shape.APART)
object.__setattr__(UNTYPED, "element", UNTYPED)


def object_type(schema: dict[str, Any]) -> FieldType:
    """Read the ownership type of a whole object from its structural schema."""
    own = field_type(schema)
    element = own.element if schema.get("x-kubernetes-preserve-unknown-fields") else None
    return FieldType(Shape.MAP, {**own.fields, "apiVersion": NOBODY, "kind": NOBODY, "metadata": OBJECT_META}, element)


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
            return _atomic(schema)
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
            keys = tuple(sorted(schema.get("x-kubernetes-list-map-keys", ())))
            properties = items.get("properties") or {}
            defaults = {key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})}
            return FieldType(Shape.LIST, element=field_type(items), keys=keys, key_defaults=defaults)
    return _atomic(schema)


def _atomic(schema: dict[str, Any]) -> FieldType:
    inner = schema.get("items") if schema.get("type") == "array" else schema.get("additionalProperties")
    typed = isinstance(inner, dict) and inner.get("type") in {"string", "integer", "number", "boolean"} and not schema.get("properties")
    return TYPED_ATOMIC if typed else ATOMIC


_SCALAR_MAP = FieldType(Shape.MAP, element=SCALAR)

META = FieldType(
    Shape.MAP,
    {
        "labels": _SCALAR_MAP,
        "annotations": _SCALAR_MAP,
        "finalizers": FieldType(Shape.LIST, element=SCALAR),
        "ownerReferences": FieldType(Shape.LIST, element=ATOMIC, keys=("uid",)),
    },
    element=SCALAR,
)
"""ObjectMeta, as every kind has it."""

SERVER_KEPT = (
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
)

OBJECT_META = FieldType(Shape.MAP, {**META.fields, **dict.fromkeys(SERVER_KEPT, NOBODY)}, element=SCALAR)
"""The metadata of a whole object: what the server keeps is owned by nobody."""
