"""A look at a database from outside, whether it is served or not: nothing is changed, and nobody is kept from it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from skerry.store.backup import keys_in
from skerry.store.contract import Key, StoreDamaged, StoreError
from skerry.store.files import MIGRATIONS, SQL, check, explain


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found. ``holder`` is the process that serves it, empty if none does; ``keys`` encrypt some of its values.

    ``mark`` is the stored value that was asked for; None if there is none.
    """

    schema: int
    revision: int
    compacted: int
    objects: int
    epoch: int
    size: int
    log_size: int
    holder: str
    keys: tuple[str, ...]
    mark: bytes | None


def examine(path: Path, mark: Key) -> Examined:
    """Look through a database (reads all of it), and fetch one value; raises StoreError, StoreDamaged or FileNotFoundError."""
    size = path.stat().st_size
    if not size:
        raise StoreDamaged(f"{path} is empty")
    log = path.with_name(path.name + "-wal")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            schema = check(connection, MIGRATIONS, path)
            if not schema:
                raise StoreError(f"{path} is no database of Skerry, or its first start did not come to an end")
            newest, compacted, count, epoch = (
                int(connection.execute(SQL[name]).fetchone()[0]) for name in ("newest", "compacted", "count", "epoch")
            )
            keys = tuple(sorted(keys_in(connection)))
            marked = connection.execute(SQL["present"], mark).fetchone()
    except sqlite3.Error as error:
        raise explain(error, path) from error
    return Examined(
        schema, newest, compacted, count, epoch, size, log.stat().st_size if log.exists() else 0, holder(path), keys, marked and marked[1]
    )


def holder(database: Path) -> str:
    """The id of the process that serves a database; empty if none does."""
    try:
        descriptor = os.open(database.with_suffix(".lock"), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
    finally:
        os.close(descriptor)
    return ""
