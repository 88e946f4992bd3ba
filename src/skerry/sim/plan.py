"""One step of a simulated cluster: from what is there and the time to what happens next. Pure.

It follows Cluster API's own order: topology, infrastructure, one control plane machine after the
other, workers once the control plane answers; an upgrade replaces the control plane first, one
machine at a time, then the workers; deletion takes workers, then the control plane, then the
cluster. A machine takes its steps by the clock (:class:`Tempo`); faults stand in its way.

The step is computed anew from the whole cluster each time, so it does not matter how often it
is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skerry.sim.states import Group, Whole, cluster_status, control_plane_status, deployment_status, machine_status

Json = dict[str, Any]

CAPI, CONTROL_PLANE = "cluster.x-k8s.io/v1beta2", "controlplane.cluster.x-k8s.io/v1beta2"
CLUSTER_LABEL, POOL_LABEL = "cluster.x-k8s.io/cluster-name", "topology.cluster.x-k8s.io/deployment-name"
PLANE_LABEL = "cluster.x-k8s.io/control-plane"
FINALIZER, MACHINE_FINALIZER = "cluster.cluster.x-k8s.io", "machine.cluster.x-k8s.io"
GRANTED = frozenset(("Provisioned", "Running", "Deleting"))
"""Phases in which a machine counts against a quota."""

NEXT = {"": "Pending", "Pending": "Provisioning", "Provisioning": "Provisioned", "Provisioned": "Running"}


@dataclass(frozen=True, slots=True)
class Tempo:
    """How long things take, in seconds."""

    infrastructure: float = 0.5
    step: float = 0.5
    machine: float = 1.0
    deletion: float = 0.5


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong on demand: pools (or ``control-plane``) that are slow or fail, and how many machines a cluster is granted."""

    slow: Mapping[str, float] = field(default_factory=dict)
    failing: frozenset[str] = frozenset()
    quota: int = 1_000_000


@dataclass(frozen=True, slots=True)
class World:
    """One cluster: its objects, since when (monotonic seconds) each machine is in its phase, and the time."""

    cluster: Json
    plane: Json | None
    deployments: list[Json]
    machines: list[Json]
    since: Mapping[str, float]
    clock: float
    now: str
    fresh: int
    """A number that no other look at any cluster has: names come from it, and from the few that follow."""
    tempo: Tempo = Tempo()
    faults: Faults = Faults()

    @property
    def name(self) -> str:
        """The cluster's name."""
        return str(self.cluster["metadata"]["name"])

    @property
    def topology(self) -> Json:
        """What is asked for."""
        found: Json = (self.cluster.get("spec") or {}).get("topology") or {}
        return found

    def of(self, pool: str) -> list[Json]:
        """The machines of a pool; of the control plane if empty."""
        return [each for each in self.machines if _pool(each) == pool]

    def in_phase(self, machine: Json) -> float:
        """For how long a machine has been in its phase."""
        return self.clock - self.since.get(machine["metadata"]["uid"], self.clock)


ALPHABET = "bcdfghjkmnpqrstvwxz2456789"
SUFFIXES = len(ALPHABET) ** 5


def suffix(number: int) -> str:
    """The end of a generated name: five letters, other ones for every number (below SUFFIXES), and nothing like the one before."""
    number, letters = number * 7_368_787 % SUFFIXES, ""
    for _ in range(5):
        number, digit = divmod(number, len(ALPHABET))
        letters += ALPHABET[digit]
    return letters


@dataclass(frozen=True, slots=True)
class Create:
    """Make an object."""

    obj: Json


@dataclass(frozen=True, slots=True)
class Delete:
    """Ask for an object's deletion."""

    obj: Json


@dataclass(frozen=True, slots=True)
class Change:
    """Write an object's metadata or spec (``status`` False) or its status."""

    obj: Json
    status: bool = False


Action = Create | Delete | Change


