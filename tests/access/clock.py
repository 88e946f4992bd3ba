"""A clock that stands still until it is told to move."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass
class Standing:
    """Says what it is told."""

    moment: datetime = NOON

    def now(self) -> datetime:
        """The time that was set."""
        return self.moment

    def monotonic(self) -> float:
        """Seconds since noon."""
        return (self.moment - NOON).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.moment += timedelta(seconds=seconds)
