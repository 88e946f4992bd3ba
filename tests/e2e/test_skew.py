"""Clocks that differ, on real processes: an agent an hour ahead or behind works, and one that is days off is told of by name."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from skerry.client import kubeconfig
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from tests.agent.targets import Target, ours
from tests.e2e.agents import Agent
from tests.e2e.server import SKERRY, Server, running
from tests.gateway.fleet import eventually

pytestmark = pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is missing: apt-get install faketime")

Json = dict[str, Any]
SITES, SETS = Ref(GROUP, VERSION, "managementclusters", namespaced=False), Ref(GROUP, VERSION, "manifestsets")
MAPS = Ref("", "v1", "configmaps")


def shifted(by: str) -> tuple[str, ...]:
    """The program, whose wall clock says another time; what it measures by is right.

    It takes the place of what starts it, as faketime itself would not: a signal reaches it.
    """
    told = subprocess.run(["faketime", "-m", "--exclude-monotonic", "-f", by, "env"], capture_output=True, text=True, check=True).stdout
    changed = [line for line in told.splitlines() if line.startswith(("LD_PRELOAD=", "FAKETIME=", "FAKETIME_DONT"))]
    return "env", *changed, str(SKERRY)


class Scene:
    """A server, a cluster, and a client of the server."""

    def __init__(self, server: Server, target: Target, client: HttpClient, folder: Path) -> None:
        self.server, self.target, self.client, self.folder = server, target, client, folder

    async def site(self, name: str) -> Path:
        """A management cluster, and a folder for its agent."""
        await self.client.create(SITES, {"apiVersion": API_VERSION, "kind": "ManagementCluster", "metadata": {"name": name}})
        folder = self.folder / name
        folder.mkdir()
        (folder / "target").write_bytes(kubeconfig.render(self.target.connection))
        return folder

    async def connected(self, name: str) -> Json:
        status = (await self.client.get(SITES, name)).get("status") or {}
        found: Json = next(each for each in status["conditions"] if each["type"] == "Connected")
        return found


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    with running(tmp_path) as server:
        async with ours() as target, HttpClient(kubeconfig.read(server.kubeconfig)) as client:
            yield Scene(server, target, client, tmp_path)


@pytest.mark.parametrize("by", ["-1h", "+1h"])
async def test_an_agent_whose_clock_is_an_hour_off_registers_and_works(scene: Scene, by: str) -> None:
    folder = await scene.site("off")
    agent = await asyncio.to_thread(lambda: Agent(scene.server, "off", folder / "target", folder, shifted(by)))
    agent.start()
    try:

        async def here() -> bool:
            return bool((await scene.connected("off"))["status"] == "True")

        await eventually(here)
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made", "namespace": "default"}, "data": {"v": by}}
        body = {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": {"name": "set", "namespace": "off"}}

        async def asked() -> bool:
            return bool(await scene.client.create(SETS, {**body, "spec": {"ownerEpoch": 1, "manifests": [manifest]}}))

        async def made() -> bool:
            return bool((await scene.target.client.get(MAPS, "made", "default"))["data"] == {"v": by})

        await eventually(asked)
        await eventually(made)
    finally:
        agent.stop()


async def test_an_agent_whose_clock_is_days_behind_is_told_of_by_name_and_comes_back_when_it_is_set(scene: Scene) -> None:
    folder = await scene.site("slow")
    agent = await asyncio.to_thread(lambda: Agent(scene.server, "slow", folder / "target", folder))
    agent.start()

    async def here() -> bool:
        return bool((await scene.connected("slow"))["status"] == "True")

    try:
        await eventually(here)
    finally:
        agent.stop()
    slow = await asyncio.to_thread(lambda: Agent(scene.server, "slow", folder / "target", folder, shifted("-3d")))
    slow._command = slow._command[: slow._command.index("--token")]
    slow.start()
    try:

        async def named() -> bool:
            found = await scene.connected("slow")
            return found["reason"] == "ClockSkew" and "the agent's clock says" in found["message"]

        await eventually(named, 120)
        command = [str(SKERRY), "doctor", "--data", str(scene.server.data), "-o", "json"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert any("the agent's clock says" in each["what"] for each in json.loads(done.stdout))
    finally:
        slow.stop()
    agent._command = slow._command[slow._command.index(str(SKERRY)) :]
    agent.start()
    try:
        await eventually(here)
    finally:
        agent.stop()
