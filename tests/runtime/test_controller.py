"""Controllers beside everything else that one event loop does."""

from __future__ import annotations

import asyncio

from skerry.kit.aio import TaskOwner
from skerry.runtime.controller import Controller


async def test_ten_thousand_keys_for_which_there_is_nothing_to_wait_for_leave_others_their_turn() -> None:
    done = turns = 0

    async def reconcile(key: str) -> None:
        nonlocal done
        done += 1

    controller = Controller("quick", [], reconcile)
    for number in range(10_000):
        controller.queue.add(str(number))
    async with TaskOwner("test") as owner:
        owner.spawn(controller.run(), "controller")
        while done < 10_000:
            await asyncio.sleep(0)
            turns += 1
    assert turns > 1000
