"""One slice of all works in each turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from skerry.kit.turns import Turns


async def test_works_are_done_one_after_the_other_a_slice_in_each_turn() -> None:
    turns, done = Turns(), list[str]()

    def work(name: str) -> Iterator[None]:
        for number in range(3):
            done.append(f"{name}{number}")
            yield

    turns.add(work("a"))
    turns.add(work("b"))
    seen = []
    for _ in range(9):
        await asyncio.sleep(0)
        seen.append(len(done))
    assert done == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert all(after - before <= 1 for before, after in zip([0, *seen], seen, strict=False))
    turns.add(work("c"))
    await asyncio.sleep(0)
    assert done[-1] == "c0"


async def test_a_work_that_fails_does_not_keep_the_others_from_their_turn() -> None:
    turns, done, told = Turns(), list[int](), list[str]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context["exception"])))
    turns.add(1 // number for number in [0])
    turns.add(map(done.append, [1]))
    for _ in range(4):
        await asyncio.sleep(0)
    assert (done, len(told)) == ([1], 1)
