"""What a schema does to an object before it is validated: unknown fields go, defaults come.

Both are compiled once per schema into closures, one per position that has anything to do;
positions without are skipped altogether. The rules are those of structural schemas:

* a field that the schema does not name is dropped, unless its parent keeps unknown fields;
* null in a field that is not nullable counts as absent, so that a default can take its place;
* a default is filled in wherever its parent object exists, also in the place of a null that may not be.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Pruner = Callable[[Any, str, list[str]], None]
Defaulter = Callable[[Any], None]

EMBEDDED = frozenset(("apiVersion", "kind", "metadata"))


def pruner(schema: Json, *, root: bool = False) -> Pruner | None:
    """Compile the pruning of one position; None where nothing can be pruned."""
    if schema.get("type") == "array":
        return _item_pruner(schema)
    properties: Json = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    if not properties and schema.get("type") != "object":
        return None
    children = {name: pruner(prop) for name, prop in properties.items()}
    if root or schema.get("x-kubernetes-embedded-resource"):
        children["metadata"] = None  # ObjectMeta is not the schema's to prune: see meta.py
    known = frozenset(properties) | (EMBEDDED if root or schema.get("x-kubernetes-embedded-resource") else frozenset())
    keep = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or extra is True
    other = pruner(extra) if isinstance(extra, dict) else None
    nulls = frozenset(name for name, prop in properties.items() if not prop.get("nullable"))
    drop_other_nulls = isinstance(extra, dict) and not extra.get("nullable")
    if isinstance(extra, dict):
        return _map_pruner(other, drop_other_nulls)

    def prune(value: Any, path: str, unknown: list[str]) -> None:
        if not isinstance(value, dict):
            return
        for name in list(value):
            member = value[name]
            if name in known:
                if member is None and name in nulls:
                    del value[name]
                    continue
                child = children.get(name)
                if child is not None:
                    child(member, f"{path}.{name}" if path else name, unknown)
            elif not keep:
                del value[name]
                unknown.append(f"{path}.{name}" if path else name)

    return prune


def _map_pruner(child: Pruner | None, drop_nulls: bool) -> Pruner:
    def prune(value: Any, path: str, unknown: list[str]) -> None:
        if not isinstance(value, dict):
            return
        for name in list(value):
            member = value[name]
            if member is None and drop_nulls:
                del value[name]
            elif child is not None:
                child(member, f"{path}.{name}", unknown)

    return prune


def _item_pruner(schema: Json) -> Pruner | None:
    child = pruner(schema.get("items") or {})
    if child is None:
        return None

    def prune(value: Any, path: str, unknown: list[str]) -> None:
        if isinstance(value, list):
            for index, item in enumerate(value):
                child(item, f"{path}[{index}]", unknown)

    return prune


def defaulter(schema: Json) -> Defaulter | None:
    """Compile the defaulting of one position; None where there is no default below it."""
    if schema.get("type") == "array":
        child = defaulter(schema.get("items") or {})
        return None if child is None else _each_item(child)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        child = defaulter(extra)
        return None if child is None else _each_member(child)
    properties: Json = schema.get("properties") or {}
    defaults = {name: prop["default"] for name, prop in properties.items() if "default" in prop}
    below = [(name, found) for name, prop in properties.items() if (found := defaulter(prop)) is not None]
    if not defaults and not below:
        return None
    plain = [(name, value) for name, value in defaults.items() if not isinstance(value, dict | list)]
    deep = [(name, value) for name, value in defaults.items() if isinstance(value, dict | list)]
    nulls = frozenset(name for name in defaults if properties[name].get("nullable"))

    def fill(value: Any) -> None:
        if not isinstance(value, dict):
            return
        for name, default in plain:
            if value.get(name) is None and not (name in nulls and name in value):
                value[name] = default
        for name, default in deep:
            if value.get(name) is None and not (name in nulls and name in value):
                value[name] = copy.deepcopy(default)
        for name, child in below:
            if name in value:
                child(value[name])

    return fill


def _each_item(child: Defaulter) -> Defaulter:
    def fill(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                child(item)

    return fill


def _each_member(child: Defaulter) -> Defaulter:
    def fill(value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                child(item)

    return fill
