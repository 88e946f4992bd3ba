"""Agent and gateway together, over a real wire that can be cut, in front of each kind of cluster."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from skerry.agent.identity import Identity, moved
from skerry.agent.keeping import Folder
from skerry.agent.objects import LABEL
from skerry.client.contract import PatchKind
from skerry.machinery.errors import NotFound
from skerry.pki import policy
from skerry.pki.authority import KeyPair
from skerry.testing.clock import VirtualClock
from skerry.tunnel.rules import digest_of
from tests.agent.targets import CLUSTERS, Target, cluster, definition
from tests.gateway.fleet import MANAGEMENT, MAPS, SETS, Fleet, config_map, eventually
from tests.gateway.fleet import fleet as run_fleet

Json = dict[str, Any]
CAPI = definition("Cluster", "clusters", "cluster.x-k8s.io")


@pytest.fixture
def shop() -> str:
    """The name of a set that no other test has used: a cluster remembers what it was asked for."""
    return f"shop-{secrets.token_hex(4)}"


async def value(target: Target, space: str, name: str) -> str | None:
    try:
        return str((await target.client.get(MAPS, name, space))["data"]["v"])
    except NotFound:
        return None


def condition(obj: Json, kind: str) -> Json:
    found: Json = next(each for each in obj["status"]["conditions"] if each["type"] == kind)
    return found


async def connected(fleet: Fleet, status: str) -> Json:
    async def state() -> Json | None:
        found = await fleet.client.get(MANAGEMENT, "sv-1")
        return found if condition(found, "Connected")["status"] == status else None

    found: Json = await eventually(state)
    return found


async def test_a_set_is_enforced_reported_changed_and_gone_without_a_trace(fleet: Fleet, target: Target, shop: str) -> None:
    space = await target.namespace()
    async with fleet.agent(target.connection):
        await fleet.ask(shop, [config_map("a", space, v="1"), config_map("b", space, v="1")])
        found = await fleet.settled(shop, applied=2, failed=0, pending=0)
        assert condition(found, "Applied")["status"] == "True"
        assert found["status"]["ownerEpoch"] == 1
        assert found["status"]["lastEnforcedTime"]
        await fleet.ask(shop, [config_map("b", space, v="2")])
        await fleet.settled(shop, applied=1)
        assert await value(target, space, "b") == "2"
        assert await value(target, space, "a") is None
        await fleet.client.delete(SETS, shop, "sv-1")
        await fleet.gone(shop)
        assert await value(target, space, "b") is None


async def test_failures_are_reported_with_reason_and_message(fleet: Fleet, target: Target, shop: str) -> None:
    space = await target.namespace()
    await target.client.apply(MAPS, config_map("theirs", space, v="1"), manager="them")
    async with fleet.agent(target.connection):
        await fleet.ask(shop, [config_map("theirs", space, v="2"), config_map("ours", space, v="2")])
        found = await fleet.settled(shop, applied=1, failed=1)
        [failure] = found["status"]["failures"]
        assert (failure["kind"], failure["name"], failure["reason"]) == ("ConfigMap", "theirs", "Conflict")
        assert "them" in failure["message"]
        assert condition(found, "Applied")["status"] == "False"


async def test_a_status_holds_the_first_ten_failures_and_counts_all(fleet: Fleet, target: Target, shop: str) -> None:
    async with fleet.agent(target.connection):
        await fleet.ask(shop, [config_map("No Name " + str(number), "default") for number in range(25)])
        found = await fleet.settled(shop, failed=25)
        assert len(found["status"]["failures"]) == 10


async def test_after_a_broken_connection_both_sides_converge_without_doubled_work(fleet: Fleet, target: Target, shop: str) -> None:
    space = await target.namespace()
    async with fleet.agent(target.connection):
        await fleet.ask(f"{shop}-still", [config_map("still", space, v="1")])
        await fleet.ask(shop, [config_map("moves", space, v="1")])
        await fleet.settled(f"{shop}-still", applied=1)
        await fleet.settled(shop, applied=1)
        still = await target.client.get(MAPS, "still", space)
        wrote = (await fleet.set(f"{shop}-still"))["metadata"]["resourceVersion"]

        fleet.wire.cut()
        assert condition(await connected(fleet, "False"), "Connected")["reason"] == "AgentAway"
        await fleet.ask(shop, [config_map("moves", space, v="2")])
        assert await value(target, space, "moves") == "1"

        fleet.wire.mend()
        await fleet.settled(shop, applied=1)
        await connected(fleet, "True")
        assert await value(target, space, "moves") == "2"
        assert await target.client.get(MAPS, "still", space) == still
        assert (await fleet.set(f"{shop}-still"))["metadata"]["resourceVersion"] == wrote


async def test_a_link_that_carries_nothing_is_noticed_by_both_ends_and_they_converge(tmp_path: Path, target: Target, shop: str) -> None:
    space = await target.namespace()
    async with run_fleet(tmp_path, heartbeat_seconds=2) as fleet:
        await fleet.management_cluster()
        await half_open(fleet, target, shop, space)


async def half_open(fleet: Fleet, target: Target, shop: str, space: str) -> None:
    async with fleet.agent(target.connection) as agent:
        await fleet.ask(f"{shop}-still", [config_map("still", space, v="1")])
        await fleet.ask(shop, [config_map("moves", space, v="1"), config_map("goes", space, v="1")])
        await fleet.settled(f"{shop}-still", applied=1)
        await fleet.settled(shop, applied=2)
        still = await target.client.get(MAPS, "still", space)

        fleet.wire.freeze()
        await fleet.ask(shop, [config_map("moves", space, v="2")])
        away = await connected(fleet, "False")
        assert condition(away, "Healthy")["status"] == "Unknown"

        async def noticed() -> bool:
            return not agent.connected.is_set()

        await eventually(noticed)
        await fleet.ask(shop, [config_map("moves", space, v="3")])
        assert await value(target, space, "moves") == "1"

        fleet.wire.mend()
        await fleet.settled(shop, applied=1)
        here = await connected(fleet, "True")
        assert condition(here, "Healthy")["status"] == "True"
        assert await value(target, space, "moves") == "3"
        assert await value(target, space, "goes") is None
        assert await target.client.get(MAPS, "still", space) == still


async def test_a_set_that_is_deleted_while_its_agent_is_away_waits_for_it(fleet: Fleet, target: Target, shop: str) -> None:
    space = await target.namespace()
    async with fleet.agent(target.connection):
        await fleet.ask(shop, [config_map("a", space, v="1")])
        await fleet.settled(shop, applied=1)
        fleet.wire.cut()
        await connected(fleet, "False")
        await fleet.client.delete(SETS, shop, "sv-1")
        assert (await fleet.set(shop))["metadata"]["deletionTimestamp"]
        assert await value(target, space, "a") == "1"
        fleet.wire.mend()
        await fleet.gone(shop)
        assert await value(target, space, "a") is None


async def test_deletion_is_reported_as_waiting_until_finalizers_are_done(fleet: Fleet, target: Target, shop: str) -> None:
    space = await target.namespace()
    async with fleet.agent(target.connection):
        await fleet.ask(shop, [config_map("slow", space, v="1")])
        await fleet.settled(shop, applied=1)
        await target.client.patch(MAPS, "slow", space, PatchKind.MERGE, {"metadata": {"finalizers": ["tests.skerry.dev/wait"]}})
        await fleet.client.delete(SETS, shop, "sv-1")

        async def waiting() -> bool:
            return bool((await fleet.set(shop))["status"]["pending"] == 1)

        await eventually(waiting)
        assert condition(await fleet.set(shop), "Applied")["reason"] == "Waiting"
        await target.client.patch(MAPS, "slow", space, PatchKind.MERGE, {"metadata": {"finalizers": None}})
        await fleet.gone(shop)


async def test_a_restarted_agent_prunes_what_left_the_set_while_it_was_down(fleet: Fleet, target: Target, shop: str) -> None:
    space, identity = await target.namespace(), await fleet.register()
    async with fleet.agent(target.connection, identity=identity):
        await fleet.ask(shop, [config_map("a", space, v="1"), config_map("b", space, v="1")])
        await fleet.settled(shop, applied=2)
    await fleet.ask(shop, [config_map("b", space, v="1")])
    async with fleet.agent(target.connection, identity=identity):
        await fleet.settled(shop, applied=1)
        assert await value(target, space, "a") is None
        assert await value(target, space, "b") == "1"


async def test_a_command_of_a_former_owner_is_refused_and_the_refusal_is_seen(fleet: Fleet, target: Target, shop: str) -> None:
    space, identity = await target.namespace(), await fleet.register()
    async with fleet.agent(target.connection, identity=identity):
        await fleet.ask(shop, [config_map("a", space, v="new")], epoch=5)
        await fleet.settled(shop, applied=1)
        await fleet.ask(shop, [config_map("a", space, v="old")], epoch=4)

        async def refused() -> bool:
            return bool(condition(await fleet.set(shop), "Applied")["reason"] == "Refused")

        await eventually(refused)
        assert await value(target, space, "a") == "new"
    async with fleet.agent(target.connection, identity=identity):
        await fleet.ask(shop, [config_map("a", space, v="newer")], epoch=6)
        await fleet.settled(shop, applied=1)
        assert await value(target, space, "a") == "newer"


async def test_drift_is_repaired_at_once(fleet: Fleet, target: Target, shop: str) -> None:
    space = await target.namespace()
    async with fleet.agent(target.connection):
        await fleet.ask(shop, [config_map("changed", space, v="1"), config_map("deleted", space, v="1")])
        await fleet.settled(shop, applied=2)
        await target.client.delete(MAPS, "deleted", space)

        async def repaired() -> bool:
            return await value(target, space, "deleted") == "1"

        await eventually(repaired)
        before = (await target.client.get(MAPS, "changed", space))["metadata"]["uid"]
        await target.client.patch(MAPS, "changed", space, PatchKind.JSON, [{"op": "remove", "path": "/data/v"}])

        async def restored() -> bool:
            found = await target.client.get(MAPS, "changed", space)
            return bool(found.get("data") == {"v": "1"} and found["metadata"]["uid"] == before and found["metadata"]["labels"][LABEL])

        await eventually(restored)


async def test_what_the_cluster_holds_is_seen_and_follows_it(fleet: Fleet, target: Target) -> None:
    await target.install(CAPI)
    space = await target.namespace()

    async def make(name: str) -> None:
        async def made() -> Json:
            return await target.client.create(CLUSTERS, {**cluster(name, space), "status": {"phase": "x"}})

        await eventually(made)

    async def seen() -> dict[str, Json]:
        return {name: each for name, each in (await fleet.observed("clusters")).items() if each["source"]["namespace"] == space}

    await make("before")
    async with fleet.agent(target.connection):

        async def there() -> bool:
            return set(await seen()) == {"before"}

        await eventually(there)
        found = (await seen())["before"]
        assert found["metadata"]["name"] == f"clusters.cluster.x-k8s.io.{space}.before"
        assert found["metadata"]["labels"]["fleet.skerry.dev/cluster"] == "before"
        assert "managedFields" not in found["object"]["metadata"]
        await make("during")
        await eventually(lambda: _names(seen, {"before", "during"}))
        fleet.wire.cut()
        await connected(fleet, "False")
        await make("while-away")
        await target.client.delete(CLUSTERS, "before", space)
        fleet.wire.mend()
        await eventually(lambda: _names(seen, {"during", "while-away"}))
        await target.client.delete(CLUSTERS, "during", space)
        await eventually(lambda: _names(seen, {"while-away"}))


async def _names(seen: Any, names: set[str]) -> bool:
    return set(await seen()) == names


async def test_an_inventory_larger_than_a_message_is_seen_whole(fleet: Fleet, target: Target) -> None:
    await target.install(CAPI)
    space = await target.namespace()

    async def fill() -> bool:
        await target.client.apply(CLUSTERS, cluster("big-0", space, filler="x" * 900_000), manager="tests")
        return True

    await eventually(fill)
    for number in range(1, 20):
        await target.client.apply(CLUSTERS, cluster(f"big-{number}", space, filler="x" * 900_000), manager="tests")
    async with fleet.agent(target.connection):

        async def whole() -> bool:
            return len([each for each in await fleet.observed("clusters") if each.startswith("big-")]) == 20

        await eventually(whole)
        assert fleet.link.routes.statistics()["connected"] == 1
    for number in range(20):
        await target.client.delete(CLUSTERS, f"big-{number}", space)


async def test_the_management_cluster_shows_who_is_connected(fleet: Fleet, target: Target) -> None:
    assert condition(await connected(fleet, "False"), "Connected")["reason"] == "NeverConnected"
    async with fleet.agent(target.connection):
        found = await connected(fleet, "True")
        assert found["status"]["phase"] == "Connected"
        assert found["status"]["kubernetesVersion"].startswith("v1.")
        assert found["status"]["agent"]["version"]
        assert condition(found, "Healthy")["status"] == "True"
    assert (await connected(fleet, "False"))["status"]["phase"] == "Disconnected"


async def test_an_agent_beats_as_soon_as_it_is_welcomed_and_its_session_stands(fleet: Fleet, target: Target) -> None:
    async with fleet.agent(target.connection, clock=VirtualClock(datetime.now(UTC))):

        async def beaten() -> bool:
            return fleet.link.statistics()["heartbeats"] == 1

        await eventually(beaten)
        assert fleet.link.statistics()["sessions"] == 1


async def test_a_newer_session_takes_the_place_of_an_older_one(fleet: Fleet, target: Target) -> None:
    identity = await fleet.register()
    async with fleet.agent(target.connection, identity=identity):
        first = fleet.link.routes.get("sv-1")
        async with fleet.agent(target.connection, identity=identity):
            second = fleet.link.routes.get("sv-1")
            assert first is not None
            assert second is not first
            assert first.ended
            assert fleet.link.routes.statistics()["connected"] == 1


async def test_the_agent_of_a_management_cluster_that_is_not_there_is_not_let_in(fleet: Fleet, target: Target) -> None:
    identity = await fleet.register()
    async with fleet.agent(target.connection, identity=identity) as agent:
        await fleet.client.delete(MANAGEMENT, "sv-1")

        async def away() -> bool:
            return fleet.link.routes.get("sv-1") is None and not agent.connected.is_set()

        await eventually(away)
        refused = fleet.link.statistics()["refused"]

        async def refused_again() -> bool:
            return fleet.link.statistics()["refused"] > refused

        await eventually(refused_again)
        assert fleet.link.routes.get("sv-1") is None


async def test_roots_reach_the_agent_are_kept_and_acknowledged(fleet: Fleet, target: Target) -> None:
    async with fleet.agent(target.connection):
        both = fleet.authority.bundle + fleet.authority.bundle
        fleet.link.routes.spread_trust(both)

        async def acknowledged() -> bool:
            stored = await Folder(fleet.folder / "sv-1").load()
            return stored is not None and stored.bundle == both and fleet.link.routes.trust() == {"sv-1": digest_of(both)}

        await eventually(acknowledged)


async def test_a_certificate_that_is_due_is_renewed_when_the_link_stands_and_kept_with_its_key(fleet: Fleet, target: Target) -> None:
    first = await fleet.register()
    later = VirtualClock(datetime.now(UTC) + policy.AGENT.lifetime - timedelta(days=1))
    async with fleet.agent(target.connection, identity=first, clock=later):

        async def renewed() -> Identity | None:
            stored = await Folder(fleet.folder / "sv-1").load()
            return stored if stored is not None and stored.certificate != first.certificate else None

        second: Identity = await eventually(renewed)
        assert second.key != first.key
        KeyPair.split(second.key + second.certificate)
    async with fleet.agent(target.connection, identity=moved(second, first.gateway)):
        assert fleet.link.routes.get("sv-1") is not None


async def test_many_sets_reach_a_cluster_in_one_session(fleet: Fleet, target: Target, shop: str) -> None:
    space = await target.namespace()
    identity = await fleet.register()
    names = [f"{shop}-{number}" for number in range(60)]
    for name in names:
        await fleet.ask(name, [config_map(name, space, v="1")])
    async with fleet.agent(target.connection, identity=identity):
        for name in names:
            await fleet.settled(name, applied=1)
