"""What a management cluster offers, read out of what its agent has reported: classes, releases and provisioners. Pure.

* A ClusterClass becomes one of ours, called after its namespace and itself. Its variables are
  those of ``status.variables`` (the class may discover them at run time); ``spec.variables``
  counts only before there is a status.
* A version that a class lists, or a release object names, becomes a KubernetesRelease.
* A namespace that holds classes or clusters becomes a Provisioner. One that somebody made here
  is never touched, whatever is seen.

What carries our mark and is seen no longer is removed; a Provisioner only when no cluster here names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from skerry.kinds.common import API_VERSION, GROUP
from skerry.kinds.inventory import SELF
from skerry.machinery.names import label_problem, subdomain_problem
from skerry.machinery.resource import Json

MARK = f"{GROUP}/mirrored"
CAPI = "cluster.x-k8s.io/"
SOURCES = ("clusterclasses", "clusters", "kubernetesreleases", "tanzukubernetesreleases")
"""The kinds that are read, by plural."""
RELEASES = (("run.tanzu.vmware.com/", "TanzuKubernetesRelease"), ("kubernetes.vmware.com/", "KubernetesRelease"))
UNUSABLE = ("deactivated", "invalid", "incompatible")


class Step(NamedTuple):
    """One write: ``do`` is create, replace or delete; ``plural`` the kind; ``body`` the whole object."""

    do: str
    plural: str
    body: Json


def offered(namespace: str, observed: Iterable[Json]) -> dict[tuple[str, str], Json]:
    """Everything that the reports of one management cluster stand for, by plural and name."""
    found: dict[tuple[str, str], Json] = {}
    places: set[str] = set()
    for each in observed:
        source, obj = each["source"], each.get("object") or {}
        api_version, kind = str(source["apiVersion"]), source["kind"]
        if api_version.startswith(CAPI) and kind in {"ClusterClass", "Cluster"}:
            places.add(source["namespace"])
        if api_version.startswith(CAPI) and kind == "ClusterClass":
            _put(found, namespace, "clusterclasses", "ClusterClass", f"{source['namespace']}.{source['name']}", _class(source, obj))
            for version in (obj.get("spec") or {}).get("kubernetesVersions") or ():
                spec = {"version": version, "source": f"ClusterClass {source['namespace']}/{source['name']}", "compatible": True}
                _put(found, namespace, "kubernetesreleases", "KubernetesRelease", _release_name(version), spec)
        if any(api_version.startswith(group) and kind == release for group, release in RELEASES):
            version = str((obj.get("spec") or {}).get("version") or source["name"].replace("---", "+"))
            spec = {"version": version, "source": f"{kind} {source['name']}", "compatible": _compatible(obj)}
            _put(found, namespace, "kubernetesreleases", "KubernetesRelease", _release_name(version), spec)
    for place in places:
        if not label_problem(place) and place != SELF:
            _put(found, namespace, "provisioners", "Provisioner", place, {})
    return found


def steps(wanted: dict[tuple[str, str], Json], present: dict[tuple[str, str], Json], used: set[str]) -> Sequence[Step]:
    """The writes that make ``present`` what is wanted. ``used`` are provisioners that clusters here name."""
    made: list[Step] = []
    for (plural, name), body in sorted(wanted.items()):
        there = present.get((plural, name))
        if there is None:
            made.append(Step("create", plural, body))
        elif _marked(there) and not there["metadata"].get("deletionTimestamp") and not _same(there, body):
            made.append(Step("replace", plural, {**there, "spec": body["spec"]}))
    for (plural, name), there in sorted(present.items()):
        gone = (plural, name) not in wanted and _marked(there) and not there["metadata"].get("deletionTimestamp")
        if gone and not (plural == "provisioners" and name in used):
            made.append(Step("delete", plural, there))
    return made


def withdrawn(wanted: dict[tuple[str, str], Json], present: dict[tuple[str, str], Json]) -> bool:
    """Whether a provisioner is seen no longer: only then does it matter which of them clusters name."""
    return any(plural == "provisioners" and (plural, name) not in wanted and _marked(there) for (plural, name), there in present.items())


def _same(there: Json, body: Json) -> bool:
    """Provisioners have nothing to mirror but their being there: a description that somebody wrote stays."""
    return bool(body["kind"] == "Provisioner" or there.get("spec") == body["spec"])


def _marked(obj: Json) -> bool:
    return bool((obj["metadata"].get("labels") or {}).get(MARK) == "true")


def _put(found: dict[tuple[str, str], Json], namespace: str, plural: str, kind: str, name: str, spec: Json) -> None:
    """Add an object whose name is legal here; the first one that stands for a name stays, unless a later one is compatible."""
    before = found.get((plural, name))
    if subdomain_problem(name) or (before is not None and (before["spec"].get("compatible") or not spec.get("compatible"))):
        return
    metadata = {"name": name, "namespace": namespace, "labels": {MARK: "true"}}
    found[(plural, name)] = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _release_name(version: str) -> str:
    return version.replace("+", "---").lower()


def _class(source: Json, obj: Json) -> Json:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    workers = (spec.get("workers") or {}).get("machineDeployments") or ()
    entries: dict[str, Any] = {
        "apiVersion": source["apiVersion"],
        "workerClasses": [each["class"] for each in workers],
        "kubernetesVersions": list(spec.get("kubernetesVersions") or ()),
        "variables": _variables(status["variables"])
        if "variables" in status
        else [_variable(each["name"], each) for each in spec.get("variables") or ()],
    }
    return {"provisioner": source["namespace"], **{name: value for name, value in entries.items() if value}}


def _variables(reported: Iterable[Json]) -> list[Json]:
    return [_variable(each["name"], each["definitions"][0]) for each in reported if each.get("definitions")]


def _variable(name: str, definition: Json) -> Json:
    schema = (definition.get("schema") or {}).get("openAPIV3Schema") or {}
    return {"name": name, **({"required": True} if definition.get("required") else {}), **({"schema": schema} if schema else {})}


def _compatible(obj: Json) -> bool:
    metadata = obj.get("metadata") or {}
    facts = {each["type"]: each["status"] for each in (obj.get("status") or {}).get("conditions") or ()}
    usable = not any(label in (metadata.get("labels") or {}) for label in UNUSABLE)
    return usable and {facts.get("Ready"), facts.get("Compatible")} == {"True"}
