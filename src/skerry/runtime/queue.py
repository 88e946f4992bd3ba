"""A work queue of keys: each waits at most once, is worked on by one worker at a time, and is tried again later where it failed.

This is the only place with retries. A key that comes while it is being worked on is done again
afterwards; a key that was put off comes back at its time, or earlier if something happens to it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field

from skerry.kit.backoff import Backoff
from skerry.kit.clock import Clock
from skerry.runtime.meters import Meters, here


@dataclass
class _Failures:
    backoff: Backoff = field(default_factory=lambda: Backoff(base=0.2, limit=60.0))


_alive: weakref.WeakSet[WorkQueue] = weakref.WeakSet()


def statistics() -> dict[str, dict[str, int]]:
    """Counters of every queue of this process, by its name."""
    return {queue.name: queue.statistics() for queue in sorted(_alive, key=lambda each: each.name)}


class WorkQueue:
    """Keys that want work."""

    def __init__(self, clock: Clock, name: str = "queue", meters: Meters | None = None) -> None:
        """``name`` is for statistics; it is measured by ``meters``, or by those of the part of the process that makes it."""
        self.name = name
        self._meter = (meters or here()).of(name)
        self._clock = clock
        self._ready: OrderedDict[str, float] = OrderedDict()  # since when
        self._working: dict[str, float] = {}  # since when
        self._again: set[str] = set()
        self._later: list[tuple[float, int, str]] = []
        self._due: dict[str, float] = {}
        self._count = itertools.count()
        self._failures: dict[str, _Failures] = {}
        self._wake = asyncio.Event()
        self._done = 0
        self._failed = 0
        self._meter.serve(self)
        _alive.add(self)

    def add(self, key: str) -> None:
        """Ask for work on a key now."""
        self._due.pop(key, None)
        if key in self._working:
            self._again.add(key)
        elif key not in self._ready:
            self._ready[key] = self._clock.monotonic()
            self._meter.adds += 1
            self._wake.set()

    def add_after(self, key: str, seconds: float) -> None:
        """Ask for work on a key later; an earlier time that was asked for already stands."""
        due = self._clock.monotonic() + max(seconds, 0)
        if key in self._ready or self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._later, (due, next(self._count), key))
        self._wake.set()

    async def take(self) -> str:
        """Wait for a key and take it; the taker must call ``done`` or ``failed``."""
        while True:
            self._promote()
            if self._ready:
                key, since = self._ready.popitem(last=False)
                now = self._working[key] = self._clock.monotonic()
                self._meter.waited.observe(now - since)
                return key
            self._wake.clear()
            timeout = self._later[0][0] - self._clock.monotonic() if self._later else None
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _promote(self) -> None:
        now = self._clock.monotonic()
        while self._later and self._later[0][0] <= now:
            due, _, key = heapq.heappop(self._later)
            if self._due.get(key) == due:
                self.add(key)

    def done(self, key: str) -> None:
        """The work on a key is finished."""
        self._done += 1
        self._failures.pop(key, None)
        self._release(key)

    def failed(self, key: str) -> float:
        """The work on a key failed; it comes back after a while, which is returned."""
        self._failed += 1
        self._meter.retries += 1
        delay = self._failures.setdefault(key, _Failures()).backoff.next()
        self._release(key)
        self.add_after(key, delay)
        return delay

    def _release(self, key: str) -> None:
        since = self._working.pop(key, None)
        if since is not None:
            self._meter.worked.observe(self._clock.monotonic() - since)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        self._wake.set()

    def waiting(self) -> int:
        """How many keys are ready."""
        return len(self._ready)

    def working(self) -> list[float]:
        """How long each key that is worked on has been, in seconds."""
        now = self._clock.monotonic()
        return [now - since for since in self._working.values()]

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {
            "ready": len(self._ready),
            "working": len(self._working),
            "later": len(self._due),
            "done": self._done,
            "failed": self._failed,
        }
