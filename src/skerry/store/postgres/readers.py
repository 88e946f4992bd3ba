"""Reading: a few sessions, each query one moment of the database.

Every row carries the log's bounds as of that moment, so that a compaction in between cannot make
a gap that looks like silence; where there are no rows, the bounds are asked for afterwards, which
can only refuse what would have been empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar

import asyncpg

from skerry.store.contract import Change, Compacted, FutureRevision, Guard, Key, LatestRow, Outdated, Page, Row, Verb
from skerry.store.postgres.server import SQL, Lane, Server

T = TypeVar("T")

SESSIONS = 3  # so that two long lists do not hold up a get
EVERYTHING = 2**62
AFTER_ALL_TEXT = "\U0010ffff"
VERBS = {verb.value: verb for verb in Verb}


class Readers:
    """The reading side of one database; also what writes beside the log (compaction, latest values) goes through it."""

    def __init__(self, server: Server, sessions: int = SESSIONS) -> None:
        """Sessions begin with their first use."""
        self._server = server
        self._lanes = [Lane(server, server.limits.read) for _ in range(sessions)]
        self._free: asyncio.LifoQueue[Lane] = asyncio.LifoQueue()
        for lane in self._lanes:
            self._free.put_nowait(lane)

    async def run(self, operation: Callable[[Any], Awaitable[T]]) -> T:
        """Run an operation that may be repeated; raises StoreError."""
        self._server.refuse_when_away()
        lane = await self._free.get()
        try:
            return await self._server.persist(lane, operation)
        finally:
            self._free.put_nowait(lane)

    async def close(self) -> None:
        """End every session."""
        for lane in self._lanes:
            await lane.close()


async def row(connection: Any, key: Key) -> Row | None:
    """Read the current row of a key."""
    found = await connection.fetchrow(SQL["present"], *key)
    return Row(key, found[0], found[1]) if found else None


async def page(connection: Any, organization: str, resource: str, namespace: str | None, at: int, after: Key | None, limit: int) -> Page:
    """Read rows of one resource in key order; see ``contract.Store.page``."""
    start = (after.namespace, after.name) if after else (namespace or "", "")
    last = AFTER_ALL_TEXT if namespace is None else namespace
    values = (organization, resource, *start, last, limit or EVERYTHING)
    found = await connection.fetch(SQL["page_at"], *values, at) if at else await connection.fetch(SQL["page_now"], *values)
    newest, compacted = found[0][:2] if found else await connection.fetchrow(SQL["bounds"])
    if at > newest:
        raise FutureRevision(newest)
    if 0 < at < compacted:
        raise Compacted(compacted)
    return Page([Row(Key(organization, resource, entry[2], entry[3]), entry[4], entry[5]) for entry in found], at or newest)


async def changes(connection: Any, after: int, limit: int) -> Sequence[Change]:
    """Read log entries above a revision; see ``contract.Store.changes``."""
    found = await connection.fetch(SQL["changes"], after, limit)
    newest, compacted = found[0][:2] if found else await connection.fetchrow(SQL["bounds"])
    if after < compacted:
        raise Compacted(compacted)
    if after > newest:
        raise FutureRevision(newest)
    return [Change(entry[2], VERBS[entry[3]], Key(*entry[4:8]), entry[8], entry[9]) for entry in found]


async def held(connection: Any, resources: Collection[str], after: int, limit: int) -> Sequence[Row]:
    """Read every value of some resources that is kept; see ``contract.Store.held``."""
    return [Row(Key(*entry[1:5]), entry[0], entry[5]) for entry in await connection.fetch(SQL["held"], after, list(resources), limit)]


async def rewrite(connection: Any, values: Sequence[tuple[Row, bytes]]) -> int:
    """Put other bytes in the place of stored ones; done twice it is done once. See ``contract.Store.rewrite``."""
    revisions, before = [row.revision for row, _ in values], [row.value for row, _ in values]
    return int(await connection.fetchval(SQL["rewrite"], revisions, before, [fresh for _, fresh in values]))


async def put_guarded(connection: Any, *, guard: Guard, batch: Sequence[Any]) -> int:
    """Upsert latest values if a guard holds; raises Outdated. ``batch`` are the arguments of ``put_latest``."""
    try:
        last: int = await connection.fetchval(SQL["put_latest_guarded"], *guard.key, guard.sequence, *batch)
    except asyncpg.PostgresError as error:
        if error.sqlstate == "SK003":
            raise Outdated(str(error)) from error
        raise
    return last


async def latest(connection: Any, organization: str, resource: str, after: int, limit: int) -> Sequence[LatestRow]:
    """Read latest values; see ``contract.Store.latest_changes``."""
    many = limit or EVERYTHING
    if after:
        found = await connection.fetch(SQL["latest_changes"], organization, resource, after, many)
        buried = await connection.fetchval(SQL["buried"])  # afterwards: burying in between is seen
        if after < buried:
            raise Compacted(buried)
    else:
        found = await connection.fetch(SQL["latest_values"], organization, resource, many)
    return [LatestRow(Key(organization, resource, entry[0], entry[1]), entry[2], entry[3]) for entry in found]
