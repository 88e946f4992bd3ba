"""Which session of an agent counts, where several gateways could think that theirs does."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from skerry.compose.claims import ClaimTable
from skerry.gateway.inventory import Place
from skerry.gateway.routes import Route, Routes
from skerry.gateway.sessions import Claim, Outdone, Sessions
from skerry.kit.aio import TaskOwner
from skerry.machinery.document import Gapped, gapped
from skerry.testing.clock import VirtualClock
from skerry.tunnel import link_pb2 as pb
from tests.gateway.fleet import OBSERVED, Fleet, eventually
from tests.gateway.stranger import dialled, stranger

HELLO = pb.Hello(management_cluster="sv-1", agent_version="1")


class Gateway:
    """What one gateway knows of the claims."""

    def __init__(self, fleet: Fleet, identity: str) -> None:
        self.routes = Routes()
        self.sessions = Sessions(ClaimTable(fleet.api), self.routes, identity, VirtualClock())

    async def welcome(self, name: str = "sv-1") -> int:
        """Look before a session is welcomed."""
        return await self.sessions.newest(name)

    async def take(self, before: int, name: str = "sv-1") -> Route:
        """Claim a session that answered."""
        route = Route(name, HELLO, epoch=await self.sessions.claim(name, before))
        self.routes.add(route)
        return route


async def test_a_gateway_that_stood_still_since_it_welcomed_an_agent_claims_nothing(fleet: Fleet) -> None:
    slow, other = Gateway(fleet, "slow"), Gateway(fleet, "other")
    before = await slow.welcome()
    there = await other.take(await other.welcome())
    with pytest.raises(Outdone):
        await slow.take(before)
    assert await other.sessions.stands("sv-1", there.epoch)
    assert other.sessions.holder("sv-1") == "other"


async def test_a_newer_claim_ends_the_older_session_when_its_gateway_looks(fleet: Fleet) -> None:
    one, two = Gateway(fleet, "one"), Gateway(fleet, "two")
    older = await one.take(await one.welcome())
    bystander = await one.take(await one.welcome("sv-2"), "sv-2")
    newer = await two.take(await two.welcome())
    assert newer.epoch > older.epoch
    assert not older.ended
    assert not await one.sessions.stands("sv-1", older.epoch)
    assert (older.ended, bystander.ended, newer.ended) == (True, False, False)


async def test_a_gateway_that_looks_on_its_own_finds_out_too(fleet: Fleet) -> None:
    one, two, clock = Gateway(fleet, "one"), Gateway(fleet, "two"), VirtualClock()
    one.sessions = Sessions(ClaimTable(fleet.api), one.routes, "one", clock)
    older = await one.take(await one.welcome())
    async with TaskOwner("looking") as owner:
        owner.spawn(one.sessions.run(), "look")
        await two.take(await two.welcome())

        async def ended() -> bool:
            await clock.advance(10)
            return older.ended

        await eventually(ended)


async def test_what_is_said_in_an_older_session_is_not_stored_after_the_first_word_of_a_newer_one(fleet: Fleet) -> None:
    one, two = Gateway(fleet, "one"), Gateway(fleet, "two")
    older = await one.take(await one.welcome())
    table, place = ClaimTable(fleet.api), Place("observedobjects.fleet.skerry.dev", "sv-1", "a")

    def seen(value: str) -> dict[Place, Gapped | None]:
        return {place: gapped({"apiVersion": "x", "kind": "X", "metadata": {"namespace": "sv-1", "name": "a"}, "object": {"data": value}})}

    async def stored() -> str:
        return str((await fleet.client.get(OBSERVED, "a", "sv-1"))["object"]["data"])

    await table.keep(seen("of the older"), older)
    newer = await two.take(await two.welcome())
    with pytest.raises(Outdone):
        await table.keep(seen("late"), older)
    with pytest.raises(Outdone):
        await table.keep({place: None}, older)
    await eventually(stored)
    assert await stored() == "of the older"
    await table.keep(seen("of the newer"), newer)

    async def replaced() -> bool:
        return await stored() == "of the newer"

    await eventually(replaced)


async def test_an_agent_that_dials_another_gateway_is_told_goodbye_by_the_first(pair: tuple[Fleet, Fleet]) -> None:
    one, two = pair
    identity = await one.register()
    async with stranger(one, identity=identity) as older, stranger(two, identity=identity):
        assert "newer session" in (await older.hears("goodbye")).reason
        assert await older.ended() == grpc.StatusCode.OK

        async def moved() -> bool:
            return one.link.holders() == {"two": 1}

        await eventually(moved)


async def test_an_agent_that_does_not_answer_its_welcome_takes_nobodys_place(pair: tuple[Fleet, Fleet]) -> None:
    one, two = pair
    identity = await one.register()
    async with stranger(one, identity=identity) as agent, dialled(identity, two.link.address) as silent:
        await agent.hears("heartbeat_ack")
        silent.says(hello=HELLO)
        await silent.hears("welcome")
        agent.says(heartbeat=pb.Heartbeat(api_reachable=True))
        await agent.hears("heartbeat_ack")
        assert one.link.routes.get("sv-1") is not None
        assert two.link.routes.get("sv-1") is None


class Slow:
    """Claims that answer when they are told to, and count how often they were asked."""

    def __init__(self) -> None:
        self.asked, self.answer = 0, asyncio.Event()

    async def put(self, name: str, gateway: str, before: int) -> int:
        raise Outdone

    async def head(self) -> int:
        self.asked += 1
        await self.answer.wait()
        return self.asked

    async def since(self, epoch: int) -> list[Claim]:
        return [Claim("sv-1", self.asked, "elsewhere")]


async def test_who_asks_while_others_look_shares_one_look_that_began_after_he_asked() -> None:
    claims = Slow()
    sessions = Sessions(claims, Routes(), "", VirtualClock())
    async with TaskOwner("asking") as owner:
        first = owner.spawn(sessions.newest("sv-1"), "first")
        await asyncio.sleep(0)
        rest = [owner.spawn(sessions.newest("sv-1"), str(number)) for number in range(50)]
        await asyncio.sleep(0)
        claims.answer.set()
        assert await first == 1, "what was asked for before the others came"
        assert {await each for each in rest} == {2}
    assert claims.asked == 2
