"""`skerry up --sim` is killed at every stage of its work, and goes on.

The simulated site lives in the process and is gone with it: what comes back is an empty
management cluster of the same name. So whatever Skerry asked of it has to be asked again, what
was seen of it has to be seen anew, and what was being deleted counts as deleted.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import read
from skerry.compose.demo import FLEET
from skerry.machinery.errors import ApiError
from tests.e2e.server import Server, eventually

Json = dict[str, Any]
FLEET_API = ("fleet.skerry.dev", "v1alpha1")
CLUSTERS, POOLS = Ref(*FLEET_API, "clusters"), Ref(*FLEET_API, "nodepools")
SETS, OBSERVED = Ref(*FLEET_API, "manifestsets"), Ref(*FLEET_API, "observedobjects")
FIRST_STEPS = ("skerry.lock", "pki/internal.pem", "demo/root.pem", "demo/agent/identity.json")
"""Files that appear one after the other when it starts for the first time."""
MADE = {"team-a.one": {"md-0": 2}, "team-a.two": {}, "team-b.three": {"md-0": 1, "gpu": 1}}
"""Clusters of one control plane machine that the test makes, with their pools."""


class Site:
    """What both doors show of the site."""

    def __init__(self, client: HttpClient) -> None:
        self.client = client

    async def create(self, name: str, pools: dict[str, int]) -> None:
        spec = {"version": "v1.34.2", "class": {"name": "quick-start"}, "controlPlane": {"replicas": 1}}
        await self._apply(CLUSTERS, "Cluster", name, spec)
        for pool, replicas in pools.items():
            await self._apply(POOLS, "NodePool", f"{name}.{pool}", {"replicas": replicas})

    async def _apply(self, ref: Ref, kind: str, name: str, spec: Json) -> None:
        body = {"apiVersion": "/".join(FLEET_API), "kind": kind, "metadata": {"name": name, "namespace": "demo"}, "spec": spec}
        await self.client.apply(ref, body, manager="test")

    async def items(self, ref: Ref) -> list[Json]:
        found: list[Json] = (await self.client.list(ref, "demo"))["items"]
        return found

    async def phases(self) -> dict[str, str]:
        return {each["metadata"]["name"]: (each.get("status") or {}).get("phase", "") for each in await self.items(CLUSTERS)}

    async def there(self, plural: str, group: str = "cluster.x-k8s.io") -> list[Json]:
        """Objects at the site itself, read through the proxy."""
        found: list[Json] = (await self.client.raw("GET", f"/k8s/demo/apis/{group}/v1beta2/{plural}"))["items"]
        return found


async def until(what: str, state: Callable[[], Awaitable[bool]], server: Server) -> None:
    """Wait for a state of the server; an error on the way (no agent yet) is not one."""
    try:
        async with asyncio.timeout(120):
            while not await _true(state):  # noqa: ASYNC110 the state is another process's
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within 120 s: {what}\n{server.log.read_text()[-3000:]}") from None


async def _true(state: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await state()
    except ApiError:
        return False


async def killed(server: Server) -> None:
    await asyncio.to_thread(server.stop, signal.SIGKILL)
    await asyncio.to_thread(server.start)


async def test_killed_at_every_stage_of_its_work_it_goes_on(tmp_path: Path) -> None:
    server = Server(tmp_path, "--sim")
    for sign in FIRST_STEPS:
        server.launch()
        eventually((server.data / sign).exists, 60, server.log)
        server.stop(signal.SIGKILL)
    await asyncio.to_thread(server.start)
    try:
        async with HttpClient(read(server.kubeconfig)) as client:
            site = Site(client)
            await until("the demonstration clusters are there", lambda: _has(site, set(FLEET)), server)
            for name, pools in MADE.items():
                await site.create(name, pools)
            await killed(server)  # as soon as it had acknowledged
            for what, stage in _stages(site).items():
                await until(what, stage, server)
                await killed(server)
            await until("every cluster is ready", lambda: _ready(site, {*FLEET, *MADE}), server)
            await client.delete(CLUSTERS, "team-a.one", "demo")
            await killed(server)  # in the middle of the deletion
            await until("the cluster is gone", lambda: _has(site, {*FLEET, *MADE} - {"team-a.one"}), server)
            await until("both sides are as asked for", lambda: _in_order(site), server)
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop(signal.SIGKILL)


def _stages(site: Site) -> dict[str, Callable[[], Awaitable[bool]]]:
    async def asked() -> bool:
        return len(await site.items(SETS)) >= len(FLEET) + len(MADE)

    async def begun() -> bool:
        return any(each["metadata"]["namespace"] == "team-b" for each in await site.there("machines"))

    async def seen() -> bool:
        return any(phase == "Ready" for name, phase in (await site.phases()).items() if name in MADE)

    return {"every cluster is asked of the site": asked, "machines are being made": begun, "one of the clusters is ready": seen}


async def _has(site: Site, names: set[str]) -> bool:
    return {*await site.phases()} == names


async def _ready(site: Site, names: set[str]) -> bool:
    return await site.phases() == dict.fromkeys(names, "Ready")


async def _in_order(site: Site) -> bool:
    """Whether every cluster is ready, the site holds each once with its machines, and what is told of the site is what it holds."""
    asked = {name: (count, pools) for name, (_, count, pools) in FLEET.items()} | {name: (1, pools) for name, pools in MADE.items()}
    del asked["team-a.one"]
    machines = await site.there("machines")
    counted = Counter(_cluster(each, each["spec"]["clusterName"]) for each in machines)
    told = sorted(each["source"]["uid"] for each in await site.items(OBSERVED) if each["source"]["kind"] == "Machine")
    return (
        await _ready(site, set(asked))
        and sorted(_cluster(each, each["metadata"]["name"]) for each in await site.there("clusters")) == sorted(asked)
        and len(await site.there("kubeadmcontrolplanes", "controlplane.cluster.x-k8s.io")) == len(asked)
        and len(await site.there("machinedeployments")) == sum(len(pools) for _, pools in asked.values())
        and counted == {name: count + sum(pools.values()) for name, (count, pools) in asked.items()}
        and told == sorted(each["metadata"]["uid"] for each in machines)
        and len(await site.items(SETS)) == len(asked)
    )


def _cluster(obj: Json, name: str) -> str:
    return f"{obj['metadata']['namespace']}.{name}"
