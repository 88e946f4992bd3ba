"""A server and an agent with a bad network between them: dark for longer than every timeout, deaf one way, slow and lossy.

``out`` is what the agent says, ``in`` what it hears: it dials out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from skerry.client import kubeconfig
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.kit.aio import TaskOwner
from tests.agent.targets import CLUSTERS, Target, cluster, definition, ours
from tests.e2e.agents import Agent
from tests.e2e.server import SKERRY, Server
from tests.gateway.fleet import config_map, eventually
from tests.wan import NEAR, Wan, enter, inside, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

Json = dict[str, Any]
SITES, SETS = Ref(GROUP, VERSION, "managementclusters", namespaced=False), Ref(GROUP, VERSION, "manifestsets")
OBSERVED, MAPS = Ref(GROUP, VERSION, "observedobjects"), Ref("", "v1", "configmaps")
LONGER_THAN_EVERY_TIMEOUT = 75.0
"""Keep-alive 30 s, silence 30 s, the longest wait between attempts 30 s; together no longer than this."""
SLOW: dict[str, Any] = {"delay": 0.025, "loss": 0.0002, "rate": 20e6}


class Scene:
    """A server at the near end, a cluster with its agent at the far one."""

    def __init__(self, wan: Wan, server: Server, client: HttpClient, target: Target, agent: Agent) -> None:
        self.wan, self.server, self.client, self.target, self.agent = wan, server, client, target, agent

    async def condition(self, kind: str) -> Json:
        status = (await self.client.get(SITES, "far"))["status"]
        found: Json = next(each for each in status["conditions"] if each["type"] == kind)
        return found

    async def connected(self, status: str, seconds: float = 120) -> None:
        async def state() -> bool:
            return bool((await self.condition("Connected"))["status"] == status)

        await eventually(state, seconds)

    async def ask(self, **data: str) -> None:
        body = {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": {"name": "set", "namespace": "far"}}
        manifests = [config_map(name, "default", v=value) for name, value in data.items()]

        async def asked() -> bool:
            return bool(await self.client.apply(SETS, {**body, "spec": {"ownerEpoch": 1, "manifests": manifests}}, manager="test"))

        await eventually(asked)

    async def settled(self, count: int) -> None:
        async def state() -> bool:
            found = await self.client.get(SETS, "set", "far")
            status = found["status"]
            return bool((status["observedGeneration"], status["applied"]) == (found["metadata"]["generation"], count))

        await eventually(state, 120)

    async def there(self) -> dict[str, Json]:
        """What the far cluster holds, looked at from beside it."""
        at = f"{self.target.connection.server}/api/v1/namespaces/default/configmaps"
        listed = await asyncio.to_thread(inside, self.wan.far, lambda: json.load(urllib.request.urlopen(at, timeout=20)))
        return {each["metadata"]["name"]: each for each in listed["items"]}

    async def sessions(self) -> int:
        return int((await self.client.raw("GET", "/skerry/v1/statistics"))["gateway"]["sessions"])


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with contextlib.AsyncExitStack() as stack:
        wan = stack.enter_context(Wan().running())
        enter(wan.far)  # so that the cluster listens there
        stack.callback(enter, "")
        target = await stack.enter_async_context(ours())
        await target.install(definition("Cluster", "clusters", "cluster.x-k8s.io"))
        (tmp_path / "target").write_bytes(kubeconfig.render(target.connection))
        enter(wan.near)
        server = Server(tmp_path, "--host", NEAR, verb="server", skerry=("ip", "netns", "exec", wan.near, str(SKERRY)))
        await asyncio.to_thread(server.start)
        stack.callback(server.stop)
        client = await stack.enter_async_context(HttpClient(kubeconfig.read(server.kubeconfig)))
        await client.create(SITES, {"apiVersion": API_VERSION, "kind": "ManagementCluster", "metadata": {"name": "far"}})
        agent = await asyncio.to_thread(
            lambda: Agent(server, "far", tmp_path / "target", tmp_path, ("ip", "netns", "exec", wan.far, str(SKERRY)))
        )
        agent._command = [each.replace("https://127.0.0.1:", f"https://{NEAR}:") for each in agent._command]
        agent.start()
        stack.callback(agent.stop)
        made = Scene(wan, server, client, target, agent)
        await made.connected("True")
        yield made
        wan.be()


@pytest.mark.parametrize("dark", [("in", "out"), ("in",), ("out",)], ids=["both ways", "what it hears", "what it says"])
async def test_a_line_that_is_dark_for_longer_than_every_timeout_is_told_and_heals_by_itself(scene: Scene, dark: tuple[str, ...]) -> None:
    await scene.ask(still="1", moves="1")
    await scene.settled(2)
    before = await scene.there()
    began = time.monotonic()
    scene.wan.be(dark=dark)
    await scene.connected("False")
    assert (await scene.condition("Healthy"))["status"] == "Unknown"
    await scene.ask(still="1", moves="2", late="1")
    await asyncio.sleep(max(0.0, began + LONGER_THAN_EVERY_TIMEOUT - time.monotonic()))
    assert await scene.there() == before, "nothing came through"
    scene.wan.be()
    await scene.settled(3)
    await scene.connected("True")
    assert (await scene.condition("Healthy"))["status"] == "True"
    after = await scene.there()
    assert {name: each["data"]["v"] for name, each in after.items() if name in {"still", "moves", "late"}} == {
        "still": "1",
        "moves": "2",
        "late": "1",
    }
    assert after["still"] == before["still"], "what was in order was left alone"
    assert after["moves"]["metadata"]["uid"] == before["moves"]["metadata"]["uid"]


async def test_a_slow_and_lossy_line_carries_a_large_inventory_and_a_watch_beside_it(scene: Scene) -> None:
    count, filler = 24, "x" * 500_000
    sessions = await scene.sessions()
    scene.wan.be(**SLOW)
    seen: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    through = kubeconfig.read(scene.server.kubeconfig)

    async def follow() -> None:
        async with HttpClient(replace(through, server=f"{through.server}/k8s/far")) as far:
            async for event in far.watch(MAPS, "default", bookmarks=False):
                seen.put_nowait((event.object["metadata"]["name"], time.monotonic()))

    async with TaskOwner("watch") as owner:
        owner.spawn(follow(), "follow")
        for number in range(count):
            body = json.dumps(cluster(f"big-{number}", "default", filler=filler)).encode()
            await asyncio.to_thread(inside, scene.wan.far, partial(_post, scene.target.connection.server, body))
        await scene.ask(made="1")
        asked = time.monotonic()

        async def whole() -> bool:
            found = await scene.client.list(OBSERVED, "far", labels="fleet.skerry.dev/source-plural=clusters")
            return len(found["items"]) == count

        async with asyncio.timeout(60):
            name, when = await seen.get()
            while name != "made":
                name, when = await seen.get()
        assert when - asked < 30
        await eventually(whole, 120)
        await scene.settled(1)
        assert await scene.sessions() == sessions, "nobody was taken for dead"
        assert (await scene.condition("Connected"))["status"] == "True"


def _post(server: str, body: bytes) -> None:
    request = urllib.request.Request(
        f"{server}/apis/{CLUSTERS.group}/{CLUSTERS.version}/namespaces/default/clusters",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=60).close()
