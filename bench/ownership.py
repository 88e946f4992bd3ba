"""What field ownership costs a write: `python -m bench.ownership`.

A Cluster of 2 KB (spec and status as a site of vSphere has them) is written by four managers: Terraform
made it, a person labels it, the controller writes its status, GitOps applies part of it. Printed are medians
of CPU time per operation, in microseconds, of everything that `machinery.ownership` does for a write, on
objects that are already decoded. The budgets: 100 us for an update and a status update, 150 us for an apply.
`--profile` names an operation and shows where its time goes.
"""

from __future__ import annotations

import argparse
import copy
import cProfile
import gc
import json
import pstats
import statistics
import time
from collections.abc import Callable
from typing import Any

from skerry.kinds.cluster import RESOURCE
from skerry.machinery import ownership
from skerry.machinery.ownership import Writer

Json = dict[str, Any]

KIND = RESOURCE.schema.type.beside_status
STATUS_KIND = RESOURCE.schema.type.status_alone
VERSION = RESOURCE.api_version
BUDGETS = {"update": 100, "status update": 100, "apply, new": 150, "apply, same": 150, "apply, changed": 150}

SPEC: Json = {
    "provisioner": "team-a",
    "clusterGroup": "production",
    "version": "v1.34.2",
    "class": {"name": "vsphere-default", "namespace": "site-classes"},
    "controlPlane": {"replicas": 3, "variables": [{"name": "size", "value": "best-effort-medium"}]},
    "network": {"pods": ["192.168.0.0/16"], "services": ["10.96.0.0/12"], "serviceDomain": "cluster.local"},
    "proxy": {
        "http": "http://proxy.example.com:3128",
        "https": "http://proxy.example.com:3128",
        "noProxy": [".example.com", "10.0.0.0/8", "192.168.0.0/16"],
    },
    "trustedCAs": [{"name": "site", "pem": "-----BEGIN CERTIFICATE-----\n" + "MIIB" * 60 + "\n-----END CERTIFICATE-----\n"}],
    "storage": {"defaultClass": "gold", "classes": ["gold", "silver", "bronze"]},
    "imageRegistry": {"host": "registry.example.com/platform"},
    "variables": [
        {"name": "ntp", "value": ["ntp-1.example.com", "ntp-2.example.com"]},
        {"name": "auditLogs", "value": {"enabled": True, "days": 30}},
        {"name": "user", "value": {"sshAuthorizedKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ admin@example.com"}},
    ],
}


def condition(name: str, status: str = "True") -> Json:
    """One condition of the status."""
    return {"type": name, "status": status, "reason": "AsAskedFor", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}


STATUS: Json = {
    "observedGeneration": 3,
    "phase": "Ready",
    "version": "v1.34.2",
    "endpoint": {"host": "10.20.30.40", "port": 6443},
    "controlPlane": {"desired": 3, "ready": 3, "summary": "3/3"},
    "workers": {"desired": 12, "ready": 12, "summary": "12/12"},
    "lastEnforcedTime": "2026-01-01T00:00:00Z",
    "conditions": [condition(name) for name in ("Ready", "Provisioned", "Enforced", "Healthy")],
}


def writer(manager: str, minute: int = 0, subresource: str = "") -> Writer:
    """Who writes, and when."""
    return Writer(manager, VERSION, f"2026-01-01T00:{minute:02}:00Z", subresource)


def new_cluster() -> Json:
    """The object as it is sent for the first time."""
    metadata = {"name": "team-a.shop", "namespace": "sv-1", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "labels": {"team": "a"}}
    return {"apiVersion": VERSION, "kind": "Cluster", "metadata": metadata, "spec": copy.deepcopy(SPEC)}


def live_cluster() -> Json:
    """The object as it stands after four managers."""
    first = new_cluster()
    ownership.on_write(None, first, KIND, writer("terraform"))
    labelled = copy.deepcopy(first)
    labelled["metadata"]["labels"]["cost-centre"] = "4711"
    ownership.on_write(first, labelled, KIND, writer("kubectl-label", 1))
    seen = copy.deepcopy(labelled) | {"status": copy.deepcopy(STATUS)}
    ownership.on_write(labelled, seen, STATUS_KIND, writer("skerry", 2, "status"))
    return ownership.apply(seen, config(), KIND, writer("argocd", 3), force=True)


