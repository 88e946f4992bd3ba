"""What is done about clusters that are not ours to change: found, followed, left alone and forgotten. Pure.

* A cluster that is seen in a management cluster and has no object here gets one that observes it: not while
  the agent is away, not while it is being deleted, and never where something of that name was sent from here
  and is not over.
* An observed cluster follows the far end: its spec, and its node pools. The words that somebody has found for
  it here stay for as long as they say the same.
* Nothing is sent for it, and nothing holds it. Only a ManifestSet that is left from the time when it was
  managed is ended, without deleting anything; until the agent has said that it has let go, finalizers stay.
* It is forgotten when the far end's cluster is gone, or is another one (by its uid). Gone is what was seen to
  be deleted, or has not been reported for a while by an agent that is connected: an inventory may be
  incomplete for a moment, and what is forgotten loses its group and the roles that were bound on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from skerry.capi import readback, render
from skerry.controllers.cluster.actions import (
    AnyAction,
    DeleteNodePool,
    DiscoverCluster,
    DiscoverNodePool,
    FollowCluster,
    FollowNodePool,
    ForgetCluster,
    LeaveManifestSet,
    LetBe,
    ReleaseManifestSet,
)
from skerry.controllers.cluster.world import FINALIZER, World
from skerry.kinds.cluster import DISCOVERED, Cluster, ClusterSpec
from skerry.kinds.common import Condition
from skerry.kinds.managementcluster import BUILTIN
from skerry.kinds.nodepool import NodePool, NodePoolSpec
from skerry.machinery.resource import Json
from skerry.runtime.conditions import find

ABSENT_SECONDS = 60.0
"""For how long a cluster is not reported, by an agent that is connected, before it counts as gone."""
SEEN, BEING_DELETED = "Seen", "BeingDeleted"


def discovery(world: World) -> list[AnyAction]:
    """What to make of a cluster that is seen and has no object here."""
    facts, management = world.facts, world.management
    provisioner = world.name.partition(".")[0]
    strange = facts is not None and bool(facts.uid) and not facts.deleting and world.manifest_set is None and provisioner not in BUILTIN
    if facts is None or world.seen is None or not strange or management is None or world.away() is not None:
        return []
    if management.metadata.deletion_timestamp:
        return []
    spec = _observed_spec(world.seen.spec, provisioner, management.spec.default_cluster_group)
    return [DiscoverCluster(world.name, facts.uid, spec)]


def orphans(world: World) -> list[AnyAction]:
    """Pools that were found with a cluster that has no object here any more."""
    found = [pool for pool in world.pools if pool.metadata.labels.get(DISCOVERED) == "true" and not pool.metadata.deletion_timestamp]
    return [DeleteNodePool(pool.metadata.name) for pool in found]


def decide(world: World, cluster: Cluster, now: str) -> list[AnyAction]:
    """What to do about an observed cluster; its status is ``stages``' work."""
    if world.manifest_set is not None:
        return _leaving(world)
    held: list[AnyAction] = [LetBe(pool.metadata.name, "nodepools") for pool in world.pools if FINALIZER in pool.metadata.finalizers]
    if cluster.metadata.deletion_timestamp:
        held += _forgotten_pools(world)
    if FINALIZER in cluster.metadata.finalizers:
        return [*held, LetBe(cluster.metadata.name, "clusters")]
    if cluster.metadata.deletion_timestamp or world.away() is not None:
        return held
    why = _over(world, cluster, now)
    if why:
        return [*held, *_forgotten_pools(world), ForgetCluster(cluster.metadata.name, why)]
    return [*held, *_following(world, cluster, now)] if world.facts is not None else held


def _leaving(world: World) -> list[AnyAction]:
    found = world.manifest_set
    if found is None:
        return []
    done = found.spec.leave and bool(found.metadata.deletion_timestamp)
    asked: list[AnyAction] = [] if done else [LeaveManifestSet(world.set_name, world.epoch)]
    return [*asked, ReleaseManifestSet(world.set_name)] if world.forced() else asked


def _forgotten_pools(world: World) -> list[AnyAction]:
    return [DeleteNodePool(pool.metadata.name) for pool in world.live_pools]


def _over(world: World, cluster: Cluster, now: str) -> str:
    """Why the object has nothing to follow any more; empty: it has."""
    facts, known = world.facts, cluster.status.uid
    if facts is not None:
        return "another cluster has taken its place" if known and facts.uid and facts.uid != known else ""
    return "it is gone at the far end" if _gone(find(cluster.status.conditions, SEEN), now) else ""


