"""The client of an API in the same process says and hears what the one over HTTP does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from skerry.client.connection import Connection
from skerry.client.contract import Event, PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.client.inside import MOST_WAITING, InsideClient
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.machinery.errors import AlreadyExists, NotFound, ServiceUnavailable, Timeout
from skerry.pki import policy
from skerry.pki.authority import Authority, make_root
from tests.controllers.conftest import Site, bare  # noqa: F401 a fixture

GROUPS = Ref(GROUP, VERSION, "clustergroups", namespaced=False)
HERE = Connection("http://inside")
NOW = datetime.now(UTC)


def a_group(name: str) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "ClusterGroup", "metadata": {"name": name}, "spec": {}}


@pytest.fixture
async def both(bare: Site) -> AsyncIterator[tuple[InsideClient, HttpClient]]:  # noqa: F811 the fixture
    async with InsideClient(bare.api, HERE) as inside:
        yield inside, bare.client


async def test_every_verb_does_what_it_does_over_http(both: tuple[InsideClient, HttpClient]) -> None:
    inside, http = both
    made = await inside.create(GROUPS, a_group("a"), manager="m")
    assert await http.get(GROUPS, "a") == await inside.get(GROUPS, "a") == made
    patched = await inside.patch(GROUPS, "a", "", PatchKind.MERGE, {"metadata": {"labels": {"tier": "x"}}})
    replaced = await inside.replace(GROUPS, {**patched, "spec": {"description": "ä b&c"}})
    assert await http.get(GROUPS, "a") == replaced
    assert (await inside.list(GROUPS, labels="tier=x"))["items"] == (await http.list(GROUPS, labels="tier in (x)"))["items"] == [replaced]
    await inside.apply(GROUPS, a_group("b"), manager="a b&c", force=True)
    whole = await inside.list(GROUPS, page=1)
    assert [each["metadata"]["name"] for each in whole["items"]][:2] == ["a", "b"]
    assert (await inside.raw("GET", "/version"))["gitVersion"] == (await http.raw("GET", "/version"))["gitVersion"]
    with pytest.raises(AlreadyExists, match="already exists"):
        await inside.create(GROUPS, a_group("a"))
    await inside.delete(GROUPS, "a")
    with pytest.raises(NotFound):
        await http.get(GROUPS, "a")
    assert inside.answered[("POST", 201)] == inside.answered[("POST", 409)] == 1


async def test_a_watch_is_told_everything_and_the_server_of_its_end(both: tuple[InsideClient, HttpClient], bare: Site) -> None:  # noqa: F811
    inside, http = both
    revision = (await http.list(GROUPS))["metadata"]["resourceVersion"]
    events: list[Event] = []
    for name in "abc":
        await http.create(GROUPS, a_group(name))
    async with asyncio.timeout(30):
        async for event in inside.watch(GROUPS, resource_version=revision):
            events.append(event)
            if len(events) == 3:
                break
        assert [(each.type, each.object["metadata"]["name"]) for each in events] == [("ADDED", name) for name in "abc"]
        while bare.api.parts.feeds.caches[f"clustergroups.{GROUP}"].watchers:  # noqa: ASYNC110 the cache has no event of its own
            await asyncio.sleep(0.01)


async def test_the_certificate_of_the_moment_is_shown() -> None:
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["extensions"]["tls"]["client_cert_der"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    root = Authority(make_root("test", NOW))
    pairs = [root.issue(policy.CLIENT, "x", NOW) for _ in range(2)]
    one, two = (Connection("https://inside", certificate=pair.certificate, key=pair.key) for pair in pairs)
    async with InsideClient(app, one) as client:
        await client.raw("GET", "/")
        client.renew(two)
        await client.raw("GET", "/")
    assert len(set(seen)) == 2


async def test_what_breaks_or_never_answers_is_an_api_error_and_nobody_is_cut_off() -> None:
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b""
        if scope["path"] == "/silent":
            told.append((await receive())["type"])
            await asyncio.sleep(0.05)
            told.append("finished")
            return
        if scope["path"] == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise RuntimeError("as it happens")

    async with InsideClient(app, HERE) as client:
        with pytest.raises(ServiceUnavailable, match="did not answer"):
            await client.raw("GET", "/")
        with pytest.raises(ServiceUnavailable, match="broke off"):
            await client.raw("GET", "/half")
        with pytest.raises(Timeout, match="in time"):
            async with client.open("GET", "/silent", seconds=0.05):
                pass
        async with asyncio.timeout(30):
            while len(told) < 2:  # noqa: ASYNC110 the application has none
                await asyncio.sleep(0.01)
        assert told == ["http.disconnect", "finished"]
        await client.close()
        with pytest.raises(ServiceUnavailable, match="is closed"):
            await client.raw("GET", "/")


async def test_who_writes_more_than_is_read_waits() -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent += 100_000
        await send({"type": "http.response.body", "body": b""})

    async with InsideClient(app, HERE) as client, client.open("GET", "/") as answer:
        await asyncio.sleep(0.1)
        assert MOST_WAITING - 200_000 <= sent <= MOST_WAITING + 100_000
        assert len(await answer.read()) == sent == 10_000_000


async def test_a_stream_that_falls_silent_is_given_up() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        await receive()

    async with InsideClient(app, HERE) as client:
        with pytest.raises(Timeout):
            async with client.open("GET", "/", silence=0.05) as answer:
                await answer.read()
