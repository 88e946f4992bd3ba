"""Defaulting: what a schema fills in where nothing was said.

Compiled once per schema into closures, one for every position that has a default at or below
it. A default is filled in wherever its parent object exists, member or item; null counts as
nothing said where the schema does not allow it. Defaults inside a default are filled in, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skerry.machinery.document import copied

Json = dict[str, Any]
Defaulter = Callable[[Any], None]

_SIMPLE = (str, int, float, bool)


def defaulter(schema: Json) -> Defaulter | None:
    """Compile the defaulting of one position; None where there is no default at or below it."""
    items = schema.get("items")
    if items:
        return _each(items, lists=True)
    properties: Json = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    named = _named(properties)
    other = _each(extra, lists=False, names=frozenset(properties)) if isinstance(extra, dict) else None
    if named is None or other is None:
        return named or other

    def fill(value: Any) -> None:
        named(value)
        other(value)

    return fill


def _named(properties: Json) -> Defaulter | None:
    plain = [
        (name, prop["default"], bool(prop.get("nullable"))) for name, prop in properties.items() if isinstance(prop.get("default"), _SIMPLE)
    ]
    deep = [(name, prop["default"], bool(prop.get("nullable"))) for name, prop in properties.items() if _is_deep(prop.get("default"))]
    below = [(name, found) for name, prop in properties.items() if (found := defaulter(prop)) is not None]
    if not (plain or deep or below):
        return None

    def fill(value: Any) -> None:
        if not isinstance(value, dict):
            return
        for name, default, nullable in plain:
            if name not in value or (value[name] is None and not nullable):
                value[name] = default
        for name, default, nullable in deep:
            if name not in value or (value[name] is None and not nullable):
                value[name] = copied(default)
        for name, child in below:
            if name in value:
                child(value[name])

    return fill


def _is_deep(default: Any) -> bool:
    return isinstance(default, dict | list)


def _each(schema: Json, *, lists: bool, names: frozenset[str] = frozenset()) -> Defaulter | None:
    """The defaulting of a list's items, or of the members that have no names of their own."""
    child, default = defaulter(schema), schema.get("default")
    replaces = default is not None and not schema.get("nullable")
    if child is None and not replaces:
        return None

    def fill(value: Any) -> None:
        if not isinstance(value, list if lists else dict):
            return
        for key in range(len(value)) if lists else [name for name in value if name not in names]:
            if replaces and value[key] is None:
                value[key] = copied(default)
            if child is not None:
                child(value[key])

    return fill
