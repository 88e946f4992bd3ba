"""A backup is one moment of a running store; a restore brings it back and tells everybody to start anew."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from skerry.kit.aio import TaskOwner
from skerry.store.backup import backup, part_of, restore, verify
from skerry.store.contract import EPOCH_JUMP, Compacted, FutureRevision, Key, Store, StoreDamaged, StoreError, Value, Write
from skerry.store.files import PAGE_BYTES, Locked, latest_of
from skerry.store.schema import NewerSchema
from skerry.store.sqlite import SqliteStore
from tests.store.limits import no_file_grows_beyond

VALUE = Value(b"<", b">")
NOW = "2026-01-01T00:00:00Z"


def key(name: str) -> Key:
    return Key("o", "r", "n", name)


async def put(store: Store, name: str, expect: int = 0) -> int:
    return await store.write(Write(key(name), expect, VALUE))


async def names(store: Store) -> list[str]:
    return [row.key.name for row in (await store.page("o", "r")).rows]


async def test_a_backup_under_writes_is_a_moment_of_the_log(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    await asyncio.gather(*(put(store, f"before{number}") for number in range(100)))
    async with asyncio.TaskGroup() as group:
        copying = group.create_task(asyncio.to_thread(backup, tmp_path / "s.db", tmp_path / "copy.db", NOW))
        written = 0
        while not copying.done():
            written += 1
            await put(store, f"during{written}")
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    await store.close()
    done = restore(tmp_path / "copy.db", tmp_path / "elsewhere" / "s.db")
    assert done.kept is None
    again = await SqliteStore.open(tmp_path / "elsewhere" / "s.db")
    revisions = sorted(row.revision for row in (await again.page("o", "r")).rows)
    assert revisions == list(range(1, done.objects + 1))
    assert 100 <= done.objects <= 100 + written
    await again.close()


async def test_after_a_restore_no_revision_comes_again_and_every_follower_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    first = await put(store, "kept")
    updated = await put(store, "kept", first)
    backup(path, tmp_path / "copy.db", NOW)
    lost = await put(store, "lost")
    seen = await store.latest_put({key("seen"): b"1"})
    await store.close()
    done = restore(tmp_path / "copy.db", path)
    assert (done.epoch, done.revision, done.objects) == (2, lost + EPOCH_JUMP, 1)
    again = await SqliteStore.open(path)
    assert await again.latest_changes("o", "r") == []
    assert await again.latest_put({key("seen"): b"2"}) > seen
    assert await names(again) == ["kept"]
    for position in (first, updated, lost):
        with pytest.raises(Compacted):
            await again.changes(position)
    with pytest.raises(Compacted):
        await again.page("o", "r", at=lost)
    with pytest.raises(FutureRevision):
        await again.changes(done.revision + 1)
    fresh = await again.head()
    assert await put(again, "kept", updated) == fresh + 1 > lost
    assert [change.revision for change in await again.changes(fresh)] == [fresh + 1]
    assert again.statistics().extra["epoch"] == 2
    await again.close()
    assert done.kept is not None
    before = await SqliteStore.open(done.kept)
    assert await names(before) == ["kept", "lost"]
    await before.close()


async def test_a_restore_by_the_release_before_does_without_what_only_the_newer_one_reads(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    await put(store, "kept")
    await store.latest_put({key("seen"): b"1"})
    backup(path, tmp_path / "copy.db", NOW)
    await store.close()
    for file in (path, latest_of(path)):
        with closing(sqlite3.connect(file)) as newer:
            newer.execute("PRAGMA user_version=99")
    with pytest.raises(NewerSchema):
        await SqliteStore.open(path)
    restore(tmp_path / "copy.db", path)
    again = await SqliteStore.open(path)
    assert await names(again) == ["kept"]
    assert await again.latest_changes("o", "r") == []
    await again.close()


async def test_a_store_that_is_open_restores_under_writes_and_every_follower_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    kept = await put(store, "kept")
    gone = await put(store, "gone")
    await store.write(Write(key("gone"), gone, VALUE, delete=True))
    backup(path, tmp_path / "copy.db", NOW)
    seen = await store.latest_put({key("seen"): b"1"})
    followed: list[int] = []
    anew = asyncio.Event()

    async def follow() -> None:
        """Every change, from the copy on, until it is said to be the past."""
        position = kept
        try:
            while True:
                for change in await store.changes(position):
                    followed.append(change.revision)
                    position = change.revision
                await store.wait(position)
        except Compacted:
            anew.set()

    async def write(number: int) -> None:
        for turn in range(100_000):
            await put(store, f"w{number}-{turn}")

    async with TaskOwner("test") as owner, asyncio.timeout(120):
        owner.spawn(follow(), "follower")
        for number in range(4):
            owner.spawn(write(number), f"writer {number}")
        while len(followed) < 50:  # noqa: ASYNC110 another task's state
            await asyncio.sleep(0.01)
        done = await store.restore(tmp_path / "copy.db")
        await anew.wait()
        after = await store.head()
        while await store.head() < after + 50:  # noqa: ASYNC110 other tasks' state
            await asyncio.sleep(0.01)
    await put(store, "last")  # behind whatever the writers, who are gone, had under way
    assert max(followed) < done.revision, "nothing of the new history was told as if it followed the old"
    assert (done.epoch, done.objects) == (2, 1)
    then = await store.page("o", "r", at=done.revision)
    assert [(row.key.name, row.revision) for row in then.rows] == [("kept", kept)]
    with pytest.raises(Compacted):
        await store.latest_changes("o", "r", seen)
    assert await store.latest_changes("o", "r") == []
    assert await store.latest_put({key("seen"): b"2"}) > seen
    assert {change.revision for change in await store.changes(done.revision)} == set(range(done.revision + 1, await store.head() + 1))
    present = await names(store)
    await store.close()
    again = await SqliteStore.open(path)
    assert await names(again) == present
    await again.close()
    assert done.kept is not None
    before = await SqliteStore.open(done.kept)
    assert {"kept", "w0-0"} <= set(await names(before))
    await before.close()


async def test_a_restore_that_finds_no_room_leaves_an_open_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    for number in range(200):
        await store.write(Write(key(f"n{number}"), 0, Value(b"<" * 2000, b">")))
    backup(path, tmp_path / "copy.db", NOW)
    await put(store, "later")
    with no_file_grows_beyond(100_000), pytest.raises((StoreError, OSError)):
        await store.restore(tmp_path / "copy.db")
    assert "later" in await names(store)
    assert await put(store, "again") == await store.head()
    assert not part_of(path).exists()
    await store.close()


async def test_a_served_database_is_not_restored_over(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    backup(tmp_path / "s.db", tmp_path / "copy.db", NOW)
    with pytest.raises(Locked):
        restore(tmp_path / "copy.db", tmp_path / "s.db")
    await store.close()


async def test_a_damaged_database_is_replaced_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    await put(store, "a")
    backup(path, tmp_path / "copy.db", NOW)
    await store.close()
    path.write_bytes(b"damage" * 1000)
    done = restore(tmp_path / "copy.db", path)
    assert done.kept is not None
    assert done.kept.read_bytes().startswith(b"damage")
    again = await SqliteStore.open(path)
    assert await names(again) == ["a"]
    await again.close()


async def test_a_backup_restored_again_over_one_that_cannot_be_read_gives_no_revision_out_twice(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    await put(store, "a")
    backup(path, tmp_path / "copy.db", NOW)
    await store.close()
    restore(tmp_path / "copy.db", path, minutes=3)
    again = await SqliteStore.open(path)
    given = await put(again, "lost")
    await again.close()
    path.write_bytes(b"damage" * 1000)
    assert restore(tmp_path / "copy.db", path, minutes=4).revision > given
    assert restore(tmp_path / "copy.db", tmp_path / "elsewhere" / "s.db", minutes=4).revision > given


@pytest.mark.parametrize("page", [0, 1])
async def test_what_keeps_a_database_from_being_copied_is_told_of_the_database(tmp_path: Path, page: int) -> None:
    path, copy = tmp_path / "s.db", tmp_path / "copy.db"
    await (await SqliteStore.open(path)).close()
    whole = path.read_bytes()
    path.write_bytes(whole[: page * PAGE_BYTES] + b"\xff" * PAGE_BYTES + whole[(page + 1) * PAGE_BYTES :])
    with pytest.raises(StoreDamaged, match=rf"^{path} is damaged"):
        backup(path, copy, NOW)
    path.write_bytes(whole)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerSchema, match=rf"^{path} was written by a newer"):
        backup(path, copy, NOW)
    assert not _parts(tmp_path)
    assert not copy.exists()


async def test_what_is_no_whole_backup_is_refused_before_anything_changes(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    await put(store, "a")
    await store.close()
    content = path.read_bytes()
    (tmp_path / "half.db").write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreDamaged, match="no whole backup"):
        restore(tmp_path / "half.db", path)
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreDamaged, match="no whole backup"):
        restore(tmp_path / "empty.db", path)
    (tmp_path / "plain.db").write_bytes(content)
    with pytest.raises(StoreDamaged, match="no such table: backup"):
        restore(tmp_path / "plain.db", path)
    with pytest.raises(StoreError, match="does not exist"):
        restore(tmp_path / "none.db", path)
    assert path.read_bytes() == content
    assert not _parts(tmp_path)


def _parts(folder: Path) -> list[Path]:
    return list(folder.glob("*.part*"))


async def test_a_database_with_other_pages_than_ours_can_be_copied(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
        connection.executescript("PRAGMA page_size=4096; VACUUM;")
    store = await SqliteStore.open(tmp_path / "s.db")
    await put(store, "a")
    backup(tmp_path / "s.db", tmp_path / "copy.db", NOW)
    await store.close()
    assert restore(tmp_path / "copy.db", tmp_path / "s.db").objects == 1
    assert not _parts(tmp_path)


async def test_a_backup_in_which_one_value_was_changed_is_refused_though_the_file_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    for number in range(20):
        await put(store, f"n{number}")
    facts = backup(path, tmp_path / "copy.db", NOW)
    await store.close()
    assert (facts.made, facts.revision, facts.objects, facts.keys) == (NOW, 20, 20, ())
    assert verify(tmp_path / "copy.db") == facts
    for change in (
        "UPDATE log SET value = '<7 >' WHERE revision = 7",
        "DELETE FROM current WHERE name = 'n3'",
        "UPDATE meta SET value = 9",
    ):
        (tmp_path / "changed.db").write_bytes((tmp_path / "copy.db").read_bytes())
        with closing(sqlite3.connect(tmp_path / "changed.db")) as connection:
            connection.execute(change)
            connection.commit()
        with pytest.raises(StoreDamaged, match="does not agree with its checksum"):
            restore(tmp_path / "changed.db", path)
    content = bytearray((tmp_path / "copy.db").read_bytes())
    place = content.index(b"<7>")
    content[place + 1] ^= 1
    (tmp_path / "changed.db").write_bytes(content)
    with pytest.raises(StoreDamaged, match="checksum"):
        restore(tmp_path / "changed.db", path)


async def test_a_restored_database_can_be_backed_up_and_restored_again(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    await put(store, "a")
    await store.close()
    for turn in range(3):
        backup(path, tmp_path / "copy.db", NOW)
        assert restore(tmp_path / "copy.db", path).epoch == turn + 2


async def test_a_backup_that_finds_no_room_leaves_nothing_behind_and_says_so(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    for number in range(50):
        await store.write(Write(key(f"n{number}"), 0, Value(b"<", b" " * 8000 + b">")))
    (tmp_path / "copy.db").write_bytes(b"the last good one")
    with no_file_grows_beyond(100_000), pytest.raises(StoreError):
        backup(tmp_path / "s.db", tmp_path / "copy.db", NOW)
    assert (tmp_path / "copy.db").read_bytes() == b"the last good one"
    assert not _parts(tmp_path)
    await store.close()
