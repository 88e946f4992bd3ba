"""What every SQLite file of ours goes through: lock, open, migrate; and its errors in words that help.

The lock is advisory and dies with its process; the file names the holder. A newer schema is
refused; an older one is migrated on open, with the pre steps first.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from skerry.store.contract import StoreDamaged, StoreError, StoreFull
from skerry.store.sql import queries

SCHEMA = 1

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
