"""Two releases over one database, side by side for as long as both are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from skerry.kit.aio import TaskOwner
from skerry.store.contract import Key, StoreError, Value, Write
from skerry.store.postgres import schema, store
from skerry.store.postgres.schema import MIGRATIONS, SERVERS, finish
from skerry.store.postgres.server import Address
from skerry.store.postgres.store import PostgresStore
from skerry.store.schema import Level, Migration, NewerSchema
from tests.store.databases import PATIENT, Databases

pytestmark = pytest.mark.usefixtures("wheel")
NEXT = (*MIGRATIONS, Migration(len(MIGRATIONS) + 1, "ALTER TABLE log ADD COLUMN note text", "CREATE TABLE tidied (a integer)"))
NOW, NEW = len(MIGRATIONS), len(NEXT)


@pytest.fixture
async def address(servers: Databases) -> Address:
    return await servers.fresh()


@asynccontextmanager
async def session(address: Address) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(address.url, server_settings={"search_path": "skerry"}, timeout=60)
    try:
        yield connection
    finally:
        await connection.close()


async def level(address: Address) -> Level:
    async with session(address) as connection:
        return Level(*await connection.fetchrow("SELECT pre, post FROM schema_level"))


async def put(to: PostgresStore, name: str) -> int:
    return await to.write(Write(Key("o", "r", "n", name), 0, Value(b"<", b">")))


async def test_what_the_old_release_needs_is_there_until_it_has_gone(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "FINISHING_SECONDS", 0.05)
    old = await PostgresStore.open(address, PATIENT)
    new = await PostgresStore.open(address, PATIENT, NEXT)
    assert await level(address) == (NEW, NOW)
    assert await put(old, "a") == 1
    assert await put(new, "b") == 2
    assert [await each.head() for each in (old, new)] == [2, 2]
    again = await PostgresStore.open(address, PATIENT)
    assert await put(again, "c") == 3
    await again.close()
    assert await level(address) == (NEW, NOW)
    await old.close()
    async with asyncio.timeout(60):
        while await level(address) != (NEW, NEW):  # noqa: ASYNC110 another session's doing
            await asyncio.sleep(0.05)
    with pytest.raises(NewerSchema, match="start that release again"):
        await PostgresStore.open(address, PATIENT)
    assert await put(new, "d") == 4
    await new.close()


async def test_a_lone_server_takes_all_steps_at_once(address: Address) -> None:
    new = await PostgresStore.open(address, PATIENT, NEXT)
    assert await level(address) == (NEW, NEW)
    await new.close()


async def test_a_step_that_fails_leaves_the_level_before_it(address: Address) -> None:
    wrong = (*MIGRATIONS, Migration(NEW, "ALTER TABLE log ADD COLUMN note text; SELECT nonsense", ""))
    with pytest.raises(StoreError, match="nonsense"):
        await PostgresStore.open(address, PATIENT, wrong)
    assert await level(address) == (NOW, NOW)
    new = await PostgresStore.open(address, PATIENT, NEXT)
    await new.close()


async def test_an_old_server_that_was_cut_off_meanwhile_is_refused_when_it_is_back(address: Address) -> None:
    old = await PostgresStore.open(address, PATIENT)
    async with session(address) as connection, TaskOwner("test") as owner:
        await schema.migrate(connection, address, NEXT)
        assert await level(address) == (NEW, NOW)
        # in the queue before the old server, whose sessions then all break: it finds the door shut until the last step is taken
        async with session(address) as first:
            waiting = owner.spawn(first.execute("SELECT pg_advisory_lock($1, $2)", SERVERS, NOW), "lock")
            async with asyncio.timeout(60):
                while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'skerry'")
            await waiting
            assert await finish(first, NEXT)
        with pytest.raises(StoreError, match="written by a newer Skerry"):
            await put(old, "late")
    assert await level(address) == (NEW, NEW)
    await old.close()
