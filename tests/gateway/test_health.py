"""Whether a management cluster is connected and healthy, as its status tells it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from skerry.compose.claims import ClaimTable
from skerry.gateway.health import Health
from skerry.gateway.presence import Presence
from skerry.gateway.routes import Route, Routes
from skerry.gateway.sessions import Sessions
from skerry.gateway.standing import Told, next_status
from skerry.gateway.subjects import CLUSTERS, MANAGEMENT_CLUSTERS, Subjects, kept
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
    return next_status({"metadata": {"generation": 1}, "status": before or {}}, route, Told(problem), now)


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
    first = next_status({"metadata": {}}, HERE, Told(), NOW, "a")
    assert first["agent"] == {"version": "1.0", "gateway": "a", "connectedSince": rfc3339(NOW)}
    later = NOW + timedelta(hours=1)
    assert next_status({"metadata": {}, "status": first}, HERE, Told(), later, "a") == first
    assert next_status({"metadata": {}, "status": first}, HERE, Told(), later, "b")["agent"]["connectedSince"] == rfc3339(later)


def test_a_built_in_place_waits_for_nobody() -> None:
    before = after({"conditions": [{"type": "Ready", "status": "True"}]}, None)
    assert next_status({"metadata": {"name": "attached"}, "status": before}, None, Told(), NOW) == {
        "observedGeneration": 0,
        "phase": "BuiltIn",
        "conditions": [{"type": "Ready", "status": "True"}],
    }


def test_conditions_of_others_are_left_alone() -> None:
    other = {"type": "Licensed", "status": "True"}
    assert other in after({"conditions": [other]}, HERE)["conditions"]


@asynccontextmanager
async def judging(fleet: Fleet, routes: Routes, clock: VirtualClock, presence: Presence | None = None) -> AsyncIterator[Health]:
    """A gateway that has just started: it judges by its own clock and knows of no agent yet."""
    sessions = Sessions(ClaimTable(fleet.api), routes, presence.identity if presence else "", clock)
    subjects = Subjects(Informer(fleet.client, MANAGEMENT_CLUSTERS), Informer(fleet.client, CLUSTERS, keep=kept))
    async with TaskOwner("judging") as owner:
        owner.spawn(subjects.managements.run(), "managementclusters")
        owner.spawn(subjects.clusters.run(), "clusters")
        await subjects.synced()
        yield Health(fleet.client, routes, sessions, subjects, clock, patience=PATIENCE, presence=presence)


async def claimed(fleet: Fleet, gateway: str = "") -> Route:
    """A session that is the agent's newest."""
    sessions = Sessions(ClaimTable(fleet.api), Routes(), gateway, VirtualClock())
    epoch = await sessions.claim("sv-1", await sessions.newest("sv-1"))
    return Route("sv-1", pb.Hello(management_cluster="sv-1", agent_version="1"), epoch=epoch)


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
        here = await claimed(fleet)
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


@asynccontextmanager
async def two_gateways(fleet: Fleet) -> AsyncIterator[tuple[Health, Routes, Health, Routes]]:
    """Two beside the fleet's own, that give signs of life and write nothing before a test lets them."""
    clock, routes = VirtualClock(), (Routes(), Routes())
    presences = [Presence(fleet.client, identity, clock) for identity in ("one", "two")]
    async with TaskOwner("presence") as owner:
        for presence in presences:
            owner.spawn(presence.run(), presence.identity)
        async with (
            judging(fleet, routes[0], clock, presences[0]) as one,
            judging(fleet, routes[1], clock, presences[1]) as two,
        ):

            async def alive() -> bool:
                known = presences[0].elsewhere("two") and presences[1].elsewhere("one")
                return known and await phase(fleet) == "Pending"

            await eventually(alive)
            yield one, routes[0], two, routes[1]


async def gateway_of(fleet: Fleet) -> tuple[str, str]:
    status = (await fleet.client.get(MANAGEMENT, "sv-1")).get("status") or {}
    return status.get("phase", ""), (status.get("agent") or {}).get("gateway", "")


async def test_a_gateway_that_comes_late_with_an_older_session_neither_writes_nor_withdraws(fleet: Fleet) -> None:
    async with two_gateways(fleet) as (one, routes_of_one, two, routes_of_two):
        older = await claimed(fleet, "one")
        routes_of_one.add(older)  # and it stands still here
        routes_of_two.add(await claimed(fleet, "two"))
        assert await one.reconcile("sv-1") is None
        assert await gateway_of(fleet) == ("Pending", ""), "the newer session is for the other to tell of"
        assert older.ended
        await two.reconcile("sv-1")
        assert await gateway_of(fleet) == ("Connected", "two")
        routes_of_one.remove(older)
        assert await one.reconcile("sv-1") is not None
        assert await gateway_of(fleet) == ("Connected", "two")


async def test_a_gateway_whose_agent_went_to_another_says_nothing_even_before_the_other_has(fleet: Fleet) -> None:
    async with two_gateways(fleet) as (one, routes_of_one, two, routes_of_two):
        older = await claimed(fleet, "one")
        routes_of_one.add(older)

        async def told() -> bool:
            await one.reconcile("sv-1")
            return await gateway_of(fleet) == ("Connected", "one")

        await eventually(told)
        routes_of_two.add(await claimed(fleet, "two"))
        routes_of_one.remove(older)
        assert await one.reconcile("sv-1") is not None
        assert await gateway_of(fleet) == ("Connected", "one")

        async def taken() -> bool:
            await two.reconcile("sv-1")
            return await gateway_of(fleet) == ("Connected", "two")

        await eventually(taken)
