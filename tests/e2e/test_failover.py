"""A failover to a copy of the database that lacks its newest entries, under two servers: everybody begins anew, and all goes on."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from peers.postgresql import PostgreSql
from skerry.client.http import HttpClient
from skerry.kit.aio import Pulse, TaskOwner
from skerry.machinery.errors import ApiError, Expired
from skerry.machinery.resource import Json
from skerry.store.contract import EPOCH_JUMP
from skerry.store.postgres.server import Address
from tests.e2e.server import clients, over_one_database
from tests.e2e.test_replicas import GROUPS, created, divided, group
from tests.store.databases import why_not
from tests.store.relay import relay, through

SERVERS = 2
AWAY = 5.0
"""So long nobody may be answered once the other database takes writes, in seconds."""


@pytest.fixture
def primary() -> Iterator[PostgreSql]:
    if why := why_not("wheel"):
        pytest.skip(why)
    with PostgreSql("wheel") as made:
        yield made


def revision(obj: Json) -> int:
    return int(obj["metadata"]["resourceVersion"])


class Watcher:
    """Watches on through everything but 410."""

    def __init__(self, client: HttpClient, since: int) -> None:
        self.client = client
        self.since = since
        self.seen: list[str] = []
        self.more = Pulse()

    async def run(self) -> None:
        """Return once it is told to begin anew."""
        while True:
            try:
                async for event in self.client.watch(GROUPS, resource_version=str(self.since), bookmarks=False):
                    self.since = revision(event.object)
                    self.seen.append(event.object["metadata"]["name"])
                    self.more.beat()
            except Expired:
                return
            except ApiError:
                await asyncio.sleep(0.05)  # the database is away


async def test_watchers_begin_anew_and_the_servers_and_their_shares_go_on(primary: PostgreSql, tmp_path: Path) -> None:
    async with relay(primary.folder) as (between, folder), TaskOwner("test") as owner:
        with ExitStack() as stack:
            dsn = through(folder, Address(primary.dsn())).url
            servers = await asyncio.to_thread(stack.enter_context, over_one_database(tmp_path, dsn, SERVERS))
            async with clients(servers) as both, asyncio.timeout(240):
                await divided(both[0], SERVERS)
                kept = revision(await both[0].create(GROUPS, group("kept")))
                standby = await asyncio.to_thread(stack.enter_context, primary.standby())
                await asyncio.to_thread(standby.stop)
                watchers = [Watcher(client, kept) for client in both]
                following = [owner.spawn(watcher.run(), "watcher") for watcher in watchers]
                lost = revision(await both[1].create(GROUPS, group("lost")))
                for watcher in watchers:
                    await watcher.more.after(0)
                await asyncio.to_thread(primary.stop, signal.SIGKILL)
                await asyncio.to_thread(standby.start)
                between.target = standby.folder
                between.cut()
                admin = await asyncpg.connect(standby.dsn(), timeout=60)
                await admin.execute("SELECT pg_promote()")
                await admin.close()
                began = time.monotonic()
                for number, client in enumerate(both):
                    assert revision(await created(client, f"after-{number}")) > lost + EPOCH_JUMP
                away = time.monotonic() - began
                await asyncio.gather(*following)
                assert [watcher.seen for watcher in watchers] == [["lost"]] * SERVERS
                for client in both:
                    there = {each["metadata"]["name"] for each in (await client.list(GROUPS))["items"]}
                    assert {"kept", "after-0", "after-1"} <= there
                    assert "lost" not in there
                await divided(both[1], SERVERS)
            assert [server.stop() for server in servers] == [0] * SERVERS
    print(f"nobody was answered for {away:.2f} s")
    assert away < AWAY
