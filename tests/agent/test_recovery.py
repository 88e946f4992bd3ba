"""An agent that the link does not let in comes back without a hand, or says what is wrong."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from skerry.agent.identity import Identity
from skerry.agent.keeping import Folder
from skerry.testing.clock import VirtualClock
from tests.agent.targets import Target
from tests.gateway.fleet import Fleet


class Hasty(VirtualClock):
    """A clock whose sleeps are short, whatever they are said to be."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.2))
        self._elapsed += seconds


async def test_an_agent_whose_certificate_ended_while_it_was_away_comes_back_by_itself(fleet: Fleet, target: Target) -> None:
    before = fleet.ended(await fleet.register(), days=30)
    async with fleet.agent(target.connection, identity=before):
        kept = await Folder(fleet.folder / "sv-1").load()
        assert kept is not None
        assert kept.certificate != before.certificate
        assert kept.key != before.key
        assert not kept.expired(fleet.clock.now())


async def test_an_agent_with_a_slow_clock_learns_at_the_front_door_that_its_certificate_has_ended(fleet: Fleet, target: Target) -> None:
    before = fleet.ended(await fleet.register(), days=1)
    slow = Hasty(fleet.clock.now() - timedelta(days=2))
    assert not before.expired(slow.now())
    async with fleet.agent(target.connection, identity=before, clock=slow):
        kept: Identity | None = await Folder(fleet.folder / "sv-1").load()
        assert kept is not None
        assert kept.certificate != before.certificate
