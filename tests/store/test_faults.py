"""What the disk can do to the SQLite dialect: fill up, fail, be damaged; and how the store says so."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from skerry.store import files
from skerry.store.contract import Key, Store, StoreDamaged, StoreError, StoreFull, Value, Write
from skerry.store.sqlite import SqliteStore
from tests.store.limits import no_file_grows_beyond


def key(name: str) -> Key:
    return Key("o", "r", "n", name)


async def put(store: Store, name: str, size: int = 10) -> int:
    return await store.write(Write(key(name), 0, Value(b"<", b" " * size + b">")))


async def _names(store: Store) -> list[str]:
    return [row.key.name for row in (await store.page("o", "r")).rows]


async def test_a_full_disk_refuses_writes_loses_nothing_and_heals(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    before = await put(store, "before")
    connection = store._writer._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 1}")
    outcomes = await asyncio.gather(*(put(store, f"n{number}", 40_000) for number in range(8)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreFull}
    assert await _names(store) == ["before"]
    connection.execute("PRAGMA max_page_count=1000000")
    assert await put(store, "after") == before + 1
    await store.close()
    again = await SqliteStore.open(tmp_path / "s.db")
    assert await _names(again) == ["after", "before"]
    await again.close()


async def test_after_a_write_error_nothing_is_written_until_the_database_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    first = await put(store, "first")
    with no_file_grows_beyond(path.with_name("s.db-wal").stat().st_size), pytest.raises(StoreDamaged, match="start Skerry again"):
        await put(store, "lost", 100_000)
    with pytest.raises(StoreDamaged, match="start Skerry again"):
        await put(store, "refused")
    assert "start Skerry again" in store.trouble()
    assert await _names(store) == ["first"]
    await store.close()
    again = await SqliteStore.open(path)
    assert await put(again, "second") > first
    assert await _names(again) == ["first", "second"]
    await again.close()


async def test_a_name_that_no_database_takes_fails_alone(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    names = ["a", "b", "\ud800", "c", "d"]
    outcomes = await asyncio.gather(*(put(store, name) for name in names), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, int, UnicodeEncodeError, int, int]
    assert await _names(store) == ["a", "b", "c", "d"]
    await store.close()


async def test_damage_in_the_middle_of_the_file_is_reported_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    for number in range(200):
        await put(store, f"n{number}", 2000)
    await store.close()
    content = bytearray(path.read_bytes())
    content[2 * files.PAGE_BYTES :] = b"\xff" * (len(content) - 2 * files.PAGE_BYTES)
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match="restore the last backup"):
        await _names(await SqliteStore.open(path))


async def test_a_first_start_that_died_before_its_schema_was_whole_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    connection = files.connect(path, durable=True)
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE log (revision INTEGER PRIMARY KEY)")
    connection.close()  # as a killed process leaves it: never committed
    store = await SqliteStore.open(path)
    assert await put(store, "a") == 1
    await store.close()


@pytest.mark.parametrize("gone", [False, True])
async def test_nothing_is_begun_in_the_place_of_a_database_that_lost_everything(tmp_path: Path, gone: bool) -> None:
    path = tmp_path / "s.db"
    await (await SqliteStore.open(path)).close()
    path.write_bytes(b"")
    if gone:
        path.unlink()
    with pytest.raises(StoreDamaged, match="restore the last backup"):
        await SqliteStore.open(path)
    assert not gone or not path.exists()
    (tmp_path / "s.latest.db").unlink()
    await (await SqliteStore.open(path)).close()


async def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
        with pytest.raises(StoreError, match="another program"):
            await SqliteStore.open(path)
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


@pytest.mark.parametrize("begins", [0, files.PAGE_BYTES])
async def test_damaged_latest_values_are_begun_anew_and_nothing_else_is(tmp_path: Path, begins: int) -> None:
    path, latest = tmp_path / "s.db", tmp_path / "s.latest.db"
    store = await SqliteStore.open(path)
    await put(store, "kept")
    await store.latest_put({key("seen"): b"1"})
    await store.close()
    latest.write_bytes(latest.read_bytes()[:begins] + b"\xff" * 3 * files.PAGE_BYTES)
    again = await SqliteStore.open(path)
    assert await _names(again) == ["kept"]
    assert await again.latest_put({key("seen"): b"2"}) > 0
    await again.close()


def test_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    connection = files.connect(path, durable=True)
    connection.execute("CREATE TABLE meta (in_the_way)")
    with pytest.raises(sqlite3.OperationalError, match="meta already exists"):
        files.migrate(connection, path, files.MIGRATIONS)
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    assert tables == [("meta",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()


async def test_a_failed_opening_lets_the_next_one_in(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"no database" * 500)
    with pytest.raises(StoreDamaged):
        await SqliteStore.open(path)
    path.unlink()
    await (await SqliteStore.open(path)).close()


async def test_writes_and_reads_go_on_while_the_log_is_compacted(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    revision = await put(store, "a")
    for _ in range(3):
        batch = [Write(key(f"n{number}"), 0, Value(b"<", b">")) for number in range(500)]
        revisions = await asyncio.gather(*map(store.write, batch))
        gone = (Write(write.key, at, write.value, delete=True) for write, at in zip(batch, revisions, strict=True))
        revision = max(await asyncio.gather(*map(store.write, gone)))
    async with asyncio.TaskGroup() as group:
        compacting = group.create_task(store.compact(revision))
        during = [await put(store, f"during{number}") for number in range(3)]
        assert not compacting.done()
    assert during == list(range(revision + 1, revision + 4))
    assert [change.revision for change in await store.changes(revision)] == during
    left = store._writer._connection.execute("SELECT count(*) FROM log").fetchone()[0]
    assert left == 1 + 3
    await store.close()
