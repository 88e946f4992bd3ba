"""Drift: somebody changed or deleted what a set has applied, and we want to know at once.

Every kind that was applied is watched, only its objects with our label, and of those only a few
words are kept. An event that our own write caused, or that moves nothing but a status, is no
drift: it is recognized by the generation, and where a kind has none by the revision. What the
watch cannot see (labels of an object with a generation, an object that we did not make) is
found by the periodic enforcement, which is the same code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from skerry.agent.objects import LABEL
from skerry.client.contract import Client, Ref
from skerry.kit.aio import TaskOwner
from skerry.machinery.resource import Json
from skerry.runtime.informer import Informer, key_of

Place = tuple[Ref, str]


def _kept(obj: Json) -> Json:
    names = ("name", "namespace", "generation", "resourceVersion")
    return {"metadata": {name: obj["metadata"][name] for name in names if name in obj["metadata"]}}


class Drift:
    """Watches what sets have applied."""

    def __init__(self, client: Client, changed: Callable[[str], None]) -> None:
        """``changed`` is told the name of a set whose objects are not as it left them."""
        self._client = client
        self._changed = changed
        self._informers: dict[Ref, Informer] = {}
        self._started: set[Ref] = set()
        self._wake = asyncio.Event()
        self._sets: dict[Place, str] = {}
        self._left: dict[Place, str] = {}

    def applied(self, name: str, ref: Ref, obj: Json) -> None:
        """A set has applied an object, and this is how it is now."""
        place = ref, key_of(obj)
        self._sets[place] = name
        self._left[place] = _stamp(obj)
        if ref not in self._informers:
            informer = Informer(self._client, ref, labels=LABEL, keep=_kept)
            informer.listen(lambda key, ref=ref: self._look((ref, key)))  # type: ignore[misc] # binds the value of this call
            self._informers[ref] = informer
            self._wake.set()

    def forget(self, name: str) -> None:
        """A set is being taken away."""
        for place in [place for place, owner in self._sets.items() if owner == name]:
            del self._sets[place], self._left[place]

    async def run(self) -> None:
        """Watch until cancelled."""
        async with TaskOwner("drift") as owner:
            while True:
                self._wake.clear()
                for ref in self._informers.keys() - self._started:
                    self._started.add(ref)
                    owner.spawn(self._informers[ref].run(), ref.plural)
                await self._wake.wait()

    def _look(self, place: Place) -> None:
        name = self._sets.get(place)
        if name is None:
            return
        obj = self._informers[place[0]].get(place[1])
        if obj is None or _stamp(obj) != self._left[place]:
            self._changed(name)

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {"kinds": len(self._informers), "objects": len(self._sets)}


def _stamp(obj: Json) -> str:
    metadata = obj["metadata"]
    return f"generation {metadata['generation']}" if metadata.get("generation") else f"revision {metadata['resourceVersion']}"
