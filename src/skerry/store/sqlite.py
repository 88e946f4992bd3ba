"""The embedded dialect: one SQLite file, one process, durable at every acknowledged write.

WAL with ``synchronous=FULL``: when ``write`` returns, the bytes are on the disk. Group commit
comes from waiting: while one batch is in its fsync, whatever arrives gathers into the next, so
that the number of fsyncs falls as load grows. All statements of the writer run on one thread,
reads on another; the event loop never touches the file.

Opening, locking and migrating are ``files.py``'s, the latest-value tables ``latest.py``'s.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from skerry.kit.aio import Pulse
from skerry.store.batch import Landed, judge
from skerry.store.contract import (
    Change,
    Compacted,
    FutureRevision,
    Key,
    LatestRow,
    Page,
    Row,
    Statistics,
    StoreClosed,
    StoreError,
    Verb,
    Write,
)
from skerry.store.files import SQL, FileLock, connect, explain, migrate
from skerry.store.latest import LatestTable
from skerry.store.recent import Recent

T = TypeVar("T")

MOST_IN_A_BATCH = 512
VERBS = {verb.value: verb for verb in Verb}


class SqliteStore:
    """See ``contract.Store``. Make one with :meth:`open`."""

    def __init__(self, path: Path) -> None:
        """Open or create the database; blocks. Raises Locked, StoreDamaged, or StoreError for a newer schema."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FileLock(path.with_suffix(".lock"))
        self._path = path
        try:
            self._writer = connect(path, durable=True)
            migrate(self._writer, path)
            self._reader = connect(path, durable=True)
            self._latest = LatestTable(path.with_suffix(".latest.db"))
            self._revision: int = self._one(self._writer, SQL["newest"])
            self._compacted: int = self._one(self._writer, SQL["compacted"])
            self._objects: int = self._one(self._writer, SQL["count"])
        except sqlite3.DatabaseError as error:
            self._lock.release()
            raise explain(error, path) from error
        except StoreError:
            self._lock.release()
            raise
        self._recent = Recent(self._revision)
        self._waiting: list[tuple[Write, asyncio.Future[int]]] = []
        self._busy = False
        self._idle = Pulse()
        self._closed = False
        self._commits = self._writes = 0
        self._pulse = Pulse()
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="store-reader")

    @staticmethod
    def _one(connection: sqlite3.Connection, sql: str) -> int:
        return int(connection.execute(sql).fetchone()[0])

    @classmethod
    async def open(cls, path: Path) -> SqliteStore:
        """Open without blocking the loop."""
        return await asyncio.to_thread(cls, path)

    # what a batch sees of the database while it is judged

    def row(self, key: Key) -> Row | None:
        """Return the current row of a key, inside the writer's transaction."""
        found = self._writer.execute(SQL["present"], key).fetchone()
        return Row(key, found[0], found[1]) if found else None

    def under(self, organization: str, namespace: str) -> bool:
        """Tell whether any object lives in a namespace."""
        return self._writer.execute(SQL["anything_under"], (organization, namespace)).fetchone() is not None

    # writing

    async def write(self, write: Write) -> int:
        """Commit one write, together with whoever else waits."""
        if self._closed:
            raise StoreClosed("the store is closed")
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((write, future))
        if not self._busy:
            self._next_batch()
        return await future

    def _next_batch(self) -> None:
        batch = self._waiting[:MOST_IN_A_BATCH]
        del self._waiting[: len(batch)]
        self._busy = bool(batch)
        if not batch:
            self._idle.beat()
            return
        done = asyncio.get_running_loop().run_in_executor(self._write_thread, self._commit, [write for write, _ in batch])
        done.add_done_callback(lambda finished: self._settle(batch, finished))

    def _settle(
        self, batch: Sequence[tuple[Write, asyncio.Future[int]]], finished: asyncio.Future[tuple[list[int | Exception], list[Change]]]
    ) -> None:
        error = finished.exception()
        outcomes: Sequence[int | BaseException]
        if error is not None:
            outcomes = [explain(error, self._path)] * len(batch)
        else:
            outcomes, changes = finished.result()
            if changes:
                self._recent.extend(changes)
                self._revision = changes[-1].revision
                self._objects += sum((change.verb is Verb.CREATE) - (change.verb is Verb.DELETE) for change in changes)
                self._pulse.beat()
            self._commits += 1
            self._writes += len(changes)
        self._next_batch()
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue  # the caller went away; what was committed stays committed
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _commit(self, writes: Sequence[Write]) -> tuple[list[int | Exception], list[Change]]:
        """Run one batch as one transaction, on the writer's thread."""
        outcomes: list[int | Exception] = []
        changes: list[Change] = []
        execute = self._writer.execute
        execute("BEGIN IMMEDIATE")
        try:
            for outcome in judge(writes, self, self._revision):
                if isinstance(outcome, Landed):
                    change = outcome.change
                    execute(SQL["append"], (change.revision, change.verb.value, *change.key, outcome.replaces, change.value))
                    if change.verb is Verb.DELETE:
                        execute(SQL["forget"], change.key)
                    else:
                        execute(SQL["point"], (*change.key, change.revision))
                    changes.append(change)
                    outcomes.append(change.revision)
                else:
                    outcomes.append(outcome)
            execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                execute("ROLLBACK")
            raise
        return outcomes, changes

    # reading

    async def _read(self, thread: ThreadPoolExecutor, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, function)
        except sqlite3.DatabaseError as error:
            raise explain(error, self._path) from error

    async def get(self, key: Key) -> Row | None:
        """Return the current row."""
        found = await self._read(self._read_thread, lambda: self._reader.execute(SQL["present"], key).fetchone())
        return Row(key, found[0], found[1]) if found else None

    async def page(
        self, organization: str, resource: str, namespace: str | None = None, *, at: int = 0, after: Key | None = None, limit: int = 0
    ) -> Page:
        """Rows of one resource as of a revision."""
        if at > self._revision:
            raise FutureRevision(self._revision)
        values: dict[str, Any] = {
            "organization": organization,
            "resource": resource,
            "namespace": namespace,
            "after_namespace": after.namespace if after else "",
            "after_name": after.name if after else "",
            "limit": limit or -1,
            "at": at,
        }

        def query() -> tuple[list[Any], int]:
            self._reader.execute("BEGIN")
            try:
                newest = self._one(self._reader, SQL["newest"])
                oldest = self._one(self._reader, SQL["compacted"])
                if at and at < oldest:
                    raise Compacted(oldest)
                return self._reader.execute(SQL["page_at" if at and at < newest else "page_now"], values).fetchall(), at or newest
            finally:
                self._reader.execute("COMMIT")

        rows, revision = await self._read(self._read_thread, query)
        return Page([Row(Key(organization, resource, row[0], row[1]), row[2], row[3]) for row in rows], revision)

    async def head(self) -> int:
        """Return the newest committed revision: the lock makes this process the only writer."""
        return self._revision

    async def changes(self, after: int, limit: int = 1000) -> Sequence[Change]:
        """Log entries above a revision."""
        recent = self._recent.after(after, limit)
        if recent is not None:
            return recent
        if after < self._compacted:
            raise Compacted(self._compacted)
        rows = await self._read(self._read_thread, lambda: self._reader.execute(SQL["changes"], (after, limit)).fetchall())
        return [Change(row[0], VERBS[row[1]], Key(*row[2:6]), row[6], row[7]) for row in rows]

    async def wait(self, after: int) -> None:
        """Return as soon as there is a newer revision."""
        while self._revision <= after:
            await self._pulse.after(self._pulse.count)

    async def compact(self, revision: int) -> None:
        """Drop log entries that no current object needs."""
        revision = min(revision, self._revision)

        def work() -> None:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                self._writer.execute(SQL["compact"], {"revision": revision})
                self._writer.execute(SQL["set_compacted"], {"revision": revision})
                self._writer.execute("COMMIT")
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise

        await self._read(self._write_thread, work)
        self._compacted = max(self._compacted, revision)
        self._recent.complete_after = max(self._recent.complete_after, self._compacted)

    # latest values

    async def latest_put(self, values: Mapping[Key, bytes | None]) -> int:
        """Upsert latest values in one batch."""
        if self._closed:
            raise StoreClosed("the store is closed")
        return await self._latest.put(values)

    async def latest_changes(self, organization: str, resource: str, after: int = 0, limit: int = 0) -> Sequence[LatestRow]:
        """Latest values that changed since a sequence number."""
        return await self._latest.changes(organization, resource, after, limit)

    async def latest_wait(self, after: int) -> None:
        """Return as soon as there is a newer latest value."""
        await self._latest.wait(after)

    # the end

    def statistics(self) -> Statistics:
        """Return counters."""
        return Statistics(self._revision, self._compacted, self._objects, self._commits, self._writes, {"waiting": len(self._waiting)})

    async def close(self) -> None:
        """Finish the writes that were accepted, then close."""
        if self._closed:
            return
        self._closed = True
        while self._busy:
            await self._idle.after(self._idle.count)
        await self._latest.close()
        for thread in (self._write_thread, self._read_thread):
            await asyncio.to_thread(thread.shutdown)
        for connection in (self._reader, self._writer):
            connection.close()
        self._lock.release()
