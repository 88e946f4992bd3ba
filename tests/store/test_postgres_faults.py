"""What can happen to a database under load: no acknowledged write is lost, none is done twice, no follower misses or doubles one."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import asyncpg
import pytest

from peers.postgresql import PostgreSql, kill
from skerry.kit.aio import TaskOwner
from skerry.store.contract import EPOCH_JUMP, Change, Compacted, Key, RevisionConflict, StoreFull, StoreUnavailable, Value, Verb, Write
from skerry.store.feed import feed
from skerry.store.postgres.server import SQL, Address, Limits
from skerry.store.postgres.store import PostgresStore
from tests.disks import small_disk
from tests.store.relay import relay, through

pytestmark = pytest.mark.usefixtures("wheel")
CALLERS = 16
PATIENT = Limits(call=20.0, away=300.0, connect=20.0)
"""Long enough that nobody gives up while a server is away."""

IMPATIENT = Limits(call=30.0, away=0.5, connect=30.0, poll=0.05)
"""So that a server that is down is soon called away, and a slow one is not."""

VALUE = Value(b"<", b">" + b" " * 500)
AWAY = 5.0
"""So long the API may be away, in seconds."""


@pytest.fixture
def server(wheel: None) -> Iterator[PostgreSql]:
    with PostgreSql("wheel") as made:
        yield made


@pytest.fixture
async def store(server: PostgreSql) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(Address(server.dsn()), PATIENT)
    yield opened
    await opened.close()


async def until(state: Callable[[], bool]) -> None:
    """Wait for a state."""
    async with asyncio.timeout(240):
        while not state():  # noqa: ASYNC110 states of another process, and of several objects
            await asyncio.sleep(0.01)


@dataclass
class Load:
    """Callers that write without pause, and what they were acknowledged."""

    store: PostgresStore
    name: str = "w"
    acknowledged: dict[int, tuple[Verb, str]] = field(default_factory=dict)
    enough: bool = False

    async def _caller(self, number: int) -> None:
        turn = 0
        while not self.enough:
            key = Key("o", "r", "n", f"{self.name}-{number}-{turn}")
            first = await self._write(Write(key, 0, VALUE), Verb.CREATE)
            if turn % 2:
                await self._write(Write(key, first, VALUE, delete=True), Verb.DELETE)
            turn += 1

    async def _write(self, write: Write, verb: Verb) -> int:
        revision = await self.store.write(write)
        assert revision not in self.acknowledged
        self.acknowledged[revision] = (verb, write.key.name)
        return revision

    async def run(self, faults: Callable[[int], Awaitable[None]], rounds: int = 4) -> None:
        """Write all the time, and let ``faults`` happen so many times in between."""
        async with asyncio.timeout(240), TaskOwner("load") as owner:
            callers = [owner.spawn(self._caller(number), f"caller {number}") for number in range(CALLERS)]
            for turn in range(rounds):
                await self.more(200)
                await faults(turn)
            await self.more(200)
            self.enough = True
            await asyncio.gather(*callers)

    async def more(self, count: int) -> None:
        wanted = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= wanted)


@dataclass
class Follower:
    """Whoever follows the log as a watch cache does."""

    store: PostgresStore
    seen: list[Change] = field(default_factory=list)

    async def run(self) -> None:
        async for batch in feed(self.store, 0, batch=100):
            self.seen += batch

    async def until(self, revision: int) -> None:
        await until(lambda: bool(self.seen) and self.seen[-1].revision >= revision)


def _compare(acknowledged: dict[int, tuple[Verb, str]], seen: list[Change]) -> None:
    """The log has every acknowledged write at its revision, once; nothing is missing or doubled."""
    assert [change.revision for change in seen] == list(range(1, len(seen) + 1))
    assert {change.revision: (change.verb, change.key.name) for change in seen} == acknowledged


async def _survives(store: PostgresStore, faults: Callable[[int], Awaitable[None]], rounds: int = 4) -> None:
    load, follower = Load(store), Follower(store)
    async with TaskOwner("test") as owner:
        owner.spawn(follower.run(), "follower")
        await load.run(faults, rounds)
        await follower.until(await store.head())
    _compare(load.acknowledged, follower.seen)


async def test_sessions_that_are_ended_in_the_middle_of_batches_cost_nothing(store: PostgresStore, server: PostgreSql) -> None:
    async def end_all(_: int) -> None:
        admin = await asyncpg.connect(server.dsn(), timeout=60)
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'skerry'")
        await admin.close()

    await _survives(store, end_all, 8)


async def test_a_backend_that_is_killed_takes_all_down_and_everything_goes_on(store: PostgresStore, server: PostgreSql) -> None:
    async def kill_one(turn: int) -> None:
        backends = server.backends("postgres")
        kill(backends[turn % len(backends)])

    await _survives(store, kill_one)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
async def test_a_restart_under_load_loses_nothing(store: PostgresStore, server: PostgreSql, number: int) -> None:
    async def restart(_: int) -> None:
        await asyncio.to_thread(server.stop, number)
        await asyncio.to_thread(server.start)

    await _survives(store, restart, 3)


async def test_a_server_that_holds_still_for_longer_than_a_call_may_take_loses_nothing(server: PostgreSql) -> None:
    store = await PostgresStore.open(Address(server.dsn()), Limits(call=4.0, away=300.0, connect=4.0))

    async def hold(_: int) -> None:
        server.signal_all(signal.SIGSTOP)
        await until(lambda: store._server._away_since is not None)
        server.signal_all(signal.SIGCONT)

    await _survives(store, hold, 1)
    await store.close()


async def test_connections_that_are_cut_in_the_middle_lose_nothing(server: PostgreSql) -> None:
    async with relay(server.folder) as (between, folder):
        store = await PostgresStore.open(through(folder, Address(server.dsn())), PATIENT)

        async def cut(_: int) -> None:
            between.cut()

        await _survives(store, cut, 8)
        await store.close()


async def test_sessions_that_fall_silent_without_an_end_are_all_made_anew_while_the_api_may_be_away(server: PostgreSql) -> None:
    async with relay(server.folder) as (between, folder):
        store = await PostgresStore.open(through(folder, Address(server.dsn())))
        follower = Follower(store)
        async with TaskOwner("test") as owner:
            owner.spawn(follower.run(), "follower")
            await follower.until(await store.write(Write(Key("o", "r", "n", "before"), 0, VALUE)))
            between.fall_silent()
            began = time.monotonic()
            await follower.until(await store.write(Write(Key("o", "r", "n", "after"), 0, VALUE)))
            assert [row.key.name for row in (await store.page("o", "r")).rows] == ["after", "before"]
            assert time.monotonic() - began < AWAY
        assert [change.revision for change in follower.seen] == [1, 2]
        await store.close()


async def test_an_answer_that_gets_lost_after_the_commit_is_fetched_and_nothing_is_done_twice(server: PostgreSql) -> None:
    async with relay(server.folder) as (between, folder):
        store = await PostgresStore.open(through(folder, Address(server.dsn())), PATIENT)

        async def lose(turn: int) -> None:
            between.lose_answers(2)
            await until(lambda: between.lost >= 2 * turn + 2)

        await _survives(store, lose)
        await store.close()


async def test_a_conflict_whose_answer_got_lost_is_still_a_conflict(server: PostgreSql) -> None:
    async with relay(server.folder) as (between, folder):
        store = await PostgresStore.open(through(folder, Address(server.dsn())), PATIENT)
        key = Key("o", "r", "n", "a")
        first = await store.write(Write(key, 0, VALUE))
        between.lose_answers(1)
        writes = [Write(key, 0, VALUE), Write(key, first, VALUE), Write(Key("o", "r", "n", "b"), 0, VALUE)]
        conflict, second, third = await asyncio.gather(*map(store.write, writes), return_exceptions=True)
        assert between.lost == 1
        assert (second, third) == (first + 1, first + 2)
        assert isinstance(conflict, RevisionConflict)
        assert conflict.current == (key, first + 1, b"<%d>" % (first + 1) + b" " * 500)
        await store.close()


async def test_a_copy_of_a_batch_that_arrives_late_is_not_done(store: PostgresStore, server: PostgreSql) -> None:
    for name in "ab":
        await store.write(Write(Key("o", "r", "n", name), 0, VALUE))
    columns: tuple[list[object], ...] = (["o"], ["r"], ["n"], ["late"], [0], [b"<"], [b">"], [False], [], [], [], [], [], [], [])
    late = await asyncpg.connect(server.dsn(), server_settings={"search_path": "skerry"}, timeout=60)
    again = await late.fetchrow(SQL["commit"], store._writer._id, 2, 0, *columns)
    assert again["answers"] == [2]
    with pytest.raises(asyncpg.PostgresError, match="batch 1 was given up"):
        await late.fetchrow(SQL["commit"], store._writer._id, 1, 0, *columns)
    await late.close()
    assert await store.head() == 2


async def test_while_the_database_is_away_callers_are_told_and_afterwards_all_is_as_before(server: PostgreSql) -> None:
    store = await PostgresStore.open(Address(server.dsn()), IMPATIENT)
    key = Key("o", "r", "n", "a")
    await eventually(lambda: store.write(Write(key, 0, VALUE)))
    assert not store.trouble()
    await asyncio.to_thread(server.stop)
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: store.write(Write(Key("o", "r", "n", "b"), 0, VALUE)),
        lambda: store.get(key),
        store.head,
        lambda: store.latest_put({key: b"1"}),
    ]
    for ask in asked:
        with pytest.raises(StoreUnavailable, match=r"does not answer|cannot be reached"):
            await ask()
    assert "does not answer" in store.trouble()
    await asyncio.to_thread(server.start)
    for ask in asked:
        await eventually(ask)
    assert not store.trouble()
    changes: list[Change] = []

    async def look() -> None:
        changes[:] = await store.changes(0)

    await eventually(look)
    assert [(change.revision, change.key.name) for change in changes] == [(1, "a"), (2, "b")]
    await store.close()


async def eventually(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until the database answers."""
    async with asyncio.timeout(60):
        while True:
            try:
                await ask()
            except StoreUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


