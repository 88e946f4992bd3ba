"""Controllers as they run: informers wake them, leases say who may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.controllers.cluster.reconcile import ClusterController
from skerry.controllers.places.reconcile import MANAGEMENT, NAMESPACES, PROVISIONERS, PlacesController
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock
from skerry.machinery.errors import Conflict, Forbidden, NotFound, ServiceUnavailable
from skerry.runtime.leases import LEASES, LeaseHolder, Options
from skerry.runtime.namespaces import NamespaceController
from tests.controllers.conftest import Json, Site

QUICK = Options(duration=1.5, every=0.1)


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a state, a minute at most."""
    async with asyncio.timeout(60):
        while True:
            try:
                if await look():
                    return
            except NotFound:
                pass
            await asyncio.sleep(0.05)


def holder(site: Site, identity: str, options: Options = QUICK) -> LeaseHolder:
    return LeaseHolder(site.client, "sv-1", "share", identity, SystemClock(), options)


async def test_a_lease_that_is_left_goes_over_at_once_with_a_higher_epoch(site: Site) -> None:
    async with holder(site, "one").held() as first:
        assert first.epoch == 1
    async with asyncio.timeout(60), holder(site, "two").held() as second:
        assert second.epoch == 2


async def test_a_lease_that_is_held_is_not_given_to_another(site: Site) -> None:
    patient = Options(duration=5, every=0.1)  # a machine may stand still for a while
    async with holder(site, "one", patient).held() as first:
        try:
            async with asyncio.timeout(7), holder(site, "two", patient).held():
                raise AssertionError("two replicas hold one lease")
        except TimeoutError:
            assert not first.lost.is_set()


async def test_a_holder_that_was_displaced_learns_it(site: Site) -> None:
    async with holder(site, "one").held() as first:
        while True:  # the holder renews meanwhile: reach for it until one write gets through
            lease = await site.client.get(LEASES, "share", "sv-1")
            lease["spec"] |= {"holderIdentity": "two", "leaseTransitions": 2}
            try:
                await site.client.replace(LEASES, lease)
                break
            except Exception:
                continue
        async with asyncio.timeout(60):
            await first.lost.wait()
    assert (await site.client.get(LEASES, "share", "sv-1"))["spec"]["holderIdentity"] == "two"


async def test_a_built_in_place_that_somebody_deletes_comes_back(site: Site) -> None:
    async def there() -> bool:
        return bool((await site.get("provisioners", "attached", "attached"))["metadata"]["uid"] != first["metadata"]["uid"])

    async with TaskOwner("test") as owner:
        owner.spawn(PlacesController(site.client).run(), "places")
        owner.spawn(NamespaceController(site.client).run(), "namespaces")

        async def held() -> bool:
            return bool((await site.get("managementclusters", "attached", ""))["metadata"].get("finalizers"))

        await eventually(held)
        first = await site.get("provisioners", "attached", "attached")
        with pytest.raises(Forbidden, match="built in"):
            await site.client.delete(MANAGEMENT, "attached")
        with pytest.raises(Conflict, match="in use by 1 managementcluster"):
            await site.client.delete(NAMESPACES, "attached")
        await site.client.delete(PROVISIONERS, "attached", "attached")
        await eventually(there)


async def test_a_new_cluster_wakes_the_controller_and_its_manifests_are_sent(site: Site) -> None:
    async with TaskOwner("test") as owner:
        owner.spawn(ClusterController(site.client).run(), "controller")
        await site.create("clusters", "Cluster", "team-a.shop", {"version": "v1.33.1", "class": {"name": "std"}})

        async def sent() -> bool:
            return bool((await site.get("manifestsets", "cluster.team-a.shop"))["spec"]["manifests"])

        await eventually(sent)


async def test_a_provisioner_becomes_a_manifest_set_and_the_built_in_places_are_there(site: Site) -> None:
    async with TaskOwner("test") as owner:
        owner.spawn(PlacesController(site.client).run(), "controller")

        async def there() -> bool:
            found = await site.get("manifestsets", "provisioner.team-a")
            assert found["spec"]["manifests"][0]["metadata"]["name"] == "team-a"
            return bool(await site.get("provisioners", "attached", "attached"))

        await eventually(there)


class FullAtFirst(HttpClient):
    """A server whose disk is full for the first two creations."""

    refused = 0

    async def create(self, ref: Ref, body: Json, namespace: str = "", *, manager: str = "") -> Json:
        if self.refused < 2:
            self.refused += 1
            raise ServiceUnavailable("the disk is full")
        return await super().create(ref, body, namespace, manager=manager)


async def test_a_server_that_refuses_writes_at_first_gets_its_built_in_places_later(site: Site) -> None:
    async with FullAtFirst(site.connection) as client, TaskOwner("test") as owner:
        owner.spawn(PlacesController(client).run(), "controller")

        async def there() -> bool:
            assert await site.get("managementclusters", "attached", "")
            return bool(await site.get("provisioners", "attached", "attached"))

        await eventually(there)
    assert client.refused == 2
