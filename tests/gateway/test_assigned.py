"""Whose ManifestSets are whose, and how many agents each gateway holds: counted as they change, never by looking through all."""

from __future__ import annotations

from typing import Any

from skerry.client.contract import PatchKind
from skerry.gateway.assigned import Assigned
from skerry.gateway.subjects import CLUSTERS, MANAGEMENT_CLUSTERS, Subjects
from skerry.kit.aio import TaskOwner
from skerry.runtime.informer import Informer
from tests.gateway.fleet import MANAGEMENT, SETS, Fleet, eventually
from tests.gateway.test_clusters import attached

Json = dict[str, Any]
MERGE = PatchKind.MERGE


def a_set(name: str, cluster: str) -> Json:
    metadata = {"name": name, "namespace": "attached"}
    return {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "ManifestSet", "metadata": metadata, "spec": {"cluster": cluster}}


async def test_the_sets_of_an_agent_are_known_as_they_come_go_and_turn_to_another(fleet: Fleet) -> None:
    await attached(fleet, "shop", "bank")
    await fleet.client.create(SETS, a_set("before", "attached.shop"))
    informer = Informer(fleet.client, SETS)
    assigned = Assigned(informer)

    async def are(*names: str) -> bool:
        return assigned.keys("attached.attached.shop") == [f"attached/{name}" for name in names]

    async with TaskOwner("test") as owner:
        owner.spawn(informer.run(), "sets")
        await eventually(lambda: are("before"))
        await fleet.client.create(SETS, a_set("after", "attached.shop"))
        await fleet.client.create(SETS, a_set("other", "attached.bank"))
        await eventually(lambda: are("after", "before"))
        assert [each["spec"]["cluster"] for each in assigned.sets("attached.attached.shop")] == ["attached.shop"] * 2
        await fleet.client.delete(SETS, "before", "attached")
        await fleet.client.patch(SETS, "before", "attached", MERGE, {"metadata": {"finalizers": None}})
        await eventually(lambda: are("after"))
        await fleet.client.create(SETS, a_set("before", "attached.bank"))

        async def moved() -> bool:
            return assigned.keys("attached.attached.bank") == ["attached/before", "attached/other"]

        await eventually(moved)
        assert await are("after")


async def test_holders_are_counted_as_statuses_change(fleet: Fleet) -> None:
    await attached(fleet, "shop")
    subjects = Subjects(Informer(fleet.client, MANAGEMENT_CLUSTERS), Informer(fleet.client, CLUSTERS))

    async def says(status: str, gateway: str) -> None:
        condition = {"type": "Connected", "status": status, "reason": "R", "message": "m", "lastTransitionTime": "2030-01-01T00:00:00Z"}
        body = {"status": {"agent": {"gateway": gateway, "connectedSince": "2030-01-01T00:00:00Z"}, "conditions": [condition]}}
        await fleet.client.patch(MANAGEMENT, "sv-1", "", MERGE, body, subresource="status")

    async def hold(**counts: int) -> bool:
        return dict(subjects.holders) == counts

    async with TaskOwner("test") as owner:
        owner.spawn(subjects.managements.run(), "managements")
        owner.spawn(subjects.clusters.run(), "clusters")
        await subjects.synced()
        assert await hold()
        await says("True", "a")
        await eventually(lambda: hold(a=1))
        await says("True", "b")
        await eventually(lambda: hold(b=1))
        await says("False", "b")
        await eventually(hold)
        await says("True", "a")
        await eventually(lambda: hold(a=1))
        await fleet.client.delete(MANAGEMENT, "sv-1")
        await eventually(hold)
