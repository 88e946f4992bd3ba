"""From a Cluster of Cluster API back to a neutral spec and node pools: the reverse of ``render.py``, in either dialect.

The reading is made so that asking for it changes nothing: what ``render`` makes of it has, in every
field that it has, the value that stands there. Variables are read raw, for a neutral field would
have to be guessed from a name; the labels and taints of a pool are read as such where they render to
the very same overrides. What the neutral spec has no words for (health checks, timeouts, metadata of
a topology, machine pools) is not read, not rendered and so not touched.

What cannot be said in a neutral spec without changing it is an *obstacle*: such a cluster can be
observed and not managed, and the obstacle says why.

A cluster without a topology is made of objects that somebody wrote by hand. Its version is its
control plane's and its pools are its MachineDeployments, to be shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from skerry.capi import variables
from skerry.capi.upgrade import KubernetesVersion, parse
from skerry.kinds.clusterclass import ClusterClassSpec
from skerry.kinds.nodepool import NodePoolSpec
from skerry.machinery.names import label_problem
from skerry.machinery.resource import Json

MOST_PLANE, MOST_WORKERS = 9, 10000
_VERSION = re.compile(r"v\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]*)?")
_EFFECTS = frozenset(("NoSchedule", "PreferNoSchedule", "NoExecute"))


@dataclass(frozen=True, slots=True)
class Reading:
    """The neutral spec without what belongs to people here (provisioner, group), the pools' by name, and what stands in the way."""

    spec: Json = field(default_factory=dict)
    pools: dict[str, Json] = field(default_factory=dict)
    obstacles: tuple[str, ...] = ()


def class_of(obj: Json) -> tuple[str, str] | None:
    """Namespace and name of the class that a Cluster is made from; None if it is made from none."""
    topology = (obj.get("spec") or {}).get("topology") or {}
    reference = topology.get("classRef") or {}
    name = reference.get("name") or topology.get("class") or ""
    own = (obj.get("metadata") or {}).get("namespace", "")
    return (reference.get("namespace") or topology.get("classNamespace") or own, name) if name else None


def read(obj: Json, offered: ClusterClassSpec | None, version: str = "", deployments: Sequence[Json] = ()) -> Reading:
    """Read a Cluster. ``version`` and ``deployments`` are those of one without a topology; ``offered`` is its class, where it is known."""
    spec = obj.get("spec") or {}
    topology = spec.get("topology") or {}
    reference = class_of(obj)
    network = _network(spec.get("clusterNetwork") or {})
    if reference is None:
        why = "the cluster was not made from a ClusterClass: Skerry observes it, and manages only clusters that have a topology"
        found: Json = {"version": version} if _VERSION.fullmatch(version) else {}
        return Reading({**found, **network}, dict(_by_hand(deployments)), (why,))
    obstacles: list[str] = []
    values = _listed(topology.get("variables"))
    found = {**_class(obj, reference), **_version(topology, obstacles), **network}
    found |= _plane(topology.get("controlPlane") or {}, obstacles)
    if values:
        found["variables"] = values
    cluster = {each["name"]: each["value"] for each in values}
    pools: dict[str, Json] = {}
    for each in (topology.get("workers") or {}).get("machineDeployments") or ():
        if label_problem(each["name"]):
            obstacles.append(f"node pool {each['name']} has a name that is no DNS label")
        else:
            pools[each["name"]] = _pool(each, offered, cluster, obstacles)
    return Reading(found, pools, tuple(obstacles))


def _class(obj: Json, reference: tuple[str, str]) -> Json:
    place, name = reference
    elsewhere = place != (obj.get("metadata") or {}).get("namespace", "")
    return {"class": {"name": name, **({"namespace": place} if elsewhere else {})}}


def _version(topology: Json, obstacles: list[str]) -> Json:
    version = str(topology.get("version", ""))
    if _VERSION.fullmatch(version):
        return {"version": version}
    obstacles.append(f"its version {version!r} has another form than v1.34.2")
    return {}


def _network(found: Json) -> Json:
    ranges = {name: list(blocks) for name in ("pods", "services") if (blocks := (found.get(name) or {}).get("cidrBlocks"))}
    domain = {"serviceDomain": found["serviceDomain"]} if found.get("serviceDomain") else {}
    return {"network": {**ranges, **domain}} if ranges or domain else {}


