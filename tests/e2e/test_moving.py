"""An agent goes over from one of two servers to the other, in the middle of what is being done for it.

What stands before the servers passes TCP on and is told which of them lives, as a load balancer finds out by itself. The
controllers' work for the management cluster is the other server's from the beginning.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from peers.postgresql import PostgreSql
from peers.processes import free_port
from skerry.client import kubeconfig
from skerry.client.contract import PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.kinds.common import API_VERSION
from skerry.runtime.shares import SHARES, share_of
from tests.e2e.agents import Agent, begun_long_ago, front_root
from tests.e2e.balancer import Balancer, Ports
from tests.e2e.server import Server, clients, over_one_database
from tests.e2e.test_lines import CLUSTERS, FAR_CLUSTERS, MAPS, SETS, SITES, TEAM, simulated
from tests.e2e.test_replicas import holdings
from tests.gateway.fleet import config_map, eventually
from tests.store.databases import why_not

Json = dict[str, Any]
POOLS = Ref("fleet.skerry.dev", "v1alpha1", "nodepools")
SHOP = f"{TEAM}.shop"


@dataclass
class Pair:
    """Two servers over one database, what stands before them, and the administrator's client of each."""

    servers: list[Server]
    balancer: Balancer
    ports: dict[Server, Ports]
    clients: list[HttpClient]
    folder: Path

    def lead_to(self, server: Server) -> None:
        self.balancer.lead_to(self.ports[server])

    async def name_for(self, holder: Server) -> str:
        """The name of a management cluster whose work falls to a server, once both divide all of it."""

        async def divided() -> bool:
            return sorted(share for server in self.servers for share in holdings(server)[-1]) == list(range(SHARES))

        await eventually(divided, 120)
        return next(name for number in count() if share_of(name := f"far-{number}") in holdings(holder)[-1])

    async def agent(self, name: str, target: HttpClient, *more: str) -> Agent:
        """A management cluster, and its agent, which knows nothing but what stands before the servers."""
        await self.clients[0].create(SITES, {"apiVersion": API_VERSION, "kind": "ManagementCluster", "metadata": {"name": name}})
        (self.folder / name).mkdir()
        (self.folder / name / "target").write_bytes(kubeconfig.render(target.connection))
        port = self.balancer.ports.front
        return await asyncio.to_thread(
            lambda: Agent(self.servers[0], name, self.folder / name / "target", self.folder / name, more=more, port=port)
        )

    async def holds(self, server: Server, name: str) -> None:
        """Wait until it is known that a server holds the agent."""
        here = self.clients[self.servers.index(server)]

        async def state() -> bool:
            agents = (await here.raw("GET", "/skerry/v1/statistics"))["agents"]
            return name in [each["name"] for each in agents] and (await condition(here, SITES, name, "Connected"))["status"] == "True"

        await eventually(state, 120)

    async def kill(self, server: Server, other: Server) -> None:
        """One server dies, and what stands before it has seen that."""
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        self.lead_to(other)


@asynccontextmanager
async def two_servers(folder: Path) -> AsyncIterator[Pair]:
    ports: dict[Server, Ports] = {}
    async with AsyncExitStack() as stack:
        database = stack.enter_context(PostgreSql("wheel"))
        balancer = await stack.enter_async_context(Balancer().open())
        before = balancer.ports

        def more(server: Server) -> list[str]:
            if not ports:
                begun_long_ago(server)
            ports[server] = Ports(server.port, server.port + 1, free_port())
            tokens = ["--agent-token-port", str(ports[server].tokens), "--agent-token-address", f"127.0.0.1:{before.tokens}"]
            return ["--gateway-address", f"127.0.0.1:{before.gateway}", *tokens]

        servers = stack.enter_context(over_one_database(folder, database.dsn(), 2, more=more))
        both = await stack.enter_async_context(clients(servers))
        made = Pair(servers, balancer, ports, both, folder)
        made.lead_to(servers[0])
        yield made


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    if why := why_not("wheel"):
        pytest.skip(why)
    async with two_servers(tmp_path) as made:
        yield made


async def condition(client: HttpClient, ref: Ref, name: str, kind: str, namespace: str = "") -> Json:
    status = (await client.get(ref, name, namespace))["status"]
    found: Json = next(each for each in status["conditions"] if each["type"] == kind)
    return found


def strangers(name: str) -> Json:
    """A cluster that somebody else asks the far end for."""
    pools = [{"class": "default-worker", "name": "md-0", "replicas": 2}]
    topology = {"classRef": {"name": "quick-start"}, "version": "v1.34.2", "controlPlane": {"replicas": 1}}
    spec = {"topology": {**topology, "workers": {"machineDeployments": pools}}}
    return {"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": name, "namespace": TEAM}, "spec": spec}


def pools_of(obj: Json) -> list[str]:
    return [each["name"] for each in obj["spec"]["topology"]["workers"]["machineDeployments"]]


