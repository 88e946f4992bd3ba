"""The store in memory: for simulated sites and for tests. Nothing survives the process.

The same order, the same group semantics and the same errors as the dialects on disk; the
contract suite runs on it first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

from sortedcontainers import SortedDict

from skerry.kit.aio import Pulse
from skerry.store.batch import Landed, judge
from skerry.store.contract import (
    Change,
    Compacted,
    FutureRevision,
    Guard,
    Key,
    LatestRow,
    Page,
    Row,
    Statistics,
    StoreClosed,
    Verb,
    Write,
    refuse_outdated,
)


class MemoryStore:
    """See ``contract.Store``."""

    def __init__(self, *, keep: int = 100_000) -> None:
        """``keep``: how many log entries, and removals of latest values, are kept before the oldest are dropped by themselves."""
        self._keep = keep
        self._rows: SortedDict[Key, Row] = SortedDict()
        self._population: dict[tuple[str, str], int] = {}
        self._log: list[Landed] = []
        self._revision = 0
        self._compacted = 0
        self._latest: dict[Key, LatestRow] = {}  # in the order of their sequence numbers
        self._sequence = 0
        self._buried = 0
        self._pulse = Pulse()
        self._latest_pulse = Pulse()
        self._closed = False

    def row(self, key: Key) -> Row | None:
        """Return the current row of a key."""
        return self._rows.get(key)

    def under(self, organization: str, namespace: str) -> bool:
        """Tell whether any object lives in a namespace."""
        return bool(self._population.get((organization, namespace)))

    async def write(self, write: Write) -> int:
        """Commit one write."""
        self._refuse_when_closed()
        outcome = next(judge([write], self, self._revision))
        if isinstance(outcome, Exception):
            raise outcome
        self._land(outcome)
        self._pulse.beat()
        return outcome.change.revision

    def _land(self, landed: Landed) -> None:
        change = landed.change
        room = (change.key.organization, change.key.namespace)
        if change.verb is Verb.DELETE:
            del self._rows[change.key]
            self._population[room] -= 1
        else:
            self._rows[change.key] = Row(change.key, change.revision, change.value)
            if change.verb is Verb.CREATE:
                self._population[room] = self._population.get(room, 0) + 1
        self._log.append(landed)
        self._revision = change.revision
        if len(self._log) > self._keep + self._keep // 4:
            self._drop(self._log[len(self._log) - self._keep - 1].change.revision)

    async def get(self, key: Key) -> Row | None:
        """Return the current row."""
        return self._rows.get(key)

    async def page(
        self, organization: str, resource: str, namespace: str | None = None, *, at: int = 0, after: Key | None = None, limit: int = 0
    ) -> Page:
        """Rows of one resource as of a revision."""
        if at > self._revision:
            raise FutureRevision(self._revision)
        if at and at < self._compacted:
            raise Compacted(self._compacted)
        rows: Mapping[Key, Row] = self._rows if not at or at == self._revision else self._as_of(at)
        start = after or Key(organization, resource, namespace or "", "")
        keys = rows.irange(start, inclusive=(after is None, True)) if isinstance(rows, SortedDict) else ()
        found: list[Row] = []
        for key in keys:
            if key[:2] != (organization, resource) or (namespace is not None and key.namespace != namespace):
                break
            found.append(rows[key])
            if limit and len(found) >= limit:
                break
        return Page(found, at or self._revision)

    def _as_of(self, at: int) -> SortedDict[Key, Row]:
        rows = SortedDict(self._rows)
        for change, replaces in reversed(self._log):
            if change.revision <= at:
                break
            if change.previous is None:
                rows.pop(change.key, None)
            else:
                rows[change.key] = Row(change.key, replaces, change.previous)
        return rows

    async def head(self) -> int:
        """Return the newest revision."""
        return self._revision

    async def changes(self, after: int, limit: int = 1000) -> Sequence[Change]:
        """Log entries above a revision."""
        if after < self._compacted:
            raise Compacted(self._compacted)
        if after > self._revision:
            raise FutureRevision(self._revision)
        # revisions in the log are consecutive: every write that lands takes the next one
        start = max(0, len(self._log) - (self._revision - after))
        return [landed.change for landed in self._log[start : start + limit]]

    async def wait(self, after: int) -> None:
        """Return as soon as there is a newer revision."""
        while self._revision <= after:
            self._refuse_when_closed()
            await self._pulse.after(self._pulse.count)

    async def compact(self, revision: int) -> None:
        """Drop log entries."""
        self._drop(min(revision, self._revision))

    def _drop(self, revision: int) -> None:
        if revision > self._compacted:
            self._compacted = revision
            self._log = self._log[len(self._log) - (self._revision - revision) :] if revision < self._revision else []

    async def held(self, resources: Collection[str], after: int = 0, limit: int = 1000) -> Sequence[Row]:
        """Values that are kept."""
        found = {row.revision: row for row in self._rows.values()}
        for change, replaces in self._log:
            found[change.revision] = Row(change.key, change.revision, change.value)
            if change.previous is not None:
                found[replaces] = Row(change.key, replaces, change.previous)
        return [found[revision] for revision in sorted(found) if revision > after and found[revision].key.resource in resources][:limit]

    async def rewrite(self, values: Sequence[tuple[Row, bytes]]) -> int:
        """Put other bytes in the place of stored ones."""
        kept = await self.held({row.key.resource for row, _ in values}, limit=2 * len(self._log) + len(self._rows))
        there = {row.revision: row.value for row in kept}
        fresh = {row.revision: value for row, value in values if there.get(row.revision) == row.value}
        for key, row in self._rows.items():
            self._rows[key] = row._replace(value=fresh.get(row.revision, row.value))
        self._log = [
            Landed(
                change._replace(value=fresh.get(change.revision, change.value), previous=fresh.get(replaces, change.previous)),
                replaces,
            )
            for change, replaces in self._log
        ]
        return len(fresh)

    async def erase(self) -> None:
        """There are no files."""

    async def latest_put(self, values: Mapping[Key, bytes | None], guard: Guard | None = None) -> int:
        """Upsert latest values."""
        self._refuse_when_closed()
        if guard is not None:
            there = self._latest.get(guard.key)
            refuse_outdated(guard, there.sequence if there is not None and there.value is not None else 0)
        for key, value in values.items():
            self._sequence += 1
            self._latest.pop(key, None)
            self._latest[key] = LatestRow(key, self._sequence, value)
        if self._sequence > self._buried + 2 * self._keep:
            self._buried = self._sequence - self._keep
            gone = [key for key, row in self._latest.items() if row.value is None and row.sequence <= self._buried]
            for key in gone:
                del self._latest[key]
        self._latest_pulse.beat()
        return self._sequence

    async def latest_head(self) -> int:
        """Return the last sequence number taken."""
        return self._sequence

    async def latest_changes(self, organization: str, resource: str, after: int = 0, limit: int = 0) -> Sequence[LatestRow]:
        """Latest values that changed since a sequence number."""
        if 0 < after < self._buried:
            raise Compacted(self._buried)
        rows = (
            row
            for key, row in self._latest.items()
            if key[:2] == (organization, resource) and row.sequence > after and (after or row.value is not None)
        )
        return list(islice(rows, limit or None))

    async def latest_wait(self, after: int) -> None:
        """Return as soon as there is a newer latest value."""
        while self._sequence <= after:
            self._refuse_when_closed()
            await self._latest_pulse.after(self._latest_pulse.count)

    def trouble(self) -> str:
        """Nothing can happen to memory."""
        return ""

    def statistics(self) -> Statistics:
        """Return counters."""
        return Statistics(self._revision, self._compacted, len(self._rows), self._revision, self._revision)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")

    async def close(self) -> None:
        """Refuse writes from now on, and end whoever waits."""
        self._closed = True
        self._pulse.beat()
        self._latest_pulse.beat()
