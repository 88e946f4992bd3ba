"""Where a cluster and its pools are, in one word and in conditions: the reading of what was seen.

``Ready`` is an ordered list of questions; the first that has an answer decides phase, status,
reason and message. What was never ready is not scaled, degraded or upgraded, whatever its parts
look like on the way: it is being provisioned. ``Provisioned`` remembers that it was ready once.
While the agent is away the answer is Unknown, with since when, because what was seen last may no
longer be true.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from skerry.capi.read import Machines
from skerry.capi.render import last
from skerry.capi.upgrade import Verdict, oldest, satisfies
from skerry.controllers.cluster import checks, observing
from skerry.controllers.cluster.world import World
from skerry.kinds.cluster import FORCE, Cluster, ClusterStatus, Endpoint, Phase
from skerry.kinds.common import Condition, Counts
from skerry.kinds.nodepool import NodePool, NodePoolStatus
from skerry.runtime.conditions import counted, find, is_true, merged

KEPT = "another manager asks for the pool at the far end, too: take it out of the Cluster there"
KEPT_AFTER = 10.0
CONFLICTS = frozenset(("Conflict", "NotAdopted", "OtherSet"))
Status = Literal["True", "False", "Unknown"]


class Stage(NamedTuple):
    """An answer to "is it ready?"."""

    phase: Phase
    status: Status
    reason: str
    message: str


class _Seen(NamedTuple):
    world: World
    cluster: Cluster
    refused: Verdict | None
    now: str


def _deleting(seen: _Seen) -> Stage | None:
    if not seen.cluster.metadata.deletion_timestamp:
        return None
    away = seen.world.away()
    if away is not None:
        wayout = f"; the annotation {FORCE}=true lets go of the cluster and leaves its machines where they are"
        return Stage("Deleting", "False", "AgentAway", f"the deletion waits: {_since(seen.world, away)}{wayout}")
    if seen.world.observed:
        return Stage("Deleting", "False", "Forgetting", "the cluster is forgotten here; it stays at its management cluster")
    fact = seen.world.own.condition("Deleting") if seen.world.own else None
    return Stage("Deleting", "False", "Deleting", (fact.message if fact else "") or "the cluster is being deleted")


def _agent_away(seen: _Seen) -> Stage | None:
    away = seen.world.away()
    if away is None:
        return None
    known = seen.world.own is not None or seen.world.observed
    return Stage("Unknown" if known else "Pending", "Unknown", "AgentAway", _since(seen.world, away))


def _refused(seen: _Seen) -> Stage | None:
    if seen.refused is None:
        return None
    return Stage("Degraded" if seen.world.own else "Pending", "False", seen.refused.reason, seen.refused.message)


def _going(seen: _Seen) -> Stage | None:
    """Whether somebody deletes an observed cluster at the far end."""
    facts = seen.world.own
    if facts is None or not facts.deleting:
        return None
    fact = facts.condition("Deleting")
    return Stage(
        "Deleting", "False", "Deleting", (fact.message if fact else "") or "the cluster is being deleted at its management cluster"
    )


def _failed(seen: _Seen) -> Stage | None:
    facts = seen.world.own
    if facts is None or not (facts.failure or facts.phase == "Failed"):
        return None
    return Stage("Failed", "False", "Failed", facts.failure or "the management cluster says that the cluster has failed")


def _not_applied(seen: _Seen) -> Stage | None:
    condition = applied(seen.world)
    if condition.status == "True":
        return None
    return Stage(_changing(seen, condition.reason), "False", condition.reason, condition.message)


def _changing(seen: _Seen, reason: str) -> Phase:
    """What it is called that something was asked for that is not applied yet."""
    facts = seen.world.own
    if facts is None:
        return "Provisioning"
    if reason in {"ApplyFailed", "Conflict"}:
        return "Degraded"
    return "Upgrading" if facts.version and facts.version != seen.cluster.spec.version else "Scaling"


def _not_made(seen: _Seen) -> Stage | None:
    facts = seen.world.own
    if facts is None:
        return Stage("Provisioning", "False", "NotSeen", "the management cluster has not reported the cluster yet")
    if facts.phase == "Provisioned" and facts.host:
        return None
    fact = facts.condition("InfrastructureReady")
    return Stage("Provisioning", "False", "Provisioning", (fact.message if fact else "") or "the cluster is being made")


def _upgrading(seen: _Seen) -> Stage | None:
    if not _is_upgraded(seen.world, seen.cluster):
        return None
    version = seen.world.asked_version() or "another version"
    plane = seen.world.control_plane
    part = "workers" if plane is not None and plane.complete(version) else "control plane"
    return Stage("Upgrading", "False", "Upgrading", f"the {part} is being upgraded to {version}".replace("workers is", "workers are"))


def _is_upgraded(world: World, cluster: Cluster) -> bool:
    """Whether this is an upgrade to people: Cluster API tells of pending ones also while a cluster is made for the first time."""
    if not world.upgrading():
        return False
    running = [version for each in (world.control_plane, *world.workers.values()) if each for version in each.versions]
    return is_true(cluster.status.conditions, "Provisioned") or not all(satisfies(each, world.asked_version()) for each in running)


def _scaling(seen: _Seen) -> Stage | None:
    plane = seen.world.control_plane
    groups = [("control plane", plane, plane.desired if plane is not None else 1)]
    groups += [(f"node pool {last(pool.metadata.name)}", _machines(seen.world, pool), pool.spec.replicas) for pool in seen.world.live_pools]
    for name, machines, asked in groups:
        if machines is None:
            return Stage("Scaling", "False", "Scaling", f"{name}: not made yet")
        phase = _settling(seen.cluster.status.phase, machines, asked)
        if machines.total != asked or machines.desired != asked:
            return Stage(phase, "False", "Scaling", f"{name}: {machines.total} of {asked} machines exist{_why(machines)}")
        if machines.up_to_date < machines.total:
            return Stage(phase, "False", "RollingOut", f"{name}: {machines.up_to_date} of {asked} machines are up to date")
    gone = set(seen.world.workers) - {last(pool.metadata.name) for pool in seen.world.live_pools}
    kept = sorted(name for name in gone if _kept(seen.world, name, seen.now))
    if kept:
        return Stage("Scaling", "False", "KeptByAnother", f"{KEPT}: {', '.join(kept)}")
    return Stage("Scaling", "False", "Scaling", f"node pools that are being removed: {', '.join(sorted(gone))}") if gone else None


def _unhealthy(seen: _Seen) -> Stage | None:
    """Say what is not well: degraded only if it was well before, for new machines take their time."""
    phase = _still(seen.cluster.status.phase)
    plane = seen.world.control_plane
    if plane is not None and plane.ready < plane.desired:
        text = f"control plane: {plane.ready} of {plane.desired} machines are ready{_why(plane)}"
        return Stage(phase, "False", "MachinesNotReady", text)
    for condition in (control_plane_ready(seen.world), workers_ready(seen.world)):
        if condition.status != "True":
            return Stage(phase, "False", condition.reason, condition.message)
    topology = seen.world.own.condition("TopologyReconciled") if seen.world.own else None
    if topology is None or topology.status == "True":
        return None
    return Stage(phase, "False", topology.reason or "TopologyNotReconciled", topology.message or "the topology is not as asked for")


def _settling(phase: Phase, machines: Machines, asked: int) -> Phase:
    """What it is called that there are more or fewer machines than shall stay: an upgrade ends with the last machine that it replaces."""
    return "Upgrading" if phase == "Upgrading" and machines.desired == asked else "Scaling"


def _still(phase: Phase) -> Phase:
    return phase if phase in {"Scaling", "Upgrading"} else "Degraded"


_QUESTIONS: tuple[Callable[[_Seen], Stage | None], ...] = (
    _deleting,
    _agent_away,
    _refused,
    _failed,
    _not_applied,
    _not_made,
    _upgrading,
    _scaling,
    _unhealthy,
)


_OF_OBSERVED = (_deleting, _agent_away, _going, _failed, _not_made, _upgrading, _scaling, _unhealthy)


def stage(world: World, cluster: Cluster, refused: Verdict | None, now: str) -> Stage:
    """Answer whether the cluster is ready."""
    seen = _Seen(world, cluster, refused, now)
    questions = _OF_OBSERVED if world.observed else _QUESTIONS
    ready = Stage("Ready", "True", "AsAsked", "everything is as asked for")
    answer = next((answer for question in questions if (answer := question(seen)) is not None), ready)
    return answer if _ran_before(world) else _first_time(answer, cluster.status.conditions)


def _ran_before(world: World) -> bool:
    """Whether an observed cluster was made before anybody looked: its control plane has begun to work at some time."""
    fact = world.own.condition("ControlPlaneInitialized") if world.observed and world.own else None
    return fact is not None and fact.status == "True"


def _first_time(answer: Stage, known: Sequence[Condition]) -> Stage:
    """Call it provisioning until it was ready once; reason and message stay."""
    on_the_way = answer.phase in {"Scaling", "Upgrading", "Degraded"} and not is_true(known, "Provisioned")
    return answer._replace(phase="Provisioning") if on_the_way else answer


def _provisioned(answer: Stage, known: Sequence[Condition], what: str, *, before: bool) -> Condition:
    """Whether it was ready once; this never goes back. What ran ``before`` anybody looked was."""
    if answer.phase == "Ready" or before or is_true(known, "Provisioned"):
        return Condition("Provisioned", "True", "WasReady", f"the {what} was ready once")
    return Condition("Provisioned", "False", answer.reason, answer.message)


def applied(world: World) -> Condition:
    """Whether the far end is as the ManifestSet asks, by the agent's own report."""
    found = world.manifest_set
    if found is None:
        return Condition("Applied", "False", "NothingSent", "nothing has been sent to the management cluster")
    if found.status.failed and found.status.observed_generation >= found.metadata.generation:
        first = next(iter(found.status.failures), None)
        text = f"{first.kind} {first.name}: {first.message}" if first else f"{found.status.failed} objects could not be applied"
        reason = "Conflict" if first is not None and first.reason in CONFLICTS else "ApplyFailed"
        return Condition("Applied", "False", reason, text)
    said = find(found.status.conditions, "Applied")
    if said is not None and said.reason in {"AgentOutdated", "Refused"} and said.observed_generation == found.metadata.generation:
        return Condition("Applied", "False", said.reason, said.message)
    if world.observed:
        text = "the agent lets go of the cluster and leaves everything as it is; it has not said yet that it has"
        return Condition("Applied", "False", "Leaving", text)
    if world.enforced():
        return Condition("Applied", "True", "Enforced", f"{counted(found.status.applied, 'object')} enforced")
    away = world.away()
    if away is not None:
        return Condition("Applied", "Unknown", "AgentAway", _since(world, away))
    return Condition("Applied", "False", "Applying", "the agent has not reported the present generation yet")