async def test_a_cluster_is_found_and_adopted_through_whichever_server_holds_the_agent(pair: Pair) -> None:
    one, two = pair.servers
    here = pair.clients[1]
    name = await pair.name_for(two)
    async with simulated() as target, HttpClient(target) as far:
        await far.create(FAR_CLUSTERS, strangers("shop"))
        agent = await pair.agent(name, far)
        with agent.running():
            await pair.holds(one, name)

            async def ready(cluster: str) -> Json | None:
                found = await here.get(CLUSTERS, cluster, name)
                return found if found["status"]["phase"] == "Ready" else None

            shown = await eventually(lambda: ready(SHOP), 120)
            assert shown["spec"]["managementPolicy"] == "Observe"
            before = await far.get(FAR_CLUSTERS, "shop", TEAM)
            await here.patch(CLUSTERS, SHOP, name, PatchKind.MERGE, {"spec": {"managementPolicy": "Manage"}})
            await pair.kill(one, two)
            await far.create(FAR_CLUSTERS, strangers("late"))

            async def adopted() -> bool:
                return bool((await condition(here, CLUSTERS, SHOP, "Applied", name))["status"] == "True")

            await eventually(adopted, 120)
            await pair.holds(two, name)
            after = await far.get(FAR_CLUSTERS, "shop", TEAM)
            assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
            assert after["metadata"]["generation"] == before["metadata"]["generation"]
            assert "skerry-agent" in {each["manager"] for each in after["metadata"]["managedFields"]}
            assert (await here.get(CLUSTERS, SHOP, name))["metadata"]["uid"] == shown["metadata"]["uid"]

            late = await eventually(lambda: ready(f"{TEAM}.late"), 120)
            assert late["spec"]["managementPolicy"] == "Observe"
            pool = {"apiVersion": API_VERSION, "kind": "NodePool", "metadata": {"name": f"{SHOP}.md-1", "namespace": name}}
            await here.create(POOLS, {**pool, "spec": {"replicas": 1}})

            async def grown() -> bool:
                found = await here.list(POOLS, name)
                assert {each["metadata"]["name"] for each in found["items"]} == {f"{SHOP}.md-0", f"{SHOP}.md-1", f"{TEAM}.late.md-0"}
                return pools_of(await far.get(FAR_CLUSTERS, "shop", TEAM)) == ["md-0", "md-1"]

            await eventually(grown, 120)
            assert len((await here.list(SETS, name))["items"]) == 1
            assert len((await here.list(CLUSTERS, name))["items"]) == 2
            assert pools_of(await far.get(FAR_CLUSTERS, "late", TEAM)) == ["md-0"]


async def test_an_agent_that_proves_itself_by_statements_is_believed_by_the_other_server_too(pair: Pair) -> None:
    one, two = pair.servers
    async with simulated() as target, HttpClient(target) as far:
        (pair.folder / "proxy.crt").write_bytes(front_root(one))
        agent = await pair.agent("far", far, "--trust-proxy-ca", str(pair.folder / "proxy.crt"))

        async def told(at: Server, value: str) -> None:
            """Ask for something at a server, and wait until the cluster has it and its API is reached from there."""
            here = pair.clients[pair.servers.index(at)]
            body = {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": {"name": "set", "namespace": "far"}}
            spec = {"ownerEpoch": 1, "manifests": [config_map("told", "default", v=value)]}

            async def asked() -> bool:
                return bool(await here.apply(SETS, {**body, "spec": spec}, manager="test"))

            async def done() -> bool:
                there = await here.raw("GET", "/k8s/far/api/v1/namespaces/default/configmaps/told")
                return bool(there["data"] == {"v": value})

            await eventually(asked)
            await eventually(done, 120)

        with agent.running():
            await pair.holds(one, "far")
            await told(one, "1")
            first = await far.get(MAPS, "told", "default")
            await pair.kill(one, two)
            await pair.holds(two, "far")
            await told(two, "2")
            agent.stop()
            agent.age(two, days=60)
            old = agent.identity
            agent.start()
            await pair.holds(two, "far")
            await told(two, "3")
            assert not agent.identity.expired(datetime.now(UTC))
            assert agent.identity.key != old.key
            await asyncio.to_thread(one.start)
            pair.lead_to(one)
            await asyncio.to_thread(two.stop)
            await pair.holds(one, "far")
            await told(one, "4")
            assert (await far.get(MAPS, "told", "default"))["metadata"]["uid"] == first["metadata"]["uid"]
    assert {pair.ports[each].tokens for each in (one, two)} <= pair.balancer.led, "it came with statements"
    said = [server.log.read_text() for server in pair.servers]
    assert ['"registered an agent"' in each for each in said] == [True, False]
    assert ["renewed the certificate of an agent that was away" in each for each in said] == [False, True]
