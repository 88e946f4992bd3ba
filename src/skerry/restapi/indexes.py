"""Indexes over the rows of a cache: a list by a label or a field looks at what it is about, not at every object.

A kind says by which labels and fields it is looked for (``Resource.indexed``); no caller's words make an index. Each is made when
it is first of use, in turns with everything else, and is kept current from then on by the cache. An object that cannot be opened is
in every choice: whoever looks at it is told why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from skerry.machinery.errors import ServiceUnavailable

if TYPE_CHECKING:
    from skerry.restapi.cache import Item, Place, ResourceCache
    from skerry.restapi.selection import Selection

FEW = 100
"""So many objects are looked at one by one sooner than an index is made for them."""

AT_A_TIME = 500


class Index:
    """The places of objects by one value of each."""

    def __init__(self, value_of: Callable[[Item], str | None]) -> None:
        """``value_of`` raises ServiceUnavailable for an object that cannot be opened; None: it has no such value."""
        self._value_of = value_of
        self._places: dict[str, Place | set[Place]] = {}
        self._shut: set[Place] = set()
        self.whole = False
        """Whether every object is in it."""

    def put(self, item: Item) -> None:
        """An object is there."""
        try:
            value = self._value_of(item)
        except ServiceUnavailable:
            self._shut.add(item.place)
            return
        if value is None:
            return
        there = self._places.get(value)
        if there is None:
            self._places[value] = item.place  # most values are of one object: a set for each would hold more than the objects
        elif isinstance(there, set):
            there.add(item.place)
        elif there != item.place:
            self._places[value] = {there, item.place}

    def drop(self, item: Item) -> None:
        """This version of an object is there no more."""
        self._shut.discard(item.place)
        try:
            value = self._value_of(item)
        except ServiceUnavailable:
            return
        there = self._places.get(value or "")
        if isinstance(there, set):
            there.discard(item.place)
        if value is not None and (not there or there == item.place):
            self._places.pop(value, None)

    def places(self, values: Iterable[str]) -> Iterator[Place]:
        """Where the objects are that may have one of some values."""
        yield from self._shut
        for value in values:
            there = self._places.get(value)
            if isinstance(there, set):
                yield from there
            elif there is not None:
                yield there


def narrowed(cache: ResourceCache, selection: Selection) -> list[Item] | None:
    """The objects that a selection may choose, by the narrowest index there is, in order; None: look at all."""
    if _count(cache, selection.namespace) <= FEW:
        return None
    best: list[Place] | None = None
    for key, _, values in _useful(selection):
        index = cache.indexes.get(key)
        if index is not None and index.whole:
            found = [place for place in index.places(values) if not selection.namespace or place[0] == selection.namespace]
            best = found if best is None or len(found) < len(best) else best
    return None if best is None else [cache.rows[place] for place in sorted(best)]


async def learn(cache: ResourceCache, selection: Selection) -> None:
    """Make the indexes that would have helped a read, for those that follow."""
    if _count(cache, selection.namespace) <= FEW:
        return
    for key, value_of, _ in _useful(selection):
        if key not in cache.indexes:
            index = cache.indexes[key] = Index(value_of)
            await _fill(cache, index)


def _count(cache: ResourceCache, namespace: str) -> int:
    if not namespace:
        return len(cache.rows)
    return int(cache.rows.bisect_left((namespace + "\0", "")) - cache.rows.bisect_left((namespace, "")))


def _useful(selection: Selection) -> Iterator[tuple[str, Callable[[Item], str | None], frozenset[str]]]:
    """The indexes that would help: each with how it is made, and the values that are asked for."""
    resource = selection.resource
    for each in selection.labels.requirements:
        if each.key in resource.indexed and each.operator in {"=", "==", "in"}:
            yield each.key, lambda item, key=each.key: item.labels.get(key), each.values  # type: ignore[misc]  # mypy cannot type a lambda's default
    for each in selection.fields.requirements:
        if each.key in resource.indexed and each.operator in {"=", "=="}:
            yield each.key, lambda item, key=each.key: item.fields(resource)[key], each.values  # type: ignore[misc]  # as above


async def _fill(cache: ResourceCache, index: Index) -> None:
    """Put every object in; the cache tells meanwhile what changes, and what has changed is left to it."""
    rows = cache.rows
    items = list(rows.values())
    for begin in range(0, len(items), AT_A_TIME):
        for item in items[begin : begin + AT_A_TIME]:
            if rows.get(item.place) is item:
                index.put(item)
        await asyncio.sleep(0)
    index.whole = rows is cache.rows