def config(version: str = "v1.34.2") -> Json:
    """What GitOps applies."""
    spec = {name: copy.deepcopy(SPEC[name]) for name in ("provisioner", "clusterGroup", "storage", "variables")}
    metadata = {"name": "team-a.shop", "namespace": "sv-1", "labels": {"git": "yes"}}
    return {"apiVersion": VERSION, "kind": "Cluster", "metadata": metadata, "spec": spec | {"version": version}}


def operations() -> dict[str, tuple[Callable[[], tuple[Any, ...]], Callable[..., object]]]:
    """Name → (what makes the arguments, the operation)."""
    live = live_cluster()
    unapplied = live_cluster()
    unapplied["metadata"]["managedFields"] = [each for each in live["metadata"]["managedFields"] if each["manager"] != "argocd"]

    def changed() -> tuple[Json, Json]:
        new = copy.deepcopy(live)
        new["spec"]["controlPlane"]["replicas"] = 5
        new["metadata"]["annotations"] = {"note": "more"}
        return copy.deepcopy(live), new

    def reported() -> tuple[Json, Json]:
        new = copy.deepcopy(live)
        new["status"]["observedGeneration"] = 4
        new["status"]["lastEnforcedTime"] = "2026-01-01T00:09:00Z"
        new["status"]["conditions"][0] = condition("Ready", "False")
        return copy.deepcopy(live), new

    def applied(obj: Json, version: str) -> Callable[[], tuple[Json, Json]]:
        return lambda: (copy.deepcopy(obj), config(version))

    def update(manager: str, subresource: str = "") -> Callable[[Json | None, Json], object]:
        kind = STATUS_KIND if subresource else KIND
        return lambda old, new: ownership.on_write(old, new, kind, writer(manager, 9, subresource))

    def apply(old: Json, sent: Json) -> object:
        return ownership.apply(old, sent, KIND, writer("argocd", 9), force=True)

    return {
        "create": (lambda: (None, new_cluster()), update("terraform")),
        "update": (changed, update("kubectl-edit")),
        "update, same": (lambda: (copy.deepcopy(live), copy.deepcopy(live)), update("kubectl-edit")),
        "status update": (reported, update("skerry", "status")),
        "apply, new": (applied(unapplied, "v1.34.2"), apply),
        "apply, same": (applied(live, "v1.34.2"), apply),
        "apply, changed": (applied(live, "v1.34.3"), apply),
    }


def measure(make: Callable[[], tuple[Any, ...]], operation: Callable[..., object], count: int) -> list[float]:
    """The tenth and the half of CPU microseconds per call: a busy machine moves the second more than the first."""
    times = []
    for _ in range(count):
        arguments = make()
        began = time.thread_time_ns()
        operation(*arguments)
        times.append(time.thread_time_ns() - began)
    return [statistics.quantiles(times, n=10)[place] / 1000 for place in (0, 4)]


def main() -> None:
    """Measure every operation."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=2000)
    arguments.add_argument("--profile", metavar="OPERATION")
    given = arguments.parse_args()
    gc.disable()  # as in a server, where collections are rare and elsewhere
    known = operations()
    if given.profile:
        make, operation = known[given.profile]
        prepared = [make() for _ in range(given.count)]
        profile = cProfile.Profile()
        profile.enable()
        for each in prepared:
            operation(*each)
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    live = live_cluster()
    bare = {**live, "metadata": {name: value for name, value in live["metadata"].items() if name != "managedFields"}}
    print(f"a Cluster of {len(json.dumps(bare))} bytes, and {len(json.dumps(live['metadata']['managedFields']))} of managedFields")
    for name, (make, operation) in known.items():
        fast, median = measure(make, operation, given.count)
        print(f"{name:<16}{median:>8.1f} us, a tenth in {fast:.1f}" + (f"   (budget {BUDGETS[name]})" if name in BUDGETS else ""))


if __name__ == "__main__":
    main()