def plan(world: World) -> list[Action]:
    """What happens next."""
    if world.cluster["metadata"].get("deletionTimestamp"):
        return _ending(world)
    if FINALIZER not in (world.cluster["metadata"].get("finalizers") or ()):
        return [Change(_with_finalizer(world.cluster, FINALIZER))]
    if not world.topology:
        return []  # made of objects that people write by hand: they play its controllers, too
    actions = _topology(world)
    if actions:
        return actions
    return [*_machines(world), *_statuses(world)]


# the topology becomes a control plane and machine deployments


def _pools(world: World) -> list[Json]:
    found: list[Json] = (world.topology.get("workers") or {}).get("machineDeployments") or []
    return found


def _object(world: World, kind: str, api_version: str, name: str, spec: Json, **labels: str) -> Json:
    owner = world.cluster["metadata"]
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": owner["namespace"],
            "labels": {CLUSTER_LABEL: world.name, "topology.cluster.x-k8s.io/owned": "", **labels},
            "ownerReferences": [{"apiVersion": CAPI, "kind": "Cluster", "name": owner["name"], "uid": owner["uid"]}],
        },
        "spec": spec,
    }


def _topology(world: World) -> list[Action]:
    replicas = (world.topology.get("controlPlane") or {}).get("replicas", 1)
    wanted = {"replicas": replicas, "version": world.topology["version"]}
    if world.plane is None:
        return [Create(_object(world, "KubeadmControlPlane", CONTROL_PLANE, f"{world.name}-{suffix(world.fresh)}", wanted))]
    actions: list[Action] = []
    if world.plane["spec"] != wanted:
        actions.append(Change({**world.plane, "spec": wanted}))
    there = {_pool(each): each for each in world.deployments}
    pools = {pool["name"]: pool for pool in _pools(world)}
    for name, pool in pools.items():
        deployment = there.get(name)
        version = _pool_version(world, deployment)
        spec = {"clusterName": world.name, "replicas": pool.get("replicas", 1), "version": version, "class": pool["class"]}
        if deployment is None:
            full = f"{world.name}-{name}-{suffix(world.fresh)}"
            actions.append(Create(_object(world, "MachineDeployment", CAPI, full, spec, **{POOL_LABEL: name})))
        elif deployment["spec"] != spec and not deployment["metadata"].get("deletionTimestamp"):
            actions.append(Change({**deployment, "spec": spec}))
    for name, deployment in there.items():
        if name not in pools and not deployment["metadata"].get("deletionTimestamp"):
            actions.append(Delete(_with_finalizer(deployment, FINALIZER)))
    return actions


def _pool_version(world: World, deployment: Json | None) -> str:
    """Workers follow once the whole control plane runs the new version."""
    wanted = str(world.topology["version"])
    plane = world.of("")
    done = plane and all(each["spec"]["version"] == wanted and _phase(each) == "Running" for each in plane)
    return wanted if deployment is None or done else str(deployment["spec"]["version"])


# machines come, take their steps, and go


def _machines(world: World) -> list[Action]:
    plane = world.plane
    actions: list[Action] = []
    if plane is not None and _infrastructure(world):
        actions += _control_plane(world, plane)
    for deployment in world.deployments:
        actions += _workers(world, deployment)
    room = world.faults.quota - sum(_phase(each) in GRANTED for each in world.machines)
    for machine in world.machines:
        steps = _advance(world, machine, granted=room > 0)
        room -= any(isinstance(each, Change) and _phase(each.obj) == "Provisioned" for each in steps)
        actions += steps
    return actions


def _infrastructure(world: World) -> bool:
    return bool(((world.cluster.get("status") or {}).get("initialization") or {}).get("infrastructureProvisioned"))


def _control_plane(world: World, plane: Json) -> list[Action]:
    """One at a time: a missing one comes when the others run, an old one goes when a new one runs."""
    desired, version = plane["spec"]["replicas"], plane["spec"]["version"]
    machines = [each for each in world.of("") if not _going(each)]
    if any(_phase(each) != "Running" for each in machines) or len(machines) != len(world.of("")):
        return []
    old = [each for each in machines if each["spec"]["version"] != version]
    if len(machines) < desired or (old and len(machines) == desired):
        return [_new_machine(world, "", version, 0)]
    if len(machines) > desired:
        return [Delete((old or machines)[0])]
    return []


