"""What to do about one cluster and its node pools: pure, total, and data that can be printed before anybody follows it.

Desired state and what was seen go in; actions, status and when to look again come out. The
order of the actions is the order in which they are carried out. Two rules keep machines safe:

* nothing new is sent while a check objects: what runs stays as it was last accepted;
* a finalizer falls only when the far end has been *seen* to be empty, or never held anything of ours, or when its agent
  is away and somebody said by an annotation that he will not wait for it.

A cluster that goes takes its node pools with it: first the machines, then the pools, then itself.

Clusters that are only observed are decided about in ``observing.py``. One that is adopted is sent once all its
pools have objects here: what is not rendered would otherwise be nobody's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from skerry.capi import render
from skerry.controllers.cluster import checks, observing, stages
from skerry.controllers.cluster.actions import (
    AnyAction,
    ApplyManifestSet,
    DeleteManifestSet,
    DeleteNodePool,
    EnsureFinalizer,
    ReleaseManifestSet,
    RemoveFinalizer,
    line,
)
from skerry.controllers.cluster.world import FINALIZER, World
from skerry.kinds.cluster import Cluster, ClusterStatus
from skerry.kinds.managementcluster import BUILTIN
from skerry.kinds.nodepool import NodePool, NodePoolStatus
from skerry.machinery.resource import Json

SOON, LATER = 10.0, 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in order, the statuses to report, and after how many seconds to look again (None: when something happens)."""

    actions: tuple[AnyAction, ...] = ()
    status: ClusterStatus | None = None
    pools: dict[str, NodePoolStatus] = field(default_factory=dict)
    recheck_after: float | None = None
    observes: bool = False
    """Whether the cluster is only observed: whatever is done is done here."""


def plan(world: World, now: str) -> Plan:
    """Decide. ``now`` is RFC 3339. Clusters that are not made from a class are other controllers' work: their plan is empty."""
    cluster = world.cluster
    if cluster is None:
        return _without_cluster(world, now)
    if cluster.spec.provisioner in BUILTIN:
        return Plan()
    pools = {pool.metadata.name: stages.pool_status(world, pool, now) for pool in world.pools}
    if world.observed:
        status = stages.cluster_status(world, cluster, None, now)
        wait = LATER if status.phase == "Ready" and world.manifest_set is None else SOON
        return Plan(tuple(observing.decide(world, cluster, now)), status, pools, wait, observes=True)
    if cluster.metadata.deletion_timestamp:
        status = stages.cluster_status(world, cluster, None, now)
        return Plan(tuple(_deletion(world, cluster, now)), status, pools, SOON)
    refused = checks.refusal(world, cluster)
    status = stages.cluster_status(world, cluster, refused, now)
    actions: list[AnyAction] = [EnsureFinalizer(cluster.metadata.name, "clusters")] if FINALIZER not in cluster.metadata.finalizers else []
    actions += [EnsureFinalizer(pool.metadata.name, "nodepools") for pool in world.live_pools if FINALIZER not in pool.metadata.finalizers]
    found = observing.missing_pools(world) if world.adopting else []
    if refused is None:
        actions += found or _sending(world, cluster)
    actions += [RemoveFinalizer(pool.metadata.name, "nodepools") for pool in _removed(world)]
    return Plan(tuple(actions), status, pools, LATER if status.phase == "Ready" else SOON)


def _sending(world: World, cluster: Cluster) -> list[AnyAction]:
    """Send what is not asked for already."""
    if world.offered is None:
        return []
    wanted, present = render.manifests(cluster, world.live_pools, world.offered), world.manifest_set
    if present is None:
        return [ApplyManifestSet(world.set_name, world.epoch, wanted, [world.facts.uid] if world.adopting and world.facts else [])]
    if present.metadata.deletion_timestamp:
        return []  # it ends first: what was left is adopted anew then
    if present.spec.manifests == wanted and present.spec.owner_epoch >= world.epoch and not present.spec.leave:
        return []
    return [ApplyManifestSet(world.set_name, world.epoch, wanted, present.spec.adopt)]


def _removed(world: World) -> list[NodePool]:
    """Pools on their way out whose machines are gone, or were never sent."""
    sent = _sent_pools(world)
    never = not world.held
    return [
        pool
        for pool in world.pools
        if pool.metadata.deletion_timestamp
        and FINALIZER in pool.metadata.finalizers
        and (never or (world.enforced() and (name := render.last(pool.metadata.name)) not in sent and name not in world.workers))
    ]


def _sent_pools(world: World) -> set[str]:
    found: set[str] = set()
    for manifest in world.manifest_set.spec.manifests if world.manifest_set else ():
        workers = manifest.get("spec", {}).get("topology", {}).get("workers", {}) if manifest.get("kind") == "Cluster" else {}
        found |= {each["name"] for each in workers.get("machineDeployments", ())}
    return found


def _deletion(world: World, cluster: Cluster, now: str) -> list[AnyAction]:
    if world.manifest_set is not None:
        asked: list[AnyAction] = [] if world.manifest_set.metadata.deletion_timestamp else [DeleteManifestSet(world.set_name)]
        return [*asked, ReleaseManifestSet(world.set_name)] if world.forced() else asked
    if world.held and not world.forced() and not _nobody_deletes(world, cluster, now):
        return []
    if world.pools:
        return _pool_ends(world, delete=True)
    return [RemoveFinalizer(cluster.metadata.name, "clusters")] if FINALIZER in cluster.metadata.finalizers else []


def _nobody_deletes(world: World, cluster: Cluster, now: str) -> bool:
    """Whether what is seen is of an earlier time and was not sent for this object: it is let go of, and found again."""
    since = datetime.fromisoformat(now) - datetime.fromisoformat(cluster.metadata.deletion_timestamp)
    idle = world.facts is not None and not world.facts.deleting and world.away() is None
    return idle and since.total_seconds() >= observing.ABSENT_SECONDS


def _without_cluster(world: World, now: str) -> Plan:
    """Pools that came before their cluster wait for it; those that are being deleted hold nothing. A stranger's cluster is found."""
    pools = {pool.metadata.name: stages.pool_status(world, pool, now) for pool in world.pools}
    found = observing.discovery(world)
    return Plan((*_pool_ends(world, delete=False), *(found or observing.orphans(world))), None, pools, observes=bool(found))


def _pool_ends(world: World, *, delete: bool) -> list[AnyAction]:
    actions: list[AnyAction] = []
    for pool in world.pools:
        if delete and not pool.metadata.deletion_timestamp:
            actions.append(DeleteNodePool(pool.metadata.name))
        elif pool.metadata.deletion_timestamp and FINALIZER in pool.metadata.finalizers:
            actions.append(RemoveFinalizer(pool.metadata.name, "nodepools"))
    return actions


def as_json(made: Plan) -> Json:
    """The plan as JSON, for machines."""
    answer: Json = msgspec.to_builtins(made)
    return answer


def explain(made: Plan) -> list[str]:
    """The plan in lines, for people."""
    lines = ["the cluster is only observed: nothing is sent to its management cluster"] if made.observes else []
    lines += [line(action) for action in made.actions] or ["nothing to do"]
    if made.status is not None:
        lines.append(f"phase {made.status.phase}")
        lines += [f"{each.type}={each.status} {each.reason}: {each.message}" for each in made.status.conditions]
    for name, status in sorted(made.pools.items()):
        ready = next(each for each in status.conditions if each.type == "Ready")
        lines.append(f"node pool {name}: {status.phase}, {ready.reason}: {ready.message}")
    if made.recheck_after is not None:
        lines.append(f"look again after {made.recheck_after:.0f} s, or when something changes")
    return lines
