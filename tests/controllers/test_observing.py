"""Clusters that were not made here: found, followed, adopted, left alone and forgotten; the far end is played by hand."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from skerry.client.contract import PatchKind, Ref
from skerry.controllers.cluster.observing import ABSENT_SECONDS
from skerry.controllers.cluster.reconcile import ClusterController
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.kinds.manifestset import PRUNE
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock
from skerry.machinery.errors import Conflict, Invalid, NotFound
from tests.controllers.conftest import Json, Site
from tests.controllers.test_cluster_lifecycle import CAPI, CLUSTERS, KEY, NAME, POOLS, SET, enforce, machine, ready, turn
from tests.controllers.test_running import eventually

SETS, BINDINGS = Ref(GROUP, VERSION, "manifestsets"), Ref(GROUP, VERSION, "rolebindings", namespaced=False)
POOL = f"{NAME}.md-0"
WORKERS: Json = {"class": "node-pool", "name": "md-0", "replicas": 2}


class Later(SystemClock):
    """A clock that goes on when it is told."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


def topology(*deployments: Json, version: str = "v1.33.1", **more: Any) -> Json:
    workers = {"workers": {"machineDeployments": list(deployments)}} if deployments else {}
    return {"classRef": {"name": "std"}, "version": version, "controlPlane": {"replicas": 1}, **workers, **more}


async def stranger(site: Site, asked: Json, uid: str = "uid-1", *, deleting: bool = False, managed: bool = False) -> None:
    """The far end holds a cluster that somebody else has made, and it does as it asks."""
    metadata: Json = {"name": "shop", "uid": uid, **({"labels": {"fleet.skerry.dev/managed": "true"}} if managed else {})}
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    conditions = [{"type": kind, "status": "True"} for kind in ("ControlPlaneAvailable", "ControlPlaneInitialized")]
    spec = {**({"topology": asked} if asked else {}), "controlPlaneEndpoint": {"host": "10.0.0.9", "port": 6443}}
    body = {"apiVersion": CAPI, "kind": "Cluster", "metadata": metadata, "spec": spec}
    await site.observe({**body, "status": {"phase": "Provisioned", "conditions": conditions}}, "Cluster", "shop")
    version = asked.get("version", "v1.33.1")
    await site.observe(machine(version), "Machine", "shop-cp")
    for pool in asked.get("workers", {}).get("machineDeployments", ()):
        await deployment(site, pool["name"], pool.get("replicas", 1), version)


async def deployment(site: Site, name: str, count: int, version: str = "v1.33.1") -> None:
    status = {"replicas": count, "readyReplicas": count, "upToDateReplicas": count}
    found = {**machine(version, name), "spec": {"replicas": count}, "status": status}
    await site.observe(found, "MachineDeployment", f"shop-{name}")
    await site.observe(machine(version, name), "Machine", f"shop-{name}-1")


async def vanished(site: Site) -> None:
    for kind, name in (("Cluster", "shop"), ("Machine", "shop-cp"), ("MachineDeployment", "shop-md-0"), ("Machine", "shop-md-0-1")):
        await site.observe(None, kind, name)


async def look(site: Site, clock: SystemClock | None = None, times: int = 3) -> None:
    for _ in range(times):
        await ClusterController(site.client, clock=clock).reconcile(KEY)


async def there(site: Site, plural: str = "clusters", name: str = NAME) -> bool:
    try:
        await site.get(plural, name)
    except NotFound:
        return False
    return True


async def policy(site: Site, value: str, **spec: Any) -> None:
    await site.client.patch(CLUSTERS, NAME, "sv-1", PatchKind.MERGE, {"spec": {"managementPolicy": value, **spec}})


def condition(obj: Json, kind: str) -> Json:
    found: Json = next((each for each in obj["status"]["conditions"] if each["type"] == kind), {})
    return found


@pytest.fixture
async def found(site: Site) -> Site:
    """A cluster with one pool that was found."""
    await stranger(site, topology(WORKERS))
    await look(site)
    return site