def _workers(world: World, deployment: Json) -> list[Action]:
    """What a pool does next."""
    pool, spec = _pool(deployment), deployment["spec"]
    machines = [each for each in world.of(pool) if not _going(each)]
    if deployment["metadata"].get("deletionTimestamp"):
        if machines:
            return [Delete(each) for each in machines]
        return [] if world.of(pool) else [Change(_without_finalizer(deployment, FINALIZER))]
    old = [each for each in machines if each["spec"]["version"] != spec["version"]]
    missing = spec["replicas"] - len(machines)
    if missing > 0:
        return [_new_machine(world, pool, spec["version"], number) for number in range(missing)]
    if missing < 0:
        return [Delete(each) for each in (old or machines)[missing:]]
    running = all(_phase(each) == "Running" for each in machines)
    if old and running and len(world.of(pool)) == len(machines):
        return [Delete(old[0])]
    return []


def _new_machine(world: World, pool: str, version: str, number: int) -> Action:
    labels = {POOL_LABEL: pool} if pool else {PLANE_LABEL: ""}
    machine = _object(
        world, "Machine", CAPI, f"{world.name}-{pool or 'control-plane'}-{suffix(world.fresh + number)}", {"version": version}, **labels
    )
    machine["spec"]["clusterName"] = world.name
    machine["metadata"]["finalizers"] = [MACHINE_FINALIZER]
    return Create(machine)


def _advance(world: World, machine: Json, *, granted: bool = True) -> list[Action]:
    """The next step of a machine; one that is not ``granted`` by the quota is not provisioned."""
    phase, pool = _phase(machine), _pool(machine) or "control-plane"
    status, version = machine.get("status") or {}, machine["spec"]["version"]
    if _going(machine):
        if phase != "Deleting":
            return [_status(machine, machine_status(status, "Deleting", version, world.now))]
        done = world.in_phase(machine) >= world.tempo.deletion
        return [Change(_without_finalizer(machine, MACHINE_FINALIZER))] if done else []
    following = NEXT.get(phase)
    if following is None or not _may_go_on(world, machine, phase, pool):
        return []
    why = "the simulated machine fails on demand" if pool in world.faults.failing else ""
    why = why or ("" if granted else f"the simulated quota of {world.faults.quota} machines for a cluster is used up")
    if why and phase == "Provisioning":
        failed = machine_status(status, phase, version, world.now, problem=why)
        return [_status(machine, failed)] if failed != status else []
    return [_status(machine, machine_status(status, following, version, world.now))]


def _may_go_on(world: World, machine: Json, phase: str, pool: str) -> bool:
    if phase == "Pending" and _pool(machine) and not _initialized(world):
        return False  # workers wait for the control plane
    wait = {"Pending": world.tempo.step, "Provisioning": world.tempo.machine, "Provisioned": world.tempo.step}.get(phase, 0.0)
    if phase == "Provisioning":
        wait = max(wait, world.faults.slow.get(pool, 0.0))
    return world.in_phase(machine) >= wait


def _initialized(world: World) -> bool:
    status = (world.plane or {}).get("status") or {}
    return bool((status.get("initialization") or {}).get("controlPlaneInitialized"))


# what everything says of itself


def _group(world: World, pool: str, desired: int, version: str, *, deleting: bool = False) -> Group:
    machines = world.of(pool)
    ready = [each for each in machines if _phase(each) == "Running" and not _going(each)]
    current = [each for each in machines if each["spec"]["version"] == version]
    return Group(desired, len(machines), len(ready), len(current), all(_phase(each) for each in machines), deleting)


