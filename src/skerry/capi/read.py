"""What Cluster API's objects say, whichever version they are read as, as typed facts.

Conditions are looked for in ``status.conditions``, then in ``status.v1beta2.conditions``, then
in ``status.deprecated.v1beta1.conditions``: the same question has an answer in either dialect.
A fact that is not there is None or empty; nothing is guessed. A status whose
``observedGeneration`` is behind speaks of an older wish, and ``settled`` says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from skerry.capi.upgrade import satisfies
from skerry.kinds.common import GROUP, Counts
from skerry.machinery.resource import Json

OWN_LABEL = f"{GROUP}/managed"
POOL_LABEL = "topology.cluster.x-k8s.io/deployment-name"
_POOL_LABELS = (POOL_LABEL, "cluster.x-k8s.io/deployment-name", "cluster.x-k8s.io/pool-name")
"""What names the pool of a machine: in a topology, in a deployment that somebody made by hand, and in a machine pool."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One condition at the far end."""

    status: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Machines:
    """Machines of the control plane or of one pool.

    ``versions`` has every Kubernetes version that one of them runs; ``problem`` is what the first of them says that
    cannot be made, with its name.
    """

    desired: int = 0
    total: int = 0
    ready: int = 0
    up_to_date: int = 0
    versions: tuple[str, ...] = ()
    problem: str = ""

    def counts(self) -> Counts:
        """As a status shows them."""
        return Counts(self.desired, self.total, self.ready, self.up_to_date, f"{self.ready}/{self.desired}")

    def complete(self, version: str) -> bool:
        """Whether every machine is there, ready, up to date and runs ``version``; a machine of unknown version counts as not yet."""
        whole = self.total == self.ready == self.up_to_date == self.desired
        return whole and all(satisfies(each, version) for each in self.versions) and (bool(self.versions) or self.desired == 0)


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """One Cluster of Cluster API."""

    uid: str
    phase: str
    version: str
    """The version that its topology asks for, as it stands there now; without a topology what its control plane is brought to."""
    replicas: int
    host: str
    port: int
    deleting: bool
    settled: bool
    failure: str
    managed: bool
    """Whether it carries our label: a cluster of the same name that somebody else made does not."""
    conditions: dict[str, Fact] = field(default_factory=dict)
    topology: bool = True
    """Whether it is made from a class."""
    pools: tuple[str, ...] = ()
    """Names of the pools that its topology lists."""

    def condition(self, *types: str) -> Fact | None:
        """The first of some conditions that is there (v1beta2 renamed several)."""
        return next((self.conditions[each] for each in types if each in self.conditions), None)


def conditions(obj: Json) -> dict[str, Fact]:
    """Every condition of an object; where a type stands in several places the newest dialect's counts."""
    status = obj.get("status") or {}
    places = (
        status.get("conditions"),
        (status.get("v1beta2") or {}).get("conditions"),
        ((status.get("deprecated") or {}).get("v1beta1") or {}).get("conditions"),
    )
    found: dict[str, Fact] = {}
    for place in places:
        for each in place or ():
            found.setdefault(each["type"], Fact(each["status"], each.get("reason", ""), each.get("message", "")))
    return found


def cluster(obj: Json) -> ClusterFacts:
    """Read a Cluster."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    topology, endpoint = spec.get("topology") or {}, spec.get("controlPlaneEndpoint") or {}
    old = (status.get("deprecated") or {}).get("v1beta1") or {}
    return ClusterFacts(
        uid=metadata.get("uid", ""),
        phase=status.get("phase", ""),
        version=topology.get("version", ""),
        replicas=(topology.get("controlPlane") or {}).get("replicas") or (status.get("controlPlane") or {}).get("desiredReplicas") or 1,
        host=endpoint.get("host", ""),
        port=endpoint.get("port", 0),
        deleting=bool(metadata.get("deletionTimestamp")),
        settled=status.get("observedGeneration", 0) >= metadata.get("generation", 0),
        failure=status.get("failureMessage") or old.get("failureMessage") or "",
        managed=(metadata.get("labels") or {}).get(OWN_LABEL) == "true",
        conditions=conditions(obj),
        topology=bool(topology),
        pools=tuple(each["name"] for each in (topology.get("workers") or {}).get("machineDeployments") or ()),
    )


def pool_of(obj: Json) -> str:
    """The name of the pool that a MachineDeployment or Machine belongs to; empty for the control plane's, and a deployment made by hand."""
    labels = obj["metadata"].get("labels") or {}
    return str(next((labels[each] for each in _POOL_LABELS if labels.get(each)), ""))


def deployment(obj: Json, machines: Iterable[Json], version: str) -> Machines:
    """Read a MachineDeployment together with its machines (their versions are the truth, its own is the wish).

    A machine that runs something else than ``version`` is not up to date, whatever its deployment says: while that waits
    for the control plane, it still asks for the version before.
    """
    status, machines = obj.get("status") or {}, list(machines)
    old = (status.get("v1beta2") or {}) if "upToDateReplicas" not in status else {}
    current = _first(status.get("upToDateReplicas"), old.get("upToDateReplicas"), status.get("updatedReplicas"))
    behind = sum(not satisfies(_version(each), version) for each in machines)
    return Machines(
        desired=(obj.get("spec") or {}).get("replicas", 0),
        total=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        up_to_date=max(0, min(current, status.get("replicas", 0) - behind)),
        versions=running(machines),
        problem=problem(machines),
    )


def control_plane(machines: Iterable[Json], desired: int, version: str) -> Machines:
    """Count the control plane by its machines; one is up to date when it runs ``version`` and does not say otherwise."""
    found = list(machines)
    ready = [each for each in found if _ready(each)]
    current = [each for each in found if satisfies(_version(each), version) and _current(each)]
    return Machines(desired, len(found), len(ready), len(current), running(found), problem(found))


def running(machines: Iterable[Json]) -> tuple[str, ...]:
    """The Kubernetes versions of some machines, each once, in order."""
    return tuple(sorted({_version(each) for each in machines} - {""}))


def problem(machines: Iterable[Json]) -> str:
    """What keeps the first machine that cannot be made from being made; empty if nothing does."""
    for machine in machines:
        facts = conditions(machine)
        for kind in ("InfrastructureReady", "BootstrapConfigReady", "BootstrapReady"):
            fact = facts.get(kind)
            if fact is not None and fact.status == "False" and fact.message:
                return f"{machine['metadata']['name']}: {fact.message}"
    return ""


def _version(machine: Json) -> str:
    """What the node reports; the machine's wish where it has not registered yet."""
    info = (machine.get("status") or {}).get("nodeInfo") or {}
    return str(info.get("kubeletVersion") or (machine.get("spec") or {}).get("version") or "")


def _ready(machine: Json) -> bool:
    if machine["metadata"].get("deletionTimestamp"):
        return False
    facts = conditions(machine)
    fact = facts.get("NodeReady") or facts.get("NodeHealthy")
    return fact is not None and fact.status == "True"


def _current(machine: Json) -> bool:
    fact = conditions(machine).get("UpToDate")
    return fact is None or fact.status == "True"


def _first(*values: Any) -> int:
    return next((value for value in values if isinstance(value, int)), 0)