async def adopted(site: Site) -> Json:
    """Have the cluster managed, and the far end say that it is as asked."""
    await policy(site, "Manage")
    await look(site)
    await enforce(site)
    asked = (await site.get("manifestsets", SET))["spec"]["manifests"][-1]["spec"]["topology"]
    await stranger(site, {**topology(WORKERS), **asked}, managed=True)
    await look(site)
    return await site.get("clusters", NAME)


# found and followed


async def test_a_cluster_that_is_seen_appears_with_its_pools_and_nothing_is_sent_or_held(found: Site) -> None:
    cluster, pool = await found.get("clusters", NAME), await found.get("nodepools", POOL)
    assert cluster["metadata"]["labels"] == pool["metadata"]["labels"] == {"fleet.skerry.dev/discovered": "true"}
    assert "finalizers" not in cluster["metadata"]
    assert "finalizers" not in pool["metadata"]
    spec = cluster["spec"]
    assert (spec["managementPolicy"], spec["clusterGroup"], spec["version"], spec["class"]) == (
        "Observe",
        "default",
        "v1.33.1",
        {"name": "std"},
    )
    assert (pool["spec"]["class"], pool["spec"]["replicas"]) == ("node-pool", 2)
    assert not await there(found, "manifestsets", SET)
    assert (ready(cluster), ready(pool)) == (("Ready", "True", "AsAsked"), ("Ready", "True", "AsAsked"))
    status = cluster["status"]
    assert (status["version"], status["endpoint"]["host"], status["uid"]) == ("v1.33.1", "10.0.0.9", "uid-1")
    assert (status["controlPlane"]["summary"], status["workers"]["summary"]) == ("1/1", "2/2")
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
        "Ready": "True",
        "Provisioned": "True",
        "Seen": "True",
        "Manageable": "True",
        "ControlPlaneReady": "True",
        "WorkersReady": "True",
    }


async def test_at_rest_nothing_is_written_and_what_the_far_end_changes_is_followed(found: Site) -> None:
    before = await found.get("clusters", NAME), await found.get("nodepools", POOL)
    await look(found)
    assert (await found.get("clusters", NAME), await found.get("nodepools", POOL)) == before
    extra = {"class": "node-pool", "name": "md-1", "replicas": 1, "failureDomain": "z"}
    variables = [{"name": "size", "value": {"cpus": 2}}]
    await stranger(found, topology({**WORKERS, "replicas": 3}, extra, version="v1.34.2", variables=variables))
    await look(found)
    cluster = await found.get("clusters", NAME)
    assert (cluster["spec"]["version"], cluster["spec"]["variables"]) == ("v1.34.2", variables)
    assert (await found.get("nodepools", POOL))["spec"]["replicas"] == 3
    assert (await found.get("nodepools", f"{NAME}.md-1"))["spec"]["failureDomain"] == "z"
    await stranger(found, topology(extra, version="v1.34.2"))
    await look(found)
    assert not await there(found, "nodepools", POOL)
    assert await there(found, "nodepools", f"{NAME}.md-1")


async def test_the_group_and_labels_that_people_give_it_stay(found: Site) -> None:
    await found.create("clustergroups", "ClusterGroup", "prod", namespace="")
    body = {"metadata": {"labels": {"team": "a"}}, "spec": {"clusterGroup": "prod"}}
    await found.client.patch(CLUSTERS, NAME, "sv-1", PatchKind.MERGE, body)
    await stranger(found, topology(WORKERS, version="v1.34.2"))
    await look(found)
    cluster = await found.get("clusters", NAME)
    assert (cluster["spec"]["clusterGroup"], cluster["spec"]["version"]) == ("prod", "v1.34.2")
    assert cluster["metadata"]["labels"] == {"team": "a", "fleet.skerry.dev/discovered": "true"}


