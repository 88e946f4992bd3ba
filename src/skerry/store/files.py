"""What every SQLite file of ours goes through: lock, open, migrate; and its errors in words that help.

* One process per database: an advisory lock that dies with its process, in a file that names
  the holder.
* A newer schema is refused before anything is touched; an older one is copied, then migrated
  (``schema.py``). All of it is one transaction, so a process that dies in the middle leaves the
  old schema behind.
* A database is looked through when it is opened: damage is told at the start, not at the first
  reading that meets it.
* Errors are told apart by SQLite's codes, never by their text: a full disk heals by itself, a
  failing or damaged one does not, and the message says which and what to do.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from skerry.store.contract import StoreDamaged, StoreError, StoreFull
from skerry.store.schema import Level, Migration, migrations, refuse_newer, steps
from skerry.store.sql import queries

PAGE_BYTES = 8192  # three objects of 2 KB to a page; with SQLite's own 4096 a page holds one and is half empty
CHECKPOINT_PAGES = 2000  # 16 MB of log before it is folded back: fewer fsyncs under load
CACHE_KIB = 8192
SIDE_FILES = ("-wal", "-shm")
LOOKS = (0.001, 0.01, 0.05, 0.2)  # seconds between attempts at a lock

SQL = queries("sqlite.sql")
MIGRATIONS, LATEST_MIGRATIONS = migrations("sqlite"), migrations("latest")


class Locked(StoreError):
    """Another process serves this database."""


class FileLock:
    """An advisory lock beside a database (``<name>.lock``) that dies with its process; the file names the holder."""

    def __init__(self, database: Path) -> None:
        """Take the lock; raises Locked, naming the holder."""
        self._fd = os.open(database.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take()
        except OSError as error:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise Locked(f"{database} is in use by process {holder}; stop it first, or choose another data folder") from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def _take(self) -> None:
        """Try for longer than somebody takes who only looks whether it is taken."""
        for pause in LOOKS:
            with suppress(BlockingIOError):
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(pause)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._fd)


def connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    """Open a database file (mode 0600; SQLite gives its side files the same) for use on one thread at a time.

    One that is there is opened by SQLite alone: a process that closes a file by itself loses the locks that its connections
    hold on it, and then the next program that looks into the database takes it for unused, and removes its write-ahead log.
    """
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
    try:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA busy_timeout=5000")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit=67108864")
    except BaseException:
        connection.close()
        raise
    return connection


def inspect(path: Path, known: Sequence[Migration]) -> None:
    """Look through a database that is there, and copy one that will be migrated; blocks.

    Reads the whole file (about 0.1 s for 100 MB that the system has in memory). Raises StoreDamaged, sqlite3.Error, or NewerSchema;
    StoreDamaged also where the file is empty or away, and the one with the latest values tells that it was not always so.
    """
    there = path.exists()
    if latest_of(path).exists() and not (there and path.stat().st_size):
        raise StoreDamaged(
            f"{path} {'is empty' if there else 'is not there'}, but {latest_of(path).name} beside it is: restore the last backup"
            f" (skerry restore FILE), or remove {latest_of(path)} to begin with nothing"
        )
    if not there:
        return
    with closing(connect(path, durable=True)) as connection:
        found = check(connection, known, path)
        if not found and connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
            raise StoreError(f"{path} is a database of another program; choose another data folder")
        if 0 < found < len(known):
            _copy(connection, path.with_name(f"{path.name}.schema-{found}"))


def check(connection: sqlite3.Connection, known: Sequence[Migration], path: Path) -> int:
    """Look through a database, and return the number of its schema; raises StoreDamaged, sqlite3.Error, or NewerSchema."""
    found = schema_of(connection)
    refuse_newer(Level(found, found), known, path)
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StoreDamaged(_damaged(path, " ".join(verdict.split())))
    return found


def latest_of(path: Path) -> Path:
    """Where the latest values of a database are: a file that is made after the database was."""
    return path.with_suffix(".latest.db")


def remove(path: Path) -> None:
    """Remove a database and its side files, if they are there."""
    for suffix in ("", *SIDE_FILES):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _copy(connection: sqlite3.Connection, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    copy.touch(mode=0o600)
    try:
        with closing(sqlite3.connect(copy)) as target:
            connection.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
    except BaseException:
        copy.unlink()
        raise


def schema_of(connection: sqlite3.Connection) -> int:
    """The number of the schema that a database has; 0 for one that is new."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, path: Path, known: Sequence[Migration]) -> None:
    """Bring a database to this release's schema; raises NewerSchema."""
    found = schema_of(connection)
    refuse_newer(Level(found, found), known, path)
    if found == len(known):
        return
    scripts = [script for _, script in steps(known, Level(found, found), post=True)]
    try:
        connection.executescript("\n".join(["BEGIN IMMEDIATE;", *scripts, f"PRAGMA user_version={len(known)};", "COMMIT;"]))
    except BaseException:
        connection.rollback()
        raise


def disk_failed(error: sqlite3.Error) -> bool:
    """Tell whether the disk itself failed: what it holds is known only after opening the database anew."""
    return _code(error) == sqlite3.SQLITE_IOERR


def concerns_all(error: BaseException) -> bool:
    """Tell whether an error is the database's (every write of a batch shares it) and not one write's own."""
    return isinstance(error, sqlite3.OperationalError) or (isinstance(error, sqlite3.Error) and _code(error) in _DAMAGED)


def is_damage(error: BaseException) -> bool:
    """Tell whether an error says that a database is damaged."""
    return isinstance(error, StoreDamaged) or (isinstance(error, sqlite3.Error) and _code(error) in _DAMAGED)


def explain(error: BaseException, path: Path) -> BaseException:
    """Turn SQLite's errors into ours, with what to do; others stay what they are."""
    if not isinstance(error, sqlite3.Error):
        return error
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"the disk that holds {path} is full; nothing was lost, writes go on once there is room")
    if code in _DAMAGED:
        return StoreDamaged(_damaged(path, str(error)))
    if code == sqlite3.SQLITE_IOERR:
        return StoreDamaged(f"the disk that holds {path} fails ({error}); check it, start Skerry again: what was acknowledged is there")
    return StoreError(f"{path}: {error}")


def _damaged(path: Path, what: str) -> str:
    return f"{path} is damaged ({what}); keep a copy of the file and restore the last backup: skerry restore FILE"


_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _code(error: sqlite3.Error) -> int:
    """The primary result code; misuse that Python finds by itself has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
