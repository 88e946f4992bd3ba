"""The cluster controller against a whole API server; the far end is played by hand, one report at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from skerry.client.contract import PatchKind, Ref
from skerry.controllers.cluster.reconcile import ClusterController
from skerry.kinds.cluster import FORCE
from skerry.kinds.common import GROUP, VERSION
from skerry.machinery.errors import NotFound
from tests.controllers.conftest import NOW, Json, Site

KEY, NAME, SET = "sv-1/team-a.shop", "team-a.shop", "cluster.team-a.shop"
CLUSTERS, POOLS = Ref(GROUP, VERSION, "clusters"), Ref(GROUP, VERSION, "nodepools")
CAPI = "cluster.x-k8s.io/v1beta2"


async def turn(site: Site, times: int = 3) -> Json:
    for _ in range(times):
        await ClusterController(site.client).reconcile(KEY)
    return await site.get("clusters", NAME)


def ready(obj: Json) -> tuple[str, str, str]:
    found = next(each for each in obj["status"]["conditions"] if each["type"] == "Ready")
    return obj["status"]["phase"], found["status"], found["reason"]


async def sent(site: Site) -> Any:
    return (await site.get("manifestsets", SET))["spec"]["manifests"][-1]["spec"]["topology"]


async def enforce(site: Site, **status: Any) -> None:
    generation = (await site.get("manifestsets", SET))["metadata"]["generation"]
    await site.set_status("manifestsets", SET, {"observedGeneration": generation, "applied": 1, "lastEnforcedTime": NOW, **status})


def machine(version: str, pool: str = "") -> Json:
    labels = {"cluster.x-k8s.io/cluster-name": "shop"} | ({"topology.cluster.x-k8s.io/deployment-name": pool} if pool else {})
    status = {"nodeInfo": {"kubeletVersion": version}, "conditions": [{"type": "NodeReady", "status": "True"}]}
    return {
        "apiVersion": CAPI,
        "metadata": {"name": f"shop-{pool or 'cp'}", "labels": labels},
        "spec": {"version": version},
        "status": status,
    }


async def far_end(site: Site, version: str = "v1.33.1", running: str = "", pending: str = "") -> None:
    """The far end does as it was told: the cluster, its one control plane machine, and every pool with its machines."""
    topology, running = await sent(site), running or version
    conditions = [
        {"type": "ControlPlaneAvailable", "status": "True", "reason": "Available"},
        {"type": "TopologyReconciled", "status": "False" if pending else "True", "reason": pending},
    ]
    body: Json = {"apiVersion": CAPI, "metadata": {"name": "shop", "labels": {"fleet.skerry.dev/managed": "true"}}}
    body["spec"] = {"topology": {**topology, "version": version}, "controlPlaneEndpoint": {"host": "10.0.0.9", "port": 6443}}
    await site.observe({**body, "status": {"phase": "Provisioned", "conditions": conditions}}, "Cluster", "shop")
    await site.observe(machine(running), "Machine", "shop-cp")
    for pool in topology.get("workers", {}).get("machineDeployments", ()):
        count, name = pool["replicas"], pool["name"]
        status = {"replicas": count, "readyReplicas": count, "upToDateReplicas": count}
        deployment = {**machine(running, name), "spec": {"replicas": count}, "status": status}
        await site.observe(deployment, "MachineDeployment", f"shop-{name}")
        await site.observe(machine(running, name), "Machine", f"shop-{name}-1")
    await enforce(site)


async def made(site: Site, **spec: Any) -> Json:
    await site.create("clusters", "Cluster", NAME, {"version": "v1.33.1", "class": {"name": "std"}, **spec})
    await turn(site)
    await far_end(site)
    return await turn(site)


async def patch(site: Site, ref: Ref, name: str, spec: Json) -> None:
    await site.client.patch(ref, name, "sv-1", PatchKind.MERGE, {"spec": spec})


async def test_a_cluster_without_pools_is_sent_without_workers_and_becomes_ready(site: Site) -> None:
    await site.create("clusters", "Cluster", NAME, {"version": "v1.33.1", "class": {"name": "std"}})
    assert ready(await turn(site)) == ("Provisioning", "False", "Applying")
    assert "workers" not in await sent(site)
    await enforce(site)
    assert ready(await turn(site)) == ("Provisioning", "False", "NotSeen")
    await far_end(site)
    cluster = await turn(site)
    assert ready(cluster) == ("Ready", "True", "AsAsked")
    status = cluster["status"]
    assert (status["version"], status["endpoint"]["host"], status["lastEnforcedTime"]) == ("v1.33.1", "10.0.0.9", NOW)
    assert status["observedGeneration"] == cluster["metadata"]["generation"]


async def workers(site: Site, total: int, ready_machines: int) -> None:
    """The far end says so many of pool md-0's machines exist, and so many are ready."""
    status = {"replicas": total, "readyReplicas": ready_machines, "upToDateReplicas": total}
    await site.observe({**machine("v1.33.1", "md-0"), "spec": {"replicas": total}, "status": status}, "MachineDeployment", "shop-md-0")


