"""The latest-value tables of the SQLite dialect: a file of their own beside the log's.

Losing the last second of them in a power cut costs nothing (agents send again), so they are
not synced at every batch. The sequence jumps ahead at every start, from where the last start
began or further: a number is never given out twice, whatever was lost or removed since.

A removed value leaves a tombstone, for readers that follow. Tombstones far behind the newest
number are buried; a reader that is still behind them is told (Compacted) to read everything
anew. A start buries them all, since every reader begins anew with it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from skerry.kit.aio import Pulse
from skerry.kit.log import get
from skerry.store.contract import Compacted, Guard, Key, LatestRow, StoreClosed, StoreDamaged, refuse_outdated
from skerry.store.files import LATEST_MIGRATIONS, SQL, check, connect, explain, is_damage, migrate, remove
from skerry.store.schema import NewerSchema

T = TypeVar("T")

SEQUENCE_JUMP = 1_000_000
TOMBSTONES = 100_000  # sequence numbers behind the newest for which removals can be followed
BURY_EVERY = 10_000
BEGIN = ("", "", "", "")
"""The key of a tombstone whose number is where the last start began; nothing else has it."""

log = get("store.latest")


class LatestTable:
    """Latest values in one file, on one thread: what is asked for later sees what was put earlier."""

    def __init__(self, path: Path, *, tombstones: int = TOMBSTONES, bury_every: int = BURY_EVERY) -> None:
        """Open or create the file; blocks. The two bounds count sequence numbers."""
        self._path = path
        self._tombstones = tombstones
        self._bury_every = bury_every
        self._connection = connect(path, durable=False)
        try:
            check(self._connection, LATEST_MIGRATIONS, path)
            migrate(self._connection, path, LATEST_MIGRATIONS)
            self.sequence = self._buried = self._jump()
        except BaseException:
            self._connection.close()
            raise
        self._pulse = Pulse()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-latest")
        self._closed = False

    def _jump(self) -> int:
        """Begin far behind every number that may have been given out, and write that down for good."""
        known = int(self._connection.execute(SQL["latest_newest"]).fetchone()[0])
        begin = known + SEQUENCE_JUMP
        self._connection.execute(SQL["latest_put"], (*BEGIN, begin, None))
        self._connection.execute(SQL["latest_bury"], (known,))
        self._connection.execute("PRAGMA wal_checkpoint(FULL)")  # which syncs; a single batch does not
        return begin

    async def _run(self, function: Callable[[], T]) -> T:
        if self._closed:
            raise StoreClosed("the store is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except sqlite3.Error as error:
            raise explain(error, self._path) from error

    async def put(self, values: Mapping[Key, bytes | None], guard: Guard | None = None) -> int:
        """Upsert a batch if its guard holds; return the last sequence number taken."""
        first = self.sequence + 1
        last = self.sequence = self.sequence + len(values)
        rows = [(*key, first + index, value) for index, (key, value) in enumerate(values.items())]

        def work() -> None:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                if guard is not None:
                    there = self._connection.execute(SQL["latest_sequence"], guard.key).fetchone()
                    refuse_outdated(guard, there[0] if there else 0)
                self._connection.executemany(SQL["latest_put"], rows)
                if last - self._tombstones >= self._buried + self._bury_every:
                    self._connection.execute(SQL["latest_bury"], (last - self._tombstones,))
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise
            if last - self._tombstones >= self._buried + self._bury_every:
                self._buried = last - self._tombstones

        try:
            await self._run(work)
        finally:
            self._pulse.beat()
        return last

    async def forget(self) -> None:
        """Drop every value: whoever follows begins anew, and whoever reports reports again."""
        last = self.sequence = self.sequence + 1

        def work() -> None:
            self._connection.execute(SQL["latest_forget"])
            self._buried = last

        try:
            await self._run(work)
        finally:
            self._pulse.beat()

    async def changes(self, organization: str, resource: str, after: int, limit: int) -> Sequence[LatestRow]:
        """What changed since a sequence number; only values where it is 0."""

        def work() -> list[tuple[str, str, int, bytes | None]]:
            if not after:
                return self._connection.execute(SQL["latest_values"], (organization, resource, limit or -1)).fetchall()
            if after < self._buried:
                raise Compacted(self._buried)
            return self._connection.execute(SQL["latest_changes"], (organization, resource, after, limit or -1)).fetchall()

        return [LatestRow(Key(organization, resource, *row[:2]), *row[2:]) for row in await self._run(work)]

    async def wait(self, after: int) -> None:
        """Return as soon as a number above ``after`` was taken."""
        while self.sequence <= after:
            if self._closed:
                raise StoreClosed("the store is closed")
            await self._pulse.after(self._pulse.count)

    async def close(self) -> None:
        """Finish, then close."""
        self._closed = True
        self._pulse.beat()
        await asyncio.to_thread(self._thread.shutdown)
        self._connection.close()

    def abandon(self, *, empty: bool = False) -> None:
        """Close a table that was opened and not used; ``empty``: without a value in it, and behind every number that it gave out."""
        if empty:
            self._connection.execute(SQL["latest_forget"])
        self._connection.close()


def latest_table(path: Path) -> LatestTable:
    """Open the file, or begin it anew where it is damaged: what was in it is reported again; blocks.

    Raises sqlite3.Error or NewerSchema.
    """
    try:
        return LatestTable(path)
    except (sqlite3.Error, StoreDamaged) as error:
        if not is_damage(error):
            raise
        log.warning("began a damaged file of latest values anew", file=str(path), reason=str(error))
    remove(path)
    return LatestTable(path)


def forget_latest(path: Path) -> None:
    """Drop every value of a file that nobody serves, if there is one; that of a newer release goes as a whole. Raises sqlite3.Error."""
    if not path.exists():
        return
    try:
        latest_table(path).abandon(empty=True)
    except NewerSchema:
        remove(path)
