"""The watch cache: current objects and the newest events of one kind, in the order of the log.

Rows hold an object's encoded bytes once; reads hand those out. Labels and fields are decoded
only when a selector asks, once per row. Events are kept in a window that is bounded by bytes;
who wants to resume from before it gets Expired. A watcher has a bounded queue: one that does
not keep up is dropped, nobody waits for it.

Two sources feed caches: the log (``feeds.py``), and for kinds of latest values their table.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sortedcontainers import SortedDict

from skerry.machinery.document import loads
from skerry.machinery.errors import Expired, ServiceUnavailable
from skerry.machinery.resource import Resource
from skerry.restapi.indexes import Index
from skerry.store.contract import Shut, Verb

Place = tuple[str, str]
"""(namespace, name)"""


class _Metadata(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Head(msgspec.Struct):
    metadata: _Metadata


PAUSE_EACH, LONGEST_PAUSE = 0.0001, 0.01
"""Seconds between two wakings, per watcher and at most: each takes about 50 µs for TLS and the socket, with one event or with ten."""

WOKEN_AT_ONCE = 200
"""Watchers that are woken in one turn of the event loop: ten milliseconds, in which nobody else is heard."""

BYTES_OF_A_WAKING, BYTES_OF_AN_EVENT = 8192, 512
"""Bytes that cost about as much as the waking itself, and as an event beside its own: who is told much counts for several."""

_decode_head = msgspec.json.Decoder(_Head).decode


class Item:
    """One version of an object."""

    __slots__ = ("_fields", "_labels", "_selectable", "place", "revision", "row", "value")

    def __init__(self, place: Place, revision: int, value: bytes) -> None:
        """``value`` is the encoded object, its revision included."""
        self.place = place
        self.revision = revision
        self.value = value
        self._labels: Mapping[str, str] | None = None
        self._fields: dict[str, str] = {}
        self._selectable: tuple[str, ...] | None = None  # what _fields was made for
        self.row: tuple[object, Any] | None = None
        """What a table's row needs of this version, kept by ``forms.py`` with what it was made for."""

    @staticmethod
    def of(place: Place, revision: int, value: bytes) -> Item:
        """The item of a value out of the store, which may not have opened."""
        return ShutItem(place, revision, value.why) if isinstance(value, Shut) else Item(place, revision, value)

    @property
    def size(self) -> int:
        """The bytes that it holds."""
        return len(self.value)

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels."""
        if self._labels is None:
            self._labels = _decode_head(self.value).metadata.labels or {}
        return self._labels

    def decode(self) -> dict[str, Any]:
        """A fresh copy of the whole object."""
        obj: dict[str, Any] = loads(self.value)
        return obj

    def fields(self, resource: Resource) -> Mapping[str, str]:
        """What a field selector may ask for, of a kind that shows this object."""
        if self._selectable is not resource.selectable:
            self._selectable = resource.selectable
            obj = loads(self.value) if resource.selectable else {}
            self._fields = {path: _first(obj, resource.field_paths.get(path, (path,))) for path in resource.selectable}
            self._fields["metadata.namespace"], self._fields["metadata.name"] = self.place
        return self._fields


def _first(obj: Any, paths: tuple[str, ...]) -> str:
    return next(filter(None, (_text(obj, path) for path in paths)), "")


class ShutItem(Item):
    """An object that is there and cannot be opened: whoever needs its value is told why not, and nobody takes it for gone."""

    __slots__ = ("_why",)

    def __init__(self, place: Place, revision: int, why: str) -> None:
        """``why`` is for people."""
        self.place = place
        self.revision = revision
        self._labels, self._fields, self._selectable, self.row = None, {}, None, None
        self._why = why

    @property
    def value(self) -> bytes:  # type: ignore[override] # there is none to be written
        """Raise ServiceUnavailable."""
        raise ServiceUnavailable(self._why)

    @property
    def size(self) -> int:
        """Nothing is held."""
        return 0


def _text(obj: Any, path: str) -> str:
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    if obj is None:
        return ""
    if isinstance(obj, bool):
        return "true" if obj else "false"
    return str(obj)


class Event:
    """One change, as every watcher of the kind sees it before his own selection."""

    __slots__ = ("item", "previous", "revision", "verb")

    def __init__(self, verb: Verb, item: Item, previous: Item | None) -> None:
        """``previous`` is the version before, None for a creation."""
        self.verb = verb
        self.item = item
        self.previous = previous
        self.revision = item.revision


class Watcher:
    """A bounded queue of events between a cache and one response."""

    __slots__ = ("_alarm", "_bytes", "_events", "_limit", "_waiter", "dropped")

    def __init__(self, backlog: list[Event], limit: int = 20_000) -> None:
        """Begin with the events that happened since the watcher's revision."""
        self._events: deque[Event] = deque(backlog)
        self._bytes = 0
        self._limit = limit
        self._waiter: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self.dropped = False

    def offer(self, event: Event) -> None:
        """Queue an event, without waking anybody; a full queue drops the watcher, who is told nothing more."""
        if self.dropped:
            return
        if len(self._events) >= self._limit:
            self.dropped = True
        else:
            self._events.append(event)
            self._bytes += event.item.size + BYTES_OF_AN_EVENT

    def drop(self) -> None:
        """End the watch."""
        self.dropped = True
        self.wake()

    def wake(self) -> None:
        """Let the response look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def weight(self) -> int:
        """What waking costs now, in wakings; 0 if there is nothing to tell."""
        return 1 + self._bytes // BYTES_OF_A_WAKING if self._events or self.dropped else 0

    @property
    def next_revision(self) -> int:
        """The revision of the first event that is queued; 0 if none is."""
        return self._events[0].revision if self._events else 0

    def take(self) -> list[Event]:
        """Take everything that is queued."""
        events = list(self._events)
        self._events.clear()
        self._bytes = 0
        return events

    async def wait(self, seconds: float) -> None:
        """Wait until there may be something to take, at most so long."""
        if self._events or self.dropped:
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        ends = loop.time() + seconds
        if self._alarm is None or self._alarm.when() > ends:  # one alarm for many waits: the caller looks at the clock
            self.quiet()
            self._alarm = loop.call_at(ends, self._ring)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def quiet(self) -> None:
        """Let go of the alarm."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _ring(self) -> None:
        self._alarm = None
        self.wake()


