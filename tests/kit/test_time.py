"""Virtual time moves when it is told to, and waiting grows and is forgotten."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

from skerry.kit.aio import TaskOwner
from skerry.kit.backoff import Backoff
from skerry.kit.clock import Clock, SystemClock, parse, rfc3339
from skerry.testing.clock import START, VirtualClock


async def test_virtual_time_stands_still_until_it_is_moved() -> None:
    clock: Clock = VirtualClock()
    await asyncio.sleep(0.01)
    assert clock.now() == START
    assert clock.monotonic() == 0


async def test_sleepers_wake_at_their_own_moments_and_in_order() -> None:
    clock = VirtualClock()
    woken: list[tuple[str, float]] = []

    async def tick(name: str, every: float, times: int) -> None:
        for _ in range(times):
            await clock.sleep(every)
            woken.append((name, clock.monotonic()))

    async with TaskOwner("test") as owner:
        owner.spawn(tick("slow", 50, 1), "slow")
        owner.spawn(tick("quick", 20, 3), "quick")
        await clock.advance(59)
        assert woken == [("quick", 20), ("quick", 40), ("slow", 50)]
        assert clock.statistics() == {"sleepers": 1, "next": 1}
        await clock.advance(1)
    assert woken[-1] == ("quick", 60.0)
    assert clock.now() == START + timedelta(seconds=60)


async def test_a_sleeper_that_gave_up_holds_nobody_up() -> None:
    clock = VirtualClock()
    async with TaskOwner("test") as owner:
        sleeping = owner.spawn(clock.sleep(5), "sleeper")
        await asyncio.sleep(0)
        sleeping.cancel()
        await clock.advance(10)
        assert sleeping.cancelled()
        assert clock.statistics()["sleepers"] == 0


def test_times_are_written_as_kubernetes_writes_them_and_read_back() -> None:
    now = SystemClock().now().replace(microsecond=0)
    assert rfc3339(now).endswith("Z")
    assert parse(rfc3339(now)) == now


def test_delays_double_up_to_a_limit_and_begin_anew_after_a_reset() -> None:
    class Highest(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    backoff = Backoff(base=1, limit=5, random=Highest())
    assert [backoff.next() for _ in range(4)] == [1, 2, 4, 5]
    backoff.reset()
    assert backoff.next() == 1


def test_delays_are_spread_and_never_nothing() -> None:
    backoff = Backoff(base=1, limit=8, floor=0.1, random=random.Random(7))
    delays = [backoff.next() for _ in range(200)]
    assert min(delays) >= 0.1
    assert max(delays) <= 8
    assert len(set(delays[3:])) > 150
