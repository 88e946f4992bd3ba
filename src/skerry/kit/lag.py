"""How long the event loop kept everybody waiting.

A tick that should come every 20 ms comes late when something held the loop. Each lateness is
counted under its bound, so that two readings tell what happened between them; a stall is seen
shorter than it was by at most one tick.
"""

from __future__ import annotations

import asyncio

from skerry.kit.measure import Histogram

TICK = 0.020
"""Seconds between ticks: short beside the 50 ms that nobody may hold the loop, and a thousandth of a core."""

BOUNDS = (10, 25, 50, 100, 250, 1000)
"""Milliseconds. A lateness is counted under the first bound that it does not exceed."""


class LoopLag:
    """Watches one event loop."""

    def __init__(self) -> None:
        """Nothing is seen before ``run``."""
        self.lateness = Histogram([bound / 1000 for bound in BOUNDS])
        """In seconds."""
        self._worst = 0.0

    async def run(self) -> None:
        """Watch the running loop until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self.saw((loop.time() - due) * 1000)

    def saw(self, late: float) -> None:
        """Count one lateness, in milliseconds."""
        self._worst = max(self._worst, late)
        self.lateness.observe(max(late, 0.0) / 1000)

    def statistics(self) -> dict[str, int]:
        """Ticks by lateness, and the worst one in milliseconds."""
        names = [*(f"within_{bound}_ms" for bound in BOUNDS), f"over_{BOUNDS[-1]}_ms"]
        return {**dict(zip(names, self.lateness.counts, strict=True)), "worst_ms": round(self._worst)}
