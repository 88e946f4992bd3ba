"""A copy of a PostgreSQL store is one moment of it; either dialect can be restored from either's copy, while it is served."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import asyncpg
import pytest

from skerry.store.backup import backup as backup_file
from skerry.store.backup import restore as restore_file
from skerry.store.contract import EPOCH_JUMP, Compacted, Key, Store, StoreDamaged, StoreError, StoreFull, Value, Write
from skerry.store.postgres.backup import backup, restore
from skerry.store.postgres.server import Address
from skerry.store.postgres.store import PostgresStore
from skerry.store.sqlite import SqliteStore
from tests.disks import small_disk
from tests.store.databases import PATIENT, Databases

pytestmark = pytest.mark.usefixtures("wheel")
VALUE = Value(b"<", b">")
MADE = "2026-01-01T00:00:00Z"


async def put(store: Store, name: str, expect: int = 0, *, delete: bool = False) -> int:
    return await store.write(Write(Key("o", "r", "n", name), expect, VALUE, delete=delete))


async def contents(store: Store) -> dict[str, tuple[int, bytes]]:
    return {row.key.name: (row.revision, row.value) for row in (await store.page("o", "r")).rows}


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
async def address(servers: Databases) -> Address:
    return await servers.fresh()


async def test_a_copy_under_writes_is_one_moment(address: Address, tmp_path: Path) -> None:
    store = await PostgresStore.open(address, PATIENT)
    await asyncio.gather(*(put(store, f"before{number}") for number in range(100)))
    copying = asyncio.gather(backup(address, tmp_path / "copy.db", MADE))
    written = 0
    while not copying.done():
        written += 1
        await put(store, f"during{written}")
    await copying
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert names(tmp_path) == ["copy.db"]
    await store.close()
    done = restore_file(tmp_path / "copy.db", tmp_path / "embedded" / "s.db")
    moved = await SqliteStore.open(tmp_path / "embedded" / "s.db")
    assert sorted(revision for revision, _ in (await contents(moved)).values()) == list(range(1, done.objects + 1))
    assert 100 <= done.objects <= 100 + written
    await moved.close()


async def test_a_restore_of_a_served_database_shows_the_copy_and_every_follower_starts_anew(address: Address, tmp_path: Path) -> None:
    one, other = [await PostgresStore.open(address, PATIENT) for _ in range(2)]
    kept = await put(one, "kept")
    gone = await put(one, "gone")
    await put(one, "gone", gone, delete=True)
    before = await contents(one)
    await backup(address, tmp_path / "copy.db", MADE)
    lost = await put(one, "lost")
    sequence = await one.latest_put({Key("o", "t", "n", "x"): b"1"})
    done = await restore(tmp_path / "copy.db", address)
    assert (done.epoch, done.revision, done.objects) == (2, lost + EPOCH_JUMP, 1)
    for store in (one, other):
        assert await store.head() == done.revision
        assert await contents(store) == before
        for position in (kept, lost):
            with pytest.raises(Compacted):
                await store.changes(position)
        with pytest.raises(Compacted):
            await store.latest_changes("o", "t", sequence)
        assert store.statistics().objects == 1
    assert await put(other, "kept", kept) == done.revision + 1
    await one.compact(done.revision + 1)
    assert (await contents(other)).keys() == {"kept"}
    await one.close()
    await other.close()


async def test_a_restore_and_what_is_written_beside_it_wait_for_each_other_in_one_order(address: Address, tmp_path: Path) -> None:
    """Heartbeats and compaction go on while a restore of any length runs: neither may end up waiting for the other in a circle."""
    store = await PostgresStore.open(address, PATIENT)
    newest = await put(store, "a", await put(store, "a"))
    await backup(address, tmp_path / "copy.db", MADE)
    reader, looker = [await asyncpg.connect(address.url, timeout=60) for _ in range(2)]
    looks = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async def waiting(many: int) -> None:
        async with asyncio.timeout(60):
            while await looker.fetchval(looks) < many:  # noqa: ASYNC110 sessions of another process
                await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetch("SELECT FROM skerry.latest")  # the restore, which empties this table, gets stuck in its midst
        restored = group.create_task(restore(tmp_path / "copy.db", address))
        await waiting(1)
        group.create_task(store.latest_put({Key("o", "t", "n", "x"): b"1"}))
        group.create_task(store.compact(newest))
        await waiting(3)
        await asyncio.sleep(1.5)  # longer than PostgreSQL lets a session wait before it looks, once, for a circle
        await transaction.rollback()
    assert restored.result().objects == 1
    assert await contents(store) == {"a": (newest, f"<{newest}>".encode())}
    await reader.close()
    await looker.close()
    await store.close()


async def test_an_embedded_store_moves_to_postgresql(servers: Databases, tmp_path: Path) -> None:
    embedded = await SqliteStore.open(tmp_path / "s.db")
    first = await put(embedded, "a")
    await put(embedded, "a", first)
    await put(embedded, "b")
    was = await contents(embedded)
    copy = tmp_path / "100% of #1?.db"  # a name that is no URL
    backup_file(tmp_path / "s.db", copy, MADE)
    await embedded.close()
    empty = await servers.empty()
    with pytest.raises(StoreError, match="holds no database of Skerry's"):
        await backup(empty, tmp_path / "none.db", MADE)
    await restore(copy, empty)
    store = await PostgresStore.open(empty, PATIENT)
    assert await contents(store) == was
    assert await put(store, "c") > EPOCH_JUMP
    await store.close()


async def test_a_copy_that_does_not_fit_on_its_disk_is_told_and_leaves_nothing(address: Address, tmp_path: Path) -> None:
    store = await PostgresStore.open(address, PATIENT)
    await asyncio.gather(*(store.write(Write(Key("o", "r", "n", f"x{number}"), 0, Value(b"<", b"x" * 5000))) for number in range(200)))
    await store.close()
    with small_disk(tmp_path / "small", "256k"):
        with pytest.raises(StoreFull, match=r"copy\.db.* is full"):
            await backup(address, tmp_path / "small" / "copy.db", MADE)
        assert names(tmp_path / "small") == []


async def test_a_copy_that_is_not_whole_leaves_the_database_alone(address: Address, tmp_path: Path) -> None:
    store = await PostgresStore.open(address, PATIENT)
    await put(store, "a")
    (tmp_path / "copy.db").write_bytes(b"no database" * 500)
    with pytest.raises(StoreDamaged):
        await restore(tmp_path / "copy.db", address)
    assert await contents(store) == {"a": (1, b"<1>")}
    await store.close()
