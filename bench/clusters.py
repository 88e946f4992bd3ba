"""Clusters made at our door: `python -m bench.clusters`, against a simulated site or, with ``--site clusterapi``, real controllers.

Server, agent and site are processes of their own, so that our share of the CPU can be told from that of whoever makes the
machines. Each cluster has one machine of a control plane and a pool of one. The clock runs from the first request until the
last cluster is Ready at our door; memory is the server's when it has little to do, before and after. With real controllers
the site is kube-apiserver, etcd, kube-controller-manager, and Cluster API's own with its in-memory provider.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.agents import SKERRY, Server, machine, numbers, server, share, tell
from bench.objects import Json
from bench.sides import Side
from bench.site import PROVISIONER
from bench.turns import crowd
from peers.clusterapi import CLASS, ClusterApi
from peers.kubernetes import NAMESPACED, Kubernetes
from peers.processes import Processes, clean_environment
from skerry.client.contract import Ref
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.kit.aio import TaskOwner
from skerry.runtime.informer import Informer

ROOT = Path(__file__).resolve().parents[1]
NAME = "site"
CLUSTERS, POOLS, CLASSES = Ref(GROUP, VERSION, "clusters"), Ref(GROUP, VERSION, "nodepools"), Ref(GROUP, VERSION, "clusterclasses")
MANAGEMENT = Ref(GROUP, VERSION, "managementclusters", namespaced=False)


@dataclass(frozen=True)
class Site:
    """Where clusters are made: how an agent reaches it, the class that they are made from, and its processes."""

    kubeconfig: Path
    cluster_class: str
    side: Side


@contextlib.contextmanager
def simulated(at: Server) -> Iterator[Site]:
    """The simulation."""
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as name, Processes(Path(name)) as processes:
        folder = Path(name)
        environment = clean_environment(folder, PYTHONPATH=f"{ROOT}:{ROOT / 'src'}")
        program = processes.start("site", [sys.executable, "-m", "bench.site", folder / "kubeconfig"], environment)
        processes.wait_until("the site", (folder / "kubeconfig").exists)
        yield Site(folder / "kubeconfig", "quick-start", Side("site", at.side.client, lambda: [program.process.pid]))


@contextlib.contextmanager
def real(at: Server) -> Iterator[Site]:
    """Cluster API's controllers; raises PeerMissing or PeerFailed."""
    with Kubernetes(controllers=NAMESPACED, unlimited=True) as kubernetes, ClusterApi(kubernetes) as capi:
        capi.install_class(PROVISIONER)
        pids = [each.process.pid for each in (*kubernetes.processes.programs, *capi.processes.programs)]
        yield Site(kubernetes.kubeconfig, CLASS, Side("site", at.side.client, lambda: pids))


async def join(at: Server, site: Site, processes: Processes) -> Side:
    """Have the site's agent come; returns its process. Raises what the API raises."""
    await at.client.create(MANAGEMENT, {"apiVersion": API_VERSION, "kind": "ManagementCluster", "metadata": {"name": NAME}})
    offer = await at.client.raw("POST", f"/attach/{NAME}", {})
    root = processes.folder / "root.crt"
    root.write_text(at.plan["ca"])
    command: list[str | Path] = [
        SKERRY,
        "agent",
        "--kubeconfig",
        site.kubeconfig,
        "--data",
        processes.folder / "agent",
        "--log-level",
        "warning",
    ]
    command += ["--server", at.plan["front"], "--server-ca", root, "--token", offer["token"]]
    program = processes.start("agent", command)
    while not any(
        each["metadata"]["name"] == f"{PROVISIONER}.{site.cluster_class}" for each in (await at.client.list(CLASSES, NAME))["items"]
    ):
        await asyncio.sleep(0.2)
    return Side("agent", at.side.client, lambda: [program.process.pid])


