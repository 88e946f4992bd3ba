"""Sets of fields, in the very form that ``managedFields`` stores them (FieldsV1).

A set is a nested dict. A key is a path element: ``f:name`` a member of a map, ``k:{...}`` an item
of a list-map by its keys, ``v:...`` an item of a set by its value. ``{}`` is an element of the
set; an element that also has elements below it carries ``"."``. Because the stored form is the
working form, nothing is decoded or encoded on the way to and from an object.

The operations are those of ``structured-merge-diff``'s ``fieldpath.Set``: they look at exact
paths, never at whole subtrees. Sets are never changed in place and share their unchanged parts;
an operation that changes nothing returns its left argument itself. Each walks the right
argument, so that the small set of what a write changed costs little against a large one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from skerry.machinery.types import FieldType

FieldSet = dict[str, Any]

SELF: FieldSet = {}
"""A bare element."""

_encode = msgspec.json.Encoder().encode
_HTML = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}


def has_self(node: FieldSet) -> bool:
    """Tell whether a node is itself an element."""
    return not node or "." in node


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Elements of either set."""
    if not left or not right:
        return left or right
    return _join(left, right)


def _join(mine: FieldSet, other: FieldSet) -> FieldSet:
    if mine is other or not (mine or other):
        return mine
    if not mine:
        return other if "." in other else {".": SELF, **other}
    if not other:
        return mine if "." in mine else {".": SELF, **mine}
    result = mine
    for key, node in other.items():
        have = mine.get(key)
        joined = node if have is None else _join(have, node)
        if joined is not have:
            if result is mine:
                result = dict(mine)
            result[key] = joined
    return result


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Elements of the left set that the right one lacks."""
    if not left or not right:
        return left
    return _drop(left, right)


def _drop(mine: FieldSet, other: FieldSet) -> FieldSet:
    """Elements below one node that another node lacks there; each may hold itself as ``"."``."""
    result = mine
    for key, node in other.items():
        have = mine.get(key)
        if have is None:
            continue
        left = None if key == "." else _without(have, node)
        if left is not have:
            if result is mine:
                result = dict(mine)
            if left is None:
                del result[key]
            else:
                result[key] = left
    return result


def _without(mine: FieldSet, other: FieldSet) -> FieldSet | None:
    """What is left of a node, None if nothing is."""
    if not mine:
        return None if has_self(other) else mine
    result = _drop(mine, other or {".": SELF})
    if result is mine:
        return mine
    return _tidy(result)


def _tidy(node: FieldSet) -> FieldSet | None:
    return SELF if len(node) == 1 and "." in node else node or None


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Elements of both sets."""
    result: FieldSet = {}
    for key, node in right.items():
        have = left.get(key)
        if have is not None and (common := _common(have, node)) is not None:
            result[key] = common
    return result


def _common(mine: FieldSet, other: FieldSet) -> FieldSet | None:
    if not mine:
        return SELF if has_self(other) else None
    if not other:
        return SELF if "." in mine else None
    return _tidy(intersection(mine, other))


def paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """The elements as people read them, those of one level before those below: ``.spec.pools[name="a"].size``."""
    named = [(key, prefix + element_text(key)) for key in sorted(fields) if key != "."]
    for key, here in named:
        if has_self(fields[key]):
            yield here
    for key, here in named:
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


def is_sound(fields: Any) -> bool:
    """Tell whether a client's FieldsV1 can be read: every path element has a kind, keys and values are JSON."""
    if not isinstance(fields, dict):
        return False
    return all(key == "." or (_is_element(key) and is_sound(node)) for key, node in fields.items())


def _is_element(key: str) -> bool:
    kind, rest = key[:2], key[2:]
    if kind == "f:":
        return True
    try:
        return (kind == "k:" and isinstance(json.loads(rest), dict)) or (kind in {"v:", "i:"} and json.loads(rest) is not ...)
    except ValueError:
        return False


MOST_REMEMBERED = 64
"""Characters of a text that is worth remembering: callers send megabytes."""


def _text(value: Any) -> str:
    """A value as Go's encoder writes it."""
    if isinstance(value, (dict, list)) or (isinstance(value, str) and len(value) > MOST_REMEMBERED):
        return _encode(value).decode().translate(_HTML)
    return _scalar_text(value)


