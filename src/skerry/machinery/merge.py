"""Merging what is applied into what is there, and taking away what is no longer applied.

:func:`merge` gives every field that the config names the config's value: maps field by field,
list-maps and sets item by item, everything else whole. The order of list items follows the
config where it names them, and keeps the others where they stood. Null leaves a map or a list
as it is. :func:`prune` removes what an applier owned before and owns no more, unless somebody
else does.

Nothing is changed in place. Results share parts with the arguments; where nothing changes, the
result is the live value itself.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from skerry.machinery.compare import same_as
from skerry.machinery.fieldset import SELF, FieldSet, difference, has_self, intersection, item_key, keyed, named, owned, union
from skerry.machinery.types import APART, NOBODY, FieldType, Shape


def merge(live: Any, config: Any, kind: FieldType) -> Any:
    """Return live with everything that config names."""
    if same_as(live, config, kind):
        return live
    if kind.is_map and _is(live, dict) and _is(config, dict):
        return config if not live else _merge_members(live, config, kind) if config else live
    if kind.is_list and _is(live, list) and _is(config, list):
        return config if not live else _merge_items(live, config, kind) if config else live
    return live if kind.shape is Shape.NOBODY and live is not None else config


def _is(value: Any, granular: type) -> bool:
    return value is None or isinstance(value, granular)


def _merge_members(live: dict[str, Any], config: dict[str, Any], kind: FieldType) -> dict[str, Any]:
    result = live
    fields, other = kind.fields, kind.element or NOBODY
    for name, value in config.items():
        child = fields.get(name, other)
        if child is APART:
            continue
        if name in live:
            was = live[name]
            merged = merge(was, value, child)
            if merged is was:
                continue
        else:
            merged = value
        if result is live:
            result = dict(live)
        result[name] = merged
    return result


def _merge_items(live: list[Any], config: list[Any], kind: FieldType) -> list[Any]:
    item = kind.item
    old, twice = keyed(live, kind)
    new, doubled = keyed(config, kind)
    if doubled:
        return config  # not for merging: validation names the fault
    left, right = [item_key(each, kind) for each in live] if twice else list(old), list(new)
    old.update(dict.fromkeys(twice))  # none of several is the one to merge with
    merged = {key: merge(old[key], each, item) if key in old else each for key, each in new.items()}
    if left == right:
        return live if all(merged[key] is old[key] for key in right) else [merged[key] for key in right]
    return [merged[key] if place is None else live[place] for key, place in _order(left, right, frozenset(old), frozenset(new))]


def _order(left: list[str], right: list[str], old: frozenset[str], new: frozenset[str]) -> list[tuple[str, int | None]]:
    """The order of merged items: each key with its place in the live list, or None where the config has it."""
    shared = deque(key for key in right if key in old)
    result: list[tuple[str, int | None]] = []
    seen: set[str] = set()
    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right):
            key = left[i]
            if key != right[j] and key in new and shared and shared[0] != key:
                i += 1  # a shared item, and not the one whose turn it is
                continue
        if i < len(left):
            key = left[i]
            if key not in new:
                result.append((key, i))
                i += 1
                continue
            if key in seen or (j < len(right) and key == right[j]):
                i += 1
        if j < len(right):
            key = right[j]
            seen.add(key)
            result.append((key, None))
            j += 1
            if shared and shared[0] == key:
                shared.popleft()
    return result


def prune(merged: dict[str, Any], kind: FieldType, last: FieldSet, managed: FieldSet) -> dict[str, Any]:
    """Return a merged object without what the applier owned (``last``) and nobody owns now (``managed``).

    A named field that nothing owned is left in goes with all it holds, defaults included. Three steps, as in
    structured-merge-diff: take away all that was owned; put back what anybody owns; then take away from the
    merged object only what of the difference had been owned.
    """
    if not difference(last, managed):
        return merged
    last = named(last, kind)
    whole = named(owned(merged, kind), kind)
    bare = named(owned(_removed(merged, kind, last) or {}, kind), kind)
    kept = union(union(bare, named(managed, kind)), {"f:metadata": SELF})
    rest = named(owned(_removed(merged, kind, difference(whole, kept)) or {}, kind), kind)
    gone = intersection(difference(whole, union(rest, {"f:metadata": SELF})), last)
    result: dict[str, Any] = _removed(merged, kind, gone)
    return result


def _removed(value: Any, kind: FieldType, fields: FieldSet) -> Any:
    """Return a value without the elements of a set; None where nothing is left of a map or a list."""
    if isinstance(value, dict) and kind.is_map:
        members = {}
        for name, member in value.items():
            node = fields.get(f"f:{name}")
            if node is None:
                members[name] = member
            elif not has_self(node):
                members[name] = _removed(member, kind.member(name), node)
        return members or None
    if isinstance(value, list) and kind.is_list:
        items = []
        for each in value:
            node = fields.get(item_key(each, kind))
            if node is None:
                items.append(each)
            elif not has_self(node):
                items.append(_removed(each, kind.item, node))
        return items or None
    return None if isinstance(value, (dict, list)) else value
