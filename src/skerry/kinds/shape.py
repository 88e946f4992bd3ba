"""From a msgspec type to the structural OpenAPI v3 schema that the door serves: one declaration, one schema.

A kind is written once, as msgspec structs with documented fields. Controllers decode into
those structs; the API machinery validates, defaults, prunes and explains with the schema
that :func:`structural` derives from them. How a declaration maps:

* a field without a Python default is required; one with a non-empty default carries it in the schema;
* ``Literal`` is an enum, ``dict[str, X]`` a granular map, ``Any`` an opaque value that is kept as it is;
* descriptions are the struct's docstring and the field's :func:`doc`;
* lists are atomic unless :func:`doc` says ``list_type`` (``set``, or ``map`` with ``list_keys``).

What a schema cannot say (immutability, one field against another) are rules: see ``rules.py``.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
from msgspec import inspect as mi

from skerry.machinery.resource import Json

LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""A DNS-1123 label, the alphabet of every name component."""

EMPTY: tuple[object, ...] = ("", 0, False, None, msgspec.UNSET, msgspec.NODEFAULT)
"""Python defaults that mean "absent" and are therefore no default of the schema."""


def doc(
    text: str,
    *,
    pattern: str | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    ge: int | None = None,
    le: int | None = None,
    format: str = "",  # noqa: A002 the schema's own word
    list_type: str = "",
    list_keys: tuple[str, ...] = (),
    **extra: Any,
) -> msgspec.Meta:
    """Describe a field, with the limits and the list semantics that its schema shall have."""
    more: Json = dict(extra)
    if format:
        more["format"] = format
    if list_type:
        more["x-kubernetes-list-type"] = list_type
    if list_keys:
        more["x-kubernetes-list-map-keys"] = list(list_keys)
    limits: Json = {"pattern": pattern, "min_length": min_length, "max_length": max_length, "ge": ge, "le": le}
    return msgspec.Meta(
        description=text, extra_json_schema=more or None, **{name: limit for name, limit in limits.items() if limit is not None}
    )


def structural(kind: type[msgspec.Struct]) -> Json:
    """Return the structural schema of a kind; raises TypeError for a type that no schema can say.

    What stands in ``metadata`` is the machinery's to know: here it is a bare object, as in every CRD.
    """
    schema = _schema(mi.type_info(kind))
    typed = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    schema["properties"] = {**typed, **{name: prop for name, prop in schema["properties"].items() if name != "metadata"}}
    required = [name for name in schema.pop("required", ()) if name != "metadata"]
    return {**schema, "required": required} if required else schema


def _schema(kind: mi.Type) -> Json:
    extra: Json = {}
    while isinstance(kind, mi.Metadata):
        extra = {**(kind.extra_json_schema or {}), **extra}
        kind = kind.type
    schema = _plain(kind)
    if kind_is_list(schema) and "x-kubernetes-list-type" not in extra:
        schema["x-kubernetes-list-type"] = "atomic"
    schema.update(extra)
    return schema


def kind_is_list(schema: Json) -> bool:
    """Tell whether a schema is one of a list."""
    return schema.get("type") == "array"


def _plain(kind: mi.Type) -> Json:
    match kind:
        case mi.StrType():
            return _limits({"type": "string"}, kind, min_length="minLength", max_length="maxLength", pattern="pattern")
        case mi.IntType():
            return _limits({"type": "integer", "format": "int64"}, kind, ge="minimum", le="maximum")
        case mi.FloatType():
            return {"type": "number"}
        case mi.BoolType():
            return {"type": "boolean"}
        case mi.LiteralType():
            return {"type": "string", "enum": list(kind.values)}
        case mi.ListType():
            return _limits({"type": "array", "items": _schema(kind.item_type)}, kind, min_length="minItems", max_length="maxItems")
        case mi.DictType():
            if isinstance(kind.value_type, mi.AnyType):
                return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            return {"type": "object", "additionalProperties": _schema(kind.value_type)}
        case mi.AnyType():
            return {"x-kubernetes-preserve-unknown-fields": True}
        case mi.StructType():
            return _struct(kind)
        case mi.UnionType():
            inner = [each for each in kind.types if not isinstance(each, mi.NoneType)]
            if len(inner) == 1:
                return _schema(inner[0])
    raise TypeError(f"no structural schema for {kind!r}")


def _limits(schema: Json, kind: object, **names: str) -> Json:
    for attribute, keyword in names.items():
        value = getattr(kind, attribute, None)
        if value is not None:
            schema[keyword] = value
    return schema


def _struct(kind: mi.StructType) -> Json:
    schema: Json = {"type": "object"}
    if kind.cls.__doc__:
        schema["description"] = inspect.cleandoc(kind.cls.__doc__)
    schema["properties"] = {}
    required = []
    for field in kind.fields:
        prop = _schema(field.type)
        if field.required:
            required.append(field.encode_name)
        elif not isinstance(field.default, msgspec.Struct) and field.default not in EMPTY:
            prop.setdefault("default", field.default)
        schema["properties"][field.encode_name] = prop
    if required:
        schema["required"] = required
    return schema
