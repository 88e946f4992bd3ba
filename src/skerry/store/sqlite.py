"""The embedded dialect: one SQLite file, one process, durable at every acknowledged write.

WAL with ``synchronous=FULL``: when ``write`` returns, the bytes are on the disk. Group commit
comes from waiting: while one batch is in its fsync, whatever arrives gathers into the next, so
that the number of fsyncs falls as load grows. All statements of the writer run on one thread,
reads on another; the event loop never touches the file.

A second file beside the first holds the latest-value tables, where losing the last second in
a power cut costs nothing (agents send again): its sequence jumps ahead at every start, so that
a number is never given out twice.

The lock file keeps a second process out. A newer schema is refused; an older one is migrated
on open, with the pre steps first.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
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
    StoreDamaged,
    StoreError,
    StoreFull,
    Verb,
    Write,
)
from skerry.store.recent import Recent
from skerry.store.sql import queries

T = TypeVar("T")

SCHEMA = 1
MOST_IN_A_BATCH = 512
SEQUENCE_JUMP = 1_000_000
VERBS = {verb.value: verb for verb in Verb}

SQL = queries("sqlite.sql")


class Locked(StoreError):
    """Another process serves this database."""


class FileLock:
    """An advisory lock that dies with its process; the file names the holder."""

    def __init__(self, path: Path) -> None:
        """Take the lock; raises Locked, naming the holder."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise Locked(f"{path.with_suffix('')} is in use by process {holder}; stop it first, or choose another data folder") from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._fd)


def connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    """Open a database file (mode 0600) for use on one thread at a time."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    connection.execute("PRAGMA busy_timeout=5000")
    connection.execute("PRAGMA journal_size_limit=67108864")
    return connection


def migrate(connection: sqlite3.Connection, path: Path, prefix: str = "") -> None:
    """Bring a database to this release's schema; raises StoreError for a newer one."""
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > SCHEMA:
        raise StoreError(f"{path} was written by a newer Skerry (schema {found}, this one knows {SCHEMA}); upgrade Skerry to use it")
    for phase in ("pre", "post"):
        for number in range(found + 1, SCHEMA + 1):
            connection.executescript(f"BEGIN; {SQL[f'{prefix}migration_{number}_{phase}']} COMMIT;")
    connection.execute(f"PRAGMA user_version={SCHEMA}")


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
            self._side = connect(path.with_suffix(".latest.db"), durable=False)
            migrate(self._side, path, "latest_")
            self._revision: int = self._one(self._writer, SQL["newest"])
            self._compacted: int = self._one(self._writer, SQL["compacted"])
            self._objects: int = self._one(self._writer, SQL["count"])
            self._sequence: int = self._one(self._side, SQL["latest_newest"]) + SEQUENCE_JUMP
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
        self._latest_pulse = Pulse()
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._side_thread = ThreadPoolExecutor(1, thread_name_prefix="store-latest")

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
        first = self._sequence + 1
        self._sequence += len(values)
        rows = [(*key, first + index, value) for index, (key, value) in enumerate(values.items())]

        def work() -> None:
            self._side.execute("BEGIN IMMEDIATE")
            try:
                self._side.executemany(SQL["latest_put"], rows)
                self._side.execute("COMMIT")
            except BaseException:
                self._side.execute("ROLLBACK")
                raise

        await self._read(self._side_thread, work)
        self._latest_pulse.beat()
        return first + len(rows) - 1

    async def latest_changes(self, organization: str, resource: str, after: int = 0, limit: int = 0) -> Sequence[LatestRow]:
        """Latest values that changed since a sequence number."""
        values = (organization, resource, after, limit or -1)
        rows = await self._read(self._side_thread, lambda: self._side.execute(SQL["latest_changes"], values).fetchall())
        return [LatestRow(Key(organization, resource, row[0], row[1]), row[2], row[3]) for row in rows if after or row[3] is not None]

    async def latest_wait(self, after: int) -> None:
        """Return as soon as there is a newer latest value."""
        while self._sequence <= after:
            await self._latest_pulse.after(self._latest_pulse.count)

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
        for thread in (self._write_thread, self._read_thread, self._side_thread):
            await asyncio.to_thread(thread.shutdown)
        for connection in (self._reader, self._side, self._writer):
            connection.close()
        self._lock.release()


def explain(error: BaseException, path: Path) -> BaseException:
    """Turn SQLite's errors into ours, with what to do."""
    text = str(error)
    if isinstance(error, sqlite3.OperationalError) and "full" in text:
        return StoreFull(f"the disk that holds {path} is full; nothing was lost, writes go on once there is room")
    if isinstance(error, sqlite3.DatabaseError) and ("malformed" in text or "not a database" in text):
        return StoreDamaged(f"{path} is damaged ({text}); keep a copy of the file and restore the last backup")
    if isinstance(error, sqlite3.Error):
        return StoreError(f"{path}: {text}")
    return error