def _plane(found: Json, obstacles: list[str]) -> Json:
    overrides = _listed((found.get("variables") or {}).get("overrides"))
    replicas = found.get("replicas")
    plane: Json = {"variables": overrides} if overrides else {}
    if isinstance(replicas, int) and 1 <= replicas <= MOST_PLANE:
        plane["replicas"] = replicas
        if replicas % 2 == 0:
            obstacles.append(f"its control plane has {replicas} machines, and an even number has no majority")
    elif replicas is None:
        obstacles.append(
            "its topology leaves the number of control plane machines open (spec.topology.controlPlane.replicas); set it there"
        )
    else:
        obstacles.append(f"its control plane has {replicas} machines; Skerry makes 1 to {MOST_PLANE}")
    return {"controlPlane": plane} if plane else {}


def _pool(found: Json, offered: ClusterClassSpec | None, cluster: dict[str, Any], obstacles: list[str]) -> Json:
    name, replicas = found["name"], found.get("replicas")
    pool: Json = {"class": found["class"]}
    if isinstance(replicas, int) and 0 <= replicas <= MOST_WORKERS:
        pool["replicas"] = replicas
    elif replicas is None:
        text = "leaves its number of machines open, perhaps to an autoscaler; set replicas there, or go on observing"
        obstacles.append(f"node pool {name} {text}")
    else:
        obstacles.append(f"node pool {name} has {replicas} machines; Skerry makes up to {MOST_WORKERS}")
    if found.get("failureDomain"):
        pool["failureDomain"] = found["failureDomain"]
    return {**pool, **_overrides((found.get("variables") or {}).get("overrides"), offered, cluster)}


def _by_hand(deployments: Iterable[Json]) -> Iterable[tuple[str, Json]]:
    for each in deployments:
        name, spec = each["metadata"]["name"], each.get("spec") or {}
        if not label_problem(name):
            domain = ((spec.get("template") or {}).get("spec") or {}).get("failureDomain")
            replicas = max(0, min(MOST_WORKERS, spec.get("replicas", 1)))
            yield name, {"replicas": replicas, **({"failureDomain": domain} if domain else {})}


def _listed(entries: Iterable[Json] | None) -> list[Json]:
    """Variables as the neutral spec lists them, in the order in which they are rendered."""
    return sorted(({"name": each["name"], "value": each.get("value")} for each in entries or ()), key=lambda each: str(each["name"]))


def _overrides(entries: Iterable[Json] | None, offered: ClusterClassSpec | None, cluster: dict[str, Any]) -> Json:
    """Labels and taints where they render to what stands there, and the rest raw; all of it raw where they do not."""
    raw = _listed(entries)
    wanted = {each["name"]: each["value"] for each in raw}
    for guess in _guesses(wanted) if offered is not None else ():
        try:
            spec = msgspec.convert(guess, NodePoolSpec)
        except msgspec.ValidationError:
            continue
        rendered = variables.of_pool(spec, offered, cluster)  # type: ignore[arg-type]  # there are no guesses without a class
        if rendered.values == wanted and not rendered.homeless:
            return guess
    return {"variables": raw} if raw else {}


def _guesses(wanted: dict[str, Any]) -> Iterable[Json]:
    """What the overrides may have been made from, the most telling first."""
    grouped = wanted.get("node")
    if isinstance(grouped, dict):
        inner = {name: value for name, value in grouped.items() if name not in {"labels", "taints"}}
        rest = {**{name: value for name, value in wanted.items() if name != "node"}, **({"node": inner} if inner else {})}
        yield _guess(grouped.get("labels"), grouped.get("taints"), rest)
    rest = {name: value for name, value in wanted.items() if name not in {"nodePoolLabels", "nodePoolTaints"}}
    if len(rest) < len(wanted):
        pairs = wanted.get("nodePoolLabels")
        labels = {each.get("key"): each.get("value") for each in pairs if isinstance(each, dict)} if isinstance(pairs, list) else None
        yield _guess(labels, wanted.get("nodePoolTaints"), rest)


def _guess(labels: Any, taints: Any, rest: dict[str, Any]) -> Json:
    listed = _listed({"name": name, "value": value} for name, value in rest.items())
    sound = [each for each in taints if isinstance(each, dict) and each.get("effect") in _EFFECTS] if isinstance(taints, list) else []
    return {
        **({"labels": labels} if labels and isinstance(labels, dict) else {}),
        **({"taints": sound} if sound else {}),
        **({"variables": listed} if listed else {}),
    }


def newest(versions: Iterable[str]) -> str:
    """The highest of some versions as it was spelt: what a cluster without a topology is being brought to. Empty for none."""
    found: list[tuple[KubernetesVersion, str]] = []
    for each in versions:
        try:
            found.append((parse(each), each))
        except ValueError:
            continue
    return max(found, key=lambda pair: pair[0].release)[1] if found else ""
