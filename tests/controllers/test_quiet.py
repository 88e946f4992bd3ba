"""What controllers leave alone in a large fleet: they read and hold what they decide by, and are not woken by the rest."""

from __future__ import annotations

import asyncio
from typing import Any

from skerry.client.http import HttpClient
from skerry.controllers.cluster.reconcile import ClusterController
from skerry.controllers.mirror.reconcile import MirrorController
from skerry.controllers.places.reconcile import PROVISIONERS, PlacesController
from skerry.kit.aio import TaskOwner
from tests.controllers.conftest import Json, Site
from tests.controllers.test_gathering import Counting
from tests.controllers.test_running import eventually

NODE = {"apiVersion": "v1", "metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "4"}}}
SHOP = {"apiVersion": "cluster.x-k8s.io/v1beta2", "metadata": {"name": "shop"}, "spec": {}}


async def settled(client: Counting) -> list[str]:
    """What was read, once nothing more is."""
    while True:
        before = len(client.read)
        await asyncio.sleep(0.4)
        if len(client.read) == before:
            return client.read


async def test_attached_clusters_are_nobodys_to_plan(site: Site) -> None:
    async with Counting(site.connection) as client, TaskOwner("test") as owner:
        owner.spawn(PlacesController(site.client).run(), "places")
        controller = ClusterController(client)
        owner.spawn(controller.run(), "controller")
        await settled(client)
        client.read.clear()
        for number in range(3):
            await site.create("clusters", "Cluster", f"attached.c{number}", namespace="attached")
        await eventually(lambda: known(controller, "clusters", 3))
        assert await settled(client) == []


async def known(controller: ClusterController, plural: str, count: int) -> bool:
    return len(controller._informers[plural].known()) == count


async def test_places_look_at_clusters_only_while_they_are_deleted(site: Site) -> None:
    async with Counting(site.connection) as client:
        controller = PlacesController(client)
        await controller.reconcile_management("sv-1")
        await controller.reconcile_provisioner("sv-1/team-a")
        assert {"clusters", "observedobjects"}.isdisjoint(client.read)
        await site.client.delete(PROVISIONERS, "team-a", "sv-1")
        await controller.reconcile_provisioner("sv-1/team-a")
        assert {"clusters", "observedobjects"} <= set(client.read)


async def test_the_mirror_reads_what_it_mirrors_and_no_clusters_while_every_provisioner_is_seen(site: Site) -> None:
    for number in range(3):
        await site.observe({**NODE, "metadata": {"name": f"n{number}"}}, "Node", f"n{number}")
    await site.observe(SHOP, "Cluster", "shop")
    async with Listing(site.connection) as client:
        controller = MirrorController(client)
        await controller.reconcile("sv-1")
        assert "clusters" not in client.items
        assert [each["source"]["kind"] for each in client.items["observedobjects"]] == ["Cluster"]
        await site.observe(None, "Cluster", "shop")
        await site.observe({**SHOP, "metadata": {"name": "lab"}}, "Cluster", "lab", "lab")
        await controller.reconcile("sv-1")
        await site.observe(None, "Cluster", "lab", "lab")
        await controller.reconcile("sv-1")
        assert "clusters" in client.items
    assert {each["metadata"]["name"] for each in (await site.client.list(PROVISIONERS, "sv-1"))["items"]} == {"team-a"}


async def test_controllers_hold_no_more_of_observed_objects_than_whose_they_are(site: Site) -> None:
    await site.observe(NODE, "Node", "n1")
    await site.observe(SHOP, "Cluster", "shop")
    async with TaskOwner("test") as owner:
        controller = ClusterController(site.client)
        owner.spawn(controller.run(), "controller")
        await eventually(lambda: known(controller, "observedobjects", 1))
        held = next(iter(controller._informers["observedobjects"].all()))
        assert held["source"]["name"] == "shop"
        assert held["object"] == {"metadata": {"labels": {}}}


class Listing(HttpClient):
    """Notes what was listed last, by kind."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.items: dict[str, list[Json]] = {}

    async def list(self, ref: Any, *arguments: Any, **options: Any) -> Json:
        found = await super().list(ref, *arguments, **options)
        self.items[ref.plural] = found["items"]
        return found


async def test_the_mirror_is_not_woken_by_clusters_in_a_place_that_is_known(site: Site) -> None:
    async with Counting(site.connection) as client, TaskOwner("test") as owner:
        owner.spawn(MirrorController(client).run(), "mirror")
        await site.observe(SHOP, "Cluster", "shop", "lab")

        async def there() -> bool:
            return bool(await site.get("provisioners", "lab"))

        await eventually(there)
        await settled(client)
        client.read.clear()
        for phase in ("Provisioning", "Provisioned"):
            await site.observe({**SHOP, "status": {"phase": phase}}, "Cluster", "shop", "lab")
        assert await settled(client) == []
        await site.observe(None, "Cluster", "shop", "lab")

        async def gone() -> bool:
            return not [each for each in (await site.client.list(PROVISIONERS, "sv-1"))["items"] if each["metadata"]["name"] == "lab"]

        await eventually(gone)