async def make(at: Server, site: Site, names: Sequence[str]) -> None:
    """Make clusters."""

    async def one(name: str) -> None:
        spec = {"version": "v1.34.2", "class": {"name": site.cluster_class}, "controlPlane": {"replicas": 1}}
        metadata = {"name": f"{PROVISIONER}.{name}", "namespace": NAME}
        await at.client.create(CLUSTERS, {"apiVersion": API_VERSION, "kind": "Cluster", "metadata": metadata, "spec": spec})
        pool = {"name": f"{PROVISIONER}.{name}.md-0", "namespace": NAME}
        await at.client.create(POOLS, {"apiVersion": API_VERSION, "kind": "NodePool", "metadata": pool, "spec": {"replicas": 1}})

    await crowd([partial(one, name) for name in names])


async def follow(at: Server, prefix: str, ready: dict[str, float]) -> None:
    """Note when each cluster with a prefix was Ready, until cancelled."""
    informer = Informer(at.client, CLUSTERS, namespace=NAME)

    def changed(key: str) -> None:
        obj, name = informer.get(key), key.partition("/")[2]
        if obj is not None and name.startswith(prefix) and _ready(obj):
            ready.setdefault(name, time.monotonic())

    informer.listen(changed)
    await informer.run()


def _ready(obj: Json) -> bool:
    status = obj.get("status") or {}
    return status.get("phase") == "Ready" and (status.get("workers") or {}).get("ready") == 1


async def measure(at: Server, site: Site, agent: Side, number: int, count: int, patience: float) -> bool:
    """Make ``count`` more clusters and wait for them; whether all came."""
    before = await at.quiet()
    sides = (at.side, agent, site.side)
    spent = [each.cpu_seconds() for each in sides]
    ready: dict[str, float] = {}
    async with TaskOwner("bench") as owner:
        owner.spawn(follow(at, f"{PROVISIONER}.c{number}-", ready), "watch")
        began = time.monotonic()
        await make(at, site, [f"c{number}-{each}" for each in range(count)])
        wrote = time.monotonic() - began
        while len(ready) < count and time.monotonic() - began < patience:
            await asyncio.sleep(0.2)
    took = time.monotonic() - began
    ours, agents, theirs = (side.cpu_seconds() - earlier for side, earlier in zip(sides, spent, strict=True))
    after = await at.quiet()
    whole = ours + agents + theirs
    moments = sorted(moment - began for moment in ready.values())
    p50, p99 = (share(moments, 0.5), share(moments, 0.99)) if moments else (0.0, 0.0)
    tell(
        f"{len(ready):,} of {count:,} clusters Ready in {took:.1f} s (asked for in {wrote:.1f} s; p50 {p50:.1f} s, p99 {p99:.1f} s);"
        f" {whole / took:.2f} cores were used"
    )
    tell(
        f"    CPU: server {ours:.1f} s, {ours / count * 1000:.0f} ms each, agent {agents:.1f} s, site {theirs:.1f} s;"
        f" our share {(ours + agents) / whole:.0%}, {ours / whole:.0%} without the agent"
    )
    tell(
        f"    memory: server {(after - before) * 1024 / count:.0f} KB each ({after:.0f} MB), agent {agent.memory_mb():.0f} MB,"
        f" site {site.side.memory_mb():.0f} MB"
    )
    return len(ready) == count


async def run(arguments: argparse.Namespace) -> None:
    """Run what was asked for."""
    place = {"simulated": simulated, "clusterapi": real}[arguments.site]
    async with server() as at:
        with place(at) as site, tempfile.TemporaryDirectory(prefix="skerry-bench-") as folder, Processes(Path(folder)) as processes:
            agent = await join(at, site, processes)
            for number, count in enumerate(arguments.counts):
                if not await measure(at, site, agent, number, count, arguments.patience):
                    break


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description="Measure clusters that are made at our door.")
    parser.add_argument("--site", choices=("simulated", "clusterapi"), default="simulated")
    parser.add_argument("--counts", type=numbers, default=[1000], help="how many clusters, in turn")
    parser.add_argument("--patience", type=float, default=900, help="seconds that each round gets")
    arguments = parser.parse_args()
    tell(machine())
    asyncio.run(run(arguments))


if __name__ == "__main__":
    main()