async def test_a_cluster_without_a_class_is_shown_with_its_deployments_and_cannot_be_managed(site: Site) -> None:
    await stranger(site, {})
    own = {"cluster.x-k8s.io/cluster-name": "shop"}
    status = {"replicas": 1, "readyReplicas": 1, "upToDateReplicas": 1}
    by_hand = {"apiVersion": CAPI, "metadata": {"name": "hand", "labels": own}, "spec": {"replicas": 1}, "status": status}
    worker = {**machine("v1.32.0"), "metadata": {"name": "hand-1", "labels": {**own, "cluster.x-k8s.io/deployment-name": "hand"}}}
    await site.observe({**by_hand, "kind": "MachineDeployment"}, "MachineDeployment", "hand")
    await site.observe(worker, "Machine", "hand-1")
    await look(site)
    cluster, pool = await site.get("clusters", NAME), await site.get("nodepools", f"{NAME}.hand")
    assert (ready(cluster)[0], ready(pool)[0]) == ("Ready", "Ready")
    assert (cluster["spec"]["version"], cluster["status"]["controlPlane"]["summary"]) == ("v1.33.1", "1/1")
    assert condition(cluster, "Manageable")["status"] == "False"
    with pytest.raises(Invalid, match="not made from a ClusterClass"):
        await policy(site, "Manage")


async def test_what_stands_in_the_way_of_managing_is_told_and_refused(site: Site) -> None:
    await stranger(site, topology({"class": "node-pool", "name": "md-0"}))
    await look(site)
    assert "autoscaler" in condition(await site.get("clusters", NAME), "Manageable")["message"]
    with pytest.raises(Invalid, match="autoscaler"):
        await policy(site, "Manage")


async def test_while_the_agent_is_away_everything_stays_and_says_so(found: Site) -> None:
    await found.connected("False")
    await vanished(found)
    clock = Later()
    await look(found, clock)
    clock.ahead = timedelta(hours=1)
    await look(found, clock)
    cluster = await found.get("clusters", NAME)
    assert ready(cluster) == ("Unknown", "Unknown", "AgentAway")
    assert condition(cluster, "Seen")["status"] == "Unknown"
    assert await there(found, "nodepools", POOL)


async def test_an_inventory_that_is_incomplete_for_a_moment_forgets_nothing(found: Site) -> None:
    """A restored store has forgotten what was observed, and the agent lists anew."""
    await found.client.patch(CLUSTERS, NAME, "sv-1", PatchKind.MERGE, {"metadata": {"labels": {"team": "a"}}})
    await vanished(found)
    await look(found)
    assert condition(await found.get("clusters", NAME), "Seen")["status"] == "False"
    await stranger(found, topology(WORKERS))
    await look(found)
    assert (await found.get("clusters", NAME))["metadata"]["labels"]["team"] == "a"
    await vanished(found)
    clock = Later()
    await look(found, clock)
    clock.ahead = timedelta(seconds=ABSENT_SECONDS + 1)
    await look(found, clock)
    assert not await there(found)
    assert not await there(found, "nodepools", POOL)


async def test_what_was_seen_to_be_deleted_goes_as_soon_as_it_is_gone(found: Site) -> None:
    await stranger(found, topology(WORKERS), deleting=True)
    await look(found)
    assert ready(await found.get("clusters", NAME))[0] == "Deleting"
    await vanished(found)
    await look(found)
    assert not await there(found)
    assert not await there(found, "nodepools", POOL)


async def test_another_cluster_of_the_same_name_is_another_object_without_what_was_granted_on_the_first(found: Site) -> None:
    first = await found.get("clusters", NAME)
    scope = {"kind": "Cluster", "namespace": "sv-1", "name": NAME}
    spec = {"roleRef": {"name": "cluster.view"}, "scope": scope, "subjects": [{"kind": "User", "name": "ann"}]}
    await found.client.create(BINDINGS, {"apiVersion": API_VERSION, "kind": "RoleBinding", "metadata": {"name": "b"}, "spec": spec})
    await stranger(found, topology(version="v1.34.2"), uid="uid-2")
    await found.observe(None, "MachineDeployment", "shop-md-0")
    await look(found)
    second = await found.get("clusters", NAME)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert second["status"]["uid"] == "uid-2"
    assert not await there(found, "nodepools", POOL)
    assert (await found.client.list(BINDINGS))["items"] == []


async def test_one_that_is_deleted_here_is_only_forgotten_and_appears_again(found: Site) -> None:
    first = await found.get("clusters", NAME)
    await found.client.delete(CLUSTERS, NAME, "sv-1")
    assert not await there(found)
    await look(found)
    assert (await found.get("clusters", NAME))["metadata"]["uid"] != first["metadata"]["uid"]
    assert not await there(found, "manifestsets", SET)


