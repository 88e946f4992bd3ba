"""What to do about one cluster and its node pools: pure, total, and data that can be printed before anybody follows it.

Desired state and what was seen go in; actions, status and when to look again come out. The
order of the actions is the order in which they are carried out. Two rules keep machines safe:

* nothing new is sent while a check objects: what runs stays as it was last accepted;
* a finalizer falls only when the far end has been *seen* to be empty, or never held anything of ours, or when its agent
  is away and somebody said by an annotation that he will not wait for it.

A cluster that goes takes its node pools with it: first the machines, then the pools, then itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from skerry.capi import render
from skerry.controllers.cluster import checks, stages
from skerry.controllers.cluster.world import FINALIZER, World
from skerry.kinds.cluster import Cluster, ClusterStatus
from skerry.kinds.managementcluster import BUILTIN
from skerry.kinds.nodepool import NodePool, NodePoolStatus
from skerry.machinery.resource import Json

SOON, LATER = 10.0, 60.0


class Action(msgspec.Struct, frozen=True, tag_field="do"):
    """Base of the actions; ``name`` is the object's name in the management cluster's namespace."""

    name: str


class EnsureFinalizer(Action, frozen=True, tag=True):
    """Hold a Cluster or NodePool (``plural``) until the far end is empty."""

    plural: str


class RemoveFinalizer(Action, frozen=True, tag=True):
    """Let a Cluster or NodePool (``plural``) go."""

    plural: str


class ApplyManifestSet(Action, frozen=True, tag=True):
    """Send manifests to the far end."""

    owner_epoch: int
    manifests: list[Json]


class DeleteManifestSet(Action, frozen=True, tag=True):
    """Have everything in the set removed from the far end."""


class ReleaseManifestSet(Action, frozen=True, tag=True):
    """Let a deleted set go although nobody has emptied the far end."""


class DeleteNodePool(Action, frozen=True, tag=True):
    """Delete a pool whose cluster is gone."""


AnyAction: TypeAlias = EnsureFinalizer | RemoveFinalizer | ApplyManifestSet | DeleteManifestSet | ReleaseManifestSet | DeleteNodePool


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in order, the statuses to report, and after how many seconds to look again (None: when something happens)."""

    actions: tuple[AnyAction, ...] = ()
    status: ClusterStatus | None = None
    pools: dict[str, NodePoolStatus] = field(default_factory=dict)
    recheck_after: float | None = None


def plan(world: World, now: str) -> Plan:
    """Decide. ``now`` is RFC 3339. Clusters that are not made from a class are other controllers' work: their plan is empty."""
    cluster = world.cluster
    if cluster is None:
        return _without_cluster(world, now)
    if cluster.spec.provisioner in BUILTIN:
        return Plan()
    pools = {pool.metadata.name: stages.pool_status(world, pool, now) for pool in world.pools}
    if cluster.metadata.deletion_timestamp:
        status = stages.cluster_status(world, cluster, None, now)
        return Plan(tuple(_deletion(world, cluster)), status, pools, SOON)
    refused = checks.refusal(world, cluster)
    status = stages.cluster_status(world, cluster, refused, now)
    actions: list[AnyAction] = [EnsureFinalizer(cluster.metadata.name, "clusters")] if FINALIZER not in cluster.metadata.finalizers else []
    actions += [EnsureFinalizer(pool.metadata.name, "nodepools") for pool in world.live_pools if FINALIZER not in pool.metadata.finalizers]
    if refused is None:
        actions += _sending(world, cluster)
    actions += [RemoveFinalizer(pool.metadata.name, "nodepools") for pool in _removed(world)]
    return Plan(tuple(actions), status, pools, LATER if status.phase == "Ready" else SOON)


def _sending(world: World, cluster: Cluster) -> list[AnyAction]:
    """Send what is not asked for already."""
    if world.offered is None:
        return []
    wanted, present = render.manifests(cluster, world.live_pools, world.offered), world.manifest_set
    if present is not None and present.spec.manifests == wanted and present.spec.owner_epoch >= world.epoch:
        return []
    return [ApplyManifestSet(world.set_name, world.epoch, wanted)]


def _removed(world: World) -> list[NodePool]:
    """Pools on their way out whose machines are gone, or were never sent."""
    sent = _sent_pools(world)
    never = world.manifest_set is None and world.own is None
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


def _deletion(world: World, cluster: Cluster) -> list[AnyAction]:
    if world.manifest_set is not None:
        asked: list[AnyAction] = [] if world.manifest_set.metadata.deletion_timestamp else [DeleteManifestSet(world.set_name)]
        return [*asked, ReleaseManifestSet(world.set_name)] if world.forced() else asked
    if world.own is not None and not world.forced():
        return []
    if world.pools:
        return _pool_ends(world, delete=True)
    return [RemoveFinalizer(cluster.metadata.name, "clusters")] if FINALIZER in cluster.metadata.finalizers else []


def _without_cluster(world: World, now: str) -> Plan:
    """Pools that came before their cluster wait for it; those that are being deleted hold nothing."""
    pools = {pool.metadata.name: stages.pool_status(world, pool, now) for pool in world.pools}
    return Plan(tuple(_pool_ends(world, delete=False)), None, pools)


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
    lines = [_line(action) for action in made.actions] or ["nothing to do"]
    if made.status is not None:
        lines.append(f"phase {made.status.phase}")
        lines += [f"{each.type}={each.status} {each.reason}: {each.message}" for each in made.status.conditions]
    for name, status in sorted(made.pools.items()):
        ready = next(each for each in status.conditions if each.type == "Ready")
        lines.append(f"node pool {name}: {status.phase}, {ready.reason}: {ready.message}")
    if made.recheck_after is not None:
        lines.append(f"look again after {made.recheck_after:.0f} s, or when something changes")
    return lines


def _line(action: AnyAction) -> str:
    if isinstance(action, ApplyManifestSet):
        objects = ", ".join(f"{each['kind']} {each['metadata']['name']}" for each in action.manifests)
        return f"ApplyManifestSet {action.name}: {objects}"
    kind = f"{action.plural}/" if isinstance(action, EnsureFinalizer | RemoveFinalizer) else ""
    return f"{type(action).__name__} {kind}{action.name}"
