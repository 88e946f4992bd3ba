"""What a watch says of how far it has come is never more than what it has told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from skerry.restapi.watching import PORTION
from tests.restapi.door import door

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


async def test_a_bookmark_does_not_go_beyond_what_still_waits_to_be_sent() -> None:
    async with door() as call:
        await call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        await call("POST", MAPS, config_map("first"))
        events: list[Any] = []
        begun, go_on, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            events.extend(json.loads(line) for line in message.get("body", b"").splitlines())
            if message.get("body"):
                begun.set()
                await go_on.wait()
            if len(events) >= 3:
                told.set()

        query = b"watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
        scope = {"type": "http", "method": "GET", "path": MAPS, "query_string": query, "headers": [], "client": ("127.0.0.1", 1)}
        async with asyncio.TaskGroup() as group, asyncio.timeout(60):
            watching = group.create_task(call.app(scope, receive, send))
            await begun.wait()  # the initial events are on their way to a slow reader
            made = await call("POST", MAPS, config_map("second"))
            await call("GET", MAPS)
            go_on.set()
            await told.wait()
            watching.cancel()
    assert [(each["type"], each["object"]["metadata"].get("name")) for each in events] == [
        ("ADDED", "first"),
        ("BOOKMARK", None),
        ("ADDED", "second"),
    ]
    marked, second = (int(each["object"]["metadata"]["resourceVersion"]) for each in events[1:])
    assert marked < second == int(made.json["metadata"]["resourceVersion"])


async def test_a_reader_who_is_behind_is_told_in_portions_that_he_takes_one_by_one() -> None:
    async with door() as call:
        await call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        portions: list[bytes] = []
        begun, go_on, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            if body := message.get("body", b""):
                portions.append(body)
                begun.set()
                await go_on.wait()
            if sum(each.count(b"\n") for each in portions) == 101:
                told.set()

        scope = {"type": "http", "method": "GET", "path": MAPS, "query_string": b"watch=true", "headers": [], "client": ("127.0.0.1", 1)}
        async with asyncio.TaskGroup() as group, asyncio.timeout(60):
            watching = group.create_task(call.app(scope, receive, send))
            await asyncio.sleep(0)
            await call("POST", MAPS, config_map("first"))
            await begun.wait()
            for number in range(100):
                await call("POST", MAPS, {**config_map(f"m{number}"), "data": {"a": "x" * 5000}})
            go_on.set()
            await told.wait()
            watching.cancel()
    assert all(each.endswith(b"\n") for each in portions)
    assert PORTION <= max(map(len, portions)) < PORTION + 10_000
    names = [json.loads(line)["object"]["metadata"]["name"] for line in b"".join(portions).splitlines()]
    assert names == ["first", *(f"m{number}" for number in range(100))]
