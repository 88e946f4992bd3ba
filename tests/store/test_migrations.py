"""From one release's database to the next: in steps, whole or not at all, and never backwards."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from skerry.store import files, schema, sqlite, writer
from skerry.store.contract import Key, StoreDamaged, Value, Write
from skerry.store.schema import Level, Migration, NewerSchema, migrations, read, refuse_newer, steps
from skerry.store.sqlite import SqliteStore

KEY = Key("o", "r", "n", "a")
NEXT = Migration(2, "ALTER TABLE log ADD COLUMN note TEXT;", "CREATE TABLE tidied (a);")


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


async def _one_object(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.write(Write(KEY, 0, Value(b"<", b">")))
    await store.close()


def _next_release(monkeypatch: pytest.MonkeyPatch, migration: Migration) -> None:
    for module in (writer, sqlite, files):
        monkeypatch.setattr(module, "MIGRATIONS", (*migrations("sqlite"), migration))


async def test_an_older_database_is_copied_and_migrated_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.db"
    await _one_object(path)
    with monkeypatch.context() as patched:
        _next_release(patched, NEXT)
        store = await SqliteStore.open(path)
        row = await store.get(KEY)
        assert row is not None
        assert await store.write(Write(KEY, row.revision, Value(b"<", b">"))) == 2
        await store.close()
        again = await SqliteStore.open(path)
        await again.close()
    assert "tidied" in tables(path)
    copy = tmp_path / "s.db.schema-1"
    assert "tidied" not in tables(copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    with pytest.raises(NewerSchema, match="start that release again, or restore a backup"):
        await SqliteStore.open(path)
    copy.replace(path)
    path.with_name("s.db-wal").unlink(missing_ok=True)
    store = await SqliteStore.open(path)
    assert (await store.get(KEY)) == row
    await store.close()


async def test_a_migration_that_fails_leaves_the_old_database_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.db"
    await _one_object(path)
    with monkeypatch.context() as patched:
        _next_release(patched, Migration(2, "CREATE TABLE half (a);", "CREATE TABLE half (a);"))
        with pytest.raises(Exception, match="half already exists"):
            await SqliteStore.open(path)
    assert "half" not in tables(path)
    store = await SqliteStore.open(path)
    assert await store.get(KEY) is not None
    await store.close()


def test_the_steps_are_first_all_pre_ones_and_the_post_ones_when_they_are_wanted() -> None:
    known = (Migration(1, "a", "b"), Migration(2, "c", ""), Migration(3, "d", "e"))
    assert [script for _, script in steps(known, Level(1, 1), post=True)] == ["c", "d", "", "e"]
    assert [script for _, script in steps(known, Level(1, 1), post=False)] == ["c", "d"]
    assert list(steps(known, Level(3, 1), post=True))[-1][0] == Level(3, 3)
    assert list(steps(known, Level(3, 3), post=True)) == []


def test_an_old_release_works_beside_the_new_one_until_the_post_steps() -> None:
    old = (Migration(1, "a", ""),)
    refuse_newer(Level(2, 1), old, "the database")
    with pytest.raises(NewerSchema, match="schema 2, this one knows 1"):
        refuse_newer(Level(2, 2), old, "the database")


def test_a_folder_of_migrations_has_no_gap_and_no_stranger(tmp_path: Path) -> None:
    (tmp_path / "0001_first.pre.sql").write_text("a")
    (tmp_path / "0002_second.post.sql").write_text("b")
    assert read(tmp_path) == (Migration(1, "a", ""), Migration(2, "", "b"))
    (tmp_path / "0004_gap.pre.sql").write_text("c")
    with pytest.raises(ValueError, match="gap"):
        read(tmp_path)
    (tmp_path / "0004_gap.pre.sql").rename(tmp_path / "3.sql")
    with pytest.raises(ValueError, match="no migration"):
        read(tmp_path)


async def test_damage_that_nobody_reads_is_told_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    for number in range(200):
        await store.write(Write(Key("o", "r", "n", f"n{number}"), 0, Value(b"<", b" " * 2000 + b">")))
    await store.close()
    content = bytearray(path.read_bytes())
    page = len(content) // files.PAGE_BYTES // 2
    content[page * files.PAGE_BYTES : page * files.PAGE_BYTES + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match="restore the last backup: skerry restore FILE") as caught:
        await SqliteStore.open(path)
    assert "\n" not in str(caught.value)


def test_every_dialect_has_its_migrations_in_the_package() -> None:
    assert [each.number for each in migrations("sqlite")] == [1]
    assert [each.number for each in migrations("latest")] == [1]
    assert schema.migrations("sqlite")[0].post == ""
