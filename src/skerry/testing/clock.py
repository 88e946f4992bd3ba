"""Time that a test owns: it stands still until the test moves it, and then jumps from sleeper to sleeper.

``advance`` wakes each sleeper at its own moment and in order, and lets everything that became
ready run before time moves on; so a chain of short sleeps inside one long ``advance`` happens
as it would on a real clock, at no cost. What does real I/O must be awaited by the test itself.
"""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count

START = datetime(2030, 1, 1, tzinfo=UTC)
SETTLE_ROUNDS = 20  # turns of the loop that let a woken task reach its next wait


class VirtualClock:
    """See ``kit.clock.Clock``."""

    def __init__(self, start: datetime = START) -> None:
        """Stand at ``start``."""
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> datetime:
        """Return the virtual wall clock's time, in UTC."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Return the virtual seconds since the clock was made."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has moved the time that far; a sleep of nothing only yields."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Move the time, waking whoever's moment comes, in order."""
        until = self._elapsed + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            moment, _, waiter = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, moment)
            if not waiter.done():
                waiter.set_result(None)
                await self._settle()
        self._elapsed = until

    @staticmethod
    async def _settle() -> None:
        for _ in range(SETTLE_ROUNDS):
            await asyncio.sleep(0)

    def statistics(self) -> dict[str, float]:
        """Tell how many sleep, and for how long the next."""
        waiting = [moment for moment, _, waiter in self._sleepers if not waiter.done()]
        return {"sleepers": len(waiting), "next": min(waiting) - self._elapsed if waiting else 0.0}
