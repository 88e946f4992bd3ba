"""What is the SQLite dialect's own: files, locks, restarts."""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
import stat
from pathlib import Path

import pytest

from skerry.store.contract import Key, StoreDamaged, StoreError, Value, Write
from skerry.store.files import FileLock, Locked
from skerry.store.sqlite import SqliteStore

KEY = Key("o", "r", "n", "a")
VALUE = Value(b"<", b">")


async def test_everything_is_there_after_a_restart_and_revisions_go_on(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    first = await store.write(Write(KEY, 0, VALUE))
    sequence = await store.latest_put({KEY: b"1"})
    await store.close()
    again = await SqliteStore.open(tmp_path / "s.db")
    row = await again.get(KEY)
    assert row is not None
    assert row.revision == first
    assert await again.write(Write(KEY, first, VALUE)) == first + 1
    assert await again.latest_put({KEY: b"2"}) > sequence
    await again.close()


async def test_whoever_only_looks_whether_a_database_is_served_keeps_nobody_from_serving_it(tmp_path: Path) -> None:
    FileLock(tmp_path / "s.db").release()
    with (tmp_path / "s.lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)  # as a doctor does for a moment
        async with asyncio.TaskGroup() as group:
            opening = group.create_task(SqliteStore.open(tmp_path / "s.db"))
            await asyncio.sleep(0.02)
            assert not opening.done()
            fcntl.flock(looking, fcntl.LOCK_UN)
        await opening.result().close()


async def test_a_revision_is_never_given_out_twice_even_when_its_entry_is_compacted_away(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    first = await store.write(Write(KEY, 0, VALUE))
    gone = await store.write(Write(KEY, first, VALUE, delete=True))
    await store.compact(gone)
    await store.close()
    again = await SqliteStore.open(tmp_path / "s.db")
    assert await again.write(Write(KEY, 0, VALUE)) == gone + 1
    await again.close()


async def test_a_second_process_is_kept_out_with_the_name_of_the_first(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    with pytest.raises(Locked, match="in use by process"):
        await SqliteStore.open(tmp_path / "s.db")
    await store.close()
    await (await SqliteStore.open(tmp_path / "s.db")).close()


async def test_the_files_can_be_read_by_their_owner_only(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "data" / "s.db")
    await store.write(Write(KEY, 0, VALUE))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    assert set(modes.values()) == {0o600}, modes
    await store.close()


async def test_a_database_of_a_newer_release_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreError, match="newer Skerry"):
        await SqliteStore.open(path)


async def test_a_damaged_file_is_reported_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"this is not a database, and long enough to be looked at" * 40)
    with pytest.raises(StoreDamaged, match="restore the last backup"):
        await SqliteStore.open(path)


async def test_the_sequence_of_latest_values_goes_up_at_every_start_whatever_was_removed(tmp_path: Path) -> None:
    heads = []
    for change in ({KEY: b"1"}, {KEY: None}, {}, {}):
        store = await SqliteStore.open(tmp_path / "s.db")
        heads.append(await store.latest_head())
        await store.latest_put(change)
        heads.append(await store.latest_head())
        await store.close()
    assert heads == sorted(heads)
    assert len({*heads[::2]}) == 4
