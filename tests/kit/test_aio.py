"""Tasks never outlive their owner and never fail unheard; a wake-up is never lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import pytest

from skerry.kit.aio import Pulse, TaskOwner


async def _fail(text: str) -> None:
    raise ValueError(text)


async def _clean_up_slowly(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)
        ended.append("clean")


async def test_leaving_the_block_ends_its_tasks_and_awaits_their_clean_up() -> None:
    ended: list[str] = []
    async with TaskOwner("owner") as owner:
        task = owner.spawn(_clean_up_slowly(ended), "slow")
        await asyncio.sleep(0)
        assert task.get_name() == "owner/slow"
        assert owner.statistics() == {"tasks": 1}
    assert ended == ["clean"]


async def _crash_beside_a_sibling(ended: list[str]) -> None:
    async with TaskOwner("owner") as owner:
        owner.spawn(_clean_up_slowly(ended), "slow")
        await asyncio.sleep(0)
        owner.spawn(_fail("boom"), "crash")
        await asyncio.Event().wait()


async def test_a_task_that_crashes_interrupts_the_block_and_its_siblings_with_its_own_exception() -> None:
    ended: list[str] = []
    with pytest.raises(ValueError, match="boom"):
        await _crash_beside_a_sibling(ended)
    assert ended == ["clean"]
    this = asyncio.current_task()
    assert this is not None
    assert this.cancelling() == 0


async def test_a_cancellation_comes_through_also_while_a_failure_ends_the_block() -> None:
    leaving = asyncio.Event()

    async def lingering() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            leaving.set()
            await asyncio.sleep(0.01)

    async def goes_on_after_failures() -> None:
        with contextlib.suppress(ValueError):
            async with TaskOwner("inner") as inner:
                inner.spawn(lingering(), "lingering")
                await asyncio.sleep(0)
                raise ValueError
        await asyncio.Event().wait()

    async with asyncio.timeout(60), TaskOwner("outer") as outer:
        task = outer.spawn(goes_on_after_failures(), "task")
        await leaving.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


async def _crash_and_leave_at_once() -> None:
    async with TaskOwner("owner") as owner:
        owner.spawn(_fail("boom"), "crash")
        await asyncio.sleep(0)


async def test_a_crash_that_nobody_had_time_to_see_still_reaches_the_owner() -> None:
    with pytest.raises(ValueError, match="boom"):
        await _crash_and_leave_at_once()


async def _fail_beside(task: Coroutine[Any, Any, None]) -> None:
    async with TaskOwner("owner") as owner:
        owner.spawn(task, "task")
        await asyncio.sleep(0)
        raise KeyError("mine")


async def test_an_exception_of_the_block_leaves_it_unchanged() -> None:
    ended: list[str] = []
    with pytest.raises(KeyError, match="mine"):
        await _fail_beside(_clean_up_slowly(ended))
    assert ended == ["clean"]


async def _fail_when_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await _fail("in clean-up")


async def test_failures_of_the_block_and_of_a_clean_up_are_both_told() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await _fail_beside(_fail_when_cancelled())
    assert {type(error) for error in caught.value.exceptions} == {KeyError, ValueError}


async def test_cancelling_whoever_leaves_does_not_leave_a_task_behind() -> None:
    inside: list[asyncio.Task[None]] = []

    async def stubborn() -> None:
        for _ in range(2):  # the owner's cancellation, then the one of whoever leaves
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.sleep(0.01)

    async def leave() -> None:
        async with TaskOwner("inner") as inner:
            inside.append(inner.spawn(stubborn(), "stubborn"))
            await asyncio.sleep(0)

    async with TaskOwner("outer") as outer:
        leaving = outer.spawn(leave(), "leaving")
        for _ in range(4):
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert inside[0].done()
        assert leaving.cancelled()


async def test_nothing_starts_in_a_block_that_is_being_left() -> None:
    async with TaskOwner("owner") as owner:
        pass
    with pytest.raises(RuntimeError, match="owner is closing; late cannot start"):
        owner.spawn(_fail("never"), "late")


async def test_a_pulse_between_looking_and_waiting_is_not_lost() -> None:
    pulse = Pulse()
    seen = pulse.count
    pulse.beat()
    async with asyncio.timeout(60):
        assert await pulse.after(seen) == 1


async def test_a_pulse_wakes_all_who_wait_and_survives_one_that_gave_up() -> None:
    pulse = Pulse()
    async with TaskOwner("waiters") as owner:
        waiting = [owner.spawn(pulse.after(0), f"waiter-{number}") for number in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.sleep(0)
        pulse.beat()
        async with asyncio.timeout(60):
            assert await waiting[0] == await waiting[2] == 1


async def test_a_task_whose_timeout_runs_out_just_when_the_block_is_left_is_ended_all_the_same() -> None:
    async def surviving() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    async with asyncio.timeout(60), TaskOwner("test") as owner:
        task = owner.spawn(surviving(), "surviving")
        while not task.cancelling():  # noqa: ASYNC110 no event tells of the moment
            await asyncio.sleep(0)
    assert task.cancelled()
