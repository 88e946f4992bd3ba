"""The embedded dialect: one SQLite file, one process, durable at every acknowledged write.

WAL with ``synchronous=FULL``: when ``write`` returns, the bytes are on the disk. Group commit
comes from waiting: while one batch is in its fsync, whatever arrives gathers into the next, so
that the number of fsyncs falls as load grows. The event loop never touches the file: batches
run on the writer's thread, readings on a few of their own.

This module is the shell: it gathers batches, answers who waits, and knows how far the log has
come. What a batch does is ``writer.py``'s, reading ``readers.py``'s, opening, locking and
migrating ``files.py``'s, the latest-value tables ``latest.py``'s, copying and restoring
``backup.py``'s.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from skerry.kit.aio import Pulse
from skerry.store import readers
from skerry.store.backup import Restored, keep, part_of, prepare
from skerry.store.contract import Change, Guard, Key, LatestRow, Page, Row, Statistics, StoreClosed, Write
from skerry.store.files import MIGRATIONS, FileLock, explain, inspect, latest_of, remove
from skerry.store.latest import latest_table
from skerry.store.readers import Readers
from skerry.store.recent import Recent
from skerry.store.writer import Outcome, Writer

MOST_IN_A_BATCH = 512
COMPACTION_SLICE = 500  # revisions; about 5 ms, which is what a write may have to wait for it

T = TypeVar("T")
Waiting = tuple[Write, asyncio.Future[int]]


class SqliteStore:
    """See ``contract.Store``. Make one with :meth:`open`."""

    def __init__(self, path: Path) -> None:
        """Open or create the database; blocks. Raises Locked, StoreDamaged or NewerSchema."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as undo:
            self._lock = FileLock(path)
            undo.callback(self._lock.release)
            try:
                inspect(path, MIGRATIONS)
                self._writer = Writer(path)
                undo.callback(self._writer.close)
                self._latest = latest_table(latest_of(path))
                undo.callback(self._latest.abandon)
                self._readers = Readers(path)
            except sqlite3.Error as error:
                raise explain(error, path) from error
            undo.pop_all()
        self._revision = self._writer.newest
        self._recent = Recent(self._revision)
        self._waiting: list[Waiting] = []
        self._busy = False
        self._idle = Pulse()
        self._closed = False
        self._commits = self._writes = 0
        self._pulse = Pulse()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")

    @classmethod
    async def open(cls, path: Path) -> SqliteStore:
        """Open without blocking the loop."""
        return await asyncio.to_thread(cls, path)

    # writing

    async def write(self, write: Write) -> int:
        """Commit one write, together with whoever else waits."""
        self._refuse_when_closed()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((write, future))
        if not self._busy:
            self._next_batch()
        return await future

    def _next_batch(self) -> None:
        taken = self._waiting[:MOST_IN_A_BATCH]
        del self._waiting[: len(taken)]
        batch = [(write, future) for write, future in taken if not future.done()]  # who went away needs no write
        self._busy = bool(batch)
        if not batch:
            self._idle.beat()
            return
        done = asyncio.get_running_loop().run_in_executor(self._thread, self._writer.commit, [write for write, _ in batch])
        done.add_done_callback(lambda finished: self._settle(batch, finished))

    def _settle(self, batch: Sequence[Waiting], finished: asyncio.Future[list[Outcome]]) -> None:
        outcomes = finished.result()
        landed = [outcome for outcome in outcomes if isinstance(outcome, Change)]
        if landed:
            self._recent.extend(landed)
            self._revision = landed[-1].revision
            self._pulse.beat()
        self._commits += 1
        self._writes += len(landed)
        self._next_batch()
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue  # the caller went away; what was committed stays committed
            if isinstance(outcome, Change):
                future.set_result(outcome.revision)
            else:
                future.set_exception(outcome)

    async def compact(self, revision: int) -> None:
        """Drop log entries that no current object needs, a slice at a time between the batches."""
        done = self._writer.compacted
        until = min(revision, self._revision)
        while done < until:
            done = await self._between_batches(partial(self._writer.compact, min(done + COMPACTION_SLICE, until)))
            self._recent.forget(done)

    async def rewrite(self, values: Sequence[tuple[Row, bytes]]) -> int:
        """Put other bytes in the place of stored ones."""
        done = await self._between_batches(partial(self._writer.rewrite, values))
        self._recent.forget(max((row.revision for row, _ in values), default=0))
        return done

    async def erase(self) -> None:
        """Fold the write-ahead log back and cut it off; freed pages are overwritten as they are freed."""
        await self._between_batches(self._writer.fold)

    async def _between_batches(self, work: Callable[[], T]) -> T:
        """Run other work of the writer's on its thread."""
        self._refuse_when_closed()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise explain(error, self._writer.path) from error

    async def restore(self, copy: Path, minutes: int = 0) -> Restored:
        """Put a copy, made so many minutes ago, in the place of everything, while this serves it; one restore at a time.

        The copy must be whole (``backup.verify``). Every follower learns by Compacted that he has to start anew. Raises StoreError.
        """
        database = self._writer.path
        part = part_of(database)
        try:
            restored = await asyncio.to_thread(prepare, copy, part, self._revision, minutes)
            kept = await asyncio.to_thread(keep, database)
            self._refuse_when_closed()
            done = asyncio.get_running_loop().run_in_executor(self._thread, self._writer.exchange, part)
            done.add_done_callback(self._exchanged)  # before whatever is written next is told to anybody
            await done
            await self._latest.forget()
            await self._between_batches(self._writer.fold)
        except sqlite3.Error as error:
            raise explain(error, database) from error
        finally:
            remove(part)
        return restored._replace(kept=kept)

    def _exchanged(self, finished: asyncio.Future[int]) -> None:
        if not finished.cancelled() and finished.exception() is None:
            self._revision = finished.result()
            self._recent = Recent(self._revision)
            self._pulse.beat()

    # reading

    async def get(self, key: Key) -> Row | None:
        """Return the current row."""
        return await self._readers.run(lambda connection: readers.row(connection, key))

    async def page(
        self, organization: str, resource: str, namespace: str | None = None, *, at: int = 0, after: Key | None = None, limit: int = 0
    ) -> Page:
        """Rows of one resource as of a revision."""
        return await self._readers.run(lambda connection: readers.page(connection, organization, resource, namespace, at, after, limit))

    async def head(self) -> int:
        """Return the newest committed revision: the lock makes this process the only writer."""
        self._refuse_when_closed()
        return self._revision

    async def changes(self, after: int, limit: int = 1000) -> Sequence[Change]:
        """Log entries above a revision."""
        self._refuse_when_closed()
        recent = self._recent.after(after, limit) if after <= self._revision else None
        if recent is not None:
            return recent
        return await self._readers.run(lambda connection: readers.changes(connection, after, limit))

    async def held(self, resources: Collection[str], after: int = 0, limit: int = 1000) -> Sequence[Row]:
        """Values that are kept."""
        return await self._readers.run(lambda connection: readers.held(connection, resources, after, limit))

    async def wait(self, after: int) -> None:
        """Return as soon as there is a newer revision."""
        while self._revision <= after:
            self._refuse_when_closed()
            await self._pulse.after(self._pulse.count)

    # latest values

    async def latest_put(self, values: Mapping[Key, bytes | None], guard: Guard | None = None) -> int:
        """Upsert latest values in one batch."""
        return await self._latest.put(values, guard)

    async def latest_head(self) -> int:
        """Return the last sequence number taken."""
        return self._latest.sequence

    async def latest_changes(self, organization: str, resource: str, after: int = 0, limit: int = 0) -> Sequence[LatestRow]:
        """Latest values that changed since a sequence number."""
        return await self._latest.changes(organization, resource, after, limit)

    async def latest_wait(self, after: int) -> None:
        """Return as soon as there is a newer latest value."""
        await self._latest.wait(after)

    # the end

    def trouble(self) -> str:
        """Why nothing can be written until this is opened anew; empty if it can."""
        return self._writer.trouble()

    def statistics(self) -> Statistics:
        """Return counters."""
        writer = self._writer
        return Statistics(
            self._revision,
            writer.compacted,
            writer.objects,
            self._commits,
            self._writes,
            {"waiting": len(self._waiting), "epoch": writer.epoch, "recent_bytes": self._recent.bytes},
        )

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")

    async def close(self) -> None:
        """Finish the writes that were accepted, then close."""
        if self._closed:
            return
        self._closed = True
        while self._busy:
            await self._idle.after(self._idle.count)
        self._pulse.beat()
        await self._readers.close()
        await self._latest.close()
        await asyncio.to_thread(self._thread.shutdown)
        self._writer.close()
        self._lock.release()
