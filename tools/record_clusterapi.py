"""Record what the real Cluster API does with a cluster, so that the simulated one can be held against it.

A cluster is made (1 control plane machine, 2 workers), scaled to 3 workers, stripped of all
workers, upgraded by one minor version and deleted. Four kinds are watched all the while. Every
change that a user could see becomes one entry; entries of all kinds are merged into one order
by resourceVersion, which on one etcd is the order in which they happened.

An entry holds only what changed: phase, conditions (``"True/Available"``), counters, whether
the object is being deleted. It holds no times, uids or generated names: objects are called by
their role (``control-plane``, ``md-0``, ``md-0/2``: the second machine of that pool that
appeared). The order *within* one object is what a simulation must follow; between objects it
may differ from run to run by a few places, since four programs race.

``python -m tools.record_clusterapi`` writes ``tests/recordings/clusterapi-v1.14.json`` and,
for people, the same as a list per object in ``clusterapi-v1.14.md``.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers.clusterapi import CLUSTERS, ClusterApi, condition
from peers.door import Door, Json
from peers.kubernetes import NAMESPACED, Kubernetes

TARGET = Path(__file__).resolve().parent.parent / "tests" / "recordings" / "clusterapi-v1.14.json"
NAMESPACE, NAME = "fleet", "shop"
CLUSTER = f"{CLUSTERS}/namespaces/{NAMESPACE}/clusters/{NAME}"
OLD, NEW = "v1.34.2", "v1.35.1"
KINDS = {
    "Cluster": f"{CLUSTERS}/namespaces/{NAMESPACE}/clusters",
    "KubeadmControlPlane": f"/apis/controlplane.cluster.x-k8s.io/v1beta2/namespaces/{NAMESPACE}/kubeadmcontrolplanes",
    "MachineDeployment": f"{CLUSTERS}/namespaces/{NAMESPACE}/machinedeployments",
    "Machine": f"{CLUSTERS}/namespaces/{NAMESPACE}/machines",
}
COUNTERS = ("replicas", "readyReplicas", "availableReplicas", "upToDateReplicas")


@dataclass
class Recorder:
    """Watches the four kinds, each in a thread, and keeps every event with the step in which it came."""

    door: Door
    events: list[tuple[int, str, str, Json]] = field(default_factory=list)
    steps: list[tuple[int, str]] = field(default_factory=list)

    def start(self) -> None:
        """Begin to watch; the threads end with the server."""
        for kind, path in KINDS.items():
            head = self.door.ask("GET", path)["metadata"]["resourceVersion"]
            threading.Thread(target=self._watch, args=(kind, f"{path}?watch=1&resourceVersion={head}"), daemon=True).start()

    def _watch(self, kind: str, path: str) -> None:
        try:
            for event in self.door.stream(path, timeout=600):
                self.events.append((int(event["object"]["metadata"]["resourceVersion"]), event["type"], kind, event["object"]))
        except (OSError, ValueError):
            return  # the server went away: the recording is over

    def step(self, name: str, act: Callable[[], object], until: Callable[[], bool], wait: Callable[..., None]) -> None:
        """Do one thing to the cluster and wait for its end."""
        head = self.door.ask("GET", KINDS["Cluster"])["metadata"]["resourceVersion"]
        self.steps.append((int(head), name))
        act()
        wait(name, until, seconds=300, pause=0.5)
        print(f"{name}: done, {len(self.events)} events so far", flush=True)

    def step_of(self, revision: int) -> str:
        """Return the step in which a revision was written."""
        return [name for first, name in self.steps if first < revision][-1]


def main() -> int:
    """Record, then write both files."""
    parser = argparse.ArgumentParser(description="Record the real Cluster API.")
    parser.add_argument("--target", type=Path, default=TARGET)
    target: Path = parser.parse_args().target
    with Kubernetes(controllers=NAMESPACED) as kubernetes, ClusterApi(kubernetes) as capi:
        capi.install_class(NAMESPACE, machine="2s", step="1s")
        recorder = Recorder(kubernetes.admin)
        recorder.start()
        _play(recorder, capi)
    document = {
        "clusterApi": "v1.14.2",
        "steps": [name for _, name in recorder.steps],
        "entries": list(normalised(recorder)),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n  ".join(json.dumps(entry) for entry in document["entries"])
    head = json.dumps({key: document[key] for key in ("clusterApi", "steps")})[1:-1]
    target.write_text(f'{{{head}, "entries": [\n  {lines}\n]}}\n')
    target.with_suffix(".md").write_text(summary(document))
    print(f"{len(document['entries'])} entries in {target}")
    return 0


def _play(recorder: Recorder, capi: ClusterApi) -> None:
    door, wait = capi.admin, capi.processes.wait_until

    def patch(*operations: Json) -> None:
        body = json.dumps(list(operations)).encode()
        door.call("PATCH", CLUSTER, body, {"content-type": "application/json-patch+json"})

    def settled(version: str, workers: int) -> Callable[[], bool]:
        return lambda: _settled(door, version, workers)

    replicas = "/spec/topology/workers/machineDeployments/0/replicas"
    recorder.step("create", lambda: capi.create_cluster(NAMESPACE, NAME, version=OLD, workers=2), settled(OLD, 2), wait)
    recorder.step("scale up", lambda: patch({"op": "replace", "path": replicas, "value": 3}), settled(OLD, 3), wait)
    recorder.step("remove workers", lambda: patch({"op": "remove", "path": "/spec/topology/workers"}), settled(OLD, 0), wait)
    recorder.step("upgrade", lambda: patch({"op": "replace", "path": "/spec/topology/version", "value": NEW}), settled(NEW, 0), wait)
    recorder.step("delete", lambda: door.call("DELETE", CLUSTER), lambda: door.call("GET", CLUSTER).status == 404, wait)


def _settled(door: Door, version: str, workers: int) -> bool:
    """Say whether the cluster is available and every machine is there, ready, of this version, with nothing left in motion."""
    cluster = door.ask("GET", CLUSTER)
    machines = door.ask("GET", KINDS["Machine"])["items"]
    if len(machines) != workers + 1 or any(machine["spec"]["version"] != version for machine in machines):
        return False
    status = cluster.get("status") or {}
    pools = (status.get("workers") or {}).get("availableReplicas", 0)
    moving = [condition(cluster, kind) for kind in ("RollingOut", "ScalingUp", "ScalingDown")]
    ready = [condition(machine, "Available") for machine in machines]
    return pools == workers and condition(cluster, "Available") == "True" and "True" not in moving and set(ready) == {"True"}


def normalised(recorder: Recorder) -> Iterable[Json]:
    """Yield the entries: what changed, in order, without anything that differs from run to run."""
    roles: dict[str, str] = {}
    seen: dict[str, Json] = {}
    for revision, event, kind, obj in sorted(recorder.events, key=lambda each: each[0]):
        uid = obj["metadata"]["uid"]
        role = roles.setdefault(uid, _role(kind, obj, roles.values()))
        now = {} if event == "DELETED" else visible(obj)
        changed = difference(seen.get(uid, {}), now)
        seen[uid] = now
        if changed or event != "MODIFIED":
            entry: Json = {"step": recorder.step_of(revision), "event": event, "kind": kind, "object": role}
            yield entry if event == "DELETED" else entry | changed


def _role(kind: str, obj: Json, known: Iterable[str]) -> str:
    labels = obj["metadata"].get("labels") or {}
    pool = labels.get("topology.cluster.x-k8s.io/deployment-name", "control-plane")
    if kind == "Cluster":
        return "cluster"
    if kind != "Machine":
        return str(pool)
    return f"{pool}/{1 + sum(1 for each in known if each.startswith(f'{pool}/'))}"


def visible(obj: Json) -> Json:
    """Return what a user sees of an object's state, flat enough to be compared by key."""
    status: Json = obj.get("status") or {}
    old: Json = ((status.get("deprecated") or {}).get("v1beta1")) or {}
    counted = {key: status[key] for key in COUNTERS if key in status}
    for part in ("controlPlane", "workers"):
        counted |= {f"{part}.{key}": value for key, value in (status.get(part) or {}).items() if key in (*COUNTERS, "desiredReplicas")}
    return {
        "phase": status.get("phase"),
        "conditions": _conditions(status),
        "v1beta1Conditions": _conditions(old),
        "initialization": status.get("initialization") or {},
        "counters": counted,
        "version": _version(obj["spec"]),
        "node": bool(status.get("nodeRef")) or None,
        "deleting": bool(obj["metadata"].get("deletionTimestamp")) or None,
        "finalizers": dict.fromkeys(obj["metadata"].get("finalizers") or [], True),
    }


