"""How a cluster is: an ordered list of small checks over what the agent sees of it, which is the specification. Pure.

Each check yields findings; an error is something that does not work, a warning something that
somebody should look at. Messages say what does not change with every look, for each change of them is
written at the far end: a day, not the number of days until then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from skerry.machinery.resource import Json
from skerry.tunnel import link_pb2 as pb

EXPIRES_SOON = timedelta(days=30)
MOST_FINDINGS = 10
MOST_NAMED = 3
CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
PRESSURES = {
    "MemoryPressure": "memory",
    "DiskPressure": "disk",
    "PIDPressure": "process numbers",
    "NetworkUnavailable": "a working network",
}
SYSTEM_NAMESPACE = "kube-system"


class Finding(NamedTuple):
    """Something that is not as it should be."""

    severity: pb.Severity
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a cluster."""

    nodes: Collection[Json] = ()
    workloads: Collection[Json] = ()
    failed_checks: Collection[str] = ()
    """The checks of its API server's readyz that failed."""
    certificate_ends: datetime | None = None
    """When the certificate ends that its API server shows."""
    now: datetime = datetime(1, 1, 1, tzinfo=UTC)


def _error(reason: str, message: str) -> Finding:
    return Finding(pb.SEVERITY_ERROR, reason, message)


def _warning(reason: str, message: str) -> Finding:
    return Finding(pb.SEVERITY_WARNING, reason, message)


def _name(obj: Json) -> str:
    return str(obj["metadata"]["name"])


def _named(objects: Iterable[Json]) -> str:
    names = sorted(map(_name, objects))
    return ", ".join(names[:MOST_NAMED]) + (" and others" if len(names) > MOST_NAMED else "")


def _conditions(node: Json) -> dict[str, str]:
    return {each.get("type", ""): each.get("status", "") for each in (node.get("status") or {}).get("conditions") or ()}


def _are(count: int, whole: int) -> str:
    return f"{count} of {whole} nodes {'is' if count == 1 else 'are'}"


def components_work(look: Look) -> Iterator[Finding]:
    """What the API server itself needs, such as etcd, works."""
    failed = sorted(look.failed_checks)
    if failed:
        yield _error("ComponentFailed", f"the API server says of itself that it is not ready: {', '.join(failed[:MOST_NAMED])}")


def control_plane_is_ready(look: Look) -> Iterator[Finding]:
    """Half of the control plane's nodes, at least, are ready, so that etcd may have a majority."""
    plane = [node for node in look.nodes if any(label in (node["metadata"].get("labels") or {}) for label in CONTROL_PLANE)]
    lost = [node for node in plane if _conditions(node).get("Ready") != "True"]
    if lost and 2 * len(lost) >= len(plane):
        yield _error("ControlPlaneNotReady", f"{len(lost)} of {len(plane)} control plane nodes are not ready: {_named(lost)}")


def nodes_are_ready(look: Look) -> Iterator[Finding]:
    """All nodes are ready; where none is, the cluster does not work."""
    lost = [node for node in look.nodes if _conditions(node).get("Ready") != "True"]
    if lost:
        told = f"{_are(len(lost), len(look.nodes))} not ready: {_named(lost)}"
        yield _error("NoNodeReady", told) if len(lost) == len(look.nodes) else _warning("NodesNotReady", told)


def nodes_have_room(look: Look) -> Iterator[Finding]:
    """No node runs out of what it needs."""
    for kind, what in PRESSURES.items():
        short = [node for node in look.nodes if _conditions(node).get(kind) == "True"]
        if short:
            yield _warning(kind, f"{_are(len(short), len(look.nodes))} short of {what}: {_named(short)}")


def system_workloads_run(look: Look) -> Iterator[Finding]:
    """Everything in kube-system has at least one pod that is ready."""
    if not look.nodes:
        return  # nothing can run, and nothing is to
    idle = [each for each in look.workloads if each["metadata"].get("namespace") == SYSTEM_NAMESPACE and _wants(each) and not _ready(each)]
    if idle:
        yield _warning("ComponentUnavailable", f"no pod is ready of {_named(idle)} in {SYSTEM_NAMESPACE}")


def _wants(workload: Json) -> bool:
    status, replicas = workload.get("status") or {}, (workload.get("spec") or {}).get("replicas", 0)
    return bool(status.get("desiredNumberScheduled", replicas))


def _ready(workload: Json) -> bool:
    status = workload.get("status") or {}
    return bool(status.get("numberReady", status.get("readyReplicas", 0)))


def certificate_lasts(look: Look) -> Iterator[Finding]:
    """The certificate of the API server does not end soon."""
    if look.certificate_ends is not None and look.certificate_ends - look.now < EXPIRES_SOON:
        yield _warning("CertificateExpires", f"the certificate of the API server ends on {look.certificate_ends:%Y-%m-%d}; renew it before")


CHECKS: tuple[Callable[[Look], Iterator[Finding]], ...] = (
    components_work,
    control_plane_is_ready,
    nodes_are_ready,
    nodes_have_room,
    system_workloads_run,
    certificate_lasts,
)


def findings(look: Look) -> list[pb.Finding]:
    """What every check found, errors first."""
    found = sorted((each for check in CHECKS for each in check(look)), key=lambda each: -each.severity)
    return [pb.Finding(severity=each.severity, reason=each.reason, message=each.message) for each in islice(found, MOST_FINDINGS)]
