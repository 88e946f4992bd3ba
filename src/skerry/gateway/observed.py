"""From what an agent sends of an object to what is kept of it: typed where there is a kind for it, else as it is. Pure.

* A name begins with the cluster's own (``inventory.place_of``), so what one agent sends can never
  stand for what is in another cluster. Objects as they are (ObservedObjects) are taken from management
  clusters alone.
* What comes from a cluster is a stranger's: only fields that are known are read, texts and lists
  are cut, and what is not of the shape is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from skerry.kinds import clusternamespace, clusternode, clusterstorageclass, clusterworkload, observedobject
from skerry.kinds.common import Condition
from skerry.kinds.fullname import FullName
from skerry.kinds.inventory import place_of
from skerry.kinds.nodepool import Taint
from skerry.kit.clock import parse as parse_time
from skerry.machinery.document import loads
from skerry.machinery.names import label_value_problem, qualified_name_problems, subdomain_problem
from skerry.machinery.resource import Json, Resource
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import KindName

CAPI_CLUSTER = "cluster.x-k8s.io/cluster-name"
GROUP_LABEL, PLURAL_LABEL = observedobject.GROUP_LABEL, observedobject.PLURAL_LABEL
OUR_LABELS = "fleet.skerry.dev/"
MOST_LABELS = 64
MOST_ITEMS = 50
MOST_TEXT = 1024
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
ROLE = "node-role.kubernetes.io/"


class Place(NamedTuple):
    """Where something is kept: the key of its kind, its namespace and its name."""

    key: str
    namespace: str
    name: str


class Unreadable(ValueError):
    """An agent sent what is no object of the kind."""


class _Metadata(msgspec.Struct, rename="camel"):
    uid: str = ""
    creation_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _NodeSpec(msgspec.Struct, rename="camel"):
    unschedulable: bool = False
    taints: list[Json] | None = None


class _Address(msgspec.Struct):
    type: str = ""
    address: str = ""


class _NodeInfo(msgspec.Struct, rename="camel"):
    kubelet_version: str = ""
    os_image: str = ""
    kernel_version: str = ""
    container_runtime_version: str = ""
    architecture: str = ""


class _Condition(msgspec.Struct, rename="camel"):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class _Status(msgspec.Struct, rename="camel"):
    """The statuses of all kinds that are read, in one."""

    phase: str = ""
    capacity: dict[str, str] | None = None
    allocatable: dict[str, str] | None = None
    conditions: list[_Condition] | None = None
    addresses: list[_Address] | None = None
    node_info: _NodeInfo | None = None
    ready_replicas: int = 0
    updated_replicas: int = 0
    number_ready: int = 0
    desired_number_scheduled: int = 0
    updated_number_scheduled: int = 0


class _Counted(msgspec.Struct):
    """What the agent has counted: of a node what its pods ask for, of a namespace its pods by phase."""

    requests: dict[str, str] | None = None
    pods: dict[str, int] | None = None


class _Seen(msgspec.Struct, rename="camel"):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    spec: Json | None = None
    status: _Status = msgspec.field(default_factory=_Status)
    counted: _Counted = msgspec.field(default_factory=_Counted)
    provisioner: str = ""
    reclaim_policy: str = ""
    volume_binding_mode: str = ""
    allow_volume_expansion: bool = False


_decode = msgspec.json.Decoder(_Seen).decode


class Typed(NamedTuple):
    """A kind of its own for a kind of the cluster: ``stem`` stands in the names of kinds that share one of ours."""

    resource: Resource
    make: Callable[[Json, _Seen, str], Json]
    stem: str = ""
    namespaced: bool = False


def _cut(text: str | None) -> str:
    return (text or "")[:MOST_TEXT]


def _quantities(found: dict[str, str] | None) -> dict[str, str]:
    return {_cut(name): _cut(value) for name, value in list((found or {}).items())[:MOST_ITEMS]}


def _roles(labels: Mapping[str, str]) -> str:
    return ",".join(sorted(name.removeprefix(ROLE) for name in labels if name.startswith(ROLE)))


def _taint(found: Json) -> Taint | None:
    try:
        return msgspec.convert({name: found[name] for name in ("key", "value", "effect") if name in found}, Taint)
    except msgspec.ValidationError:
        return None


def _node(told: Json, seen: _Seen, _: str) -> Json:
    try:
        spec = msgspec.convert(seen.spec or {}, _NodeSpec)
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from error
    status, info = seen.status, seen.status.node_info or _NodeInfo()
    conditions = [each for each in (status.conditions or [])[:MOST_ITEMS] if each.type and each.status in {"True", "False", "Unknown"}]
    addresses = sorted((status.addresses or [])[:MOST_ITEMS], key=lambda each: each.type != "InternalIP")
    made = clusternode.ClusterNodeStatus(
        ready=next((each.status for each in conditions if each.type == "Ready"), "Unknown"),
        roles=_cut(_roles(seen.metadata.labels or {})),
        version=_cut(info.kubelet_version),
        addresses=[_cut(each.address) for each in addresses],
        os_image=_cut(info.os_image),
        kernel_version=_cut(info.kernel_version),
        container_runtime=_cut(info.container_runtime_version),
        architecture=_cut(info.architecture),
        capacity=_quantities(status.capacity),
        allocatable=_quantities(status.allocatable),
        requested=_quantities(seen.counted.requests),
        conditions=[
            Condition(each.type[:316], each.status, _cut(each.reason) or "Unknown", _cut(each.message), _time(each.last_transition_time))  # type: ignore[arg-type] # checked above
            for each in {each.type: each for each in conditions}.values()
        ],
    )
    taints = [taint for each in (spec.taints or [])[:MOST_ITEMS] if (taint := _taint(each)) is not None]
    asked = clusternode.ClusterNodeSpec(**told, unschedulable=spec.unschedulable, taints=taints)
    return {"spec": msgspec.to_builtins(asked), "status": msgspec.to_builtins(made)}


def _namespace(told: Json, seen: _Seen, _: str) -> Json:
    pods = {_cut(phase): count for phase, count in list((seen.counted.pods or {}).items())[:MOST_ITEMS]}
    return {"spec": told, "status": {"phase": _cut(seen.status.phase), "pods": pods}}


def _workload(kind: str) -> Callable[[Json, _Seen, str], Json]:
    def make(told: Json, seen: _Seen, namespace: str) -> Json:
        spec, status = seen.spec or {}, seen.status
        replicas = spec.get("replicas", 1)
        desired = status.desired_number_scheduled if kind == "DaemonSet" else replicas if isinstance(replicas, int) else 0
        ready = status.number_ready if kind == "DaemonSet" else status.ready_replicas
        updated = status.updated_number_scheduled if kind == "DaemonSet" else status.updated_replicas
        images = [_cut(each) for each in _images(spec)[:MOST_ITEMS]]
        counts = {"desired": desired, "ready": ready, "updated": updated, "summary": f"{ready}/{desired}"}
        return {"spec": {**told, "kind": kind, "namespace": namespace, "images": images}, "status": counts}

    return make


def _images(spec: Json) -> list[str]:
    """The images of a workload's pods, whatever else its spec holds."""
    value: Any = spec
    for part in ("template", "spec", "containers"):
        value = value.get(part) if isinstance(value, dict) else None
    named = [each.get("image") for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    return [each for each in named if isinstance(each, str)]


def _storage_class(told: Json, seen: _Seen, _: str) -> Json:
    made = clusterstorageclass.ClusterStorageClassSpec(
        **told,
        driver=_cut(seen.provisioner),
        default=(seen.metadata.annotations or {}).get(DEFAULT_CLASS) == "true",
        reclaim_policy=_cut(seen.reclaim_policy),
        volume_binding_mode=_cut(seen.volume_binding_mode),
        allow_volume_expansion=seen.allow_volume_expansion,
    )
    return {"spec": msgspec.to_builtins(made)}


TYPED: Mapping[KindName, Typed] = {
    ("", "nodes"): Typed(clusternode.RESOURCE, _node),
    ("", "namespaces"): Typed(clusternamespace.RESOURCE, _namespace),
    ("apps", "deployments"): Typed(clusterworkload.RESOURCE, _workload("Deployment"), "deployment.", namespaced=True),
    ("apps", "statefulsets"): Typed(clusterworkload.RESOURCE, _workload("StatefulSet"), "statefulset.", namespaced=True),
    ("apps", "daemonsets"): Typed(clusterworkload.RESOURCE, _workload("DaemonSet"), "daemonset.", namespaced=True),
    ("storage.k8s.io", "storageclasses"): Typed(clusterstorageclass.RESOURCE, _storage_class),
}
"""Kinds of a cluster that are kept as kinds of ours."""


def object_name(kind: KindName, namespace: str, name: str) -> str:
    """The name of an ObservedObject; a digest stands in where the plain form is no legal name."""
    group, plural = kind
    plain = f"{plural}.{group or 'core'}.{namespace or '-'}.{name}"
    if len(plain) <= 253 and not subdomain_problem(plain):
        return plain
    return f"{plural}.{hashlib.sha256(plain.encode()).hexdigest()[:40]}"


def prefix(full: FullName, kind: KindName) -> Place | None:
    """How the places begin of all that is kept of a typed kind of one cluster; None for a kind that is kept as it is."""
    typed = TYPED.get(kind)
    if typed is None:
        return None
    return Place(typed.resource.key, full.management_cluster, f"{'.'.join(place_of(full))}.{typed.stem}")


def place(full: FullName, kind: KindName, namespace: str, name: str) -> Place | None:
    """Where an object of a cluster is kept; None where it is not."""
    begin, typed = prefix(full, kind), TYPED.get(kind)
    if begin is None or typed is None:
        if full.cluster:
            return None
        return Place(observedobject.RESOURCE.key, full.management_cluster, object_name(kind, namespace, name))
    plain = begin.name + (f"{namespace}.{name}" if typed.namespaced else name)
    if len(plain) > 253 or subdomain_problem(plain):
        plain = begin.name + hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()[:40]
    return begin._replace(name=plain)


def observe(full: FullName, item: pb.InventoryItem, where: Place, now: str) -> Json:
    """What is kept of an object that is there; raises Unreadable."""
    kind = item.kind.group, item.kind.plural
    typed = TYPED.get(kind)
    if typed is None:
        return _as_it_is(where, item, now)
    try:
        seen = _decode(item.object)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from error
    provisioner, cluster = place_of(full)
    told = {"provisioner": provisioner, "cluster": cluster, "name": item.name}
    body = typed.make(told, seen, item.namespace)
    labels = _labels(seen.metadata.labels or {})
    created = _time(seen.metadata.creation_timestamp) or now
    return {**_object(typed.resource, where, seen.metadata.uid, created, labels), **body, "observedTime": now}


def _object(resource: Resource, where: Place, uid: str, created: str, labels: Mapping[str, str]) -> Json:
    digest = hashlib.sha256("/".join((*where[1:], uid)).encode()).hexdigest()
    made = f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
    metadata = {"name": where.name, "namespace": where.namespace, "uid": made, "creationTimestamp": created, "labels": dict(labels)}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def _labels(found: Mapping[str, str]) -> dict[str, str]:
    legal = [(key, value) for key, value in found.items() if not (qualified_name_problems(key) or label_value_problem(value))]
    return {key: value for key, value in legal[:MOST_LABELS] if not key.startswith(OUR_LABELS)}


def _time(text: str | None) -> str:
    """A time as Kubernetes writes it; empty for what is none."""
    try:
        parse_time(text or "")
    except ValueError:
        return ""
    return text or ""


def _as_it_is(where: Place, item: pb.InventoryItem, now: str) -> Json:
    obj: Json = loads(item.object)
    metadata = obj.get("metadata") or {}
    labels = {GROUP_LABEL: item.kind.group, PLURAL_LABEL: item.kind.plural}
    cluster = (metadata.get("labels") or {}).get(CAPI_CLUSTER, "")
    if cluster and not label_value_problem(cluster):
        labels[observedobject.CLUSTER_LABEL] = cluster
    source = {
        "apiVersion": obj.get("apiVersion", ""),
        "kind": obj.get("kind", ""),
        "namespace": item.namespace,
        "name": item.name,
        "uid": metadata.get("uid", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    made = _object(observedobject.RESOURCE, where, str(metadata.get("uid", "")), now, labels)
    return {**made, "source": source, "object": obj, "observedTime": now}
