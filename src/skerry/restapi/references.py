"""What objects name keeps those that are named: nothing goes while it is in use, and some things must be there to be named.

* A demanded reference is checked inside the transaction of the write that makes or changes it: what
  it names is there, and is not on its way out. One that stays as it was is not looked at.
* A deletion is refused while somebody names the object. That is decided on what was acknowledged
  before it; of a write and a deletion that arrive in the same instant both may succeed, and the name
  then leads nowhere. Management clusters and provisioners have a finalizer beside, which waits.
* What is built in is never deleted, and the namespace of a management cluster goes with it, not before.
* A namespace that is being emptied loses everything in it, in whatever order.

How many objects stand in the way is told, and how to list them; not which: not everybody may see them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from skerry.machinery.errors import ApiError, Cause, Forbidden, Subject, conflict, invalid, qualified
from skerry.machinery.resource import Reference, Resource
from skerry.restapi import namespaces
from skerry.restapi.cache import Item
from skerry.restapi.context import Call
from skerry.store.contract import Check, Key

Json = dict[str, Any]


class _Metadata(msgspec.Struct, rename="camel"):
    deletion_timestamp: str = ""


class _Head(msgspec.Struct):
    metadata: _Metadata


_decode = msgspec.json.Decoder(_Head).decode


def checks(call: Call, new: Json, was: Item | None) -> tuple[Check, ...]:
    """What a write requires of the objects that it names and did not name before."""
    return tuple(
        Check(key, accept=lambda value, error=error: error if _decode(value).metadata.deletion_timestamp else None, otherwise=error)  # type: ignore[misc]  # mypy cannot type a lambda's default
        for key, error in _demanded(call, new, was)
    )


def check_now(call: Call, new: Json, was: Item | None) -> None:
    """The same for a dry run, out of the caches; raises Invalid."""
    for key, error in _demanded(call, new, was):
        item = call.parts.feeds.caches[key.resource].rows.get((key.namespace, key.name))
        if item is None or _decode(item.value).metadata.deletion_timestamp:
            raise error


def _demanded(call: Call, new: Json, was: Item | None) -> Iterator[tuple[Key, ApiError]]:
    resource = call.resource
    wanted = [] if call.subresource else [each for each in resource.references if each.demanded]
    kinds = call.parts.registry.keys() if wanted else {}
    old = was.decode() if wanted and was is not None else {}
    for each in wanted:
        for name in sorted(_names(new, each) - _names(old, each) - kinds[each.to].built_in):
            why = f'Not found: "{name}": there is no such {kinds[each.to].singular_name}, or it is being deleted; make it first'
            error = invalid(resource.kind, resource.group, call.name, [Cause("FieldValueNotFound", why, each.path)])
            yield Key(call.parts.organization, each.to, call.namespace if each.beside else "", name), error


def _names(obj: Json, reference: Reference) -> set[str]:
    """What a reference leads to: a name, several, or none. A namespace is not held by what is on its way out with it."""
    if reference.where is not None and _at(obj, reference.where[0]) != reference.where[1]:
        return set()
    if reference.unless is not None and _at(obj, reference.unless[0]) == reference.unless[1]:
        return set()
    if reference.path == "metadata.name" and _at(obj, "metadata.deletionTimestamp"):
        return set()
    value = _at(obj, reference.path)
    return set(value) if isinstance(value, list) else {value} if value else set()


def _at(obj: Json, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _excused(item: Item, reference: Reference) -> bool:
    """Whether an object in a namespace holds nothing there; few are read for it."""
    if reference.unless is None or f'"{reference.unless[1]}"'.encode() not in item.value:
        return False
    return not _names(item.decode(), reference)


async def free(call: Call) -> None:
    """Check that an object may be deleted; raises Forbidden for what is built in, Conflict for what is in use."""
    resource, name = call.resource, call.name
    if name in resource.built_in:
        text = f'{qualified(resource.plural, resource.group)} "{name}" is forbidden: it is built in and may not be deleted'
        raise Forbidden(text, subject=Subject(name, resource.group, resource.plural))
    by = [(kind, each) for kind in call.parts.registry.keys().values() for each in kind.references if each.to == resource.key]
    if not by or (resource.namespaced and namespaces.is_ending(call)):
        return
    await call.parts.feeds.caught_up()
    found = [told for kind, each in by if (told := _users(call, kind, each))]
    if found:
        raise conflict(resource.plural, resource.group, name, f"it is in use by {' and '.join(found)}; change or delete them first")


def _users(call: Call, kind: Resource, reference: Reference) -> str:
    """How many objects of a kind name this one, and how to list them; empty if none does."""
    rows = call.parts.feeds.caches[kind.key].rows
    if reference.path == "metadata.namespace":
        inside = rows.irange((call.name, ""), (call.name, "\U0010ffff"))
        count, at = sum(1 for place in inside if not _excused(rows[place], reference)), f"-n {call.name}"
    else:
        text = f'"{call.name}"'.encode()
        places = rows.irange((call.namespace, ""), (call.namespace, "\U0010ffff")) if reference.beside else iter(rows)
        holders = (rows[place] for place in places if text in rows[place].value)
        count = sum(1 for each in holders if call.name in _names(each.decode(), reference))
        where = f"-n {call.namespace}" if reference.beside else "-A" if kind.namespaced else ""
        at = f"{where} --field-selector {reference.path}={call.name}" if reference.path in kind.selectable else where
    if not count:
        return ""
    what = kind.singular_name if count == 1 else kind.plural
    return f"{count} {what} (kubectl get {f'{kind.plural} {at}'.strip()})"
