"""A watch by somebody who does not see everything, or may see less tomorrow.

It remembers what it has shown, and so it can tell what comes into sight and what leaves it,
whether the object changed (a cluster moves into another group) or the sight did (a binding was
made or taken away):

* an object that comes into sight is ADDED, one that leaves it DELETED, as the watcher knew it;
* who may see nothing of the kind any more, or saw everything and does no longer, is cut off: he
  comes back and is answered by what holds then;
* a watch cannot resume from before the last change of the sight: nobody knows any more what was
  shown then. It is told 410, and lists anew.

One change may be about thousands of watches, and each looks at thousands of objects again: they
do so one after the other, in slices (``kit/turns.py``). Nothing is shown meanwhile that is out
of sight by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from skerry.machinery.errors import ApiError, Expired
from skerry.machinery.identity import Sight
from skerry.restapi.cache import Event, Item, Place, Watcher
from skerry.restapi.context import Call
from skerry.restapi.selection import Selection, left
from skerry.store.contract import Verb

AT_A_TIME = 1000


def check_resumption(call: Call, revision: int) -> None:
    """Refuse to go on from before the sight was what it is; raises Expired."""
    if call.sight is not None and not call.resource.latest and revision < call.sight.since:
        raise Expired(f"too old resource version: {revision}: what you may see changed at {call.sight.since}")


class Sighted:
    """What a watcher was shown, and what he is to be shown of an event."""

    def __init__(self, call: Call, sight: Sight, watcher: Watcher, selection: Selection) -> None:
        """``watcher`` has joined the cache already."""
        self._feeds = call.parts.feeds
        self._turns = call.parts.turns
        self._cache = call.cache
        self._latest = call.resource.latest
        self._sight = sight
        self._watcher = watcher
        self._selection = selection
        self._shown: set[Place] = set()
        self._ready = self._stale = self._looking = False
        self._again: set[str] = set()
        self.end = sight.follow(self._changed)

    async def begin(self, initial: Sequence[Item] | None, backlog: Sequence[Event]) -> None:
        """Learn what was shown before the first event: the initial objects, or else all that was there before the backlog."""
        if initial is None:
            before = {item.place: item for item in self._cache.rows.values()}
            for event in reversed(backlog):
                if event.previous is None:
                    before.pop(event.item.place, None)
                else:
                    before[event.item.place] = event.previous
            rows = list(before.values())
            for start in range(0, len(rows), AT_A_TIME):
                self._shown.update(item.place for item in rows[start : start + AT_A_TIME] if self._selection.has(item))
                await asyncio.sleep(0)
        else:
            self._shown = {item.place for item in initial}
        self._ready = True
        if self._stale or not self._sight.any:
            self._changed()

    def see(self, event: Event) -> tuple[str, Item] | None:
        """What the watcher sees of an event: type and object, or nothing."""
        if self._selection.sight is None:
            return self._selection.see(event)
        place = event.item.place
        known = place in self._shown
        if event.verb is not Verb.DELETE and self._selection.has(event.item):
            self._shown.add(place)
            if known and event.previous is event.item:
                return None  # only looked at again
            return ("MODIFIED" if known else "ADDED"), event.item
        self._shown.discard(place)
        if not known:
            return None
        return "DELETED", event.item if event.verb is Verb.DELETE else left(event)

    def _changed(self, namespace: str = "") -> None:
        """The sight changed: have every object looked at again, or every one in a namespace."""
        if not self._ready:
            self._stale = True
        elif self._selection.sight is None:
            if not self._sight.any or not self._sight.whole:
                self._cut()
        else:
            self._again.add(namespace)
            if not self._looking:
                self._looking = True
                self._turns.add(self._look_again())

    def _cut(self) -> None:
        """End the watch: nothing more is shown from now on, and the watcher learns of it in his turn."""
        self._watcher.dropped = True
        self._turns.add(wake() for wake in (self._watcher.wake,))

    def _look_again(self) -> Iterator[None]:
        rows = self._cache.rows
        while self._again and not self._is_over():
            namespace = self._again.pop()
            if not self._sight.any:
                self._cut()
                break
            inside = rows.irange((namespace, ""), (namespace + "\0", ""), inclusive=(True, False)) if namespace else rows
            places = list(inside)
            for start in range(0, len(places), AT_A_TIME):
                try:
                    self._look_at(places[start : start + AT_A_TIME])
                except ApiError:  # an object that cannot be opened; whoever made the change is not to suffer for it
                    self._cut()
                yield
                if self._is_over():
                    break
        self._looking = False

    def _is_over(self) -> bool:
        return self._watcher.dropped or self._watcher not in self._cache.watchers

    def _look_at(self, places: Sequence[Place]) -> None:
        """Have judged anew, behind what waits already, what the watcher was shown otherwise."""
        for place in places:
            item = self._cache.rows.get(place)
            if item is not None and self._selection.has(item) != (place in self._shown):
                again = Event(Verb.UPDATE, item, item)
                again.revision = max(self._position(), item.revision)
                self._watcher.offer(again)
        self._watcher.wake()

    def _position(self) -> int:
        """The revision that the kind is known up to."""
        return self._cache.revision if self._latest else self._feeds.position

    async def frames(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass a stream on, and let go of the sight when it ends."""
        try:
            async for chunk in stream:
                yield chunk
        finally:
            self.end()
