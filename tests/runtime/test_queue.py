"""Keys that want work."""

from __future__ import annotations

import asyncio

import pytest

from skerry.kinds.common import Condition
from skerry.kit.clock import SystemClock
from skerry.kit.page import Page
from skerry.runtime import meters
from skerry.runtime.conditions import merged
from skerry.runtime.queue import WorkQueue
from skerry.testing.clock import VirtualClock


async def test_a_key_waits_at_most_once() -> None:
    queue = WorkQueue(SystemClock())
    queue.add("a")
    queue.add("a")
    assert await queue.take() == "a"
    assert queue.statistics()["ready"] == 0


async def test_a_key_that_comes_while_it_is_worked_on_is_done_again_afterwards() -> None:
    queue = WorkQueue(SystemClock())
    queue.add("a")
    await queue.take()
    queue.add("a")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await queue.take()
    queue.done("a")
    assert await queue.take() == "a"


async def test_a_key_that_failed_comes_back() -> None:
    queue = WorkQueue(SystemClock())
    queue.add("a")
    await queue.take()
    assert queue.failed("a") <= 0.2
    assert await queue.take() == "a"


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    old = [Condition("Ready", "True", "Fine", "", "then"), Condition("Other", "True", "Kept", "", "then")]
    same = merged(old, [Condition("Ready", "True", "StillFine")], "now")
    changed = merged(old, [Condition("Ready", "False", "Broken")], "now")
    assert [each.last_transition_time for each in same] == ["then", "then"]
    assert [each.last_transition_time for each in changed] == ["now", "then"]
    assert same[0].reason == "StillFine"


async def test_a_queue_is_measured_as_those_of_kubernetes_are() -> None:
    clock, measured = VirtualClock(), meters.Meters()
    queue = WorkQueue(clock, "things", measured)
    for key in "aabc":
        queue.add(key)
    await clock.advance(2)
    assert await queue.take() == "a"
    assert await queue.take() == "b"
    queue.add("a")  # while it is worked on: ready once that is done
    await clock.advance(3)
    queue.done("a")
    queue.failed("b")
    assert await queue.take() == "c"
    await clock.advance(4)
    meter = measured.of("things")
    assert (meter.adds, meter.retries, queue.waiting()) == (4, 1, 1)
    assert meter.waited.total == pytest.approx(2 + 2 + 5)
    assert meter.worked.total == pytest.approx(3 + 3)
    assert (sum(meter.waited.counts), sum(meter.worked.counts)) == (3, 2)
    assert queue.working() == [pytest.approx(4)]


async def test_a_name_goes_on_counting_when_its_queue_is_made_anew() -> None:
    measured, page = meters.measure_here(), Page()
    meters.show(page, measured)
    first = WorkQueue(SystemClock(), "things")
    first.add("a")
    first.add("b")
    second = WorkQueue(SystemClock(), "things")
    second.add("a")
    other = meters.measure_here()
    WorkQueue(SystemClock(), "things").add("a")
    text = (await page.answer(""))[0].decode()
    assert 'workqueue_adds_total{name="things"} 3.0' in text
    assert 'workqueue_depth{name="things"} 1.0' in text
    assert other.of("things").adds == 1
