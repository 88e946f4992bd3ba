from __future__ import annotations

import asyncio

from skerry.kit.aio import TaskOwner
from skerry.kit.pipe import Pipe


async def test_items_come_out_in_order_and_none_is_lost_by_closing() -> None:
    pipe: Pipe[int] = Pipe(3)
    assert [await pipe.put(number) for number in range(3)] == [True, True, True]
    pipe.close()
    assert [await pipe.take() for _ in range(4)] == [0, 1, 2, None]
    assert await pipe.put(4) is False


async def test_a_full_pipe_makes_the_writer_wait_and_an_empty_one_the_reader() -> None:
    pipe: Pipe[int] = Pipe(1)
    async with TaskOwner("pipe") as owner:
        reading = owner.spawn(pipe.take(), "read")
        await asyncio.sleep(0)
        assert not reading.done()
        await pipe.put(1)
        assert await reading == 1
        await pipe.put(2)
        writing = owner.spawn(pipe.put(3), "write")
        await asyncio.sleep(0)
        assert not writing.done()
        assert await pipe.take() == 2
        assert await writing is True
        assert pipe.statistics() == {"items": 1, "closed": 0}


async def test_aborting_throws_away_what_is_inside_and_wakes_both_ends() -> None:
    full: Pipe[int] = Pipe(1)
    empty: Pipe[int] = Pipe(1)
    await full.put(1)
    async with TaskOwner("pipe") as owner:
        writing, reading = owner.spawn(full.put(2), "write"), owner.spawn(empty.take(), "read")
        await asyncio.sleep(0)
        full.abort()
        empty.abort()
        assert await writing is False
        assert await reading is None
        assert await full.take() is None
