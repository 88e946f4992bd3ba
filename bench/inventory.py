"""One big cluster: how much memory and CPU its agent and the server take to tell what is in it.

``python -m bench.inventory [--nodes 1000] [--pods 20000]`` makes the nodes and pods in a real
kube-apiserver over etcd, attaches it, and prints

* what the agent's process holds, at its most and afterwards, and the server before and after;
* how long it took until every node was at our door, with the pods counted;
* the CPU of both while pods come and go in the cluster, in milliseconds for each that did.

The load is the real server's own watch; the maker of the pods is a process apart, and not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from peers.kubernetes import NAMESPACED, Kubernetes
from peers.processes import free_port
from skerry.client.contract import PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import read

Json = dict[str, Any]
SKERRY = Path(sys.executable).parent / "skerry"
TICKS = os.sysconf("SC_CLK_TCK")
NODES, PODS = Ref("", "v1", "nodes", namespaced=False), Ref("", "v1", "pods")
SPACES, ACCOUNTS = Ref("", "v1", "namespaces", namespaced=False), Ref("", "v1", "serviceaccounts")
CLUSTERS = Ref("fleet.skerry.dev", "v1alpha1", "clusters")
CLUSTER = {"name": "attached.big", "namespace": "attached"}
REST_SECONDS = 60
SEEN = Ref("fleet.skerry.dev", "v1alpha1", "clusternodes")
CALLERS = 32
FILLER = [{"name": f"VARIABLE_{number}", "value": "x" * 60} for number in range(20)]
"""A pod is about four kilobytes, as real ones are."""


def node(number: int) -> Json:
    labels = {"zone": f"z{number % 3}", "node-role.kubernetes.io/worker": "", "kubernetes.io/hostname": f"node-{number}"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{number}", "labels": labels}}


def node_status() -> Json:
    room = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    kinds = {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}
    conditions = [{"type": kind, "status": status, "reason": "Kubelet", "message": "as it should be"} for kind, status in kinds.items()]
    return {"status": {"capacity": room, "allocatable": room, "conditions": conditions}}


def pod(name: str, node: str) -> Json:
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}}
    containers = [
        {"name": each, "image": f"registry.example/{each}:1.2.3", "env": FILLER, "resources": resources} for each in ("app", "side")
    ]
    spec = {"nodeName": node, "automountServiceAccountToken": False, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "load", "labels": {"app": name}}, "spec": spec}


async def many(work: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Do it all, so many at a time."""
    waiting = iter(work)

    async def one() -> None:
        for each in waiting:
            await each()

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(one())


async def fill(cluster: HttpClient, nodes: int, pods: int) -> None:
    """Make the nodes and the pods."""
    await cluster.create(SPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "load"}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "load"}}
    await cluster.apply(ACCOUNTS, account, manager="bench", force=True)
    await many(partial(cluster.create, NODES, node(number)) for number in range(nodes))
    await many(
        partial(cluster.patch, NODES, f"node-{number}", "", PatchKind.MERGE, node_status(), subresource="status") for number in range(nodes)
    )
    await many(partial(cluster.create, PODS, pod(f"pod-{number}", f"node-{number % nodes}")) for number in range(pods))


def memory(process: int, most: bool = False) -> float:
    """What a process holds, or held at its most, in megabytes."""
    field = "VmHWM:" if most else "VmRSS:"
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def cpu(process: int) -> float:
    """The CPU time of a process in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def running(log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of ours until the block is left."""
    with log.open("ab") as file:
        process = subprocess.Popen([str(SKERRY), *command], stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def awaited(path: Path) -> Path:
    """A file, as soon as it is there."""
    while not path.exists():
        time.sleep(0.1)
    return path


async def registered(door: HttpClient, folder: Path) -> list[str]:
    """Declare the cluster; returns the arguments with which its agent registers."""
    await door.create(CLUSTERS, {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "Cluster", "metadata": CLUSTER})
    token = (await door.raw("POST", "/attach/attached.attached.big", {}))["token"]
    (folder / "root.crt").write_bytes(door.connection.ca or b"")
    return ["--server", door.connection.server, "--server-ca", str(folder / "root.crt"), "--token", token, "--data", str(folder / "agent")]


async def complete(door: HttpClient, nodes: int, pods: int) -> float:
    """Wait until every node and every pod is told of; returns the seconds it took."""
    began = time.monotonic()
    while True:
        found = (await door.list(SEEN, "attached"))["items"]
        counted = sum(int(each["status"].get("requested", {}).get("pods", "0")) for each in found)
        if (len(found), counted) == (nodes, pods):
            return time.monotonic() - began
        await asyncio.sleep(0.5)


async def measure(peer: Path, folder: Path, server: int, size: tuple[int, int, int]) -> None:
    """Measure with a server that runs, and the cluster of a kubeconfig; ``size`` is nodes, pods and changes."""
    nodes, pods, changes = size
    async with HttpClient(read(peer)) as cluster, HttpClient(read(folder / "data" / "admin.kubeconfig")) as door:
        await fill(cluster, nodes, pods)
        print(f"{nodes} nodes and {pods} pods are in the cluster; the server holds {memory(server):.0f} MB")
        with running(folder / "agent.log", "agent", "--kubeconfig", str(peer), *await registered(door, folder)) as process:
            agent = process.pid
            print(f"all told {await complete(door, nodes, pods):.1f} s after the agent was started")
            print(f"agent: {memory(agent, most=True):.0f} MB at its most, {memory(agent):.0f} MB now; server: {memory(server):.0f} MB")
            began = cpu(agent), cpu(server)
            await many(partial(cluster.create, PODS, pod(f"new-{number}", f"node-{number % nodes}")) for number in range(changes))
            await complete(door, nodes, pods + changes)
            spent = [1000 * (now - then) / changes for now, then in zip((cpu(agent), cpu(server)), began, strict=True)]
            print(f"each of {changes} new pods cost the agent {spent[0]:.2f} ms of CPU, the server {spent[1]:.2f} ms")
            began, when = (cpu(agent), cpu(server)), time.monotonic()
            await asyncio.sleep(REST_SECONDS)
            shares = [100 * (now - then) / (time.monotonic() - when) for now, then in zip((cpu(agent), cpu(server)), began, strict=True)]
            print(f"at rest: the agent takes {shares[0]:.1f} % of a core, the server {shares[1]:.1f} %")
            print(f"agent: {memory(agent):.0f} MB; server: {memory(server):.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=20000)
    parser.add_argument("--changes", type=int, default=2000)
    asked = parser.parse_args()
    with Kubernetes(controllers=NAMESPACED, unlimited=True) as peer, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(folder / "server.log", "up", "--data", str(folder / "data"), "--port", str(free_port(2))) as server:
            awaited(folder / "data" / "admin.kubeconfig")
            asyncio.run(measure(peer.kubeconfig, folder, server.pid, (asked.nodes, asked.pods, asked.changes)))


if __name__ == "__main__":
    main()
