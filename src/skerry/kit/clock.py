"""Time as something that is passed in: whoever needs it takes a Clock, so that tests can own it.

``now`` is the wall clock (always UTC), ``monotonic`` measures distances, ``sleep`` waits.
``testing/clock.py`` has the virtual one.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since some fixed moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def rfc3339(moment: datetime) -> str:
    """Write a time in UTC as Kubernetes does, in whole seconds (``2026-11-23T12:00:00Z``)."""
    return moment.isoformat(timespec="seconds")[:19] + "Z"


def rfc3339_micro(moment: datetime) -> str:
    """Write a time in UTC with microseconds, as Leases want it."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def parse(text: str) -> datetime:
    """Read an RFC 3339 time; raises ValueError."""
    return datetime.fromisoformat(text)
