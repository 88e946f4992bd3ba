"""Copies of an embedded database, and putting one back.

* A backup is made beside the running store, of one moment, into one file that appears whole
  or not at all. Latest values are not in it: whoever reports them reports them again.
* A restore happens while nothing serves the database (it takes the same lock). The file in
  place is exchanged in one step and kept beside the new one; a crash leaves the old or the new.
* **A restore opens a new epoch.** Revisions that were given out after the copy was made are
  unknown to it, and their holders must not meet them again with another meaning. So the new
  epoch begins far behind all of them, with an empty past: every watcher is told to start anew.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from skerry.store.contract import EPOCH_JUMP, StoreDamaged, StoreError
from skerry.store.files import SCHEMA, FileLock, connect, explain
from skerry.store.writer import Writer

SIDE_FILES = ("-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    epoch: int
    revision: int  # where the new epoch begins
    objects: int
    kept: Path | None  # the database that was in place


def backup(database: Path, copy: Path) -> None:
    """Copy a database, served or not, as of now; blocks, so call it off the loop. Raises StoreError."""
    if not database.exists():
        raise StoreError(f"{database} does not exist")
    part = copy.with_name(copy.name + ".part")
    try:
        _copy(database, part)
        part.replace(copy)
        _sync(copy.parent)
    except sqlite3.Error as error:
        raise explain(error, database) from error
    finally:
        _remove(part)


def restore(copy: Path, database: Path) -> Restored:
    """Put a copy in the place of a database that nobody serves; blocks.

    Raises Locked, StoreDamaged for a copy that is no whole database, StoreError for one of a newer Skerry.
    """
    _examine(copy)
    database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(database)
    part = database.with_name(database.name + ".part")
    try:
        _remove(part)
        part.touch(mode=0o600)
        shutil.copyfile(copy, part)
        known = _newest(database)
        restored = _open_epoch(part, known)
        _sync(part)
        kept = _set_aside(database)
        part.replace(database)
        _sync(database.parent)
    except sqlite3.Error as error:
        raise explain(error, database) from error
    finally:
        _remove(part)
        lock.release()
    return Restored(restored[0], restored[1], restored[2], kept)


def _copy(database: Path, part: Path) -> None:
    _remove(part)
    part.touch(mode=0o600)
    with closing(connect(database, durable=True)) as source, closing(sqlite3.connect(part)) as target:
        source.backup(target)  # one step, one snapshot; the writer goes on
        target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    _sync(part)


def _examine(copy: Path) -> None:
    if not copy.exists():
        raise StoreError(f"{copy} does not exist")
    try:
        with closing(sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True)) as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise StoreDamaged(f"{copy} is no whole backup ({error}); take another one") from error
    if verdict != "ok":
        raise StoreDamaged(f"{copy} is no whole backup ({verdict}); take another one")
    if not 0 < found <= SCHEMA:
        raise StoreError(f"{copy} has schema {found}, this Skerry knows 1 to {SCHEMA}")


def _newest(database: Path) -> int:
    """The last revision that the database in place gave out, as far as it can still tell."""
    if not database.exists():
        return 0
    with suppress(sqlite3.Error, StoreError), closing(Writer(database)) as present:
        return present.newest
    return 0


def _open_epoch(part: Path, known: int) -> tuple[int, int, int]:
    with closing(Writer(part)) as writer:
        return writer.open_epoch(max(known, writer.newest) + EPOCH_JUMP), writer.newest, writer.objects


def _set_aside(database: Path) -> Path | None:
    """Keep the database in place under another name too; its side files only move (a whole one has none left)."""
    if not database.exists():
        return None
    kept = database.with_name(database.name + ".before-restore")
    _remove(kept)
    for suffix in SIDE_FILES:
        with suppress(FileNotFoundError):
            Path(f"{database}{suffix}").replace(f"{kept}{suffix}")
    kept.hardlink_to(database)
    return kept


def _remove(path: Path) -> None:
    for suffix in ("", *SIDE_FILES):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
