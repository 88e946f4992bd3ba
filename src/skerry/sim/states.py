"""What the objects of Cluster API say of themselves, in each state: phases, conditions, counts. Pure.

The words are those of a recording of the real controllers (``tests/recordings``), and the suite
holds the simulation against it. A condition's time moves when its status does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Said = Mapping[str, str]
"""Condition type → ``Status/Reason``."""

MACHINE: dict[str, Said] = {
    "Pending": {
        "Paused": "False/NotPaused",
        "Available": "False/NotReady",
        "Ready": "False/NotReady",
        "UpToDate": "True/UpToDate",
        "BootstrapConfigReady": "False/NotReady",
        "InfrastructureReady": "False/NotReady",
        "NodeHealthy": "Unknown/InspectionFailed",
        "NodeReady": "Unknown/InspectionFailed",
        "Updating": "False/NotUpdating",
        "Deleting": "False/NotDeleting",
    },
    "Provisioning": {"BootstrapConfigReady": "True/Ready"},
    "Provisioned": {"BootstrapConfigReady": "True/Ready", "InfrastructureReady": "True/Ready", "Ready": "Unknown/ReadyUnknown"},
    "Running": {
        "BootstrapConfigReady": "True/Ready",
        "InfrastructureReady": "True/Ready",
        "Available": "True/Available",
        "Ready": "True/Ready",
        "NodeHealthy": "True/NodeHealthy",
        "NodeReady": "True/NodeReady",
    },
    "Deleting": {"Available": "False/NotReady", "Ready": "False/NotReady", "Deleting": "True/WaitingForInfrastructureDeletion"},
}


def conditions(before: Json, said: Said, now: str, messages: Said | None = None) -> list[Json]:
    """Conditions as they are kept, given the status that stood before; those that are not said stay."""
    old = {each["type"]: each for each in before.get("conditions") or ()}
    result = dict(old)
    for kind, text in said.items():
        status, _, reason = text.partition("/")
        known = old.get(kind)
        since = known["lastTransitionTime"] if known and known["status"] == status else now
        message = (messages or {}).get(kind, "")
        result[kind] = {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}
    return list(result.values())


@dataclass(frozen=True, slots=True)
class Group:
    """Some machines of one kind: how many there shall be, and what the present ones are."""

    desired: int
    total: int
    ready: int
    current: int
    seen: bool
    """Whether every machine has said anything of itself yet."""
    deleting: bool = False

    @property
    def counts(self) -> Json:
        """As a status shows them."""
        return {
            "replicas": self.total,
            "readyReplicas": self.ready,
            "availableReplicas": self.ready,
            "upToDateReplicas": self.current,
        }

    def said(self) -> dict[str, str]:
        """The conditions that every group of machines has."""
        whole = self.ready == self.desired == self.total == self.current
        if not self.total:
            machines, fresh = "True/NoReplicas", "True/NoReplicas"
        else:
            machines = "True/Ready" if self.ready == self.total else "False/NotReady" if self.seen else "Unknown/ReadyUnknown"
            fresh = "True/UpToDate" if self.current == self.total else "False/NotUpToDate"
        rolling = self.current < min(self.total, self.desired) and not self.deleting
        return {
            "Paused": "False/NotPaused",
            "Available": "True/Available" if whole or self.ready >= self.desired > 0 else "False/NotAvailable",
            "RollingOut": "True/RollingOut" if rolling else "False/NotRollingOut",
            "Remediating": "False/NotRemediating",
            "ScalingUp": "True/ScalingUp" if self.total < self.desired and not self.deleting else "False/NotScalingUp",
            "ScalingDown": "True/ScalingDown" if self.total > self.desired or (self.deleting and self.total) else "False/NotScalingDown",
            "MachinesReady": machines,
            "MachinesUpToDate": fresh,
            "Deleting": "True/Deleting" if self.deleting else "False/NotDeleting",
        }


def machine_status(before: Json, phase: str, version: str, now: str, *, problem: str = "") -> Json:
    """The status of a machine in a phase; a problem keeps its infrastructure from being ready."""
    said: dict[str, str] = {**(MACHINE["Pending"] if phase != "Deleting" else {}), **MACHINE[phase]}
    messages: dict[str, str] = {}
    if problem:
        said["InfrastructureReady"], messages["InfrastructureReady"] = "False/InstanceProvisionFailed", problem
    status: Json = {**before, "phase": phase, "conditions": conditions(before, said, now, messages)}
    if phase == "Running":
        status["nodeInfo"] = {"kubeletVersion": version}
        status["initialization"] = {"infrastructureProvisioned": True, "bootstrapDataSecretCreated": True}
    return status


def deployment_status(before: Json, group: Group, generation: int, now: str) -> Json:
    """The status of a MachineDeployment."""
    said = group.said()
    phase = "ScalingUp" if group.total < group.desired else "ScalingDown" if group.total > group.desired or group.deleting else "Running"
    return {**before, **group.counts, "observedGeneration": generation, "phase": phase, "conditions": conditions(before, said, now)}


def control_plane_status(before: Json, group: Group, generation: int, version: str, now: str) -> Json:
    """The status of a KubeadmControlPlane."""
    was = (before.get("initialization") or {}).get("controlPlaneInitialized", False)
    initialized = was or group.ready > 0
    healthy = "True/Healthy" if initialized else "Unknown/InspectionFailed"
    said = {
        **group.said(),
        "Available": "True/Available" if initialized and group.ready else "False/NotAvailable",
        "Initialized": "True/Initialized" if initialized else "False/NotInitialized",
        "EtcdClusterHealthy": healthy,
        "ControlPlaneComponentsHealthy": healthy,
    }
    if before:
        said["CertificatesAvailable"] = "True/Available"
    status = {**before, **group.counts, "observedGeneration": generation, "version": version, "conditions": conditions(before, said, now)}
    return {**status, "initialization": {"controlPlaneInitialized": True}} if initialized else status


@dataclass(frozen=True, slots=True)
class Whole:
    """A cluster in one look."""

    infrastructure: bool
    initialized: bool
    control_plane: Group
    workers: Group
    pools: int
    upgrading: str
    """Why the topology is not reconciled; empty if it is."""
    deleting: bool


def cluster_status(before: Json, whole: Whole, generation: int, now: str) -> Json:
    """The status of a Cluster."""
    plane, workers = whole.control_plane, whole.workers
    plane_said, worker_said = plane.said(), workers.said()
    plane_ready = whole.initialized and plane.ready > 0
    workers_ready = "True/NoWorkers" if not whole.pools else "True/Available" if workers.ready >= workers.desired else "False/NotAvailable"
    available = plane_ready and workers_ready.startswith("True")
    both = (plane_said, worker_said)
    said = {
        "TopologyReconciled": f"False/{whole.upgrading}" if whole.upgrading else "True/ReconcileSucceeded",
        "Paused": "False/NotPaused",
        "Available": "True/Available" if available and not whole.deleting else "False/NotAvailable",
        "RemoteConnectionProbe": "True/ProbeSucceeded" if plane_ready else "False/ProbeFailed",
        "InfrastructureReady": "True/Ready" if whole.infrastructure else "False/NotReady",
        "ControlPlaneInitialized": "True/Initialized" if whole.initialized else "False/NotInitialized",
        "ControlPlaneAvailable": "True/Available" if plane_ready else "False/NotAvailable",
        "WorkersAvailable": workers_ready,
        "RollingOut": _any(both, "RollingOut", "NotRollingOut"),
        "Remediating": "False/NotRemediating",
        "ScalingDown": _any(both, "ScalingDown", "NotScalingDown"),
        "ScalingUp": _any(both, "ScalingUp", "NotScalingUp"),
        "ControlPlaneMachinesReady": plane_said["MachinesReady"],
        "WorkerMachinesReady": worker_said["MachinesReady"],
        "ControlPlaneMachinesUpToDate": plane_said["MachinesUpToDate"],
        "WorkerMachinesUpToDate": worker_said["MachinesUpToDate"],
        "Deleting": _deleting(whole),
    }
    phase = "Deleting" if whole.deleting else "Provisioned" if whole.infrastructure else "Provisioning"
    status: Json = {**before, "phase": phase, "observedGeneration": generation, "conditions": conditions(before, said, now)}
    status["controlPlane"] = {"desiredReplicas": plane.desired, **plane.counts}
    status.pop("workers", None)
    if whole.pools:
        status["workers"] = {"desiredReplicas": workers.desired, **workers.counts}
    known = {"infrastructureProvisioned": whole.infrastructure, "controlPlaneInitialized": whole.initialized}
    status["initialization"] = {name: True for name, value in known.items() if value}
    return status


def _any(groups: Iterable[Mapping[str, str]], kind: str, otherwise: str) -> str:
    return f"True/{kind}" if any(said[kind].startswith("True") for said in groups) else f"False/{otherwise}"


def _deleting(whole: Whole) -> str:
    if not whole.deleting:
        return "False/NotDeleting"
    if whole.workers.total:
        return "True/WaitingForWorkersDeletion"
    return "True/WaitingForControlPlaneDeletion" if whole.control_plane.total else "True/WaitingForInfrastructureDeletion"
