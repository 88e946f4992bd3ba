"""Three servers over one PostgreSQL, and clients of all of them, through what may happen to servers and database.

Everything that anybody was told is held against the log afterwards (``linear.py``): the servers are
as one. Watchers of each miss nothing and see nothing twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from itertools import count
from math import inf
from pathlib import Path
from random import Random

import asyncpg
import pytest

from peers.postgresql import PostgreSql
from skerry.client.contract import PatchKind
from skerry.client.http import HttpClient
from skerry.kit.aio import TaskOwner
from skerry.machinery.errors import ApiError, Conflict
from skerry.machinery.resource import Json
from tests.e2e.crashing import THINGS, Watcher, seen, thing
from tests.e2e.history import missed
from tests.e2e.linear import Operation, untrue
from tests.e2e.server import Server, clients, over_one_database
from tests.store.databases import why_not

SERVERS, CLIENTS_OF_EACH, OBJECTS = 3, 3, 4
AT_LEAST = 60
"""Operations that are answered in each stretch before something else happens."""

AWAY = 5.0
"""So long the API may be away, in seconds; the busiest machine seen took a tenth of it."""


@pytest.fixture
def database() -> Iterator[PostgreSql]:
    if why := why_not("wheel"):
        pytest.skip(why)
    with PostgreSql("wheel") as made:
        yield made


@pytest.fixture
def servers(database: PostgreSql, tmp_path: Path) -> Iterator[list[Server]]:
    with over_one_database(tmp_path, database.dsn(), SERVERS) as made:
        yield made


class Fleet:
    """The clients, and everything that they were told."""

    def __init__(self, clients: list[HttpClient]) -> None:
        self.clients = clients
        self.operations: list[Operation] = []
        self.answered = 0
        self.longest = 0.0
        """The longest time in which nobody was answered anything, in seconds."""
        self._last = time.monotonic()
        self._tokens = count(1)
        self._known: dict[str, Json] = {}

    async def create(self) -> None:
        for number in range(OBJECTS):
            name, token = f"r{number}", str(next(self._tokens))
            await self._write(name, token, partial(self.clients[0].create, THINGS, thing(name, token)))

    async def client(self, client: HttpClient, random: Random) -> None:
        """Read, list and write, for ever."""
        while True:
            name = f"r{random.randrange(OBJECTS)}"
            try:
                await random.choice((self._read, self._read, self._list, self._patch, self._replace, self._replace))(client, name)
            except Conflict:
                pass  # somebody was quicker, and nothing was done
            except ApiError:
                await asyncio.sleep(0.05)  # its server or the database is away

    async def more(self, operations: int = AT_LEAST) -> None:
        """Wait until so many more were answered."""
        until = self.answered + operations
        async with asyncio.timeout(180):
            while self.answered < until:  # noqa: ASYNC110 other tasks' state
                await asyncio.sleep(0.01)

    def _told(self, operation: Operation) -> None:
        self.operations.append(operation)
        now = time.monotonic()
        self.longest, self._last = max(self.longest, now - self._last), now
        self.answered += 1

    async def _read(self, client: HttpClient, name: str) -> None:
        began = time.monotonic()
        obj = self._known[name] = await client.get(THINGS, name)
        found = seen("", obj)
        self._told(Operation("read", began, time.monotonic(), name, found.token, found.revision))

    async def _list(self, client: HttpClient, _: str) -> None:
        began = time.monotonic()
        answer = await client.list(THINGS)
        shown = frozenset((found.name, found.revision) for found in (seen("", item) for item in answer["items"]))
        revision = int(answer["metadata"]["resourceVersion"])
        self._told(Operation("list", began, time.monotonic(), revision=revision, shown=shown))

    async def _patch(self, client: HttpClient, name: str) -> None:
        token = str(next(self._tokens))
        asked = thing(name, token)
        body = {"metadata": {"labels": asked["metadata"]["labels"]}, "spec": asked["spec"]}
        await self._write(name, token, lambda: client.patch(THINGS, name, "", PatchKind.MERGE, body))

    async def _replace(self, client: HttpClient, name: str) -> None:
        """Write over what was read last, by whomever and wherever: it may be old."""
        token, now = str(next(self._tokens)), self._known[name]
        asked = thing(name, token)
        body = {**now, "metadata": {**now["metadata"], **asked["metadata"]}, "spec": asked["spec"]}
        await self._write(name, token, lambda: client.replace(THINGS, body), int(now["metadata"]["resourceVersion"]))

    async def _write(self, name: str, token: str, send: Callable[[], Awaitable[Json]], base: int = 0) -> None:
        began = time.monotonic()
        try:
            obj = self._known[name] = await send()
        except Conflict:
            raise
        except (ApiError, asyncio.CancelledError):
            self.operations.append(Operation("write", began, inf, name, token, base=base))
            raise
        self._told(Operation("write", began, time.monotonic(), name, token, seen("", obj).revision, base))


@contextlib.asynccontextmanager
async def fleet(servers: list[Server]) -> AsyncIterator[Fleet]:
    async with clients(servers) as made:
        yield Fleet(made)


async def kill(fleet: Fleet, servers: list[Server], database: PostgreSql) -> None:
    await asyncio.to_thread(servers[1].stop, signal.SIGKILL)
    await fleet.more()
    await asyncio.to_thread(servers[1].start)


async def hold_still(fleet: Fleet, servers: list[Server], database: PostgreSql) -> None:
    servers[2].signal(signal.SIGSTOP)
    await fleet.more()
    servers[2].signal(signal.SIGCONT)


async def restart_the_database(fleet: Fleet, servers: list[Server], database: PostgreSql) -> None:
    await asyncio.to_thread(database.stop)
    await asyncio.to_thread(database.start)


async def cut_the_database_off(fleet: Fleet, servers: list[Server], database: PostgreSql) -> None:
    connection = await asyncpg.connect(database.dsn(), timeout=60)
    await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'skerry'")
    await connection.close()


async def stop_one_after_a_cut(fleet: Fleet, servers: list[Server], database: PostgreSql) -> None:
    await cut_the_database_off(fleet, servers, database)
    await fleet.more(10)
    servers[0].signal(signal.SIGTERM)
    await asyncio.to_thread(servers[0].gone)
    await asyncio.to_thread(servers[0].start)


async def test_three_servers_are_as_one_whatever_happens(servers: list[Server], database: PostgreSql) -> None:
    random, away = Random(7), {}
    async with fleet(servers) as all_of_them, TaskOwner("clients") as owner:
        up = asyncio.Event()
        up.set()
        begin = str((await all_of_them.clients[0].list(THINGS))["metadata"]["resourceVersion"])
        watchers = [Watcher(client, up, begin) for client in all_of_them.clients]
        for watcher in watchers:
            owner.spawn(watcher.run(), "watcher")
        await all_of_them.create()
        working = [
            owner.spawn(all_of_them.client(client, Random(random.random())), "client")
            for client in all_of_them.clients
            for _ in range(CLIENTS_OF_EACH)
        ]
        for happens in (kill, hold_still, restart_the_database, cut_the_database_off, stop_one_after_a_cut):
            await all_of_them.more()
            all_of_them.longest = 0.0
            await happens(all_of_them, servers, database)
            await all_of_them.more()
            away[happens.__name__] = round(all_of_them.longest, 2)
        for task in working:
            task.cancel()
        await asyncio.wait(working)
        async with asyncio.timeout(120):
            end = int((await all_of_them.clients[0].list(THINGS))["metadata"]["resourceVersion"])
            last = max(int(item["metadata"]["resourceVersion"]) for item in (await all_of_them.clients[0].list(THINGS))["items"])
            for watcher in watchers:
                await watcher.reached(min(last, end))
    print(f"{len(all_of_them.operations)} operations; nobody was answered for at most (seconds):", away)
    assert max(away.values()) < AWAY
    log = watchers[0].events
    assert list(untrue(log, all_of_them.operations)) == []
    for number, watcher in enumerate(watchers):
        assert list(missed(f"server {number}", watcher.events, log)) == []
