"""What is PostgreSQL's own: opening, refusing, several processes over one database, and a history that was cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from secrets import token_hex

import asyncpg
import pytest

from skerry.kit.aio import TaskOwner
from skerry.store.contract import (
    EPOCH_JUMP,
    Check,
    Compacted,
    Key,
    Require,
    RevisionConflict,
    Store,
    StoreError,
    StoreUnavailable,
    Value,
    Write,
)
from skerry.store.feed import feed
from skerry.store.postgres.server import Address, Limits
from skerry.store.postgres.store import PostgresStore
from tests.store.databases import PATIENT, Databases

pytestmark = pytest.mark.usefixtures("wheel")
VALUE = Value(b"<", b">")


def key(name: str, namespace: str = "n") -> Key:
    return Key("o", "r", namespace, name)


async def put(store: Store, name: str, expect: int = 0, checks: tuple[Check, ...] = ()) -> int:
    return await store.write(Write(key(name), expect, VALUE, checks=checks))


@pytest.fixture
async def address(servers: Databases) -> Address:
    return await servers.fresh()


@pytest.fixture
async def three(address: Address) -> AsyncIterator[list[PostgresStore]]:
    stores = [await PostgresStore.open(address, PATIENT) for _ in range(3)]
    yield stores
    for store in stores:
        await store.close()


async def sql(address: Address, statement: str) -> None:
    connection = await asyncpg.connect(address.url, server_settings={"search_path": "skerry"}, timeout=60)
    await connection.execute(statement)
    await connection.close()


# opening


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@db:5432/fleet", "postgresql://me@db:5432/fleet"),
        ("postgresql://db/fleet?user=me&password=secret&sslmode=require", "postgresql://db/fleet?user=me&sslmode=require"),
        ("postgresql:///fleet?host=/run/pg", "postgresql:///fleet?host=/run/pg"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert str(Address(url)) == shown
    assert "secret" not in repr(Address(url, "secret"))


async def test_a_database_that_cannot_be_reached_is_named_without_the_password() -> None:
    with pytest.raises(StoreUnavailable, match=r"postgresql://me@127\.0\.0\.1:1/fleet cannot be reached") as caught:
        await PostgresStore.open(Address("postgresql://me:secret@127.0.0.1:1/fleet"))
    assert "secret" not in str(caught.value)


async def test_a_database_that_is_not_there_is_refused_in_the_servers_words(address: Address) -> None:
    with pytest.raises(StoreError, match='database "nowhere" does not exist'):
        await PostgresStore.open(Address("postgresql://skerry@/nowhere?" + address.url.partition("?")[2]))


async def test_a_newer_schema_is_refused_and_left_alone(address: Address) -> None:
    await sql(address, "UPDATE schema_level SET post = 99")
    with pytest.raises(StoreError, match="written by a newer Skerry"):
        await PostgresStore.open(address)


async def test_several_that_find_an_empty_database_make_one_schema(servers: Databases) -> None:
    empty = await servers.empty()
    stores = await asyncio.gather(*(PostgresStore.open(empty, PATIENT) for _ in range(4)))
    assert await put(stores[0], "a") == 1
    assert await stores[3].head() == 1
    for store in stores:
        await store.close()


async def test_an_ordinary_owner_of_the_database_is_enough(servers: Databases) -> None:
    empty = await servers.empty()
    name = empty.url.rpartition("/test_")[2].partition("?")[0]
    await sql(empty, "CREATE ROLE fleet LOGIN")
    await sql(empty, f"ALTER DATABASE test_{name} OWNER TO fleet")
    store = await PostgresStore.open(Address(empty.url.replace("skerry@", "fleet@")), PATIENT)
    assert await put(store, "a") == 1
    await store.close()


async def test_a_migration_that_fails_leaves_nothing_behind(servers: Databases) -> None:
    empty = await servers.empty()
    await sql(empty, "CREATE SCHEMA skerry")
    await sql(empty, "CREATE TABLE skerry.latest (in_the_way int)")
    with pytest.raises(StoreError, match='"latest" already exists'):
        await PostgresStore.open(empty)
    await sql(empty, "DROP TABLE latest")
    await (await PostgresStore.open(empty, PATIENT)).close()


async def test_a_name_that_no_database_takes_fails_alone(address: Address) -> None:
    store = await PostgresStore.open(address, PATIENT)
    names = ["a", "b", "\ud800", "c", "n" + "\0", "d", token_hex(5_000), "e"]
    outcomes = await asyncio.gather(*(put(store, name) for name in names), return_exceptions=True)
    expected = [int, int, UnicodeEncodeError, int, StoreError, int, StoreError, int]
    assert [type(outcome) for outcome in outcomes] == expected
    assert [row.key.name for row in (await store.page("o", "r")).rows] == ["a", "b", "c", "d", "e"]
    await store.close()


# several over one database


async def test_what_one_writes_the_others_see_at_once_and_in_the_same_order(three: list[PostgresStore]) -> None:
    seen: list[list[int]] = [[], [], []]

    async def follow(place: int) -> None:
        async for batch in feed(three[place], 0, batch=7):
            seen[place] += [change.revision for change in batch]
            if len(seen[place]) >= 90:
                return

    async def write(place: int) -> None:
        for number in range(30):
            revision = await put(three[place], f"{place}-{number}")
            other = three[(place + 1) % 3]
            assert await other.head() >= revision
            row = await other.get(key(f"{place}-{number}"))
            assert row is not None
            assert row.revision == revision

    async with asyncio.timeout(60):
        await asyncio.gather(*map(follow, range(3)), *map(write, range(3)))
    assert seen == [list(range(1, 91))] * 3


async def test_of_many_that_race_for_one_object_from_several_processes_one_wins_each_round(three: list[PostgresStore]) -> None:
    revision = await put(three[0], "same")
    for _ in range(10):
        outcomes = await asyncio.gather(*(put(store, "same", revision) for store in three * 4), return_exceptions=True)
        won = [outcome for outcome in outcomes if isinstance(outcome, int)]
        assert len(won) == 1
        lost = [outcome for outcome in outcomes if isinstance(outcome, RevisionConflict)]
        assert len(lost) == 11
        assert {outcome.current.revision for outcome in lost if outcome.current} == set(won)
        revision = won[0]


async def test_a_check_is_judged_on_what_another_process_has_written(three: list[PostgresStore]) -> None:
    room = Key("o", "namespaces", "", "n")
    refused = ValueError("terminating")
    open_room = Check(room, accept=lambda value: refused if value.startswith(b"no") else None)
    one, other, _ = three
    first = await one.write(Write(room, 0, Value(b"yes", b"")))
    await put(other, "a", checks=(open_room,))
    second = await one.write(Write(room, first, Value(b"no", b"")))
    with pytest.raises(ValueError, match="terminating"):
        await put(other, "b", checks=(open_room,))
    third = await one.write(Write(room, second, Value(b"yes again", b"x" * 100_000)))
    await put(other, "b", checks=(open_room,))
    empty = Check(room, Require.NONE_UNDER, otherwise=ValueError("not empty"))
    with pytest.raises(ValueError, match="not empty"):
        await one.write(Write(room, third, VALUE, delete=True, checks=(empty,)))


async def test_a_large_object_in_the_way_is_told_in_full(three: list[PostgresStore]) -> None:
    large = Value(b"x" * 300_000, b"")
    revision = await three[0].write(Write(key("large"), 0, large))
    with pytest.raises(RevisionConflict) as caught:
        await three[1].write(Write(key("large"), 0, VALUE))
    assert caught.value.current == (key("large"), revision, large.head + b"%d" % revision)


async def test_latest_values_of_one_process_wake_the_others(three: list[PostgresStore]) -> None:
    before = await three[1].latest_head()
    async with TaskOwner("test") as owner, asyncio.timeout(60):
        waiting = owner.spawn(three[1].latest_wait(before), "waiter")
        await three[0].latest_put({key("a"): b"1", key("b"): None})
        await waiting
    rows = await three[2].latest_changes("o", "r", before)
    assert [(row.key.name, row.value) for row in rows][:1] == [("a", b"1")]


async def test_removals_far_behind_are_forgotten_and_their_followers_told(address: Address) -> None:
    store = await PostgresStore.open(address, PATIENT)
    await store.latest_put({key("kept"): b"1", key("gone"): b"1"})
    removed = await store.latest_put({key("gone"): None})
    for _ in range(12):
        await store.latest_put({key(f"{number}"): b"1" for number in range(10_000)})
    with pytest.raises(Compacted):
        await store.latest_changes("o", "r", removed - 1)
    assert {row.key.name for row in await store.latest_changes("o", "r")} >= {"kept", "1"}
    await store.close()


# a history that was cut


async def test_a_database_that_lost_its_tail_opens_a_new_epoch_and_every_follower_starts_anew(address: Address) -> None:
    one, other = [await PostgresStore.open(address, PATIENT) for _ in range(2)]
    for number in range(5):
        await put(one, f"a{number}")
    position = await other.head()
    await one.latest_put({key("x"): b"1"})
    await sql(
        address,
        "DELETE FROM log WHERE revision > 3; DELETE FROM present WHERE revision > 3;"
        "UPDATE counter SET revision = 3, objects = 3; UPDATE latest_counter SET sequence = 0; DELETE FROM latest",
    )
    again = await put(one, "a4")
    assert again > position + EPOCH_JUMP
    for store in (one, other):
        assert await store.head() == again
        for seen in (3, position):
            with pytest.raises(Compacted):
                await store.changes(seen)
        assert [row.key.name for row in (await store.page("o", "r")).rows] == ["a0", "a1", "a2", "a4"]
        assert store.statistics().extra["epoch"] == 2
    assert await other.latest_head() > EPOCH_JUMP
    with pytest.raises(Compacted):
        await other.latest_changes("o", "r", 1)
    await one.compact(again)
    assert [row.key.name for row in (await other.page("o", "r")).rows] == ["a0", "a1", "a2", "a4"]
    await one.close()
    await other.close()


async def test_a_database_with_another_history_opens_a_new_epoch_once(address: Address) -> None:
    store = await PostgresStore.open(address, PATIENT)
    first = await put(store, "a")
    await store.close()
    await sql(address, "UPDATE counter SET history = 'another cluster'")
    one, other = await asyncio.gather(*(PostgresStore.open(address, PATIENT) for _ in range(2)))
    assert await one.head() == await other.head() == first + EPOCH_JUMP
    assert [row.revision for row in (await other.page("o", "r")).rows] == [first]
    with pytest.raises(Compacted):
        await other.changes(first)
    await one.close()
    await other.close()


async def test_an_idle_process_finds_the_lost_tail_by_itself(address: Address) -> None:
    store = await PostgresStore.open(address, Limits(call=30, away=120, connect=30, poll=0.05))
    position = await put(store, "a")
    async with asyncio.timeout(60):
        await sql(address, "DELETE FROM log; DELETE FROM present; UPDATE counter SET revision = 0, objects = 0")
        await store.wait(position)
    with pytest.raises(Compacted):
        await store.changes(position)
    await store.close()