def control_plane_ready(world: World) -> Condition:
    """What Cluster API says of the control plane."""
    fact = world.own.condition("ControlPlaneAvailable", "ControlPlaneReady") if world.own else None
    if fact is None:
        return Condition("ControlPlaneReady", "Unknown", "NotReported", "the management cluster has not reported on the control plane")
    status: Status = "True" if fact.status == "True" else "False" if fact.status == "False" else "Unknown"
    available = "available" if status == "True" else "not available"
    reason = fact.reason or ("Available" if status == "True" else "NotAvailable")
    return Condition("ControlPlaneReady", status, reason, fact.message or f"the control plane is {available}")


def workers_ready(world: World) -> Condition:
    """Whether every pool has as many ready machines as asked for."""
    if not world.live_pools:
        return Condition("WorkersReady", "True", "NoNodePools", "the cluster has no node pools")
    for pool in world.live_pools:
        machines = _machines(world, pool)
        if machines is None or machines.ready < machines.desired:
            ready, name = machines.ready if machines else 0, last(pool.metadata.name)
            text = f"node pool {name}: {ready} of {pool.spec.replicas} machines are ready{_why(machines)}"
            return Condition("WorkersReady", "False", "MachinesNotReady", text)
    return Condition("WorkersReady", "True", "MachinesReady", "the machines of every node pool are ready")


