"""A look at a database from outside, whether it is served or not: nothing is changed, nothing is locked."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from skerry.store.backup import keys_in
from skerry.store.contract import StoreDamaged
from skerry.store.files import MIGRATIONS, SQL, explain, schema_of
from skerry.store.schema import Level, refuse_newer


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found. ``holder`` is the process that serves it, empty if none does; ``keys`` encrypt some of its values."""

    schema: int
    revision: int
    compacted: int
    objects: int
    epoch: int
    bytes: int
    log_bytes: int
    holder: str
    keys: tuple[str, ...]


def examine(path: Path) -> Examined:
    """Look through a database (reads all of it); raises StoreError, StoreDamaged or FileNotFoundError."""
    size = path.stat().st_size
    log = path.with_name(path.name + "-wal")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            schema = schema_of(connection)
            refuse_newer(Level(schema, schema), MIGRATIONS, path)
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise StoreDamaged(f"{path} is damaged ({' '.join(verdict.split())})")
            newest, compacted, count, epoch = (
                int(connection.execute(SQL[name]).fetchone()[0]) for name in ("newest", "compacted", "count", "epoch")
            )
            keys = tuple(sorted(keys_in(connection)))
    except sqlite3.Error as error:
        raise explain(error, path) from error
    return Examined(schema, newest, compacted, count, epoch, size, log.stat().st_size if log.exists() else 0, holder(path), keys)


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