@lru_cache(maxsize=4096, typed=True)
def _scalar_text(value: Any) -> str:
    return _encode(value).decode().translate(_HTML)


def item_key(item: Any, kind: FieldType) -> str:
    """The path element of a list item."""
    if not kind.keys:
        return f"v:{_text(item)}" if not isinstance(item, (dict, list)) else f"v:{_encode(item).decode()}"
    marks = []
    if isinstance(item, dict):
        for name in kind.keys:
            value = item.get(name, kind.key_defaults.get(name))
            if value is not None:
                marks.append(f'"{name}":{_text(value)}')
    return f"k:{{{','.join(marks)}}}"


def keyed(items: list[Any] | None, kind: FieldType) -> tuple[dict[str, Any], frozenset[str]]:
    """The items of a list by path element, the first of each; and which elements stand more than once."""
    found: dict[str, Any] = {}
    twice = set()
    for each in items or ():
        key = item_key(each, kind)
        if key in found:
            twice.add(key)
        else:
            found[key] = each
    return found, frozenset(twice)


def grouped(items: list[Any], kind: FieldType) -> dict[str, list[Any]]:
    """All items of a list by path element."""
    found: dict[str, list[Any]] = {}
    for each in items:
        found.setdefault(item_key(each, kind), []).append(each)
    return found


def everything(value: Any, kind: FieldType) -> FieldSet:
    """Every path of a value that has just appeared, its own included."""
    below: FieldSet = {}
    if isinstance(value, dict) and kind.is_map:
        for name, member in value.items():
            child = kind.member(name)
            if not child.is_unowned:
                below[f"f:{name}"] = everything(member, child) if isinstance(member, (dict, list)) else SELF
    elif isinstance(value, list) and kind.is_list:
        items, twice = keyed(value, kind)
        below = {key: SELF if key in twice else everything(each, kind.item) for key, each in items.items()}
    return {".": SELF, **below} if below else SELF


def owned(value: Any, kind: FieldType) -> FieldSet:
    """The elements below a value that an applier claims by naming it: leaves, list items, and members of open maps."""
    result: FieldSet = {}
    if isinstance(value, dict) and kind.is_map:
        fields = kind.fields
        for name, member in value.items():
            child = fields.get(name)
            is_element = child is None or member is None or member == {}
            child = child or kind.element
            if child is None or child.is_unowned:
                continue
            if child.is_map or child.is_list:
                node = owned(member, child) if isinstance(member, (dict, list)) else SELF
                is_element = is_element or not (isinstance(member, dict) if child.is_map else isinstance(member, list))
                if not node and not is_element:
                    continue
                result[f"f:{name}"] = {".": SELF, **node} if node and is_element else node
            else:
                result[f"f:{name}"] = SELF
    elif isinstance(value, list) and kind.is_list:
        items, twice = keyed(value, kind)
        for key, each in items.items():
            node = {} if key in twice else owned(each, kind.item)
            result[key] = {".": SELF, **node} if node else SELF
    return result


def named(fields: FieldSet, kind: FieldType) -> FieldSet:
    """The set with every named field in it that something below is in."""
    result: FieldSet = {}
    for key, node in fields.items():
        if node:
            below = named(node, kind.at(key))
            result[key] = {".": SELF, **below} if key[2:] in kind.fields and key.startswith("f:") else below
        else:
            result[key] = node
    return result


def settled(fields: FieldSet, kind: FieldType) -> FieldSet:
    """The set as the schema sees it now: what became atomic since it was written is owned whole."""
    result = fields
    for key, child in _leading_to_atomic(fields, kind):
        node = fields.get(key)
        if not node:
            continue
        now = SELF if not (child.is_map or child.is_list) else settled(node, child)
        if now is not node:
            if result is fields:
                result = dict(fields)
            result[key] = now
    return result


def _leading_to_atomic(fields: FieldSet, kind: FieldType) -> Iterator[tuple[str, FieldType]]:
    if kind.element is not None and kind.element is not kind and kind.element.has_atomic:
        yield from ((key, child) for key in fields if key != "." and (child := kind.at(key)).has_atomic)
    else:
        yield from ((f"f:{name}", child) for name, child in kind.to_atomic.items())