class ResourceCache:
    """Rows, event window and watchers of one kind."""

    def __init__(self, key: str, *, window_bytes: int = 32 * 1024 * 1024) -> None:
        """``key`` is the kind's storage key."""
        self.key = key
        self.rows: SortedDict[Place, Item] = SortedDict()
        self.revision = 0  # the newest revision that is known to be in
        self.changed = 0  # the revision of the newest event
        self.oldest = 0  # events above this revision are all in the window
        self.loaded = asyncio.Event()
        self._window: deque[Event] = deque()
        self._window_bytes = 0
        self._limit = window_bytes
        self.watchers: set[Watcher] = set()
        self.indexes: dict[str, Index] = {}
        self.sent = 0  # events, to all watchers together
        self._closed = False
        self._called = 0.0
        self._calling: asyncio.Handle | None = None
        self._round = False  # whether some are still to be woken

    def load(self, items: Iterator[Item], revision: int) -> None:
        """Take the state as of a revision; what happens afterwards comes through ``apply``."""
        self.rows = SortedDict((item.place, item) for item in items)
        self.revision = self.changed = self.oldest = revision
        self.indexes = {}
        self._window.clear()
        self._window_bytes = 0
        self.loaded.set()

    def apply(self, verb: Verb, item: Item) -> None:
        """Take one change, in order."""
        if item.revision <= self.revision:
            return
        previous = self.rows.get(item.place)
        if verb is Verb.DELETE:
            self.rows.pop(item.place, None)
        else:
            self.rows[item.place] = item
        for index in self.indexes.values():
            if previous is not None:
                index.drop(previous)
            if verb is not Verb.DELETE:
                index.put(item)
        event = Event(verb, item, previous)
        self._window.append(event)
        self._window_bytes += item.size
        while self._window_bytes > self._limit and len(self._window) > 1:
            gone = self._window.popleft()
            self._window_bytes -= gone.item.size
            self.oldest = gone.revision
        self.revision = self.changed = item.revision
        for watcher in tuple(self.watchers):
            watcher.offer(event)
        if self.watchers and self._calling is None and not self._round:
            self._call()

    def _call(self) -> None:
        """Have the watchers woken, soon, or a pause after the last time: waking many costs more than what they are told."""
        loop = asyncio.get_running_loop()
        pause = self._called + min(len(self.watchers) * PAUSE_EACH, LONGEST_PAUSE) - loop.time()
        self._calling = loop.call_later(pause, self._wake) if pause > 0 else loop.call_soon(self._wake)  # behind the rest of a batch

    def _wake(self) -> None:
        self._calling, self._called, self._round = None, asyncio.get_running_loop().time(), True
        self._wake_some(iter(tuple(self.watchers)), self.changed)

    def _wake_some(self, left: Iterator[Watcher], until: int) -> None:
        """Wake some watchers, and the others in the next turns of the loop.

        There is one round at a time: what happens after the revision ``until`` is told to those who are still to be
        woken, and to the others in the next one. Rounds that overlap would wake in one turn what each of them leaves to many.
        """
        weight = 0
        for watcher in left:
            if watcher.dropped:
                self.watchers.discard(watcher)
            if due := watcher.weight:
                watcher.wake()
                weight += due
                if weight >= WOKEN_AT_ONCE:
                    asyncio.get_running_loop().call_soon(self._wake_some, left, until)
                    return
        self._round = False
        if self.changed > until and self.watchers:
            self._call()

    def since(self, revision: int) -> list[Event]:
        """Events above a revision; raises Expired if some are no longer held."""
        if revision < self.oldest:
            raise Expired(f"too old resource version: {revision} ({self.oldest})")
        if revision >= self.changed:
            return []
        return [event for event in self._window if event.revision > revision]

    def join(self, watcher: Watcher) -> None:
        """Let a watcher have every event from now on; one that comes after the end is ended at once."""
        self.watchers.add(watcher)
        if self._closed:
            watcher.drop()

    def drop_all(self) -> None:
        """End every watch, for good: nothing follows."""
        self._closed = True
        for watcher in self.watchers:
            watcher.drop()

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {
            "objects": len(self.rows),
            "events": len(self._window),
            "bytes": self._window_bytes,
            "watchers": len(self.watchers),
            "sent": self.sent,
        }
