"""Merging what is applied into what is there, and taking away what is no longer applied.

:func:`merge` gives every field that the config names the config's value: maps field by field,
list-maps and sets item by item, everything else whole. The order of list items follows the
config where it names them, and keeps the others where they stood.

:func:`prune` removes what an applier owned before and owns no more, unless somebody else does.
Nothing is changed in place; unchanged parts are shared.
"""

from __future__ import annotations

from typing import Any

from skerry.machinery.fieldset import FieldSet, is_granular_list, is_granular_map, item_key
from skerry.machinery.types import UNTYPED, FieldType


def merge(live: Any, config: Any, kind: FieldType) -> Any:
    """Return live with everything that config names."""
    if is_granular_map(live, kind) and is_granular_map(config, kind):
        result = dict(live)
        for name, value in config.items():
            result[name] = merge(live[name], value, kind.member(name)) if name in live else value
        return result
    if is_granular_list(live, kind) and is_granular_list(config, kind):
        return _merge_items(live, config, kind)
    return config


def _merge_items(live: list[Any], config: list[Any], kind: FieldType) -> list[Any]:
    item = kind.element or UNTYPED
    old = {item_key(each, kind): each for each in live}
    new = {item_key(each, kind): each for each in config}
    left, right = list(old), list(new)
    shared = [key for key in right if key in old]
    result: list[Any] = []
    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left):
            key = left[i]
            if key not in new:
                result.append(old[key])
                i += 1
                continue
            if not shared or shared[0] != key:
                i += 1  # its turn comes, or came, where the config has it
                continue
        if j < len(right):
            key = right[j]
            result.append(merge(old[key], new[key], item) if key in old else new[key])
            j += 1
            if shared and shared[0] == key:
                shared.pop(0)
                i += i < len(left) and left[i] == key
    return result


def prune(value: Any, kind: FieldType, before: FieldSet, kept: FieldSet) -> Any:
    """Return the value without the elements that are in ``before`` and not in ``kept``."""
    if not before or not (is_granular_map(value, kind) or is_granular_list(value, kind)):
        return value
    if isinstance(value, dict):
        result = {}
        for name, member in value.items():
            key = f"f:{name}"
            mine, others = before.get(key), kept.get(key, None)
            if mine is None:
                result[name] = member
                continue
            named = name in kind.fields
            if _is_element(mine, named) and not (others is not None and _is_element(others, named)):
                continue
            result[name] = prune(member, kind.member(name), mine, others or {})
        return result
    items = []
    for each in value:
        key = item_key(each, kind)
        mine, others = before.get(key), kept.get(key)
        if mine is None:
            items.append(each)
        elif not _is_element(mine, False) or (others is not None and _is_element(others, False)):
            items.append(prune(each, kind.element or UNTYPED, mine, others or {}))
    return items


def _is_element(node: FieldSet, named: bool) -> bool:
    """A named field counts as an element as soon as anything below it does."""
    return named or not node or "." in node
