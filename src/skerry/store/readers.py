"""Reading beside the writer: a few connections, each on one thread at a time, each query one snapshot.

WAL lets readers and the writer pass each other. Every reading runs in a transaction of its own,
so what it says of the log's bounds and what it reads from the log are of the same moment: a
compaction in between cannot make a gap that looks like silence.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from skerry.store.contract import Change, Compacted, FutureRevision, Key, Page, Row, StoreClosed, Verb
from skerry.store.files import SQL, connect, explain

T = TypeVar("T")

CONNECTIONS = 3  # so that two long lists do not hold up a get
VERBS = {verb.value: verb for verb in Verb}
AFTER_ALL_TEXT = b""  # SQLite sorts every blob behind every text


class Readers:
    """The reading side of one database."""

    def __init__(self, path: Path, connections: int = CONNECTIONS) -> None:
        """Open connections to a database that exists; blocks."""
        self._path = path
        self._connections: list[sqlite3.Connection] = []
        self._free: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for _ in range(connections):
            connection = connect(path, durable=True)
            connection.execute("PRAGMA query_only=1")
            self._connections.append(connection)
            self._free.put(connection)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="store-reader")
        self._closed = False

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query on a snapshot, off the loop. Raises StoreClosed, StoreDamaged, or what the query raises."""
        if self._closed:
            raise StoreClosed("the store is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._on_snapshot, query)
        except sqlite3.Error as error:
            raise explain(error, self._path) from error

    def _on_snapshot(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._free.get()
        try:
            connection.execute("BEGIN")
            return query(connection)
        finally:
            connection.rollback()
            self._free.put(connection)

    async def close(self) -> None:
        """Let the queries that were accepted end, then close."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._connections:
            connection.close()


def row(connection: sqlite3.Connection, key: Key) -> Row | None:
    """Read the current row of a key."""
    found = connection.execute(SQL["present"], key).fetchone()
    return Row(key, found[0], found[1]) if found else None


def page(
    connection: sqlite3.Connection, organization: str, resource: str, namespace: str | None, at: int, after: Key | None, limit: int
) -> Page:
    """Read rows of one resource in key order; see ``contract.Store.page``."""
    compacted, newest = _bounds(connection)
    if at > newest:
        raise FutureRevision(newest)
    if 0 < at < compacted:
        raise Compacted(compacted)
    values: dict[str, Any] = {
        "organization": organization,
        "resource": resource,
        "after_namespace": after.namespace if after else namespace or "",
        "after_name": after.name if after else "",
        "last_namespace": AFTER_ALL_TEXT if namespace is None else namespace,
        "limit": limit or -1,
        "at": at,
    }
    found = connection.execute(SQL["page_at" if 0 < at < newest else "page_now"], values)
    return Page([Row(Key(organization, resource, *entry[:2]), *entry[2:]) for entry in found.fetchall()], at or newest)


def changes(connection: sqlite3.Connection, after: int, limit: int) -> Sequence[Change]:
    """Read log entries above a revision; see ``contract.Store.changes``."""
    compacted, newest = _bounds(connection)
    if after < compacted:
        raise Compacted(compacted)
    if after > newest:
        raise FutureRevision(newest)
    rows = connection.execute(SQL["changes"], (after, limit)).fetchall()
    return [Change(entry[0], VERBS[entry[1]], Key(*entry[2:6]), entry[6], entry[7]) for entry in rows]


def held(connection: sqlite3.Connection, resources: Collection[str], after: int, limit: int) -> Sequence[Row]:
    """Read every value of some resources that is kept; see ``contract.Store.held``."""
    rows = connection.execute(SQL["held"], (after, json.dumps(list(resources)), limit)).fetchall()
    return [Row(Key(*entry[1:5]), entry[0], entry[5]) for entry in rows]


def _bounds(connection: sqlite3.Connection) -> tuple[int, int]:
    compacted = connection.execute(SQL["compacted"]).fetchone()[0]
    return compacted, connection.execute(SQL["newest"]).fetchone()[0]