# never taken for a stranger


async def test_a_cluster_that_was_made_here_is_never_observed_whatever_is_seen_first(site: Site) -> None:
    await site.create("clusters", "Cluster", NAME, {"version": "v1.33.1", "class": {"name": "std"}})
    await stranger(site, topology(), managed=True)
    cluster = await turn(site)
    assert cluster["spec"]["managementPolicy"] == "Manage"
    assert "fleet.skerry.dev/discovered" not in (cluster["metadata"].get("labels") or {})
    assert (await site.get("manifestsets", SET))["spec"]["manifests"]


async def test_a_strangers_cluster_under_a_name_that_is_used_here_is_left_alone_until_it_is_observed(site: Site) -> None:
    await site.create("clusters", "Cluster", NAME, {"version": "v1.33.1", "class": {"name": "std"}})
    await stranger(site, topology(version="v1.34.2"))
    assert ready(await turn(site))[2] == "NameTaken"
    assert not await there(site, "manifestsets", SET)
    await policy(site, "Observe")
    cluster = await turn(site)
    assert (cluster["spec"]["version"], ready(cluster)[0]) == ("v1.34.2", "Ready")
    assert "finalizers" not in cluster["metadata"]


@pytest.mark.parametrize("why", ["sent", "deleting", "away"])
async def test_nothing_is_found_where_something_is_not_over_yet(site: Site, why: str) -> None:
    if why == "sent":
        body = {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": {"name": SET, "namespace": "sv-1"}, "spec": {}}
        await site.client.create(SETS, body, "sv-1")
    if why == "away":
        await site.connected("False")
    await stranger(site, topology(), deleting=why == "deleting")
    await look(site)
    assert not await there(site)


async def test_two_that_look_at_once_find_one(site: Site) -> None:
    await stranger(site, topology(WORKERS))
    await asyncio.gather(*(ClusterController(site.client).reconcile(KEY) for _ in range(4)), return_exceptions=True)
    await look(site)
    assert len((await site.client.list(CLUSTERS, "sv-1"))["items"]) == 1


async def test_a_report_wakes_the_controller(site: Site) -> None:
    async with TaskOwner("test") as owner:
        owner.spawn(ClusterController(site.client).run(), "controller")
        await stranger(site, topology(WORKERS))

        async def made() -> bool:
            pool = await site.get("nodepools", POOL)
            return "status" in pool and ready(pool)[0] == "Ready"

        await eventually(made)
        await found_again(site)


async def found_again(site: Site) -> None:
    first = await site.get("clusters", NAME)
    await site.client.delete(CLUSTERS, NAME, "sv-1")

    async def back() -> bool:
        return bool((await site.get("clusters", NAME))["metadata"]["uid"] != first["metadata"]["uid"])

    await eventually(back)


# adopted


async def test_what_is_adopted_is_asked_for_as_it_stands_and_by_its_uid(found: Site) -> None:
    await policy(found, "Manage")
    await look(found)
    sent = (await found.get("manifestsets", SET))["spec"]
    assert sent["adopt"] == ["uid-1"]
    [manifest] = sent["manifests"]
    assert manifest["spec"]["topology"] == topology(WORKERS)
    assert manifest["metadata"] == {"name": "shop", "namespace": "team-a", "labels": {"fleet.skerry.dev/managed": "true"}}
    cluster = await adopted(found)
    assert ready(cluster) == ("Ready", "True", "AsAsked")
    assert cluster["metadata"]["finalizers"] == [f"{GROUP}/lifecycle"]
    assert {each["type"] for each in cluster["status"]["conditions"]}.isdisjoint({"Seen", "Manageable"})


async def test_what_was_written_while_it_was_observed_is_nobodys_afterwards(found: Site) -> None:
    await adopted(found)
    spec = {"version": "v1.34.2", "class": {"name": "std"}}
    body = {"apiVersion": API_VERSION, "kind": "Cluster", "metadata": {"name": NAME, "namespace": "sv-1"}, "spec": spec}
    assert (await found.client.apply(CLUSTERS, body, manager="robot"))["spec"]["version"] == "v1.34.2"  # no conflict


async def test_pools_that_have_no_object_yet_are_found_before_anything_is_sent(found: Site) -> None:
    await policy(found, "Manage")
    await stranger(found, topology(WORKERS, {**WORKERS, "name": "md-1"}))
    await look(found)
    deployments = (await found.get("manifestsets", SET))["spec"]["manifests"][0]["spec"]["topology"]["workers"]["machineDeployments"]
    assert [each["name"] for each in deployments] == ["md-0", "md-1"]


async def test_another_cluster_that_took_its_place_meanwhile_is_not_adopted(found: Site) -> None:
    await policy(found, "Manage")
    await stranger(found, topology(WORKERS), uid="uid-2")
    await look(found)
    assert not await there(found, "manifestsets", SET)
    assert ready(await found.get("clusters", NAME))[2] == "NameTaken"


async def test_other_managers_are_named_and_not_overruled(found: Site) -> None:
    await adopted(found)
    await found.client.patch(CLUSTERS, NAME, "sv-1", PatchKind.MERGE, {"spec": {"version": "v1.34.2"}})
    await look(found)
    message = 'Apply failed with 1 conflict: conflict with "kubectl" using cluster.x-k8s.io/v1beta2: .spec.topology.version'
    failure = {"kind": "Cluster", "name": "shop", "reason": "Conflict", "message": message}
    await enforce(found, applied=0, failed=1, failures=[failure])
    await look(found)
    cluster = await found.get("clusters", NAME)
    assert (condition(cluster, "Applied")["reason"], ready(cluster)[0]) == ("Conflict", "Degraded")
    assert '"kubectl"' in ready_message(cluster)


def ready_message(cluster: Json) -> str:
    return str(condition(cluster, "Ready")["message"])


async def test_a_pool_that_another_manager_keeps_says_so_instead_of_going_forever(found: Site) -> None:
    await adopted(found)
    await found.client.delete(POOLS, POOL, "sv-1")
    await look(found)
    await enforce(found)
    await look(found)
    assert ready(await found.get("nodepools", POOL))[2] == "Deleting"  # the report of the pool's end may be on its way
    clock = Later()
    clock.ahead = timedelta(seconds=30)
    await look(found, clock)
    assert ready(await found.get("nodepools", POOL))[2] == "KeptByAnother"
    assert ready(await found.get("clusters", NAME))[2] == "KeptByAnother"


async def test_an_adopted_cluster_that_is_deleted_is_deleted_at_the_far_end(found: Site) -> None:
    await adopted(found)
    await found.client.delete(CLUSTERS, NAME, "sv-1")
    await look(found)
    going = await found.get("manifestsets", SET)
    assert going["metadata"]["deletionTimestamp"]
    assert not going["spec"].get("leave")
    assert await there(found)


# left alone


async def let_go(site: Site) -> None:
    """The agent says that the set is gone."""
    going = await site.get("manifestsets", SET)
    metadata = {"finalizers": None, "resourceVersion": going["metadata"]["resourceVersion"]}
    await site.client.patch(SETS, SET, "sv-1", PatchKind.MERGE, {"metadata": metadata})


async def leaves(site: Site) -> None:
    going = await site.get("manifestsets", SET)
    assert going["spec"]["leave"] is True
    assert going["metadata"]["deletionTimestamp"]
    assert going["metadata"]["finalizers"] == [PRUNE]
    assert going["spec"]["manifests"]


async def test_what_is_left_alone_is_held_until_the_agent_has_let_go_and_follows_then(found: Site) -> None:
    await adopted(found)
    await policy(found, "Observe")
    await look(found)
    await leaves(found)
    cluster = await found.get("clusters", NAME)
    assert condition(cluster, "Applied")["reason"] == "Leaving"
    assert cluster["metadata"]["finalizers"]
    await let_go(found)
    await stranger(found, topology({**WORKERS, "replicas": 5}))
    await look(found)
    cluster, pool = await found.get("clusters", NAME), await found.get("nodepools", POOL)
    assert "finalizers" not in cluster["metadata"]
    assert "finalizers" not in pool["metadata"]
    assert pool["spec"]["replicas"] == 5
    assert condition(cluster, "Applied") == {}
    assert not await there(found, "manifestsets", SET)
    await adopted(found)
    assert (await found.get("manifestsets", SET))["spec"]["adopt"] == ["uid-1"]


async def test_one_that_was_made_here_is_left_alone_and_keeps_its_own_words_while_they_are_true(site: Site) -> None:
    offered = {"provisioner": "team-a", "apiVersion": CAPI, "workerClasses": ["node-pool"]}
    schema = {"type": "object", "properties": {each: {} for each in ("httpProxy", "httpsProxy", "noProxy")}}
    await site.create("clusterclasses", "ClusterClass", "team-a.px", {**offered, "variables": [{"name": "proxy", "schema": schema}]})
    proxy = {"http": "http://px.example.org:3128"}
    await site.create("clusters", "Cluster", NAME, {"version": "v1.33.1", "class": {"name": "px"}, "proxy": proxy})
    await turn(site)
    asked = (await site.get("manifestsets", SET))["spec"]["manifests"][0]["spec"]["topology"]
    await stranger(site, asked, managed=True)
    await enforce(site)
    await turn(site)
    await policy(site, "Observe")
    await turn(site)
    await leaves(site)
    await let_go(site)
    await stranger(site, asked)
    cluster = await turn(site)
    assert cluster["spec"]["proxy"] == proxy
    assert cluster["metadata"]["labels"] == {"fleet.skerry.dev/discovered": "true"}
    assert ready(cluster)[0] == "Ready"
    variables = [{"name": "proxy", "value": {"httpProxy": "http://other.example.org:3128"}}]
    await stranger(site, {**asked, "variables": variables})
    cluster = await turn(site)
    assert "proxy" not in cluster["spec"]
    assert cluster["spec"]["variables"] == variables


async def test_a_deletion_while_it_is_being_left_deletes_nothing(found: Site) -> None:
    await adopted(found)
    await policy(found, "Observe")
    await found.client.delete(CLUSTERS, NAME, "sv-1")  # before anybody has looked
    await look(found)
    await leaves(found)
    assert (await found.get("clusters", NAME))["metadata"]["deletionTimestamp"]
    await let_go(found)
    await stranger(found, topology(WORKERS))
    await look(found)
    cluster = await found.get("clusters", NAME)
    assert "deletionTimestamp" not in cluster["metadata"]
    assert cluster["spec"]["managementPolicy"] == "Observe"
    assert not await there(found, "manifestsets", SET)


async def test_a_deletion_that_is_thought_better_of_becomes_a_leaving(found: Site) -> None:
    await adopted(found)
    await found.client.delete(CLUSTERS, NAME, "sv-1")
    await look(found)
    assert not (await found.get("manifestsets", SET))["spec"].get("leave")
    await policy(found, "Observe")
    await look(found)
    await leaves(found)


async def test_a_set_that_is_to_be_left_and_is_managed_again_before_it_is_deleted_stays(found: Site) -> None:
    await adopted(found)
    ours = await found.get("manifestsets", SET)
    spec = {**ours["spec"], "leave": True}
    metadata = {"name": SET, "namespace": "sv-1", "finalizers": [PRUNE]}
    body = {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": metadata, "spec": spec}
    await found.client.apply(SETS, body, manager="skerry-lifecycle", force=True)  # and there the server stopped
    await look(found)
    assert not (await found.get("manifestsets", SET))["spec"].get("leave")


async def test_an_observed_cluster_keeps_no_management_cluster_and_a_managed_one_does(found: Site) -> None:
    management = Ref(GROUP, VERSION, "managementclusters", namespaced=False)
    await policy(found, "Manage")
    with pytest.raises(Conflict, match="in use by 1 cluster"):
        await found.client.delete(management, "sv-1")
    await policy(found, "Observe")
    await found.client.delete(management, "sv-1")


@pytest.mark.parametrize("spec", [{"provisioner": "attached", "managementPolicy": "Observe"}])
async def test_what_no_management_cluster_makes_cannot_be_observed(site: Site, spec: Json) -> None:
    with pytest.raises(Invalid, match="nothing to observe"):
        await site.create("clusters", "Cluster", "attached.one", spec)
