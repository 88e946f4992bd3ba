"""Copies of a PostgreSQL store, and putting one back; both while it is served.

* A copy is an embedded database (one SQLite file) with one moment's objects. So a copy of either
  dialect can be put into either: this is also how an embedded installation moves to PostgreSQL.
* A restore is one transaction under the locks of the counters: servers that run see the old state or the
  new one. As with the embedded dialect it opens a new epoch, and latest values are forgotten.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

from skerry.store.backup import Facts, Restored, appear, stamp, sync, unserved, verify
from skerry.store.contract import EPOCH_JUMP
from skerry.store.files import MIGRATIONS, connect, migrate, remove
from skerry.store.files import SQL as FILE
from skerry.store.files import explain as explain_file
from skerry.store.postgres.schema import existing
from skerry.store.postgres.schema import migrate as migrate_database
from skerry.store.postgres.server import SQL, Address, Limits, Server, explain

SECONDS = 3600.0
ROWS_AT_A_TIME = 1000
LOG = ("revision", "verb", "organization", "resource", "namespace", "name", "previous", "value")


async def backup(address: Address, copy: Path, made: str) -> Facts:
    """Copy a database, served or not, as of now (``made``, RFC 3339), into a file that appears whole or not at all.

    Raises StoreError or OSError.
    """
    part = copy.with_name(copy.name + ".part")
    try:
        connection = await Server(address, Limits()).connect(SECONDS)
        try:
            await existing(connection, address)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await _copy(connection, part, made)
        finally:
            await connection.close(timeout=5)
        return await asyncio.to_thread(appear, part, copy)
    except sqlite3.Error as error:
        raise explain_file(error, part) from error
    except Exception as error:
        raise explain(error, address) from error
    finally:
        remove(part)


async def _copy(connection: Any, part: Path, made: str) -> None:
    remove(part)
    with closing(connect(part, durable=True)) as file:
        migrate(file, part, MIGRATIONS)
        file.execute("BEGIN")
        head = await connection.fetchrow(SQL["head"])
        cursor = await connection.cursor(SQL["every_object"])
        while rows := await cursor.fetch(ROWS_AT_A_TIME):
            await asyncio.to_thread(_keep, file, [tuple(row) for row in rows])
        file.execute(FILE["set_compacted"], {"until": head["revision"]})
        file.execute("COMMIT")
        file.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        await asyncio.to_thread(stamp, file, made)
    sync(part)


def _keep(file: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    """Rows of ``every_object``: revision, the four parts of the key, value."""
    file.executemany(FILE["append"], ((revision, "create", *key, 0, value) for revision, *key, value in rows))
    file.executemany(FILE["point"], ((*key, revision) for revision, *key, _ in rows))


async def restore(copy: Path, address: Address, minutes: int = 0) -> Restored:
    """Put a copy, made so many minutes ago, in the place of what a database holds.

    Servers that run go on with it, and tell every watcher to start anew.
    Raises StoreDamaged for a copy that is no whole backup, NewerSchema for one of a newer Skerry.
    """
    await asyncio.to_thread(verify, copy)
    try:
        connection = await Server(address, Limits()).connect(SECONDS)
        try:
            await migrate_database(connection, address)
            history = await connection.fetchval(SQL["standing"])
            async with connection.transaction():
                return await _exchange(connection, copy, history, minutes)
        finally:
            await connection.close(timeout=5)
    except Exception as error:
        raise explain(error, address) from error


async def _exchange(connection: Any, copy: Path, history: str, minutes: int) -> Restored:
    await connection.execute(SQL["lock_counters"])
    await connection.execute(SQL["clear"])
    with closing(unserved(copy)) as file:
        newest = int(file.execute(FILE["newest"]).fetchone()[0])
        await connection.copy_records_to_table("log", records=_objects(file), columns=LOG)
    objects = await connection.fetchval(SQL["point_at_all"])
    await connection.execute(SQL["count_anew"], newest, objects)
    epoch = await connection.fetchval(SQL["open_epoch"], 0, 0, history, EPOCH_JUMP * (1 + minutes), True)
    head = await connection.fetchrow(SQL["head"])
    return Restored(epoch, head["revision"], objects, None)


def _objects(file: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """The entries of the present objects: each as if it had been created at its revision."""
    rows = file.execute(FILE["every_object"])
    batches = iter(lambda: rows.fetchmany(ROWS_AT_A_TIME), [])
    return ((revision, "create", *key, 0, value) for revision, *key, value in chain.from_iterable(batches))
