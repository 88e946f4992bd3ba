"""Which gateways live, by the signs that they give."""

from __future__ import annotations

from skerry.gateway.presence import EVERY_SECONDS, PATIENCE_SECONDS, Presence
from skerry.kit.aio import TaskOwner
from skerry.testing.clock import VirtualClock
from tests.gateway.fleet import Fleet, eventually


async def test_a_gateway_lives_for_as_long_as_its_signs_are_seen_to_change(fleet: Fleet) -> None:
    here, there = VirtualClock(), VirtualClock()
    async with TaskOwner("test") as owner:
        mine, other = Presence(fleet.client, "a", here), Presence(fleet.client, "b", there)
        owner.spawn(mine.run(), "mine")
        assert not mine.elsewhere("b")
        assert not mine.elsewhere("a")
        assert not mine.elsewhere("")
        giving = owner.spawn(other.run(), "other")

        async def lives() -> bool:
            return mine.elsewhere("b")

        await eventually(lives)
        await here.advance(PATIENCE_SECONDS)
        assert not mine.elsewhere("b")
        await there.advance(EVERY_SECONDS)
        await eventually(lives)
        giving.cancel()
        await here.advance(PATIENCE_SECONDS - 1)
        assert mine.elsewhere("b")
        await here.advance(1)
        assert not mine.elsewhere("b")
