"""What goes wrong between two gateways: who may pass calls on, and what a caller is told where they do not arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web

from skerry.client.connection import Connection
from skerry.pki import policy
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel import wire
from tests.client.api import answering
from tests.gateway.fleet import MANAGEMENT, Fleet, beside, eventually, fleet

HEAD = pb.RequestHead(method="GET", target="/version")
ASKED = pb.RelayRequest(management_cluster="sv-1", message=pb.ProxyResponse(head=HEAD))


async def hello(_: web.Request) -> web.StreamResponse:
    return web.Response(text="hello")


class Pair:
    """Two gateways, the first of which holds the agent of ``sv-1``."""

    def __init__(self, one: Fleet, two: Fleet, session: aiohttp.ClientSession) -> None:
        self.one, self.two, self.session = one, two, session

    async def ask(self) -> tuple[int, str]:
        """Call through the second one."""
        async with self.session.get(f"{self.two.front}/k8s/sv-1/version") as response:
            return response.status, await response.text()

    async def answers(self) -> bool:
        return (await self.ask())[0] == 200


@pytest.fixture
async def far() -> AsyncIterator[str]:
    """The address of the cluster behind the agent."""
    async with answering(hello) as address:
        yield address


@pytest.fixture
async def pair(tmp_path: Path, far: str) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(fleet(tmp_path, identity="one"))
        await one.management_cluster()
        await stack.enter_async_context(one.agent(Connection(far)))
        two = await stack.enter_async_context(beside(one, "two"))
        made = Pair(one, two, await stack.enter_async_context(aiohttp.ClientSession()))
        await eventually(made.answers)
        yield made


async def relayed(address: str, proof: tuple[bytes, bytes, bytes], *, silent: bool = False) -> Any:
    """The first answer to a call that is passed on; ``silent``: nothing is said before it comes."""

    async def asks() -> AsyncIterator[pb.RelayRequest]:
        if silent:
            await asyncio.Event().wait()
        yield ASKED

    channel = wire.channel(address, *proof, name="localhost")
    try:
        return await anext(aiter(wire.stub(channel).Relay(asks())))
    finally:
        await channel.close()


@pytest.mark.parametrize(
    ("profile", "common", "groups"),
    [
        (policy.AGENT, policy.agent("sv-1"), (policy.AGENTS,)),
        (policy.ADMIN, *policy.ADMINISTRATOR),
        (policy.CLIENT, policy.component("controllers"), ()),
    ],
)
async def test_nobody_but_a_gateway_passes_calls_on(pair: Pair, profile: policy.Profile, common: str, groups: tuple[str, ...]) -> None:
    issued = pair.one.authority.issue(profile, common, pair.one.clock.now(), groups=groups)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        # gRPC loses the refusal of a call whose first message is still being written
        await relayed(pair.one.link.address, (pair.one.authority.bundle, issued.certificate, issued.key), silent=True)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_a_call_that_was_passed_on_is_passed_on_to_nobody(pair: Pair) -> None:
    at = pair.one.client.connection
    answer = await relayed(pair.two.link.address, (pair.one.authority.bundle, at.certificate or b"", at.key or b""))
    assert "not connected" in answer.refused


async def test_an_agent_that_the_other_has_lost_is_said_to_be_away_and_is_found_where_it_comes_back(pair: Pair) -> None:
    pair.one.wire.cut()

    async def refused() -> bool:
        code, text = await pair.ask()
        return code == 503 and "is not connected" in text

    await eventually(refused)
    pair.one.wire.mend()
    await eventually(pair.answers)


async def test_an_agent_that_comes_back_to_the_other_gateway_is_found_there(pair: Pair) -> None:
    pair.one.wire.cut()
    pair.one.wire.lead_to(pair.two.link)
    pair.one.wire.mend()

    async def moved() -> bool:
        async with pair.session.get(f"{pair.one.front}/k8s/sv-1/version") as response:
            return response.status == 200 and pair.two.link.statistics()["connected"] == 1

    await eventually(moved)
    assert pair.one.link.statistics()["relayed"] >= 1
    assert await pair.answers()


async def test_an_agent_whose_old_line_is_dead_belongs_to_the_gateway_that_it_dialled_last(pair: Pair, far: str) -> None:
    async def elsewhere() -> bool:
        async with pair.session.get(f"{pair.one.front}/k8s/sv-1/version") as response:
            return response.status == 200 and await pair.answers() and pair.one.link.statistics()["connected"] == 0

    async def revision() -> int:
        return int((await pair.one.client.list(MANAGEMENT))["metadata"]["resourceVersion"])

    pair.one.wire.freeze()  # nobody is told
    async with pair.two.agent(Connection(far)):
        await eventually(elsewhere)
        before = await revision()
        for _ in range(20):
            assert await elsewhere()
        assert await revision() - before < 20, "they fight over one status"
    pair.one.wire.mend()


async def test_a_gateway_that_does_not_answer_is_said_to_be_the_trouble(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair.two.link.relays, "where", lambda _: "127.0.0.1:1")
    code, text = await pair.ask()
    assert (code, "the server that holds the agent of management cluster sv-1 does not answer" in text) == (503, True)


async def test_renewed_credentials_are_used_by_the_next_call_and_those_under_way_go_on(pair: Pair) -> None:
    two, relays = pair.two, pair.two.link.relays
    async with relays.open(relays.where("sv-1"), "sv-1", HEAD) as call:
        proof = two.authority.issue(policy.CLIENT, policy.component("controllers"), two.clock.now(), groups=(policy.COMPONENTS,))
        two.client.renew(Connection(two.client.connection.server, certificate=proof.certificate, key=proof.key))
        assert await pair.answers()
        await call.feed_end()
        assert (await call.response_head()).code == 200
        async with asyncio.timeout(60):
            assert b"".join([chunk async for chunk in call.response_body()]) == b"hello"
    assert await pair.answers()
