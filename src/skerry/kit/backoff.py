"""Waiting longer after each failure, with full jitter, so that many who failed together do not return together."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Delays in seconds: a random share of ``base * 2**failures``, at most ``limit``, at least ``floor``."""

    base: float = 0.5
    limit: float = 60.0
    floor: float = 0.05
    random: random.Random = field(default_factory=random.Random, repr=False)
    failures: int = 0

    def next(self) -> float:
        """Count a failure and return how long to wait."""
        ceiling = min(self.limit, self.base * 2 ** min(self.failures, 32))
        self.failures += 1
        return max(self.floor, self.random.uniform(0, ceiling))

    def reset(self) -> None:
        """Forget the failures."""
        self.failures = 0
