"""What is sent: a Cluster of 2 KB as a platform team would write it, its status, and a ConfigMap of the same size."""

from __future__ import annotations

import json
from typing import Any

from skerry.kinds import cluster

Json = dict[str, Any]

AT, NUMBER, REVISION = "@NAME@", "@NUMBER@", "@RV@"
"""Stand for the object's name, a number that counts up, and the revision that the caller has seen last."""

NAMESPACE = "sv-1"
SIZE = 2048
CLUSTERS = f"/apis/{cluster.RESOURCE.group}/{cluster.RESOURCE.version}/namespaces/{NAMESPACE}/clusters"
CONFIGMAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


def text(value: Json) -> str:
    """As it is sent."""
    return json.dumps(value, separators=(",", ":"))


def a_cluster(**metadata: str) -> Json:
    """A Cluster of about 2 KB."""
    spec: Json = {
        "clusterGroup": "default",
        "version": "v1.34.2",
        "class": {"name": "quick-start"},
        "controlPlane": {"replicas": 3},
        "network": {"pods": ["100.96.0.0/11"], "services": ["100.64.0.0/13"], "serviceDomain": "cluster.local"},
        "proxy": {
            "http": "http://proxy.example:3128",
            "https": "http://proxy.example:3128",
            "noProxy": ["10.0.0.0/8", f".c{NUMBER}.example"],
        },
        "variables": [],
    }
    obj: Json = {
        "apiVersion": cluster.RESOURCE.api_version,
        "kind": "Cluster",
        "metadata": {"name": f"team-a.{AT}", "namespace": NAMESPACE, "labels": {"team": "a", "tier": "prod"}, **metadata},
        "spec": spec,
    }
    while len(text(obj)) < SIZE:
        number = len(spec["variables"])
        spec["variables"].append({"name": f"variable{number}", "value": {"enabled": True, "size": number, "image": "ubuntu-2404-kube"}})
    return obj


def a_status() -> Json:
    """The same Cluster with a status as its controller writes it."""
    kinds = ("Ready", "Provisioned", "Accepted", "Applied", "ControlPlaneReady", "WorkersReady")
    conditions = [
        {"type": kind, "status": "True", "reason": "AsAsked", "message": f"everything is as asked for {NUMBER}"} for kind in kinds
    ]
    for each in conditions:
        each["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    counts = {"desired": 3, "total": 3, "ready": 3, "upToDate": 3, "summary": "3/3"}
    status = {"phase": "Ready", "version": "v1.34.2", "controlPlane": counts, "workers": counts, "conditions": conditions}
    return {**a_cluster(resourceVersion=REVISION), "status": status}


def a_config_map() -> Json:
    """A ConfigMap of about 2 KB."""
    data = {f"key{number}": "x" * 40 for number in range(38)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": AT, "namespace": NAMESPACE}, "data": data}
