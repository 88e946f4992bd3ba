"""What a write changed, as two sets of fields: taken (added or modified) and removed.

The meaning of ``structured-merge-diff``'s ``Compare``: a position that appears or goes is in
the set together with everything below it; a scalar or an atomic value that differs is modified
as a whole; an empty map or list counts as a value of its own, null as an empty one of either.
Equal parts are skipped by one comparison in C, so that a small change in a large object costs
little.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from skerry.machinery.fieldset import SELF, FieldSet, everything, grouped, keyed
from skerry.machinery.types import NOBODY, FieldType, Shape

ABSENT = object()
_encode = msgspec.json.Encoder().encode
_sorted = msgspec.json.Encoder(order="deterministic").encode


@dataclass(slots=True)
class Changes:
    """Two sets of fields below one position; ``touches_atomic`` if a value that is owned whole though it has parts is among them."""

    taken: FieldSet = field(default_factory=dict)
    removed: FieldSet = field(default_factory=dict)
    touches_atomic: bool = False

    def take(self, key: str, value: Any, kind: FieldType) -> None:
        """Note a position that has appeared."""
        self.taken[key] = everything(value, kind)
        self.touches_atomic = self.touches_atomic or kind.has_atomic

    def remove(self, key: str, value: Any, kind: FieldType) -> None:
        """Note a position that has gone."""
        self.removed[key] = everything(value, kind)
        self.touches_atomic = self.touches_atomic or kind.has_atomic

    def __bool__(self) -> bool:
        return bool(self.taken or self.removed)


def same(old: Any, new: Any) -> bool:
    """Tell whether two JSON values are equal; 1 and true are not."""
    if old is new:
        return True
    if old != new or type(old) is not type(new):
        return False
    return not isinstance(old, (dict, list)) or _encode(old) == _encode(new) or _sorted(old) == _sorted(new)


def same_as(old: Any, new: Any, kind: FieldType) -> bool:
    """Like :func:`same`, for values of a known type: only what is loose is looked at twice."""
    return old is new or (old == new and (not kind.is_loose or _alike(old, new, kind)))


def _alike(old: Any, new: Any, kind: FieldType) -> bool:
    """Tell whether two values that Python takes for equal are the same JSON: only what is loose can differ."""
    if isinstance(old, dict) and kind.shape is Shape.MAP:
        if kind.element is not None and kind.element.is_loose:
            return all(_alike(value, new[name], child) for name, value in old.items() if (child := kind.member(name)).is_loose)
        return all(name not in old or _alike(old[name], new[name], child) for name, child in kind.to_loose.items())
    if isinstance(old, list) and kind.is_list:
        return all(_alike(*pair, kind.item) for pair in zip(old, new, strict=True))
    return same(old, new)


def compare(old: dict[str, Any], new: dict[str, Any], kind: FieldType) -> Changes:
    """Compare two granular maps of the same position."""
    changes = Changes()
    _members(old, new, kind, changes)
    return changes


def _members(old: dict[str, Any], new: dict[str, Any], kind: FieldType, changes: Changes) -> None:
    fields, other = kind.fields, kind.element or NOBODY
    for name, value in new.items():
        child = fields.get(name, other)
        if child.is_unowned:
            continue
        was = old.get(name, ABSENT)
        if was is value or (was == value and (not child.is_loose or _alike(was, value, child))):
            continue
        if was is ABSENT:
            changes.take(f"f:{name}", value, child)
        else:
            _descend(f"f:{name}", was, value, child, changes)
    if len(old) == len(new) and old.keys() == new.keys():
        return
    for name, value in old.items():
        if name not in new and not (child := kind.member(name)).is_unowned:
            changes.remove(f"f:{name}", value, child)


def _items(old: list[Any] | None, new: list[Any] | None, kind: FieldType, changes: Changes) -> None:
    item = kind.item
    before, twice_before = keyed(old, kind)
    after, twice_after = keyed(new, kind)
    if twice_before or twice_after:
        _doubled(old or [], new or [], kind, changes)
        before = {key: each for key, each in before.items() if key not in twice_before and key not in twice_after}
        after = {key: each for key, each in after.items() if key not in twice_before and key not in twice_after}
    for key, value in after.items():
        if key not in before:
            changes.take(key, value, item)
        elif not same_as(before[key], value, item):
            _descend(key, before[key], value, item, changes)
    for key, value in before.items():
        if key not in after:
            changes.remove(key, value, item)


def _doubled(old: list[Any], new: list[Any], kind: FieldType, changes: Changes) -> None:
    """Compare the items that stand more than once on either side: such an element is owned whole."""
    before, twice_before = keyed(old, kind)
    after, twice_after = keyed(new, kind)
    all_before, all_after = grouped(old, kind), grouped(new, kind)
    for key in twice_before | twice_after:
        if key in twice_before and key in twice_after:
            if not same(all_before[key], all_after[key]):
                changes.taken[key] = SELF
        elif key in twice_before:
            changes.removed[key] = SELF
            if key in after:
                changes.take(key, after[key], kind.item)
        else:
            changes.taken[key] = SELF
            if key in before:
                changes.remove(key, before[key], kind.item)


def _descend(key: str, old: Any, new: Any, kind: FieldType, changes: Changes) -> None:
    """Compare two values of one position that differ; null is an empty map or list."""
    granular = dict if kind.is_map else list if kind.is_list else None
    was = granular is not None and (old is None or isinstance(old, granular))
    is_now = granular is not None and (new is None or isinstance(new, granular))
    if was and is_now:
        if not (old or new):
            changes.taken[key] = SELF
            return
        inner = Changes()
        if granular is dict:
            _members(old or {}, new or {}, kind, inner)
        else:
            _items(old, new, kind, inner)
        if inner.taken:
            changes.taken[key] = inner.taken
        if inner.removed:
            changes.removed[key] = inner.removed
        changes.touches_atomic = changes.touches_atomic or inner.touches_atomic
        return
    changes.take(key, new if is_now else None, kind)
    if kind.shape is Shape.UNTYPED and was and old:
        changes.removed[key] = {name: node for name, node in everything(old, kind).items() if name != "."}