def _statuses(world: World) -> list[Action]:
    actions: list[Action] = []
    plane = world.plane
    if plane is None:
        return actions
    group = _group(world, "", plane["spec"]["replicas"], plane["spec"]["version"])
    before = plane.get("status") or {}
    after = control_plane_status(before, group, plane["metadata"].get("generation", 1), plane["spec"]["version"], world.now)
    actions += [_status(plane, after)] if after != before else []
    groups = []
    for deployment in world.deployments:
        spec, deleting = deployment["spec"], bool(deployment["metadata"].get("deletionTimestamp"))
        workers = _group(world, _pool(deployment), spec["replicas"], spec["version"], deleting=deleting)
        groups.append(workers)
        before = deployment.get("status") or {}
        after = deployment_status(before, workers, deployment["metadata"].get("generation", 1), world.now)
        actions += [_status(deployment, after)] if after != before else []
    return [*actions, *_cluster(world, group, groups)]


def _cluster(world: World, plane: Group, pools: list[Group]) -> list[Action]:
    cluster = world.cluster
    before = cluster.get("status") or {}
    age = world.clock - world.since.get(cluster["metadata"]["uid"], world.clock)
    infrastructure = _infrastructure(world) or (bool(before) and age >= world.tempo.infrastructure)
    if infrastructure and "controlPlaneEndpoint" not in cluster["spec"]:
        return [
            Change({**cluster, "spec": {**cluster["spec"], "controlPlaneEndpoint": {"host": f"{world.name}.sim.invalid", "port": 6443}}})
        ]
    whole = Whole(
        infrastructure=infrastructure,
        initialized=_initialized(world),
        control_plane=plane,
        workers=_sum(pools),
        pools=len(pools),
        upgrading=_upgrading(world, plane),
        deleting=bool(cluster["metadata"].get("deletionTimestamp")),
    )
    after = cluster_status(before, whole, cluster["metadata"].get("generation", 1), world.now)
    return [_status(cluster, after)] if after != before else []


def _upgrading(world: World, plane: Group) -> str:
    version = world.topology["version"]
    if any(each["spec"]["version"] != version for each in world.deployments) or (plane.total and plane.current < plane.total):
        return "ClusterUpgrading"
    return ""


def _sum(groups: list[Group]) -> Group:
    return Group(
        sum(each.desired for each in groups),
        sum(each.total for each in groups),
        sum(each.ready for each in groups),
        sum(each.current for each in groups),
        all(each.seen for each in groups),
    )


def _ending(world: World) -> list[Action]:
    """Workers first, then the control plane, then the cluster itself."""
    actions = [action for machine in world.machines if _going(machine) for action in _advance(world, machine)]
    workers = [each for each in world.machines if _pool(each)]
    actions += [Delete(each) for each in workers if not _going(each)]
    if not workers:
        actions += [Delete(each) for each in world.machines if not _going(each)]
    if not world.machines:
        parts = [*world.deployments, *([world.plane] if world.plane else [])]
        if parts:
            return [Delete(_without_finalizer(each, FINALIZER)) for each in parts]
        return [Change(_without_finalizer(world.cluster, FINALIZER))]
    return [*actions, *_statuses(world)]


def _phase(machine: Json) -> str:
    return str((machine.get("status") or {}).get("phase", ""))


def _pool(obj: Json) -> str:
    return str((obj["metadata"].get("labels") or {}).get(POOL_LABEL, ""))


def _going(obj: Json) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def _status(obj: Json, status: Json) -> Change:
    return Change({**obj, "status": status}, status=True)


def _with_finalizer(obj: Json, finalizer: str) -> Json:
    metadata = obj["metadata"]
    return {**obj, "metadata": {**metadata, "finalizers": [*(metadata.get("finalizers") or ()), finalizer]}}


def _without_finalizer(obj: Json, finalizer: str) -> Json:
    metadata = obj["metadata"]
    return {**obj, "metadata": {**metadata, "finalizers": [each for each in metadata.get("finalizers") or () if each != finalizer]}}