async def test_a_full_disk_refuses_writes_serves_reads_and_heals_when_there_is_room(server: PostgreSql) -> None:
    small = server.folder / "small"
    with small_disk(small, "24m"):
        owner = server.data.stat()
        os.chown(small, owner.st_uid, owner.st_gid)
        admin = await asyncpg.connect(server.dsn(), timeout=60)
        await admin.execute(f"CREATE TABLESPACE small LOCATION '{small}'")
        await admin.execute("CREATE DATABASE small TABLESPACE small")
        store = await PostgresStore.open(Address(server.dsn("small")), PATIENT)
        ballast = small / "ballast"
        ballast.write_bytes(bytes(4 << 20))
        acknowledged: dict[str, int] = {}

        async def fill() -> None:
            for number in range(1000):
                acknowledged[f"n{number}"] = await store.write(Write(Key("o", "r", "n", f"n{number}"), 0, Value(b"<", b"x" * 100_000)))

        with pytest.raises(StoreFull, match="is full; nothing was lost"):
            await fill()
        assert len(acknowledged) > 10
        ballast.unlink()
        after = await store.write(Write(Key("o", "r", "n", "after"), 0, VALUE))
        assert {row.key.name: row.revision for row in (await store.page("o", "r")).rows} == {**acknowledged, "after": after}
        assert after == max(acknowledged.values()) + 1
        await store.close()
        await admin.execute("DROP DATABASE small")
        await admin.execute("DROP TABLESPACE small")
        await admin.close()


async def test_a_failover_to_a_standby_that_lost_the_tail_tells_every_follower_to_start_anew(server: PostgreSql) -> None:
    async with relay(server.folder) as (between, folder):
        store = await PostgresStore.open(through(folder, Address(server.dsn())), PATIENT)
        kept = await store.write(Write(Key("o", "r", "n", "kept"), 0, VALUE))
        with server.standby() as standby:
            await asyncio.to_thread(standby.stop)
            lost = await store.write(Write(Key("o", "r", "n", "lost"), 0, VALUE))
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            await asyncio.to_thread(standby.start)
            between.target = standby.folder  # a standby takes no writes; the store waits until it is promoted
            between.cut()
            writing = asyncio.gather(store.write(Write(Key("o", "r", "n", "after"), 0, VALUE)))
            admin = await asyncpg.connect(standby.dsn(), timeout=60)
            await admin.execute("SELECT pg_promote()")
            await admin.close()
            (after,) = await writing
            assert after == lost + EPOCH_JUMP + 1
            for position in (kept, lost):
                with pytest.raises(Compacted):
                    await store.changes(position)
            assert [row.key.name for row in (await store.page("o", "r")).rows] == ["after", "kept"]
            await store.close()
