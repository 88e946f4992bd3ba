"""Drift: somebody changed or deleted what a set has applied, or what it waits for is gone, and we want to know at once.

Every kind that was applied is watched, only its objects with our label, and of those only a few
words are kept. An event that our own write caused, or that moves nothing but a status, is no
drift: it is recognized by the generation, and where a kind has none by the revision. The event may come
before the write is answered: what happens to a set that is being worked on is looked at afterwards. What
happened before the watch of a kind began is seen when it begins. What the watch cannot see
(labels of an object with a generation, an object that we did not make) is found by the
periodic enforcement, which is the same code.

A kind is watched for as long as a set has something of it: its definition may go with the last of them.

Being told once too often costs one look at the set, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from skerry.agent.objects import LABEL
from skerry.client.contract import Client, Ref
from skerry.kit.aio import TaskOwner
from skerry.kit.backoff import Backoff
from skerry.machinery.resource import Json
from skerry.runtime.informer import SMALL_PAGE, Informer, key_of

GATHER_SECONDS = 0.2
MOST_SECONDS_BETWEEN_REPAIRS = 60.0
QUIET_SECONDS = 120.0
"""After so long without drift the next one is repaired at once again."""

Place = tuple[Ref, str]


def _kept(obj: Json) -> Json:
    names = ("name", "namespace", "generation", "resourceVersion")
    return {"metadata": {name: obj["metadata"][name] for name in names if name in obj["metadata"]}}


@dataclass(slots=True)
class Repairs:
    """How soon a set is repaired: at once, unless somebody undoes our work again and again."""

    backoff: Backoff = field(default_factory=lambda: Backoff(base=GATHER_SECONDS, limit=MOST_SECONDS_BETWEEN_REPAIRS, floor=GATHER_SECONDS))
    drifted_at: float | None = None
    due: float | None = None

    def wait(self, now: float) -> float:
        """Something drifted: seconds until the repair. Everything that drifts before it begins is repaired by the same one."""
        if self.drifted_at is not None and now - self.drifted_at > QUIET_SECONDS:
            self.backoff.reset()
        self.drifted_at = now
        if self.due is None:
            self.due = now + self.backoff.next()
        return max(0.0, self.due - now)

    def begun(self) -> None:
        """The set is being worked on."""
        self.due = None


class Drift:
    """Watches what sets have applied."""

    def __init__(self, client: Client, changed: Callable[[str], None]) -> None:
        """``changed`` is told the name of a set whose objects are not as it left them."""
        self._client = client
        self._changed = changed
        self._informers: dict[Ref, Informer] = {}
        self._following: dict[Informer, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._sets: dict[Place, str] = {}
        self._left: dict[Place, str] = {}
        self._going: dict[Place, str] = {}
        self._held: dict[str, set[Place]] = {}
        self._forgot = False

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """A set is being worked on: what changes of it is mostly our own writing, and is looked at when the block is left.

        What nobody looks for any more, now that it was worked on to its end, is not watched any more.
        """
        self._held[name] = set()
        try:
            yield
            self._rest()
        finally:
            for place in self._held.pop(name):
                self._look(place)

    def applied(self, name: str, ref: Ref, obj: Json) -> None:
        """A set has applied an object of its own, and this is how it is now."""
        place = ref, key_of(obj)
        self._sets[place] = name
        self._left[place] = _stamp(obj)
        self._watch(ref)

    def going(self, name: str, ref: Ref, obj: Json) -> None:
        """A set waits for an object of its own to be gone."""
        place = ref, key_of(obj)
        self._going[place] = name
        self._watch(ref)
        if self._informers[ref].synced.is_set():
            self._look(place)

    def _watch(self, ref: Ref) -> None:
        if ref not in self._informers:
            informer = Informer(self._client, ref, labels=LABEL, keep=_kept, page=SMALL_PAGE)
            informer.listen(lambda key, ref=ref: self._look((ref, key)))  # type: ignore[misc] # binds the value of this call
            self._informers[ref] = informer
            self._wake.set()

    def forget(self, name: str) -> None:
        """Objects of a set are being taken away: until the set tells of them again, nothing is drift."""
        for place in [place for place, owner in self._sets.items() if owner == name]:
            del self._sets[place], self._left[place]
        for place in [place for place, owner in self._going.items() if owner == name]:
            del self._going[place]
        self._forgot = True

    def _rest(self) -> None:
        if not self._forgot or len(self._held) > 1:
            return  # another set is half-way: what it has forgotten it may tell of again
        self._forgot = False
        for ref in self._informers.keys() - {place[0] for place in (*self._sets, *self._going)}:
            del self._informers[ref]
            self._wake.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with TaskOwner("drift") as owner:
            while True:
                self._wake.clear()
                wanted = set(self._informers.values())
                for informer in self._following.keys() - wanted:
                    self._following.pop(informer).cancel()
                for informer in wanted - self._following.keys():
                    self._following[informer] = owner.spawn(self._follow(informer), informer.ref.plural)
                await self._wake.wait()

    async def _follow(self, informer: Informer) -> None:
        ref = informer.ref
        async with TaskOwner(ref.plural) as owner:
            running = owner.spawn(informer.run(), "informer")
            await informer.synced.wait()
            for place in [place for place in (*self._sets, *self._going) if place[0] == ref]:
                self._look(place)
            await running

    def _look(self, place: Place) -> None:
        owner = self._sets.get(place) or self._going.get(place)
        for name in self._held.keys() & {owner} if owner else self._held:  # whose it is may be told later
            self._held[name].add(place)
        informer = self._informers.get(place[0])
        if owner is None or owner in self._held or informer is None or not informer.synced.is_set():
            return  # once it is synced everything is looked at
        obj = informer.get(place[1])
        if place in self._going and obj is None:
            self._changed(self._going[place])
        elif place in self._sets and (obj is None or _stamp(obj) != self._left[place]):
            self._changed(self._sets[place])

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {"kinds": len(self._informers), "objects": len(self._sets), "going": len(self._going)}


def _stamp(obj: Json) -> str:
    metadata = obj["metadata"]
    return f"generation {metadata['generation']}" if metadata.get("generation") else f"revision {metadata['resourceVersion']}"
