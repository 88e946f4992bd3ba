"""Whatever the world is like, an observed cluster is never sent, deleted or held, and only a deleted managed one is deleted."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from skerry.capi import read, readback
from skerry.controllers.cluster.actions import (
    ApplyManifestSet,
    DeleteManifestSet,
    DeleteNodePool,
    DiscoverCluster,
    DiscoverNodePool,
    EnsureFinalizer,
    FollowCluster,
    FollowNodePool,
    ForgetCluster,
    LeaveManifestSet,
    LetBe,
    ReleaseManifestSet,
)
from skerry.controllers.cluster.plan import Plan, explain, plan
from skerry.controllers.cluster.world import FINALIZER, World
from skerry.kinds.cluster import FORCE, Cluster
from skerry.kinds.clusterclass import ClusterClassSpec
from skerry.kinds.managementcluster import ManagementCluster
from skerry.kinds.manifestset import ManifestSet
from skerry.kinds.nodepool import NodePool
from tests.controllers.test_observing import topology

Json = dict[str, Any]
NOW, BEFORE = "2026-11-23T12:00:00Z", "2026-11-23T11:00:00Z"
OFFERED = ClusterClassSpec(provisioner="team-a", api_version="cluster.x-k8s.io/v1beta2", worker_classes=["node-pool"])
HARMLESS = (DeleteNodePool, DiscoverNodePool, FollowCluster, FollowNodePool, ForgetCluster, LeaveManifestSet, LetBe, ReleaseManifestSet)
maybe = st.booleans()


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A world in any state, likely or not."""
    finalizers = [FINALIZER] if draw(maybe) else []
    going = {"deletionTimestamp": BEFORE} if draw(maybe) else {}
    force = {"annotations": {FORCE: "true"}} if draw(maybe) else {}
    metadata: Json = {"name": "team-a.shop", "namespace": "sv-1", "uid": "here", "finalizers": finalizers, **going, **force}
    spec = {"provisioner": "team-a", "version": "v1.33.1", "managementPolicy": draw(st.sampled_from(["Manage", "Observe"]))}
    condition = {"type": "Seen", "reason": draw(st.sampled_from(["NotSeen", "BeingDeleted"])), "lastTransitionTime": BEFORE}
    status = {
        "uid": draw(st.sampled_from(["", "there"])),
        "conditions": [{**condition, "status": draw(st.sampled_from(["True", "False"]))}],
    }
    cluster = msgspec.convert({"metadata": metadata, "spec": {**spec, "class": {"name": "std"}}, "status": status}, Cluster)
    pools = []
    for name in draw(st.lists(st.sampled_from(["md-0", "md-1"]), unique=True)):
        label = {"labels": {"fleet.skerry.dev/discovered": "true"}} if draw(maybe) else {}
        pool = {"name": f"team-a.shop.{name}", "namespace": "sv-1", "finalizers": [FINALIZER] if draw(maybe) else [], **label}
        pool |= {"deletionTimestamp": BEFORE} if draw(maybe) else {}
        pools.append(msgspec.convert({"metadata": pool, "spec": {"class": "node-pool"}}, NodePool))
    connected = {"type": "Connected", "status": draw(st.sampled_from(["True", "False"])), "reason": "Session"}
    management = msgspec.convert({"metadata": {"name": "sv-1"}, "status": {"conditions": [connected]}}, ManagementCluster)
    sent = None
    if draw(maybe):
        metadata = {"name": "cluster.team-a.shop", "generation": 1, **({"deletionTimestamp": BEFORE} if draw(maybe) else {})}
        sent = msgspec.convert({"metadata": metadata, "spec": {"leave": draw(maybe)}, "status": {"observedGeneration": 1}}, ManifestSet)
    facts = seen = None
    if draw(maybe):
        asked = topology(
            *({"class": "node-pool", "name": name, "replicas": 2} for name in draw(st.sets(st.sampled_from(["md-0", "md-2"]))))
        )
        found: Json = {"metadata": {"name": "shop", "namespace": "team-a", "uid": draw(st.sampled_from(["there", "other"]))}}
        found["metadata"] |= {"deletionTimestamp": BEFORE} if draw(maybe) else {}
        found["metadata"] |= {"labels": {"fleet.skerry.dev/managed": "true"}} if draw(maybe) else {}
        found["spec"] = {"topology": asked}
        facts, seen = read.cluster(found), readback.read(found, OFFERED)
    there = cluster if draw(st.integers(0, 4)) else None
    return World(
        "sv-1", "team-a.shop", there, tuple(pools), management, provisioner=True, offered=OFFERED, manifest_set=sent, facts=facts, seen=seen
    )


def made(world: World) -> Plan:
    found = plan(world, NOW)
    assert explain(found)
    return found


@given(worlds())
def test_nothing_is_sent_for_an_observed_cluster_and_nothing_of_it_deleted(world: World) -> None:
    if not world.observed:
        return
    actions = made(world).actions
    assert all(isinstance(each, HARMLESS) for each in actions), actions
    if world.manifest_set is not None:  # whoever is held stays held until the agent has let go
        assert all(isinstance(each, LeaveManifestSet | ReleaseManifestSet) for each in actions), actions
    for each in actions:
        if isinstance(each, ReleaseManifestSet):
            assert world.forced()
        if isinstance(each, ForgetCluster):
            assert world.away() is None
            assert world.facts is None or world.facts.uid == "other"


@given(worlds())
def test_only_a_managed_cluster_that_is_deleted_takes_its_machines_along(world: World) -> None:
    for each in made(world).actions:
        if isinstance(each, DeleteManifestSet):
            assert world.cluster is not None
            assert world.cluster.spec.management_policy == "Manage"
            assert world.cluster.metadata.deletion_timestamp
        if isinstance(each, ForgetCluster | FollowCluster | FollowNodePool | LeaveManifestSet | LetBe):
            assert world.observed


@given(worlds())
def test_what_is_sent_first_adopts_what_was_observed_and_holds_every_pool_that_is_seen(world: World) -> None:
    for each in made(world).actions:
        if isinstance(each, ApplyManifestSet) and world.manifest_set is None and world.facts is not None and not world.facts.managed:
            assert each.adopt == ["there"] == [world.facts.uid]
            assert world.seen is not None
            assert set(world.seen.pools) <= {pool.metadata.name.rpartition(".")[2] for pool in world.pools}


@given(worlds())
def test_a_cluster_is_found_only_where_there_is_no_object_nothing_sent_and_an_agent(world: World) -> None:
    for each in made(world).actions:
        if isinstance(each, DiscoverCluster):
            assert world.cluster is None
            assert world.manifest_set is None
            assert world.away() is None
            assert world.facts is not None
            assert not world.facts.deleting
            assert each.spec["managementPolicy"] == "Observe"
    assert world.cluster is not None or not any(isinstance(each, EnsureFinalizer) for each in made(world).actions)