def _gone(seen: Condition | None, now: str) -> bool:
    if seen is None:
        return False
    return (seen.status == "True" and seen.reason == BEING_DELETED) or _absent_long(seen, now)


def _absent_long(seen: Condition | None, now: str) -> bool:
    if seen is None or seen.status != "False" or not seen.last_transition_time:
        return False
    since = datetime.fromisoformat(now) - datetime.fromisoformat(seen.last_transition_time)
    return since.total_seconds() >= ABSENT_SECONDS


def seen(world: World, subject: str, *, there: bool) -> Condition:
    """Whether the far end reports the cluster, or a pool of it."""
    away = world.away()
    if away is not None:
        return Condition(SEEN, "Unknown", "AgentAway", f"the agent of {world.namespace} is not connected; it was seen when it last was")
    if not there:
        return Condition(SEEN, "False", "NotSeen", f"the management cluster does not report the {subject}")
    if world.facts is not None and world.facts.deleting:
        return Condition(SEEN, "True", BEING_DELETED, "it is being deleted at its management cluster")
    return Condition(SEEN, "True", "Reported", f"the management cluster reports the {subject}")


def manageable(world: World) -> Condition:
    """Whether the cluster can be managed from here."""
    if world.seen is None:
        return Condition("Manageable", "Unknown", "NotSeen", "the management cluster does not report the cluster")
    if world.seen.obstacles:
        return Condition("Manageable", "False", "NotManageable", "; ".join(world.seen.obstacles)[:4096])
    return Condition("Manageable", "True", "Readable", "set spec.managementPolicy to Manage, and nothing changes at the far end by that")


def missing_pools(world: World) -> list[AnyAction]:
    """Pools that are seen and have no object here."""
    there = {render.last(pool.metadata.name) for pool in world.pools}
    pools = world.seen.pools if world.seen else {}
    return [
        DiscoverNodePool(f"{world.name}.{name}", _pool_spec(world, found)) for name, found in sorted(pools.items()) if name not in there
    ]


def _following(world: World, cluster: Cluster, now: str) -> Iterator[AnyAction]:
    reading, said = world.seen, _said(world, cluster)
    if reading is None:
        return
    spec = _observed_spec(reading.spec, cluster.spec.provisioner, cluster.spec.cluster_group)
    same = (said is not None and said.spec == reading.spec) or msgspec.convert(spec, ClusterSpec) == cluster.spec
    if not same or cluster.metadata.labels.get(DISCOVERED) != "true":
        yield FollowCluster(cluster.metadata.name, _plain(cluster.spec) if same else spec)
    for pool in world.live_pools:
        yield from _follow_pool(world, pool, said, now)
    yield from missing_pools(world)


def _follow_pool(world: World, pool: NodePool, said: readback.Reading | None, now: str) -> Iterator[AnyAction]:
    name = render.last(pool.metadata.name)
    found = world.seen.pools.get(name) if world.seen else None
    marked = pool.metadata.labels.get(DISCOVERED) == "true"
    if found is None:
        if marked and (world.facts is None or world.facts.topology or _absent_long(find(pool.status.conditions, SEEN), now)):
            yield DeleteNodePool(pool.metadata.name)
        return
    spec = _pool_spec(world, found)
    same = (said is not None and said.pools.get(name) == found) or msgspec.convert(spec, NodePoolSpec) == pool.spec
    if not same and pool.spec.class_ and pool.spec.class_ != found.get("class", ""):
        yield DeleteNodePool(pool.metadata.name)  # a class never changes: it is another pool, and is found at the next look
    elif not same or not marked:
        yield FollowNodePool(pool.metadata.name, _plain(pool.spec) if same else spec)


def _said(world: World, cluster: Cluster) -> readback.Reading | None:
    """What the words here would ask for, as a reading; None where they cannot be rendered."""
    if world.offered is None or cluster.spec.class_ is None:
        return None
    try:
        return readback.read(render.manifests(cluster, world.live_pools, world.offered)[-1], world.offered)
    except ValueError:
        return None


def _plain(spec: ClusterSpec | NodePoolSpec) -> Json:
    found: Any = msgspec.to_builtins(spec)
    return dict(found)


def _observed_spec(found: Json, provisioner: str, group: str) -> Json:
    return {"provisioner": provisioner, "clusterGroup": group, "managementPolicy": "Observe", **found}


def _pool_spec(world: World, found: Json) -> Json:
    provisioner, name = world.name.split(".")
    return {"provisioner": provisioner, "cluster": name, **found}
