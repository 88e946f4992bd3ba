"""What a look at a cluster asks the server for, and what it may take from a local copy."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.controllers.cluster import refs
from skerry.controllers.cluster.gather import gather
from skerry.kinds.common import GROUP, VERSION
from skerry.kit.aio import TaskOwner
from skerry.runtime.informer import Informer
from skerry.store.contract import Key, Value, Write
from tests.controllers.conftest import Json, Site
from tests.controllers.test_cluster_lifecycle import KEY, NAME

SURROUNDINGS = (refs.MANAGEMENT, refs.PROVISIONERS, refs.CLASSES)
OWN = ["clusters", "manifestsets", "nodepools", "observedobjects", "observedobjects"]
EVERYTHING = sorted([*OWN, *(ref.plural for ref in SURROUNDINGS)])


class Counting(HttpClient):
    """Notes which kinds are read."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.read: list[str] = []

    async def get(self, ref: Ref, *arguments: Any, **options: Any) -> Json:
        self.read.append(ref.plural)
        return await super().get(ref, *arguments, **options)

    async def list(self, ref: Ref, *arguments: Any, **options: Any) -> Json:
        self.read.append(ref.plural)
        return await super().list(ref, *arguments, **options)


class Copies:
    """Local copies of the surroundings, as the controller keeps them."""

    def __init__(self, site: Site) -> None:
        self.informers = {ref: Informer(site.client, ref) for ref in SURROUNDINGS}

    def __call__(self, ref: Ref, name: str, namespace: str) -> Json | None:
        return self.informers[ref].get(f"{namespace}/{name}" if namespace else name)

    async def synced(self, owner: TaskOwner) -> None:
        for ref, informer in self.informers.items():
            owner.spawn(informer.run(), ref.plural)
        async with asyncio.timeout(60):
            for informer in self.informers.values():
                await informer.synced.wait()


async def looked(site: Site, copies: Copies) -> tuple[Any, list[str]]:
    """The world as it is seen with these copies, and the kinds that were read for it."""
    async with Counting(site.connection) as client:
        look = await gather(client, KEY, 1, copies)
        return look.world, sorted(client.read)


async def order(site: Site, **metadata: Any) -> None:
    ref = Ref(GROUP, VERSION, "clusters")
    await site.create("clusters", "Cluster", NAME, {"version": "v1.33.1", "class": {"name": "std"}})
    if metadata:
        found = await site.get("clusters", NAME)
        await site.client.replace(ref, {**found, "metadata": {**found["metadata"], **metadata}})


async def test_surroundings_come_from_the_copies_and_the_world_is_the_same(site: Site) -> None:
    await order(site)
    copies = Copies(site)
    unsynced, read = await looked(site, copies)
    assert read == EVERYTHING
    async with TaskOwner("test") as owner:
        await copies.synced(owner)
        world, read = await looked(site, copies)
    assert read == OWN
    assert world == unsynced
    assert world.provisioner
    assert world.offered is not None
    assert world.away() is None


@pytest.mark.parametrize(("plural", "name"), [("provisioners", "team-a"), ("clusterclasses", "team-a.std")])
async def test_what_a_copy_lacks_is_asked_for_before_it_is_called_missing(site: Site, plural: str, name: str) -> None:
    await order(site)
    copies = Copies(site)
    async with TaskOwner("test") as owner:
        await copies.synced(owner)
        late = next(ref for ref in SURROUNDINGS if ref.plural == plural)
        copies.informers[late] = Informer(site.client, late)  # has heard of nothing yet
        world, read = await looked(site, copies)
    assert read == sorted([*OWN, plural])
    assert world.provisioner
    assert world.offered is not None
    revision = int((await site.get(plural, name))["metadata"]["resourceVersion"])
    key = Key("default", f"{plural}.{GROUP}", "sv-1", name)
    await site.api.parts.store.write(Write(key, revision, Value(b"", b""), delete=True))  # the server would not, while it is in use
    world, _ = await looked(site, copies)
    assert (world.provisioner, world.offered is not None) == (plural != "provisioners", plural != "clusterclasses")


async def test_a_cluster_that_is_being_deleted_is_judged_by_the_server_alone(site: Site) -> None:
    await order(site, finalizers=["test.skerry.dev/hold"])
    copies = Copies(site)
    async with TaskOwner("test") as owner:
        await copies.synced(owner)
    await site.connected("False")  # the copies are not told any more
    assert (await looked(site, copies))[0].away() is None
    await site.client.delete(Ref(GROUP, VERSION, "clusters"), NAME, "sv-1")
    world, read = await looked(site, copies)
    assert read == EVERYTHING
    assert world.away() is not None
