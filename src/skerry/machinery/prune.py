"""Dropping what a schema does not know: fields, nulls, and what is odd in embedded metadata.

The compiled checks (``tidy.py``) find most objects clean; this module walks the others, in
the order in which a kube-apiserver does:

* a field that the schema does not name goes, unless its parent keeps unknown fields; inside
  what is kept, named fields are pruned again;
* null in a field that is neither nullable nor has a default goes;
* an object inside the object keeps apiVersion, kind and metadata, whatever the schema says, and
  its metadata is decoded as every object's is.

The root's own metadata is not looked at here: see ``meta.py``.
"""

from __future__ import annotations

from typing import Any

from skerry.machinery import causes, meta
from skerry.machinery.errors import BadRequest

Json = dict[str, Any]

TYPE_META = frozenset(("apiVersion", "kind", "metadata"))


def prune(schema: Json, obj: Json) -> list[str]:
    """Prune a whole object in place and return the paths dropped, sorted; raises BadRequest for embedded metadata of a wrong type."""
    unknown: list[str] = []
    _prune({**schema, "x-kubernetes-embedded-resource": True}, obj, "", unknown)
    unknown.sort()
    _drop_nulls(schema, obj)
    inside: list[str] = []
    _decode_embedded(schema, obj, "", inside)
    return unknown + sorted(inside)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _prune(schema: Json | None, value: Any, path: str, unknown: list[str]) -> None:
    if isinstance(value, list):
        items = (schema or {}).get("items")
        if schema and schema.get("x-kubernetes-preserve-unknown-fields"):
            if not items:
                return
            items = {**items, "x-kubernetes-preserve-unknown-fields": True}
        for index, item in enumerate(value):
            _prune(items, item, f"{path}[{index}]", unknown)
    elif isinstance(value, dict):
        _prune_members(schema or {}, value, path, unknown)


def _prune_members(schema: Json, value: Json, path: str, unknown: list[str]) -> None:
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    keeps = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    own = TYPE_META if schema.get("x-kubernetes-embedded-resource") else frozenset()
    for name in list(value):
        if name in own:
            continue
        if name in properties:
            _prune(properties[name], value[name], _below(path, name), unknown)
        elif extra:
            _prune(extra if isinstance(extra, dict) else None, value[name], _below(path, name), unknown)
        elif not keeps:
            del value[name]
            unknown.append(_below(path, name))


def _drop_nulls(schema: Json | None, value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _drop_nulls((schema or {}).get("items"), item)
    elif isinstance(value, dict):
        for name in list(value):
            prop = _schema_of(schema, name)
            if value[name] is None and prop is not None and not prop.get("nullable") and prop.get("default") is None:
                del value[name]
            elif prop is not None:
                _drop_nulls(prop, value[name])


def _schema_of(schema: Json | None, name: str) -> Json | None:
    """The schema of a member; None where there is none."""
    if schema is None:
        return None
    found = (schema.get("properties") or {}).get(name, schema.get("additionalProperties"))
    return found if isinstance(found, dict) else None


def _decode_embedded(schema: Json, value: Any, path: str, unknown: list[str]) -> None:
    """Check the types of apiVersion, kind and metadata of every object inside the object."""
    if isinstance(value, list):
        items = schema.get("items") or {}
        for index, item in enumerate(value if items else ()):
            _decode_embedded(items, item, f"{path}[{index}]", unknown)
    elif isinstance(value, dict):
        if schema.get("x-kubernetes-embedded-resource"):
            _decode_own(value, path, unknown)
        for name, member in value.items():
            prop = _schema_of(schema, name)
            if prop is not None:
                _decode_embedded(prop, member, _below(path, name), unknown)


def _decode_own(value: Json, path: str, unknown: list[str]) -> None:
    for name in ("apiVersion", "kind"):
        if name in value and not isinstance(value[name], str):
            raise _refused(f"{path}.{name}", value[name], "must be a string")
    if "metadata" in value:
        if value["metadata"] is None:
            value["metadata"] = {}
        try:
            unknown += [f"{path}.{each}" for each in meta.decode(value["metadata"])]
        except BadRequest as error:
            raise _refused(f"{path}.metadata", value["metadata"], error.message) from error


def _refused(path: str, value: Any, why: str) -> BadRequest:
    return BadRequest(f"{path}: {causes.invalid(path, value, why).message}")
