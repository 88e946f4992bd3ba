"""Whether a management cluster is connected and healthy, as its status tells it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from skerry.gateway.health import MANAGEMENT_CLUSTERS, Health, next_status
from skerry.gateway.routes import Route, Routes
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import rfc3339
from skerry.runtime.informer import Informer
from skerry.testing.clock import VirtualClock
from skerry.tunnel import link_pb2 as pb
from tests.gateway.fleet import MANAGEMENT, Fleet, eventually
from tests.gateway.stranger import stranger

Json = dict[str, Any]
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
HERE = Route("sv-1", pb.Hello(management_cluster="sv-1", agent_version="1.0", kubernetes_version="v1.34.2"))
PATIENCE = 30.0


def after(before: Json | None, route: Route | None, problem: str = "", now: datetime = NOW) -> Json:
    return next_status({"metadata": {"generation": 1}, "status": before or {}}, route, problem, now)


def conditions(status: Json) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


def test_a_management_cluster_waits_for_its_agent_is_connected_and_may_be_lost() -> None:
    fresh = after(None, None)
    assert fresh["phase"] == "Pending"
    assert conditions(fresh) == {"Connected": ("False", "NeverConnected"), "Healthy": ("Unknown", "NeverConnected")}
    here = after(fresh, HERE)
    assert (here["phase"], here["kubernetesVersion"]) == ("Connected", "v1.34.2")
    assert here["agent"] == {"version": "1.0", "connectedSince": rfc3339(NOW)}
    assert conditions(here) == {"Connected": ("True", "AgentConnected"), "Healthy": ("True", "ApiReachable")}
    away = after(here, None)
    assert away["phase"] == "Disconnected"
    assert conditions(away) == {"Connected": ("False", "AgentAway"), "Healthy": ("Unknown", "AgentAway")}


def test_a_cluster_whose_api_does_not_answer_its_agent_is_connected_and_not_healthy() -> None:
    status = after(None, HERE, "connection refused")
    assert conditions(status) == {"Connected": ("True", "AgentConnected"), "Healthy": ("False", "ApiUnreachable")}
    assert status["conditions"][1]["message"] == "connection refused"


def test_a_status_that_is_true_is_not_written_again_and_times_move_only_with_their_condition() -> None:
    here = after(None, HERE)
    later = NOW + timedelta(hours=1)
    assert after(here, HERE, now=later) == here
    ill = after(here, HERE, "no answer", later)
    times = {each["type"]: each["lastTransitionTime"] for each in ill["conditions"]}
    assert times == {"Connected": rfc3339(NOW), "Healthy": rfc3339(later)}


def test_the_gateway_of_a_session_is_told_and_another_one_is_another_session() -> None:
    first = next_status({"metadata": {}}, HERE, "", NOW, "a")
    assert first["agent"] == {"version": "1.0", "gateway": "a", "connectedSince": rfc3339(NOW)}
    later = NOW + timedelta(hours=1)
    assert next_status({"metadata": {}, "status": first}, HERE, "", later, "a") == first
    assert next_status({"metadata": {}, "status": first}, HERE, "", later, "b")["agent"]["connectedSince"] == rfc3339(later)


def test_a_built_in_place_waits_for_nobody() -> None:
    before = after({"conditions": [{"type": "Ready", "status": "True"}]}, None)
    assert next_status({"metadata": {"name": "attached"}, "status": before}, None, "", NOW) == {
        "observedGeneration": 0,
        "phase": "BuiltIn",
        "conditions": [{"type": "Ready", "status": "True"}],
    }


def test_conditions_of_others_are_left_alone() -> None:
    other = {"type": "Licensed", "status": "True"}
    assert other in after({"conditions": [other]}, HERE)["conditions"]


@asynccontextmanager
async def judging(fleet: Fleet, routes: Routes, clock: VirtualClock) -> AsyncIterator[Health]:
    """A gateway that has just started: it judges by its own clock and knows of no agent yet."""
    informer = Informer(fleet.client, MANAGEMENT_CLUSTERS)
    async with TaskOwner("judging") as owner:
        owner.spawn(informer.run(), "informer")
        await informer.synced.wait()
        yield Health(fleet.client, routes, informer, clock, patience=PATIENCE)


async def phase(fleet: Fleet) -> str:
    return str((await fleet.client.get(MANAGEMENT, "sv-1"))["status"]["phase"])


async def test_who_was_connected_before_a_gateway_started_is_given_time_to_come_back(fleet: Fleet) -> None:
    clock = VirtualClock()
    async with stranger(fleet), judging(fleet, Routes(), clock) as health:

        async def written() -> bool:
            return await phase(fleet) == "Connected" and await health.reconcile("sv-1") is not None

        await eventually(written)
        assert await health.reconcile("sv-1") == PATIENCE
        await clock.advance(PATIENCE - 1)
        assert await health.reconcile("sv-1") == 1
        assert await phase(fleet) == "Connected"
        await clock.advance(1)
        assert await health.reconcile("sv-1") is None
        assert await phase(fleet) == "Disconnected"


async def test_who_came_back_and_left_again_is_away_at_once(fleet: Fleet) -> None:
    routes = Routes()
    async with stranger(fleet), judging(fleet, routes, VirtualClock()) as health:

        async def written() -> bool:
            return await phase(fleet) == "Connected" and await health.reconcile("sv-1") is not None

        await eventually(written)
        here = Route("sv-1", pb.Hello(management_cluster="sv-1", agent_version="1"))
        routes.add(here)
        assert await health.reconcile("sv-1") is None
        routes.remove(here)
        assert await health.reconcile("sv-1") is None
        assert await phase(fleet) == "Disconnected"


async def test_what_a_heartbeat_says_is_written_when_it_changes(fleet: Fleet) -> None:
    async def healthy(status: str) -> Json | None:
        found = await fleet.client.get(MANAGEMENT, "sv-1")
        return found if conditions(found["status"])["Healthy"][0] == status else None

    async with stranger(fleet, beat_every=None) as agent:
        await eventually(lambda: healthy("True"))
        agent.says(heartbeat=pb.Heartbeat(api_reachable=False, problem="connection refused"))
        found = await eventually(lambda: healthy("False"))
        for _ in range(3):
            agent.says(heartbeat=pb.Heartbeat(api_reachable=False, problem="connection refused"))
            await agent.hears("heartbeat_ack")
        assert (await healthy("False")) == found
        agent.says(heartbeat=pb.Heartbeat(api_reachable=True))
        await eventually(lambda: healthy("True"))
    found = await eventually(lambda: healthy("Unknown"))
    assert found["status"]["phase"] == "Disconnected"