async def test_what_was_never_ready_is_provisioned_and_only_what_was_ready_is_degraded(site: Site) -> None:
    pool = partial(site.get, "nodepools", f"{NAME}.md-0")
    await site.create("nodepools", "NodePool", f"{NAME}.md-0", {"replicas": 2})
    await site.create("clusters", "Cluster", NAME, {"version": "v1.33.1", "class": {"name": "std"}})
    await turn(site)
    await far_end(site)
    for total, well in ((0, 0), (1, 0), (2, 0), (2, 1)):
        await workers(site, total, well)
        assert ready(await turn(site))[0] == "Provisioning"
    conditions = (await site.get("clusters", NAME))["status"]["conditions"]
    assert next(each for each in conditions if each["type"] == "Provisioned")["status"] == "False"
    await workers(site, 2, 2)
    assert ready(await turn(site)) == ("Ready", "True", "AsAsked")

    await workers(site, 2, 1)
    assert ready(await turn(site)) == ("Degraded", "False", "MachinesNotReady")
    assert ready(await pool()) == ("Degraded", "False", "MachinesNotReady")
    await workers(site, 2, 2)
    assert ready(await turn(site)) == ("Ready", "True", "AsAsked")

    await patch(site, POOLS, f"{NAME}.md-0", {"replicas": 3})
    await turn(site)
    await enforce(site)
    await workers(site, 3, 2)
    assert (ready(await turn(site))[0], ready(await pool())[0]) == ("Scaling", "Scaling")
    await workers(site, 3, 3)
    assert ready(await turn(site)) == ("Ready", "True", "AsAsked")


