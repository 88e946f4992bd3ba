"""What changed between two values, as three sets of fields: added, modified, removed.

A port of the meaning of ``structured-merge-diff``'s ``Compare``: a position that appears or
goes is in the set together with everything below it; a scalar or an atomic value that differs
is modified as a whole; an empty map or list counts as a value of its own. Equal parts are
skipped by one comparison in C, so that a small change in a large object costs little.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from skerry.machinery.fieldset import SELF, FieldSet, everything, is_granular_list, is_granular_map, item_key
from skerry.machinery.types import UNTYPED, FieldType


@dataclass(slots=True)
class Changes:
    """Three sets of fields below one position."""

    added: FieldSet = field(default_factory=dict)
    modified: FieldSet = field(default_factory=dict)
    removed: FieldSet = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.removed)


def compare(old: Any, new: Any, kind: FieldType) -> Changes:
    """Compare two granular values of the same position."""
    changes = Changes()
    if is_granular_map(old, kind) and is_granular_map(new, kind):
        _members(old, new, kind, changes)
    elif is_granular_list(old, kind) and is_granular_list(new, kind):
        item = kind.element or UNTYPED
        _zip({item_key(each, kind): each for each in old}, {item_key(each, kind): each for each in new}, item, changes)
    return changes


def _members(old: dict[str, Any], new: dict[str, Any], kind: FieldType, changes: Changes) -> None:
    for name, value in new.items():
        if name not in old:
            changes.added[f"f:{name}"] = everything(value, kind.member(name))
        else:
            before = old[name]
            if before != value or type(before) is not type(value):
                _descend(f"f:{name}", before, value, kind.member(name), changes)
    for name, value in old.items():
        if name not in new:
            changes.removed[f"f:{name}"] = everything(value, kind.member(name))


def _zip(old: dict[str, Any], new: dict[str, Any], kind: FieldType, changes: Changes) -> None:
    for key, value in new.items():
        if key not in old:
            changes.added[key] = everything(value, kind)
        elif old[key] != value:
            _descend(key, old[key], value, kind, changes)
    for key, value in old.items():
        if key not in new:
            changes.removed[key] = everything(value, kind)


def _descend(key: str, old: Any, new: Any, kind: FieldType, changes: Changes) -> None:
    maps = is_granular_map(old, kind) and is_granular_map(new, kind)
    lists = is_granular_list(old, kind) and is_granular_list(new, kind)
    if not (maps or lists):
        _replaced(key, old, new, kind, changes)
        return
    inner = compare(old, new, kind)
    for mine, theirs in ((changes.added, inner.added), (changes.modified, inner.modified), (changes.removed, inner.removed)):
        if theirs:
            mine[key] = theirs


def _replaced(key: str, old: Any, new: Any, kind: FieldType, changes: Changes) -> None:
    """Two values of different nature: the position is modified, what was below goes, what is below comes."""
    changes.modified[key] = SELF
    below_old = {name: node for name, node in everything(old, kind).items() if name != "."}
    below_new = {name: node for name, node in everything(new, kind).items() if name != "."}
    if below_old:
        changes.removed[key] = below_old
    if below_new:
        changes.added[key] = below_new
