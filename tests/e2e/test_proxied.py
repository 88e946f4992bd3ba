"""Real programs with a proxy between them: one that wants a password, and one that looks into TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from peers.processes import free_port
from skerry.client import kubeconfig
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from tests.agent.targets import Target, ours
from tests.e2e.agents import Agent, front_root
from tests.e2e.server import Server, running
from tests.gateway.fleet import eventually
from tests.gateway.proxies import ConnectProxy, InspectingProxy

Json = dict[str, Any]
SITES = Ref(GROUP, VERSION, "managementclusters", namespaced=False)


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with ours() as made:
        yield made


async def agent_of(server: Server, client: HttpClient, target: Target, folder: Path, more: Sequence[str]) -> Agent:
    await client.create(SITES, {"apiVersion": API_VERSION, "kind": "ManagementCluster", "metadata": {"name": "sv-1"}})
    (folder / "target").write_bytes(kubeconfig.render(target.connection))
    return await asyncio.to_thread(lambda: Agent(server, "sv-1", folder / "target", folder, more=more))


async def connected(client: HttpClient) -> Json:
    status = (await client.get(SITES, "sv-1"))["status"]
    found: Json = next(each for each in status["conditions"] if each["type"] == "Connected")
    return found


async def test_an_agent_that_knows_the_password_gets_through_and_one_that_does_not_says_so_without_telling_it(
    tmp_path: Path, target: Target
) -> None:
    with running(tmp_path) as server:
        async with HttpClient(kubeconfig.read(server.kubeconfig)) as client, ConnectProxy("robot", "s3:cret").running() as proxy:
            agent = await agent_of(server, client, target, tmp_path, ("--proxy", proxy.url("robot", "wr0ng")))
            agent.start()

            async def named() -> bool:
                return "the proxy wants other credentials (407" in agent.log.read_text()

            try:
                await eventually(named)
            finally:
                agent.stop()
            agent._command[-1] = proxy.url("robot", "s3%3Acret")
            agent.start()

            async def here() -> bool:
                return bool((await connected(client))["status"] == "True")

            try:
                await eventually(here)
                assert {f"127.0.0.1:{server.port}", f"127.0.0.1:{server.port + 1}"} == set(proxy.connected)
            finally:
                agent.stop()
            said = agent.log.read_text()
            assert [word for word in ("wr0ng", "s3:cret", "s3%3Acret") if word in said] == []


@pytest.mark.parametrize("allowed", [True, False], ids=["where the site allows tokens", "where it does not"])
async def test_an_agent_behind_a_proxy_that_looks_into_tls(tmp_path: Path, target: Target, allowed: bool) -> None:
    port = free_port()
    with running(tmp_path, *(("--agent-token-port", str(port)) if allowed else ()), verb="server") as server:
        proxy = InspectingProxy(front_root(server) + (server.data / "pki" / "internal.pem").read_bytes())
        async with HttpClient(kubeconfig.read(server.kubeconfig)) as client, proxy.running():
            (tmp_path / "corporate.crt").write_bytes(proxy.authority.bundle)
            more = ("--proxy", proxy.url(), "--trust-proxy-ca", str(tmp_path / "corporate.crt"))
            agent = await agent_of(server, client, target, tmp_path, more)
            agent.start()

            async def told() -> bool:
                found = await connected(client)
                if allowed:
                    return bool(found["status"] == "True")
                return bool(found["reason"] == "TLSIntercepted" and "Corporate Inspection CA" in found["message"])

            try:
                await eventually(told)
            finally:
                agent.stop()
            assert (f"127.0.0.1:{port}" in proxy.connected) is allowed
