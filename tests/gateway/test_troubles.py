"""What is told of an agent stands in the status for as long as it is told, and no longer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from skerry.gateway.routes import Routes
from skerry.gateway.standing import NOTHING, next_status
from skerry.gateway.subjects import CLUSTERS, MANAGEMENT_CLUSTERS, Subjects
from skerry.gateway.troubles import KEPT_SECONDS, MOST_MESSAGE, Troubles
from skerry.kit.aio import TaskOwner
from skerry.runtime.informer import Informer
from skerry.testing.clock import VirtualClock
from tests.gateway.fleet import MANAGEMENT, Fleet, eventually

Json = dict[str, Any]


class Desk:
    """A gateway's troubles, with a clock of its own."""

    def __init__(self, fleet: Fleet, subjects: Subjects) -> None:
        self.fleet, self.subjects = fleet, subjects
        self.clock = VirtualClock(fleet.clock.now())
        self.troubles = Troubles(fleet.client, Routes(), subjects, self.clock)

    async def look(self) -> float | None:
        """Reconcile until what is written is what was seen."""

        async def even() -> bool:
            stored = await self.fleet.client.get(MANAGEMENT, "sv-1")
            seen = self.subjects.get("sv-1")
            return seen is not None and seen["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]

        await eventually(even)
        again = await self.troubles.reconcile("sv-1")
        await eventually(even)
        return again

    async def trouble(self) -> Json | None:
        found: Json | None = (await self.fleet.client.get(MANAGEMENT, "sv-1"))["status"].get("trouble")
        return found


@pytest.fixture
async def desk(fleet: Fleet) -> AsyncIterator[Desk]:
    subjects = Subjects(Informer(fleet.client, MANAGEMENT_CLUSTERS), Informer(fleet.client, CLUSTERS))
    async with TaskOwner("informers") as owner:
        owner.spawn(subjects.managements.run(), "managements")
        owner.spawn(subjects.clusters.run(), "clusters")
        await subjects.synced()
        yield Desk(fleet, subjects)


async def test_a_trouble_that_nobody_tells_any_more_is_over(desk: Desk) -> None:
    desk.troubles.tell("sv-1", "DuplicateAgent", "cluster b " + "x" * 5000)
    await desk.look()
    found = await desk.trouble()
    assert found is not None
    assert len(found["message"]) == MOST_MESSAGE
    assert await desk.look() == pytest.approx(KEPT_SECONDS)
    await desk.clock.advance(KEPT_SECONDS - 1)
    await desk.look()
    assert await desk.trouble() == found
    await desk.clock.advance(2)
    await desk.look()
    assert await desk.trouble() is None


async def test_one_that_goes_on_is_written_once_a_minute_and_not_at_every_word(desk: Desk) -> None:
    desk.troubles.tell("sv-1", "DuplicateAgent", "cluster b")
    await desk.look()
    first = await desk.fleet.client.get(MANAGEMENT, "sv-1")
    for _ in range(3):
        await desk.clock.advance(15)
        desk.troubles.tell("sv-1", "DuplicateAgent", "cluster b")
        await desk.look()
    assert (await desk.trouble()) == first["status"]["trouble"]
    await desk.clock.advance(16)
    desk.troubles.tell("sv-1", "DuplicateAgent", "cluster b")
    await desk.look()
    found = await desk.trouble()
    assert found is not None
    assert found["lastSeen"] > first["status"]["trouble"]["lastSeen"]


async def test_changing_stories_wait_for_their_turn(desk: Desk) -> None:
    desk.troubles.tell("sv-1", "TLSIntercepted", "one")
    await desk.look()
    desk.troubles.tell("sv-1", "TLSIntercepted", "two")
    wait = await desk.look()
    found = await desk.trouble()
    assert found is not None
    assert found["message"] == "one"
    assert wait is not None
    await desk.clock.advance(wait)
    await desk.look()
    found = await desk.trouble()
    assert found is not None
    assert found["message"] == "two"


def test_the_conditions_follow_the_trouble() -> None:
    from datetime import UTC, datetime

    now = datetime(2026, 12, 1, tzinfo=UTC)
    site = {"kind": "ManagementCluster", "metadata": {"name": "sv-1"}, "spec": {}, "status": {}}

    def kinds(trouble: Json | None, before: Json | None = None) -> dict[str, tuple[str, str]]:
        status = {**(before or {}), **({"trouble": trouble} if trouble else {})}
        found = next_status({**site, "status": status}, None, NOTHING, now)
        return {each["type"]: (each["status"], each["reason"]) for each in found["conditions"]}

    assert kinds({"reason": "ClockSkew", "message": "an hour"})["Connected"] == ("False", "ClockSkew")
    doubled = kinds({"reason": "DuplicateAgent", "message": "two"})
    assert doubled["DuplicateAgent"] == ("True", "SecondCluster")
    assert doubled["Connected"] == ("False", "NeverConnected")
    stood = next_status({**site, "status": {"trouble": {"reason": "DuplicateAgent", "message": "two"}}}, None, NOTHING, now)
    assert "DuplicateAgent" not in kinds(None, {key: value for key, value in stood.items() if key != "trouble"})
