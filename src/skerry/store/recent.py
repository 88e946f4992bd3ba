"""The newest part of the log, kept in memory so that feeding watchers costs no query.

Bounded by bytes. Who asks for more than it holds goes to the database.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from skerry.store.contract import Change


class Recent:
    """The last changes, in order; ``complete_after`` is the revision behind which none is missing."""

    def __init__(self, complete_after: int, limit_bytes: int = 16 * 1024 * 1024) -> None:
        """Begin empty, complete from ``complete_after`` on."""
        self.complete_after = complete_after
        self._limit = limit_bytes
        self._bytes = 0
        self._changes: list[Change] = []

    def extend(self, changes: Sequence[Change]) -> None:
        """Append newer changes, and drop the oldest half when there are too many bytes."""
        self._changes.extend(changes)
        self._bytes += sum(len(change.value) for change in changes)
        if self._bytes > self._limit and len(self._changes) > 1:
            half = len(self._changes) // 2
            self.complete_after = self._changes[half - 1].revision
            self._changes = self._changes[half:]
            self._bytes = sum(len(change.value) for change in self._changes)

    def after(self, revision: int, limit: int) -> Sequence[Change] | None:
        """Changes above ``revision``, at most ``limit``; None if some may be missing here."""
        if revision < self.complete_after:
            return None
        start = bisect_right(self._changes, revision, key=lambda change: change.revision)
        return self._changes[start : start + limit]
