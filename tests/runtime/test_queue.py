"""Keys that want work."""

from __future__ import annotations

import asyncio

import pytest

from skerry.kinds.common import Condition
from skerry.kit.clock import SystemClock
from skerry.runtime.conditions import merged
from skerry.runtime.queue import WorkQueue


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
