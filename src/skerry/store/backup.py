"""Copies of an embedded database, and putting one back.

* A backup is made beside the running store, of one moment, into one file that appears whole
  or not at all. Latest values are not in it, and a restore forgets them: whoever reports them reports them again.
* It is a database with one more table, which says when it was made and what all the others hold
  (SHA-256). Nothing is touched before a copy agrees with its checksum.
* Confidential values are in it as they are stored: encrypted. The keyring is not in it.
* A restore of a database that nobody serves (it takes the same lock) exchanges the file in one
  step; one that is served exchanges its content in one transaction (``SqliteStore.restore``). A crash
  leaves the old or the new, and what was in place is kept in a file beside it.
* **A restore opens a new epoch.** Revisions that were given out after the copy was made are
  unknown to it, and their holders must not meet them again with another meaning. So the new
  epoch begins far behind all of them, with an empty past: every watcher is told to start anew.
  The database in place tells how far it had come; where it is damaged, or on another machine, nothing
  does. So the older a copy is, the further its epoch begins: one jump for each minute, since in each
  somebody may have restored it already.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from skerry.store.contract import EPOCH_JUMP, StoreDamaged, StoreError
from skerry.store.files import MIGRATIONS, SIDE_FILES, SQL, FileLock, check, connect, explain, is_damage, latest_of, remove, schema_of
from skerry.store.latest import forget_latest
from skerry.store.schema import Level, refuse_newer
from skerry.store.sealing import MAGIC, key_of
from skerry.store.writer import Writer

HEAD_BYTES = 512
"""Of a sealed value: more than the id of its key takes."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a backup says of itself; ``made`` is RFC 3339, ``keys`` are the ids of those that encrypt some of it."""

    schema: int
    made: str
    revision: int
    objects: int
    checksum: str
    keys: tuple[str, ...]


class Restored(NamedTuple):
    """What a restore did."""

    epoch: int
    revision: int  # where the new epoch begins
    objects: int
    kept: Path | None  # the database that was in place


def backup(database: Path, copy: Path, made: str) -> Facts:
    """Copy a database, served or not, as of now (``made``, RFC 3339); blocks, so call it off the loop. Raises StoreError or OSError."""
    if not database.exists():
        raise StoreError(f"{database} does not exist")
    part = copy.with_name(copy.name + ".part")
    try:
        _copy(database, part, made)
        facts = appear(part, copy)
    except sqlite3.Error as error:
        raise explain(error, database if is_damage(error) or not part.exists() else part) from error
    finally:
        remove(part)
    return facts


def restore(copy: Path, database: Path, minutes: int = 0) -> Restored:
    """Put a copy, made so many minutes ago, in the place of a database that nobody serves; blocks.

    Raises Locked, StoreDamaged for a copy that is no whole backup, NewerSchema for one of a newer Skerry.
    """
    verify(copy)
    database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(database)
    part = part_of(database)
    try:
        restored = prepare(copy, part, _newest(database), minutes)
        forget_latest(latest_of(database))
        kept = _set_aside(database)
        part.replace(database)
        sync(database.parent)
    except sqlite3.Error as error:
        raise explain(error, database) from error
    finally:
        remove(part)
        lock.release()
    return restored._replace(kept=kept)


def part_of(database: Path) -> Path:
    """Where what will take the place of a database is made ready."""
    return database.with_name(database.name + ".part")


def prepare(copy: Path, part: Path, known: int, minutes: int) -> Restored:
    """Make a database out of a copy that was made so many minutes ago, in an epoch of its own behind ``known``; blocks.

    Raises sqlite3.Error or OSError. The copy must be whole.
    """
    remove(part)
    part.touch(mode=0o600)
    shutil.copyfile(copy, part)
    _strip(part)
    epoch, revision, objects = _open_epoch(part, known, EPOCH_JUMP * minutes)
    sync(part)
    return Restored(epoch, revision, objects, None)


def keep(database: Path) -> Path:
    """Copy a database under another name, before its own server exchanges it; blocks. Raises sqlite3.Error or OSError.

    SQLite alone opens the file: a process that closes one by itself loses the locks that its connections hold on it.
    """
    kept = _kept_of(database)
    remove(kept)
    kept.touch(mode=0o600)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(kept)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    sync(kept)
    return kept


def _kept_of(database: Path) -> Path:
    return database.with_name(database.name + ".before-restore")