def _conditions(status: Json) -> dict[str, str]:
    """Map each condition to ``Status/Reason``, without the generated name of a machine that an old reason may end with."""
    return {each["type"]: f"{each['status']}/{each.get('reason', '').split('/')[0]}" for each in status.get("conditions") or []}


def _version(spec: Json) -> str | None:
    """Find the Kubernetes version that an object asks for: each kind has it elsewhere."""
    places: list[Json] = [spec, spec.get("topology") or {}, ((spec.get("template") or {}).get("spec")) or {}]
    return next((place["version"] for place in places if "version" in place), None)


def difference(old: Json, new: Json) -> Json:
    """Return the keys whose value changed, with the new one (null: gone); maps are compared by their own keys."""
    changed: Json = {}
    for key, value in new.items():
        before: Any = old.get(key)
        if isinstance(value, dict):
            inner = {each: value.get(each) for each in {**(before or {}), **value} if (before or {}).get(each) != value.get(each)}
            if inner:
                changed[key] = inner
        elif value != before:
            changed[key] = value
    return changed


def summary(document: Json) -> str:
    """Render the recording as one list per step and object, each line one change."""
    lines = [
        "# What Cluster API v1.14 does, in order",
        "",
        "Written by `python -m tools.record_clusterapi` from the recording beside it. One line per change of one object;",
        "`Type=Status/Reason`, `null` for what is gone. The numbers are places in the common order of all objects.",
    ]
    for step in document["steps"]:
        lines += ["", f"## {step}"]
        entries = [(place, entry) for place, entry in enumerate(document["entries"]) if entry["step"] == step]
        for kind, role in dict.fromkeys((entry["kind"], entry["object"]) for _, entry in entries):
            lines += ["", f"### {kind} {role}"]
            lines += [f"- {place}: {_line(entry)}" for place, entry in entries if (entry["kind"], entry["object"]) == (kind, role)]
    return "\n".join(lines) + "\n"


def _line(entry: Json) -> str:
    parts = [] if entry["event"] == "MODIFIED" else [f"**{entry['event']}**"]
    for key in ("phase", "version", "node", "deleting"):
        parts += [f"{key}={entry[key]}"] if key in entry else []
    for key in ("initialization", "counters", "finalizers", "conditions"):
        parts += [f"{name}={'null' if value is None else value}" for name, value in entry.get(key, {}).items()]
    if "v1beta1Conditions" in entry:
        parts.append(f"(v1beta1: {', '.join(f'{name}={value}' for name, value in entry['v1beta1Conditions'].items())})")
    return ", ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
