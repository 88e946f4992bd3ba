"""What is counted in hot paths: a histogram that costs a third of a microsecond.

A count belongs to one event loop, so nothing is locked. Whoever shows it (``metrics.py``) takes a copy on that loop
and works on the copy.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """How many values were at most so large, and their sum. Bounds belong to the bucket that they end."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` rise; what is above the last is counted too."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> Histogram:
        """The histogram as it is now."""
        made = Histogram(self.bounds)
        made.counts, made.total = self.counts.copy(), self.total
        return made
