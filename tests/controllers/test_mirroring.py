"""The mirror against a whole API server: what reports make of the mirrored kinds, and what they leave alone."""

from __future__ import annotations

import pytest

from skerry.client.contract import Ref
from skerry.controllers.mirror.plan import MARK
from skerry.controllers.mirror.reconcile import MIRRORED, MirrorController
from skerry.kinds.common import GROUP, VERSION
from skerry.kit.aio import TaskOwner
from tests.controllers.conftest import Json, Site
from tests.controllers.test_running import eventually

CAPI = "cluster.x-k8s.io/v1beta2"
MADE = {("provisioners", "lab"), ("clusterclasses", "lab.big"), ("kubernetesreleases", "v1.34.2")}


def big(*versions: str) -> Json:
    spec = {"workers": {"machineDeployments": [{"class": "node-pool"}]}, "kubernetesVersions": list(versions)}
    return {"apiVersion": CAPI, "metadata": {"name": "big"}, "spec": spec}


async def mirrored(site: Site) -> dict[tuple[str, str], Json]:
    """What carries the mark now, by plural and name."""
    return {
        (plural, each["metadata"]["name"]): each
        for plural, ref in MIRRORED.items()
        for each in (await site.client.list(ref, "sv-1", labels=f"{MARK}=true"))["items"]
    }


async def mirror(site: Site) -> dict[tuple[str, str], Json]:
    await MirrorController(site.client).reconcile("sv-1")
    return await mirrored(site)


async def test_a_report_wakes_the_mirror(site: Site) -> None:
    async with TaskOwner("test") as owner:
        owner.spawn(MirrorController(site.client).run(), "mirror")
        await site.observe(big("v1.34.2"), "ClusterClass", "big", "lab")

        async def made() -> bool:
            return set(await mirrored(site)) == MADE

        await eventually(made)


async def test_what_the_far_end_changes_is_changed_here_and_nothing_else_is_written(site: Site) -> None:
    await site.observe(big("v1.34.2"), "ClusterClass", "big", "lab")
    before = await mirror(site)
    assert set(before) == MADE
    assert await mirror(site) == before  # revisions included
    await site.observe(big("v1.34.2", "v1.35.0"), "ClusterClass", "big", "lab")
    after = await mirror(site)
    assert after[("clusterclasses", "lab.big")]["spec"]["kubernetesVersions"] == ["v1.34.2", "v1.35.0"]
    assert set(after) == {*MADE, ("kubernetesreleases", "v1.35.0")}
    assert all(after[key] == before[key] for key in MADE - {("clusterclasses", "lab.big")})


async def test_nothing_is_removed_while_the_agent_is_away(site: Site) -> None:
    await site.observe(big("v1.34.2"), "ClusterClass", "big", "lab")
    await mirror(site)
    await site.connected("False")
    await site.observe(None, "ClusterClass", "big", "lab")
    assert set(await mirror(site)) == MADE
    await site.connected()
    assert await mirror(site) == {}


async def test_a_provisioner_stays_while_a_cluster_names_it_and_one_that_was_made_here_always(site: Site) -> None:
    await site.observe(big("v1.34.2"), "ClusterClass", "big", "lab")
    await mirror(site)
    spec = {"provisioner": "lab", "version": "v1.34.2", "class": {"name": "big"}}
    await site.create("clusters", "Cluster", "lab.shop", spec)
    await site.observe(None, "ClusterClass", "big", "lab")
    assert set(await mirror(site)) == {("provisioners", "lab")}
    await site.client.delete(Ref(GROUP, VERSION, "clusters"), "lab.shop", "sv-1")
    assert await mirror(site) == {}
    assert (await site.get("provisioners", "team-a"))["metadata"]["name"] == "team-a"


@pytest.mark.parametrize("name", ["nowhere", "sv-1"])
async def test_a_management_cluster_that_is_gone_or_goes_is_left_alone(site: Site, name: str) -> None:
    management = Ref(GROUP, VERSION, "managementclusters", namespaced=False)
    if name == "sv-1":
        found = await site.get("managementclusters", name, "")
        found["metadata"]["finalizers"] = ["test.skerry.dev/hold"]
        await site.client.replace(management, found)
        await site.client.delete(management, name)
    await site.observe(big("v1.34.2"), "ClusterClass", "big", "lab")
    assert await MirrorController(site.client).reconcile(name) is None
    assert await mirrored(site) == {}
