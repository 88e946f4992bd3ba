from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from skerry.agent.outbox import Outbox
from skerry.kit.aio import Pulse, TaskOwner
from skerry.tunnel import link_pb2 as pb

BEAT = pb.ControlRequest(heartbeat=pb.Heartbeat(api_reachable=True))


class Reports:
    """Where reports wait."""

    def __init__(self) -> None:
        self.waiting: list[pb.DesiredResult] = []

    def take(self) -> pb.DesiredResult | None:
        return self.waiting.pop(0) if self.waiting else None


async def drain(messages: AsyncIterator[pb.ControlRequest], into: list[pb.ControlRequest]) -> None:
    async for message in messages:
        into.append(message)  # noqa: PERF401 what came so far is looked at while more comes


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_session_that_is_over_takes_no_report_from_the_next_one() -> None:
    reports, pulse = Reports(), Pulse()
    old, new = Outbox(reports.take, pulse), Outbox(reports.take, pulse)
    said_by_old: list[pb.ControlRequest] = []
    said_by_new: list[pb.ControlRequest] = []
    async with TaskOwner("outboxes") as owner:
        ended = owner.spawn(drain(old.messages(), said_by_old), "old")
        await settle()
        old.close()
        owner.spawn(drain(new.messages(), said_by_new), "new")
        reports.waiting.append(pb.DesiredResult(set="shop"))
        pulse.beat()
        await settle()
        assert ended.done()
    assert said_by_old == []
    assert said_by_new == [pb.ControlRequest(result=pb.DesiredResult(set="shop"))]


async def test_words_go_before_reports_and_reports_before_inventory() -> None:
    reports, pulse = Reports(), Pulse()
    outbox = Outbox(reports.take, pulse)
    said: list[pb.ControlRequest] = []
    async with TaskOwner("outbox") as owner:
        delta = owner.spawn(outbox.send_delta(pb.InventoryDelta(sequence=1)), "delta")
        await settle()
        reports.waiting.append(pb.DesiredResult(set="shop"))
        outbox.say(BEAT)
        assert not delta.done()
        owner.spawn(drain(outbox.messages(), said), "drain")
        await delta
    assert [each.WhichOneof("message") for each in said] == ["heartbeat", "result", "inventory"]
