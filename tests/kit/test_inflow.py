"""What a connection received is bounded, and comes before its end."""

from __future__ import annotations

from skerry.kit.aio import TaskOwner
from skerry.kit.inflow import MOST_HELD, Inflow


class Transport:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")


async def test_it_stops_the_reading_while_too_much_waits_and_goes_on_once_it_was_taken() -> None:
    transport = Transport()
    inflow = Inflow(transport.pause, transport.resume)
    inflow.put(b"a" * (MOST_HELD - 1))
    assert transport.calls == []
    inflow.put(b"bb")
    assert transport.calls == ["pause"]
    assert len(await inflow.take(1)) == 1
    assert transport.calls == ["pause"]
    assert (await inflow.take(MOST_HELD))[-2:] == b"bb"
    assert transport.calls == ["pause", "resume"]


async def test_a_reading_that_another_one_resumed_is_stopped_again() -> None:
    transport = Transport()
    inflow = Inflow(transport.pause, transport.resume)
    for _ in range(2):
        inflow.put(b"a" * MOST_HELD)
    assert transport.calls == ["pause", "pause"]


async def test_the_end_comes_after_what_was_received_and_wakes_whoever_waits() -> None:
    transport = Transport()
    inflow = Inflow(transport.pause, transport.resume)
    async with TaskOwner("test") as owner:
        waiting = owner.spawn(inflow.take(10), "take")
        inflow.put(b"last words")
        inflow.end()
        assert await waiting == b"last words"
    assert (await inflow.take(10), await inflow.take(10)) == (b"", b"")
    assert inflow.statistics() == {"bytes": 0, "ended": 1}