def is_trouble(status: ClusterStatus | NodePoolStatus) -> bool:
    """Whether a status tells of something that will not come right by waiting."""
    reasons = {each.reason for each in status.conditions if each.type == "Ready"}
    refused = any(each.type == "Accepted" and each.status == "False" for each in status.conditions)
    return (
        refused
        or status.phase in {"Degraded", "Failed", "Unknown"}
        or not reasons.isdisjoint(("ActionFailed", "AgentAway", "ApplyFailed", "Conflict"))
    )


def cluster_status(world: World, cluster: Cluster, refused: Verdict | None, now: str) -> ClusterStatus:
    """The status of a cluster as of ``now`` (RFC 3339)."""
    answer, facts = stage(world, cluster, refused, now), world.own
    accepted = (
        Condition("Accepted", "False", *refused)
        if refused
        else Condition("Accepted", "True", "Valid", "the class can make what is asked for")
    )
    ready = Condition("Ready", answer.status, answer.reason, answer.message)
    provisioned = _provisioned(answer, cluster.status.conditions, "cluster", before=_ran_before(world))
    conditions = [ready, provisioned, accepted, applied(world), control_plane_ready(world), workers_ready(world)]
    if world.observed:
        asked = [applied(world)] if world.manifest_set else []
        there = observing.seen(world, "cluster", there=facts is not None)
        conditions = [ready, provisioned, there, observing.manageable(world), *asked, control_plane_ready(world), workers_ready(world)]
    running = [v for each in (world.control_plane, *world.workers.values()) if each for v in each.versions]
    return ClusterStatus(
        observed_generation=cluster.metadata.generation,
        phase=answer.phase,
        uid=_uid(world, cluster),
        version=oldest(running),
        endpoint=Endpoint(facts.host, facts.port) if facts and facts.host else None,
        health=cluster.status.health,
        agent=cluster.status.agent,
        control_plane=world.control_plane.counts() if facts and world.control_plane else None,
        workers=_sum(world) if facts else None,
        last_enforced_time=world.manifest_set.status.last_enforced_time if world.manifest_set else cluster.status.last_enforced_time,
        conditions=_dated(_of_policy(cluster.status.conditions, conditions), conditions, cluster.metadata.generation, now),
    )