async def test_a_cluster_at_rest_is_not_written_again(site: Site) -> None:
    before = await made(site)
    assert (await turn(site))["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_pools_are_added_scaled_and_removed_down_to_none(site: Site) -> None:
    await made(site)
    await site.create("nodepools", "NodePool", f"{NAME}.md-0", {"replicas": 2})
    assert ready(await turn(site))[0] == "Scaling"
    await far_end(site)
    assert ready(await turn(site)) == ("Ready", "True", "AsAsked")
    assert ready(await site.get("nodepools", f"{NAME}.md-0")) == ("Ready", "True", "AsAsked")

    await patch(site, POOLS, f"{NAME}.md-0", {"replicas": 0})
    await turn(site)
    assert (await sent(site))["workers"]["machineDeployments"] == [{"class": "node-pool", "name": "md-0", "replicas": 0}]
    await far_end(site)
    await turn(site)

    await site.client.delete(POOLS, f"{NAME}.md-0", "sv-1")
    await turn(site)
    assert "workers" not in await sent(site)
    await enforce(site)
    await turn(site)
    assert ready(await site.get("nodepools", f"{NAME}.md-0"))[0] == "Deleting"
    await site.observe(None, "MachineDeployment", "shop-md-0")
    await site.observe(None, "Machine", "shop-md-0-1")
    assert ready(await turn(site)) == ("Ready", "True", "AsAsked")
    with pytest.raises(NotFound):
        await site.get("nodepools", f"{NAME}.md-0")


async def test_a_cluster_that_is_made_for_the_first_time_is_not_said_to_be_upgraded(site: Site) -> None:
    await site.create("clusters", "Cluster", NAME, {"version": "v1.33.1", "class": {"name": "std"}})
    await turn(site)
    await far_end(site, pending="ControlPlaneUpgradePending")
    assert ready(await turn(site)) == ("Provisioning", "False", "ControlPlaneUpgradePending")
    await far_end(site)
    assert ready(await turn(site)) == ("Ready", "True", "AsAsked")
    await far_end(site, pending="ControlPlaneUpgradePending")
    assert ready(await turn(site)) == ("Upgrading", "False", "Upgrading")


async def test_an_upgrade_is_reported_until_every_machine_runs_the_new_version(site: Site) -> None:
    await made(site)
    await patch(site, CLUSTERS, NAME, {"version": "v1.34.2"})
    await turn(site)
    await far_end(site, "v1.34.2", running="v1.33.1")
    cluster = await turn(site)
    assert ready(cluster) == ("Upgrading", "False", "Upgrading")
    assert cluster["status"]["version"] == "v1.33.1"
    await patch(site, CLUSTERS, NAME, {"version": "v1.35.0"})
    assert ready(await turn(site))[2] == "UpgradeRunning"
    assert (await sent(site))["version"] == "v1.34.2"
    await far_end(site, "v1.34.2")
    await turn(site)
    assert (await sent(site))["version"] == "v1.35.0"


async def test_the_machine_that_an_upgrade_replaces_last_still_belongs_to_the_upgrade(site: Site) -> None:
    pool = partial(site.get, "nodepools", f"{NAME}.md-0")
    await site.create("nodepools", "NodePool", f"{NAME}.md-0", {"replicas": 2})
    await made(site)
    await patch(site, CLUSTERS, NAME, {"version": "v1.34.2"})
    await turn(site)
    await far_end(site, "v1.34.2", running="v1.33.1")
    assert (ready(await turn(site))[0], ready(await pool())[0]) == ("Upgrading", "Upgrading")
    await far_end(site, "v1.34.2")
    status = {"replicas": 3, "readyReplicas": 3, "upToDateReplicas": 2}
    await site.observe({**machine("v1.34.2", "md-0"), "spec": {"replicas": 2}, "status": status}, "MachineDeployment", "shop-md-0")
    assert (ready(await turn(site))[0], ready(await pool())[0]) == ("Upgrading", "Upgrading")
    await far_end(site, "v1.34.2")
    assert ready(await turn(site)) == ("Ready", "True", "AsAsked")


@pytest.mark.parametrize(("version", "reason"), [("v1.35.0", "VersionSkipped"), ("v1.32.9", "DowngradeRefused")])
async def test_an_illegal_version_is_refused_and_what_runs_is_left_as_it_is(site: Site, version: str, reason: str) -> None:
    await made(site)
    await patch(site, CLUSTERS, NAME, {"version": version})
    assert ready(await turn(site)) == ("Degraded", "False", reason)
    assert (await sent(site))["version"] == "v1.33.1"


async def test_a_pool_that_is_refused_holds_its_cluster_back_and_loses_no_machine(site: Site) -> None:
    await made(site)
    await site.create("nodepools", "NodePool", f"{NAME}.md-0", {"replicas": 1, "class": "nope"})
    assert ready(await turn(site))[2] == "NodePoolRefused"
    assert "workers" not in await sent(site)


async def test_while_the_agent_is_away_nothing_is_claimed_and_since_when_is_said(site: Site) -> None:
    await made(site)
    await site.connected("False")
    cluster = await turn(site)
    assert ready(cluster) == ("Unknown", "Unknown", "AgentAway")
    assert NOW in cluster["status"]["conditions"][0]["message"]


async def test_what_the_far_end_refuses_is_said_in_its_own_words(site: Site) -> None:
    await made(site)
    failure = {"apiVersion": CAPI, "kind": "Cluster", "namespace": "team-a", "name": "shop", "reason": "Invalid", "message": "no quota"}
    await enforce(site, applied=0, failed=1, failures=[failure])
    cluster = await turn(site)
    assert ready(cluster) == ("Degraded", "False", "ApplyFailed")
    assert "no quota" in cluster["status"]["conditions"][0]["message"]


async def test_a_cluster_that_somebody_else_made_is_neither_taken_over_nor_waited_for(site: Site) -> None:
    await site.observe({"apiVersion": CAPI, "metadata": {"name": "shop"}, "spec": {}}, "Cluster", "shop")
    await site.create("clusters", "Cluster", NAME, {"version": "v1.33.1", "class": {"name": "std"}})
    assert ready(await turn(site)) == ("Pending", "False", "NameTaken")
    with pytest.raises(NotFound):
        await site.get("manifestsets", SET)
    await site.client.delete(CLUSTERS, NAME, "sv-1")
    await ClusterController(site.client).reconcile(KEY)
    with pytest.raises(NotFound):
        await site.get("clusters", NAME)


async def test_a_cluster_goes_only_after_the_far_end_is_empty_and_takes_its_pools_along(site: Site) -> None:
    await made(site)
    await site.create("nodepools", "NodePool", f"{NAME}.md-0", {"replicas": 1})
    await turn(site)
    await far_end(site)
    await turn(site)
    await site.client.delete(CLUSTERS, NAME, "sv-1")
    assert ready(await turn(site))[0] == "Deleting"
    found = await site.get("manifestsets", SET)
    assert found["metadata"]["deletionTimestamp"]
    assert found["metadata"]["finalizers"] == ["fleet.skerry.dev/prune"]
    for kind, name in (("Cluster", "shop"), ("Machine", "shop-cp"), ("MachineDeployment", "shop-md-0"), ("Machine", "shop-md-0-1")):
        await site.observe(None, kind, name)
    await site.client.patch(Ref(GROUP, VERSION, "manifestsets"), SET, "sv-1", PatchKind.MERGE, {"metadata": {"finalizers": None}})
    for _ in range(4):
        await ClusterController(site.client).reconcile(KEY)
    for plural, name in (("nodepools", f"{NAME}.md-0"), ("clusters", NAME)):
        with pytest.raises(NotFound):
            await site.get(plural, name)


async def test_a_pool_that_is_deleted_says_that_it_waits_for_an_agent_that_is_away(site: Site) -> None:
    await site.create("nodepools", "NodePool", f"{NAME}.md-0", {"replicas": 1})
    await made(site)
    await site.connected("False")
    await site.client.delete(POOLS, f"{NAME}.md-0", "sv-1")
    await turn(site)
    assert ready(await site.get("nodepools", f"{NAME}.md-0")) == ("Deleting", "False", "AgentAway")
    await site.connected()
    await turn(site)
    assert ready(await site.get("nodepools", f"{NAME}.md-0")) == ("Deleting", "False", "Deleting")


async def test_a_deletion_waits_for_an_agent_that_is_away_unless_it_is_forced(site: Site) -> None:
    await site.create("nodepools", "NodePool", f"{NAME}.md-0", {"replicas": 1})
    await made(site)
    await site.client.patch(CLUSTERS, NAME, "sv-1", PatchKind.MERGE, {"metadata": {"annotations": {FORCE: "true"}}})
    await site.client.delete(CLUSTERS, NAME, "sv-1")
    await turn(site)
    assert (await site.get("manifestsets", SET))["metadata"]["finalizers"]  # the agent is here: force means nothing

    await site.connected("False")
    await site.client.patch(CLUSTERS, NAME, "sv-1", PatchKind.MERGE, {"metadata": {"annotations": {FORCE: None}}})
    cluster = await turn(site)
    assert ready(cluster) == ("Deleting", "False", "AgentAway")
    assert FORCE in cluster["status"]["conditions"][0]["message"]

    bindings = {}
    for place in ("sv-1", "sv-2"):
        scope = {"kind": "Cluster", "name": NAME, "namespace": place}
        bindings[place] = {"roleRef": {"name": "cluster.view"}, "scope": scope}
        await site.create("rolebindings", "RoleBinding", place, bindings[place], "")
    await site.client.patch(CLUSTERS, NAME, "sv-1", PatchKind.MERGE, {"metadata": {"annotations": {FORCE: "true"}}})
    for _ in range(4):
        await ClusterController(site.client).reconcile(KEY)
    for plural, name in (("clusters", NAME), ("manifestsets", SET), ("nodepools", f"{NAME}.md-0")):
        with pytest.raises(NotFound):
            await site.get(plural, name)
    with pytest.raises(NotFound):
        await site.get("rolebindings", "sv-1", "")
    assert await site.get("rolebindings", "sv-2", ""), "another cluster of the same name"
