"""The latest-value tables of the SQLite dialect: a file of their own beside the log's.

Losing the last second of them in a power cut costs nothing (agents send again), so they are
not synced at every batch. The sequence jumps ahead at every start: a number is never given
out twice.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from skerry.kit.aio import Pulse
from skerry.store.contract import Key, LatestRow
from skerry.store.files import SQL, connect, explain, migrate

T = TypeVar("T")

SEQUENCE_JUMP = 1_000_000


class LatestTable:
    """Latest values in one file, on one thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; blocks."""
        self._path = path
        self._connection = connect(path, durable=False)
        migrate(self._connection, path, "latest_")
        self._sequence = int(self._connection.execute(SQL["latest_newest"]).fetchone()[0]) + SEQUENCE_JUMP
        self._pulse = Pulse()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-latest")

    async def _run(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except sqlite3.DatabaseError as error:
            raise explain(error, self._path) from error

    async def put(self, values: Mapping[Key, bytes | None]) -> int:
        """Upsert a batch; return the last sequence number taken."""
        first = self._sequence + 1
        self._sequence += len(values)
        rows = [(*key, first + index, value) for index, (key, value) in enumerate(values.items())]

        def work() -> None:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(SQL["latest_put"], rows)
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

        await self._run(work)
        self._pulse.beat()
        return first + len(rows) - 1

    async def changes(self, organization: str, resource: str, after: int, limit: int) -> Sequence[LatestRow]:
        """What changed since a sequence number; without tombstones from the beginning."""
        values = (organization, resource, after, limit or -1)
        rows = await self._run(lambda: self._connection.execute(SQL["latest_changes"], values).fetchall())
        return [LatestRow(Key(organization, resource, row[0], row[1]), row[2], row[3]) for row in rows if after or row[3] is not None]

    async def wait(self, after: int) -> None:
        """Return as soon as a number above ``after`` was taken."""
        while self._sequence <= after:
            await self._pulse.after(self._pulse.count)

    async def close(self) -> None:
        """Finish, then close."""
        await asyncio.to_thread(self._thread.shutdown)
        self._connection.close()