_OF_POLICY = frozenset(("Accepted", "Applied", observing.SEEN, "Manageable"))


def _of_policy(known: Sequence[Condition], new: Sequence[Condition]) -> list[Condition]:
    """Conditions without those that say nothing any more, now that a cluster is observed, or managed."""
    kinds = {each.type for each in new}
    return [each for each in known if each.type in kinds or each.type not in _OF_POLICY]


def _uid(world: World, cluster: Cluster) -> str:
    """The far end's cluster as it is known: what is managed may be made anew, what is observed may not be mistaken."""
    facts, known = world.facts, cluster.status.uid
    if facts is None or (known and world.manifest_set is None):
        return known
    return facts.uid if world.observed or world.held else known


def pool_status(world: World, pool: NodePool, now: str) -> NodePoolStatus:
    """The status of a pool as of ``now`` (RFC 3339)."""
    refused = checks.pool_refusal(pool, world.offered) if world.offered and not world.observed else None
    if world.cluster is None:
        refused = Verdict("ClusterMissing", f"there is no cluster {world.name} in {world.namespace}")
    known = pool.status.conditions
    answer, machines = _pool_stage(world, pool, refused, now), _machines(world, pool)
    answer = answer if _ran_before(world) else _first_time(answer, known)
    accepted = (
        Condition("Accepted", "False", *refused)
        if refused
        else Condition("Accepted", "True", "Valid", "the class can make what is asked for")
    )
    ready = Condition("Ready", answer.status, answer.reason, answer.message)
    conditions = [ready, _provisioned(answer, known, "pool", before=_ran_before(world)), accepted]
    if world.observed:
        there = world.seen is not None and last(pool.metadata.name) in world.seen.pools
        conditions = [*conditions[:2], observing.seen(world, "node pool", there=there)]
    return NodePoolStatus(
        observed_generation=pool.metadata.generation,
        phase=answer.phase,
        version=oldest(machines.versions) if machines else "",
        machines=machines.counts() if machines else None,
        last_enforced_time=world.manifest_set.status.last_enforced_time if world.manifest_set else pool.status.last_enforced_time,
        conditions=_dated(_of_policy(known, conditions), conditions, pool.metadata.generation, now),
    )


