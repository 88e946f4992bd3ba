"""What is held and sent of each kind of the inventory: a few fields, in the places where the object has them. Pure.

Whatever changes without anybody minding (revisions, times of heartbeats) is left out, so that an
object that is only touched is not sent again. Kinds that are not named here are sent whole, but
for what nobody at the far end reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skerry.machinery.resource import Json
from skerry.tunnel.rules import KindName

LAST_APPLIED = "last-applied-configuration"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def trimmed(obj: Json) -> Json:
    """An object without what nobody at the far end reads."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    annotations = metadata.get("annotations")
    if annotations:
        metadata["annotations"] = {name: value for name, value in annotations.items() if not name.endswith(LAST_APPLIED)}
    return {**obj, "metadata": metadata}


def _some(obj: Any, *names: str) -> Json:
    return {name: obj[name] for name in names if name in obj} if isinstance(obj, dict) else {}


def _metadata(obj: Json) -> Json:
    return _some(obj["metadata"], "name", "namespace", "uid", "creationTimestamp", "labels")


def _node(obj: Json) -> Json:
    status = obj.get("status") or {}
    told = _some(status, "capacity", "allocatable", "addresses")
    told["nodeInfo"] = _some(
        status.get("nodeInfo"), "kubeletVersion", "osImage", "kernelVersion", "containerRuntimeVersion", "architecture"
    )
    told["conditions"] = [
        _some(each, "type", "status", "reason", "message", "lastTransitionTime") for each in status.get("conditions") or ()
    ]
    return {"metadata": _metadata(obj), "spec": _some(obj.get("spec"), "unschedulable", "taints"), "status": told}


def _namespace(obj: Json) -> Json:
    return {"metadata": _metadata(obj), "status": _some(obj.get("status"), "phase")}


def _workload(obj: Json) -> Json:
    spec = obj.get("spec") or {}
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    kept = {**_some(spec, "replicas"), "template": {"spec": {"containers": [_some(each, "image") for each in containers]}}}
    counts = ("readyReplicas", "updatedReplicas", "numberReady", "desiredNumberScheduled", "updatedNumberScheduled")
    return {"metadata": _metadata(obj), "spec": kept, "status": _some(obj.get("status"), *counts)}


def _storage_class(obj: Json) -> Json:
    metadata = {**_metadata(obj), "annotations": _some(obj["metadata"].get("annotations") or {}, DEFAULT_CLASS)}
    return {"metadata": metadata, **_some(obj, "provisioner", "reclaimPolicy", "volumeBindingMode", "allowVolumeExpansion")}


_KEPT: Mapping[KindName, Callable[[Json], Json]] = {
    ("", "nodes"): _node,
    ("", "namespaces"): _namespace,
    ("apps", "daemonsets"): _workload,
    ("apps", "deployments"): _workload,
    ("apps", "statefulsets"): _workload,
    ("storage.k8s.io", "storageclasses"): _storage_class,
}


def kept(kind: KindName) -> Callable[[Json], Json]:
    """What makes of an object of a kind what is held and sent of it."""
    return _KEPT.get(kind, trimmed)
