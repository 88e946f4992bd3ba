"""The newest part of the log, kept in memory so that feeding watchers costs no query.

Bounded by bytes, of what changes say as well as of what was before them. Who asks for more
than it holds goes to the database.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from skerry.store.contract import Change

ENTRY_BYTES = 400  # a Change and its Key as Python objects


class Recent:
    """The last changes, in order; ``complete_after`` is the revision behind which none is missing."""

    def __init__(self, complete_after: int, limit_bytes: int = 16 * 1024 * 1024) -> None:
        """Begin empty, complete from ``complete_after`` on."""
        self.complete_after = complete_after
        self.bytes = 0
        self._limit = limit_bytes
        self._changes: list[Change] = []

    def extend(self, changes: Sequence[Change]) -> None:
        """Append newer changes, and drop the oldest half when there are too many bytes."""
        self._changes.extend(changes)
        self.bytes += _weight(changes)
        if self.bytes > self._limit and len(self._changes) > 1:
            half = len(self._changes) // 2
            self.forget(self._changes[half - 1].revision)

    def forget(self, until: int) -> None:
        """Drop the changes up to a revision."""
        if until > self.complete_after:
            self.complete_after = until
            self._changes = self._changes[self._place(until) :]
            self.bytes = _weight(self._changes)

    def after(self, revision: int, limit: int) -> Sequence[Change] | None:
        """Changes above ``revision``, at most ``limit``; None if some may be missing here."""
        if revision < self.complete_after:
            return None
        start = self._place(revision)
        return self._changes[start : start + limit]

    def _place(self, revision: int) -> int:
        return bisect_right(self._changes, revision, key=lambda change: change.revision)


def _weight(changes: Iterable[Change]) -> int:
    return sum(ENTRY_BYTES + len(change.value) + len(change.previous or b"") for change in changes)