def _pool_stage(world: World, pool: NodePool, refused: Verdict | None, now: str) -> Stage:
    machines, away = _machines(world, pool), world.away()
    version = world.pool_version(machines) if machines else ""
    if pool.metadata.deletion_timestamp:
        return _pool_going(world, pool, away, now)
    if refused is not None:
        return Stage("Pending" if machines is None else "Degraded", "False", *refused)
    if away is not None:
        known = machines is not None or world.observed
        return Stage("Unknown" if known else "Pending", "Unknown", "AgentAway", _since(world, away))
    if machines is None:
        return Stage("Provisioning", "False", "NotSeen", "the management cluster has not reported the pool yet")
    if machines.complete(version) and machines.desired == pool.spec.replicas:
        return Stage("Ready", "True", "AsAsked", "everything is as asked for")
    if machines.desired == pool.spec.replicas and world.cluster is not None and _is_upgraded(world, world.cluster):
        current = machines.up_to_date if any(satisfies(each, version) for each in machines.versions) else 0
        return Stage("Upgrading", "False", "Upgrading", f"{current} of {machines.desired} machines are up to date with {version}")
    if machines.total != pool.spec.replicas or machines.desired != pool.spec.replicas:
        phase = _settling(pool.status.phase, machines, pool.spec.replicas)
        return Stage(phase, "False", "Scaling", f"{machines.total} of {pool.spec.replicas} machines exist")
    text = f"{machines.ready} of {machines.desired} machines are ready{_why(machines)}"
    return Stage(_still(pool.status.phase), "False", "MachinesNotReady", text)


def _pool_going(world: World, pool: NodePool, away: Condition | None, now: str) -> Stage:
    if away is not None and _machines(world, pool) is not None:
        return Stage("Deleting", "False", "AgentAway", f"the deletion waits: {_since(world, away)}")
    if _kept(world, last(pool.metadata.name), now):
        return Stage("Deleting", "False", "KeptByAnother", KEPT)
    return Stage("Deleting", "False", "Deleting", "the pool's machines are being removed")


def _kept(world: World, name: str, now: str) -> bool:
    """Whether the far end asks for a pool that it was told to take away a while ago: the inventory may be later than the agent's report."""
    pool = next((each for each in world.pools if last(each.metadata.name) == name), None)
    since = pool.metadata.deletion_timestamp if pool is not None else ""
    late = bool(since) and (datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds() < KEPT_AFTER
    return not late and world.own is not None and name in world.own.pools and world.enforced()


def _why(machines: Machines | None) -> str:
    return f" ({machines.problem})" if machines is not None and machines.problem else ""


def _machines(world: World, pool: NodePool) -> Machines | None:
    return world.workers.get(last(pool.metadata.name))


def _sum(world: World) -> Counts:
    found = list(world.workers.values())
    desired = sum(pool.spec.replicas for pool in world.live_pools)
    total, ready, current = sum(m.total for m in found), sum(m.ready for m in found), sum(m.up_to_date for m in found)
    return Machines(desired, total, ready, current).counts()


def _since(world: World, away: Condition) -> str:
    since = f" since {away.last_transition_time}" if away.last_transition_time else ""
    return f"the agent of {world.namespace} is not connected{since}" + (f": {away.message}" if away.message else "")


def _dated(old: list[Condition], new: list[Condition], generation: int, now: str) -> list[Condition]:
    for each in new:
        each.observed_generation = generation
    return merged(old, new, now)
