"""Sets of fields, in the very form that ``managedFields`` stores them (FieldsV1).

A set is a nested dict. A key is a path element: ``f:name`` a member of a map, ``k:{…}`` an item
of a list-map by its keys, ``v:…`` an item of a set by its value. ``{}`` is an element of the
set; an element that also has elements below it carries ``"."``. Because the stored form is the
working form, nothing is decoded or encoded on the way to and from an object.

The operations are those of ``structured-merge-diff``'s ``fieldpath.Set``: they look at exact
paths, never at whole subtrees. They return new dicts and may share unchanged parts with their
arguments, so sets are never changed in place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from skerry.machinery.types import UNTYPED, FieldType, Shape

FieldSet = dict[str, Any]

SELF: FieldSet = {}
"""A bare element."""


def _has_self(node: FieldSet) -> bool:
    return not node or "." in node


def _node(is_element: bool, below: FieldSet) -> FieldSet | None:
    """Put a node together; None if there is nothing in it."""
    if not is_element:
        return below or None
    return {".": SELF, **below} if below else SELF


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Elements of either set."""
    if not left or not right:
        return left or right
    result = dict(left)
    for key, node in right.items():
        mine = left.get(key)
        if mine is None:
            result[key] = node
        elif mine != node:
            below = union({k: v for k, v in mine.items() if k != "."}, {k: v for k, v in node.items() if k != "."})
            result[key] = _node(_has_self(mine) or _has_self(node), below) or SELF
    return result


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Elements of the left set that the right one lacks."""
    if not left or not right:
        return left
    result = {}
    for key, node in left.items():
        other = right.get(key)
        if other is None:
            result[key] = node
            continue
        if key == ".":
            continue
        below = difference({k: v for k, v in node.items() if k != "."}, {k: v for k, v in other.items() if k != "."})
        kept = _node(_has_self(node) and not _has_self(other), below)
        if kept is not None:
            result[key] = kept
    return result


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Elements of both sets."""
    result = {}
    for key, node in left.items():
        other = right.get(key)
        if other is None:
            continue
        if key == ".":
            result["."] = SELF
            continue
        below = intersection({k: v for k, v in node.items() if k != "."}, {k: v for k, v in other.items() if k != "."})
        kept = _node(_has_self(node) and _has_self(other), below)
        if kept is not None:
            result[key] = kept
    return result


def paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """The elements as people read them: ``.spec.pools[name="a"].size``."""
    for key in sorted(fields):
        if key == ".":
            continue
        here = prefix + element_text(key)
        if _has_self(fields[key]):
            yield here
        yield from paths(fields[key], here)


def element_text(key: str) -> str:
    """One path element as people read it."""
    kind, rest = key[:2], key[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "k:":
        keys = json.loads(rest)
        return "[" + ",".join(f"{name}={json.dumps(keys[name], ensure_ascii=False)}" for name in sorted(keys)) + "]"
    return f"[={rest}]"


def item_key(item: Any, kind: FieldType) -> str:
    """The path element of a list item."""
    if not kind.keys:
        return f"v:{json.dumps(item, ensure_ascii=False, separators=(',', ':'), sort_keys=True)}"
    mark = {}
    if isinstance(item, dict):
        for name in sorted(kind.keys):
            value = item.get(name, kind.key_defaults.get(name))
            if value is not None:
                mark[name] = value
    return f"k:{json.dumps(mark, ensure_ascii=False, separators=(',', ':'))}"


def is_granular_map(value: Any, kind: FieldType) -> bool:
    """Tell whether a value is owned member by member."""
    return isinstance(value, dict) and (kind.shape is Shape.MAP or kind.shape is Shape.UNTYPED)


def is_granular_list(value: Any, kind: FieldType) -> bool:
    """Tell whether a value is owned item by item."""
    return isinstance(value, list) and kind.shape is Shape.LIST


def everything(value: Any, kind: FieldType) -> FieldSet:
    """Every path of a value that has just appeared, inner ones included; what stands at its own position is the caller's."""
    if is_granular_map(value, kind):
        below = {f"f:{name}": everything(member, kind.member(name)) for name, member in value.items()}
    elif is_granular_list(value, kind):
        item = kind.element or UNTYPED
        below = {item_key(each, kind): everything(each, item) for each in value}
    else:
        return SELF
    return {".": SELF, **below} if below else SELF


def owned(value: Any, kind: FieldType) -> FieldSet:
    """The elements below a value that an applier claims by naming it: leaves, list items, and members of open maps."""
    result: FieldSet = {}
    if is_granular_map(value, kind):
        for name, member in value.items():
            child = kind.member(name)
            if is_granular_map(member, child) or is_granular_list(member, child):
                is_element = (isinstance(member, dict) and not member) or name not in kind.fields
                node = _node(is_element, owned(member, child))
            else:
                node = SELF
            if node is not None:
                result[f"f:{name}"] = node
    elif is_granular_list(value, kind):
        item = kind.element or UNTYPED
        for each in value:
            result[item_key(each, kind)] = _node(True, owned(each, item)) or SELF
    return result
