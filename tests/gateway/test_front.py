"""Whatever goes wrong before a managed cluster is asked is answered with a Status, and written down."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from skerry.gateway.front import Front
from skerry.gateway.proxy import ProxyCalls
from skerry.gateway.registration import PATH, Registration
from skerry.gateway.routes import Routes
from skerry.kinds.managementcluster import PROXY_PREFIX
from skerry.kit.clock import SystemClock
from skerry.store.contract import StoreUnavailable
from skerry.store.memory import MemoryStore
from tests.access.people import ADMIN, People, obj, path, people

Json = dict[str, Any]


class Away(MemoryStore):
    """A database that can be away."""

    away = False

    async def head(self) -> int:
        if self.away:
            raise StoreUnavailable("away")
        return await super().head()


class Caller:
    """One request; its body never comes."""

    def __init__(self, server: People, at: str, token: str, method: str = "GET") -> None:
        desk = Registration(None, None, "", SystemClock(), None)  # type: ignore[arg-type] # what is behind this is not reached
        front = Front(server.app, ProxyCalls(Routes()), None, desk, None, None)  # type: ignore[arg-type] # nor this
        headers = [(b"authorization", f"Bearer {token}".encode())]
        self._scope = {"type": "http", "method": method, "path": at, "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1)}
        self._front = front
        self.messages: list[Json] = []
        self.entered = asyncio.Event()

    async def ask(self) -> None:
        await self._front(self._scope, self._receive, self._send)

    async def _receive(self) -> Json:
        self.entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def _send(self, message: Any) -> None:
        self.messages.append(message)


@pytest.mark.parametrize("at", [f"{PROXY_PREFIX}sv-1/api", path("clusters")])
async def test_a_store_that_cannot_answer_is_told_as_such(at: str) -> None:
    store = Away()
    async with people(store=store) as server:
        token = (await server.make(obj("apitokens", "t", {}))).json["status"]["token"]
        caller, store.away = Caller(server, at, token), True
        await caller.ask()
        store.away = False
    assert caller.messages[0]["status"] == 503
    assert json.loads(caller.messages[1]["body"])["reason"] == "ServiceUnavailable"
    assert [(line.code, line.reason) for line in server.audit.lines][-1] == (503, "ServiceUnavailable")


@pytest.mark.parametrize(("at", "method"), [(PATH, "POST"), (path("clusters", "sv-1"), "POST")])
async def test_a_request_that_is_given_up_because_the_server_stops_is_written_down(at: str, method: str) -> None:
    async with asyncio.timeout(60), people() as server, asyncio.TaskGroup() as group:
        caller = Caller(server, at, ADMIN, method)
        task = group.create_task(caller.ask())
        await caller.entered.wait()
        task.cancel()
        await asyncio.wait([task])
    assert (server.audit.lines[-1].code, server.audit.lines[-1].reason) == (503, "Cancelled")