def appear(part: Path, copy: Path) -> Facts:
    """Put a backup that was just written in its place, once it agrees with its checksum."""
    facts = verify(part)
    part.replace(copy)
    sync(copy.parent)
    return facts


def _copy(database: Path, part: Path, made: str) -> None:
    remove(part)
    part.touch(mode=0o600)
    with closing(connect(database, durable=True)) as source, closing(sqlite3.connect(part)) as target:
        check(source, MIGRATIONS, database)
        source.backup(target)  # one step, one snapshot; the writer goes on
        target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        stamp(target, made)
    sync(part)


def stamp(target: sqlite3.Connection, made: str) -> None:
    """Make a backup out of a database that is whole: note when it was made and what it holds."""
    target.execute("CREATE TABLE backup (made TEXT NOT NULL, checksum TEXT NOT NULL)")
    target.execute("INSERT INTO backup VALUES (?, ?)", (made, _checksum(target)))
    target.commit()


def verify(copy: Path) -> Facts:
    """Hold a backup against its checksum; raises StoreDamaged, NewerSchema, or StoreError if it is not there."""
    if not copy.exists():
        raise StoreError(f"{copy} does not exist")
    try:
        with closing(unserved(copy)) as connection:
            schema = schema_of(connection)
            refuse_newer(Level(schema, schema), MIGRATIONS, copy)
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise _not_whole(copy, " ".join(verdict.split()))
            made, checksum = connection.execute("SELECT made, checksum FROM backup").fetchone()
            if _checksum(connection) != checksum:
                raise _not_whole(copy, "its content does not agree with its checksum")
            revision = connection.execute(SQL["newest"]).fetchone()[0]
            objects = connection.execute(SQL["count"]).fetchone()[0]
            return Facts(schema, made, revision, objects, checksum, tuple(sorted(keys_in(connection))))
    except (sqlite3.Error, TypeError) as error:
        raise _not_whole(copy, str(error)) from error


def unserved(file: Path) -> sqlite3.Connection:
    """Open a database that nobody changes meanwhile, whatever it is called, to read it alone; raises sqlite3.Error."""
    return sqlite3.connect(f"file:{quote(str(file))}?mode=ro&immutable=1", uri=True)


def _not_whole(copy: Path, why: str) -> StoreDamaged:
    return StoreDamaged(f"{copy} is no whole backup ({why}); take another one")


def _checksum(connection: sqlite3.Connection) -> str:
    """What all tables but the backup's own hold, in the order in which they hold it."""
    digest = hashlib.sha256()
    tables = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name != 'backup' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    for name, sql in connection.execute(tables).fetchall():
        digest.update(ascii((name, sql)).encode())
        for row in connection.execute(f'SELECT * FROM "{name}"'):  # noqa: S608 a name out of the schema
            digest.update(ascii(row).encode())
    return digest.hexdigest()


def keys_in(connection: sqlite3.Connection) -> set[str]:
    """The ids of the keys that sealed values name."""
    heads = connection.execute(
        "SELECT DISTINCT substr(value, 1, ?) FROM log WHERE substr(value, 1, ?) = ?", (HEAD_BYTES, len(MAGIC), MAGIC)
    )
    return {key_of(head) for (head,) in heads}


def _newest(database: Path) -> int:
    """The last revision that the database in place gave out, as far as it can still tell."""
    if not database.exists():
        return 0
    with suppress(sqlite3.Error, StoreError), closing(Writer(database)) as present:
        return present.newest
    return 0


def _open_epoch(part: Path, known: int, unseen: int) -> tuple[int, int, int]:
    with closing(Writer(part)) as writer:
        return writer.open_epoch(max(known, writer.newest + unseen) + EPOCH_JUMP), writer.newest, writer.objects


def _strip(part: Path) -> None:
    """Make a database out of a backup."""
    with closing(sqlite3.connect(part)) as connection:
        connection.execute("DROP TABLE backup")
        connection.commit()


def _set_aside(database: Path) -> Path | None:
    """Keep the database in place under another name too; its side files only move (a whole one has none left)."""
    if not database.exists():
        return None
    kept = _kept_of(database)
    remove(kept)
    for suffix in SIDE_FILES:
        with suppress(FileNotFoundError):
            Path(f"{database}{suffix}").replace(f"{kept}{suffix}")
    kept.hardlink_to(database)
    return kept


def sync(path: Path) -> None:
    """Bring a file, or what a folder says of its files, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
