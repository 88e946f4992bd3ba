from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from skerry.kit.aio import TaskOwner
from skerry.machinery.errors import NotFound, TooManyRequests
from skerry.machinery.identity import User
from skerry.pki.policy import COMPONENTS
from skerry.restapi.context import Call
from skerry.restapi.crowd import Crowd, Limits
from skerry.restapi.response import Response

LIMITS = Limits(seats=2, waiting=4, waiting_of_one=3, seconds=60, watches=3, watches_of_one=2)


def call(name: str, verb: str = "get", groups: tuple[str, ...] = ()) -> Call:
    return cast("Call", SimpleNamespace(user=User(name, groups=groups), verb=verb, request=SimpleNamespace(method="GET")))


class Work:
    """A handler that says who is served, and waits until it is told to go on."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self._gates: list[asyncio.Event] = []

    async def __call__(self, call: Call) -> Response:
        self.served.append(call.user.name)
        gate = asyncio.Event()
        self._gates.append(gate)
        await gate.wait()
        return Response()

    async def finish(self, count: int) -> None:
        for _ in range(count):
            self._gates.pop(0).set()
            await settled()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_seat_that_becomes_free_goes_to_the_users_in_turn() -> None:
    crowd, work = Crowd(LIMITS), Work()
    async with TaskOwner("test") as owner:
        for name in ("busy", "busy", "busy", "busy", "busy", "quiet"):
            owner.spawn(crowd.answer(work, call(name)), name)
            await settled()
        assert work.served == ["busy", "busy"]
        assert crowd.statistics() == {"seated": 2, "waiting": 4, "watches": 0, "body_bytes": 0, "refused": 0}
        await work.finish(2)
        assert work.served == ["busy", "busy", "busy", "quiet"]
        await work.finish(4)
        assert crowd.statistics() == {"seated": 0, "waiting": 0, "watches": 0, "body_bytes": 0, "refused": 0}


async def test_who_would_wait_behind_too_many_is_told_when_to_come_again_and_components_pass() -> None:
    crowd, work = Crowd(LIMITS), Work()
    async with TaskOwner("test") as owner:
        for name in ("busy",) * 5:
            owner.spawn(crowd.answer(work, call(name)), name)
        await settled()
        with pytest.raises(TooManyRequests) as told:
            await crowd.answer(work, call("busy"))
        assert told.value.retry_after == 1
        owner.spawn(crowd.answer(work, call("other")), "other")
        await settled()
        with pytest.raises(TooManyRequests):
            await crowd.answer(work, call("third"))
        owner.spawn(crowd.answer(work, call("gateway", groups=(COMPONENTS,))), "gateway")
        await settled()
        assert work.served == ["busy", "busy", "gateway"]
        assert crowd.statistics()["refused"] == 2


async def test_who_waits_too_long_or_goes_away_leaves_the_queue() -> None:
    crowd, work = Crowd(replace(LIMITS, seconds=0.001)), Work()
    async with TaskOwner("test") as owner:
        for name in ("one", "two"):
            owner.spawn(crowd.answer(work, call(name)), name)
        await settled()
        with pytest.raises(TooManyRequests):
            await crowd.answer(work, call("late"))
        assert crowd.statistics()["waiting"] == 0
        await work.finish(2)
        assert crowd.statistics()["seated"] == 0


async def test_a_cancelled_request_gives_its_place_back_wherever_it_stands() -> None:
    crowd, work = Crowd(LIMITS), Work()
    async with TaskOwner("test") as owner:
        tasks = [owner.spawn(crowd.answer(work, call(f"user{i}")), str(i)) for i in range(5)]
        await settled()
        for task in (tasks[3], tasks[0], tasks[1]):
            task.cancel()
        await settled()
        assert work.served == ["user0", "user1", "user2", "user4"]
        assert crowd.statistics() == {"seated": 2, "waiting": 0, "watches": 0, "body_bytes": 0, "refused": 0}


async def test_watches_are_counted_apart_until_their_end() -> None:
    crowd = Crowd(LIMITS)

    async def opened(_: Call) -> Response:
        return Response()

    async def failed(_: Call) -> Response:
        raise NotFound

    first, _ = [await crowd.answer(opened, call("one", "watch")) for _ in range(2)]
    with pytest.raises(TooManyRequests):
        await crowd.answer(opened, call("one", "watch"))
    await crowd.answer(opened, call("two", "watch"))
    with pytest.raises(TooManyRequests):
        await crowd.answer(opened, call("two", "watch"))
    assert crowd.statistics() == {"seated": 0, "waiting": 0, "watches": 3, "body_bytes": 0, "refused": 2}
    first.after()
    with pytest.raises(NotFound):
        await crowd.answer(failed, call("three", "watch"))
    assert crowd.statistics()["watches"] == 2


async def test_bodies_are_bounded_all_together() -> None:
    bodies = Crowd(replace(LIMITS, body_bytes=100)).bodies
    bodies.take(60)
    with pytest.raises(TooManyRequests):
        bodies.take(41)
    bodies.give_back(60)
    bodies.take(100)
