"""Agents that are connected to one of three servers, in reach of all of them; and an owner of their work that stood still."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest

from peers.postgresql import PostgreSql
from skerry.apiserver.http import Door
from skerry.client import kubeconfig
from skerry.client.connection import Connection
from skerry.client.contract import PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock
from skerry.machinery.errors import ApiError, Forbidden, ServiceUnavailable
from skerry.machinery.resource import Json
from skerry.runtime.leases import LEASES
from skerry.runtime.shares import SHARES, lease_name, share_of
from skerry.sim.plan import Tempo
from skerry.sim.site import Site
from tests.e2e.agents import Agent
from tests.e2e.server import Server, clients, over_one_database
from tests.e2e.test_replicas import access, holdings, ref
from tests.gateway.fleet import eventually
from tests.store.databases import why_not

SERVERS = 3
API = "fleet.skerry.dev/v1alpha1"
SITES = Ref("fleet.skerry.dev", "v1alpha1", "managementclusters", namespaced=False)
CLUSTERS, SETS = Ref("fleet.skerry.dev", "v1alpha1", "clusters"), Ref("fleet.skerry.dev", "v1alpha1", "manifestsets")
MAPS = Ref("", "v1", "configmaps")
FAR_CLUSTERS = Ref("cluster.x-k8s.io", "v1beta2", "clusters")
TEAM = "team-a"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    if why := why_not("wheel"):
        pytest.skip(why)
    with PostgreSql("wheel") as database, over_one_database(tmp_path_factory.mktemp("lines"), database.dsn(), SERVERS) as made:
        yield made


@asynccontextmanager
async def simulated() -> AsyncIterator[Connection]:
    """A simulated site in this process, which no signal to a server touches."""
    clock = SystemClock()
    site = Site(clock, tempo=Tempo())
    door = Door(site, host="127.0.0.1", port=0, tls=None, clock=clock, on_stop=site.api.end_watches)
    async with site.api.running(), door.open():
        target = Connection(f"http://127.0.0.1:{door.port}", token=site.token)
        async with site.running(target, (TEAM,)):
            yield target


@dataclass
class Far:
    """A management cluster, the server that its agent dials, and its own API."""

    name: str
    server: Server
    client: HttpClient


@asynccontextmanager
async def managed(name: str, server: Server, folder: Path) -> AsyncIterator[Far]:
    """A management cluster whose agent, a process of its own, is connected to a server."""
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(simulated())
        far = await stack.enter_async_context(HttpClient(target))
        (here,) = await stack.enter_async_context(clients([server]))
        await here.create(SITES, {"apiVersion": API, "kind": "ManagementCluster", "metadata": {"name": name}})
        (folder / name).mkdir()
        (folder / name / "target").write_bytes(kubeconfig.render(target))
        agent = await asyncio.to_thread(Agent, server, name, folder / name / "target", folder / name)
        agent.start()
        stack.callback(agent.stop)

        async def connected() -> bool:
            return bool((await here.get(SITES, name))["status"]["phase"] == "Connected")

        await eventually(connected, 120)
        yield Far(name, server, far)


async def test_agents_of_three_servers_are_reached_from_each_and_a_server_that_dies_in_mid_call_takes_only_its_own_along(
    servers: list[Server], tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        all_of_them = await stack.enter_async_context(clients(servers))
        fars = [await stack.enter_async_context(managed(f"line-{number}", server, tmp_path)) for number, server in enumerate(servers)]
        through = {
            (at, far.name): await stack.enter_async_context(
                HttpClient(replace(client.connection, server=f"{client.connection.server}/k8s/{far.name}"))
            )
            for at, client in enumerate(all_of_them)
            for far in fars
        }
        for far in fars:
            await far.client.create(MAPS, {"metadata": {"name": far.name}}, "default")

        async def reached() -> bool:
            for (_, name), client in through.items():
                assert [each["metadata"]["name"] for each in (await client.list(MAPS, "default"))["items"]] == [name]
            return True

        await eventually(reached)
        for at in range(SERVERS):
            found = await all_of_them[at].raw("GET", "/skerry/v1/statistics")
            assert sorted(found["agentsByServer"].values()) == [1] * SERVERS
            assert [each["name"] for each in found["agents"]] == [fars[at].name]

        seen: dict[int, asyncio.Queue[str]] = {at: asyncio.Queue() for at in range(SERVERS)}

        async def follow(at: int) -> None:
            """A watch of the first cluster, in mid-call when its server dies: it may break off, and never just ends well."""
            with suppress(ApiError):
                async for event in through[at, fars[0].name].watch(MAPS, "default", bookmarks=False):
                    seen[at].put_nowait(event.object["metadata"]["name"])
            seen[at].put_nowait("over")

        owner = await stack.enter_async_context(TaskOwner("watches"))
        for at in range(1, SERVERS):
            owner.spawn(follow(at), f"watch {at}")
        async with asyncio.timeout(120):
            for at in range(1, SERVERS):
                assert await seen[at].get() == fars[0].name
            await asyncio.to_thread(servers[0].stop, signal.SIGKILL)
            for at in range(1, SERVERS):
                assert await seen[at].get() == "over"
                with pytest.raises(ServiceUnavailable):
                    await through[at, fars[0].name].list(MAPS, "default")
                for far in fars[1:]:
                    assert (await through[at, far.name].get(MAPS, far.name, "default"))["metadata"]["name"] == far.name
        await asyncio.to_thread(servers[0].start)
        await eventually(reached, 120)


async def test_a_right_that_is_taken_away_at_one_server_ends_what_it_opened_at_the_others(servers: list[Server], tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        here, there, _ = await stack.enter_async_context(clients(servers))
        far = await stack.enter_async_context(managed("shut", servers[2], tmp_path))
        await far.client.create(MAPS, {"metadata": {"name": "seen"}}, "default")
        allowed = [{"apiGroups": ["fleet.skerry.dev"], "resources": ["managementclusters/proxy"], "verbs": ["get"]}]
        await here.create(ref("users"), access("User", "ann", {}))
        await here.create(ref("roles"), access("Role", "looks-in", {"rules": allowed}))

        async def watched(name: str) -> tuple[HttpClient, asyncio.Queue[str]]:
            """Ann watches at another server than the one that holds the agent; gives her client, and what she sees."""
            made = await here.create(ref("apitokens"), access("APIToken", name, {"owner": "ann"}))
            server = f"{there.connection.server}/k8s/shut"
            at = replace(there.connection, certificate=None, key=None, token=made["status"]["token"], server=server)
            ann, seen = await stack.enter_async_context(HttpClient(at)), asyncio.Queue[str]()

            async def follow() -> None:
                with suppress(ApiError):
                    async for event in ann.watch(MAPS, "default", bookmarks=False):
                        seen.put_nowait(event.object["metadata"]["name"])
                seen.put_nowait("over")

            async def reached() -> bool:
                return bool(await ann.get(MAPS, "seen", "default"))

            await eventually(reached)
            owner.spawn(follow(), name)
            assert await seen.get() in {"seen", "later"}
            return ann, seen

        owner = await stack.enter_async_context(TaskOwner("watches"))
        await stack.enter_async_context(asyncio.timeout(240))
        scope = {"kind": "ManagementCluster", "name": "shut"}
        binding = access(
            "RoleBinding", "ann", {"roleRef": {"name": "looks-in"}, "scope": scope, "subjects": [{"kind": "User", "name": "ann"}]}
        )
        await here.create(ref("rolebindings"), binding)
        ann, seen = await watched("first")
        _, other = await watched("second")
        await here.delete(ref("apitokens"), "second")
        assert await other.get() == "over"
        await far.client.create(MAPS, {"metadata": {"name": "later"}}, "default")
        assert await seen.get() == "later", "it is not the token that was taken away"
        await here.delete(ref("rolebindings"), "ann")
        assert await seen.get() == "over"
        with pytest.raises(Forbidden):
            await ann.get(MAPS, "seen", "default")
        await here.create(ref("rolebindings"), binding)
        _, again = await watched("third")
        await here.patch(ref("users"), "ann", "", PatchKind.MERGE, {"spec": {"disabled": True}})
        while await again.get() != "over":
            pass


async def name_for(holder: Server) -> str:
    """The name of a management cluster that would fall to a server."""
    return next(name for number in count() if share_of(name := f"still-{number}") in holdings(holder)[-1])


def epochs(log: Path) -> list[Json]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{") and "no member any more" in line]


async def test_an_owner_that_stood_still_does_nothing_twice_and_what_it_still_sends_is_refused(
    servers: list[Server], tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        here, *_ = await stack.enter_async_context(clients(servers))
        still = servers[1]

        async def divided() -> bool:
            return sorted(share for server in servers for share in holdings(server)[-1]) == list(range(SHARES))

        await eventually(divided, 120)
        name = await name_for(still)
        far = await stack.enter_async_context(managed(name, servers[0], tmp_path))

        async def replicas(wanted: int) -> Json:
            """Ask for so many control plane machines, and wait until the far end was told."""
            metadata = {"name": f"{TEAM}.shop", "namespace": name}
            spec = {"version": "v1.34.2", "class": {"name": "quick-start"}, "controlPlane": {"replicas": wanted}}

            async def asked() -> bool:
                return bool(
                    await here.apply(CLUSTERS, {"apiVersion": API, "kind": "Cluster", "metadata": metadata, "spec": spec}, manager="test")
                )

            await eventually(asked)

            async def told() -> Json | None:
                found = await far.client.get(FAR_CLUSTERS, "shop", TEAM)
                return found if found["spec"]["topology"]["controlPlane"]["replicas"] == wanted else None

            found: Json = await eventually(told, 120)
            return found

        async def epoch() -> int:
            return int((await here.get(LEASES, lease_name(name), "skerry-system"))["metadata"]["resourceVersion"])

        first = await replicas(1)
        old_epoch = await epoch()
        old = next(each for each in (await here.list(SETS, name))["items"] if each["spec"]["manifests"][0]["kind"] == "Cluster")
        assert old["spec"]["ownerEpoch"] == old_epoch
        joined = len(epochs(still.log))
        still.signal(signal.SIGSTOP)
        second = await replicas(3)
        assert await epoch() > old_epoch
        still.signal(signal.SIGCONT)

        async def joined_again() -> bool:
            return len(epochs(still.log)) > joined and await divided()

        await eventually(joined_again, 120)
        third = await replicas(5)
        assert [each["metadata"]["uid"] for each in (second, third)] == [first["metadata"]["uid"]] * 2
        watch = here.watch(SETS, name, fields=f"metadata.name={old['metadata']['name']}", bookmarks=False)
        late = {"spec": {"ownerEpoch": old_epoch, "manifests": old["spec"]["manifests"]}}  # as if it had been on its way all the time
        refused = False
        async with asyncio.timeout(240):
            async for event in watch:
                status, spec = event.object.get("status") or {}, event.object["spec"]
                reason = next(each["reason"] for each in status["conditions"] if each["type"] == "Applied")
                refused = refused or (reason == "Refused" and spec["ownerEpoch"] == old_epoch)
                up_to_date = status["observedGeneration"] == event.object["metadata"]["generation"]
                if reason != "Applied" or not up_to_date or spec["ownerEpoch"] == old_epoch:
                    continue
                if refused:
                    break  # and the owner has put it right
                await here.patch(SETS, old["metadata"]["name"], name, PatchKind.MERGE, late)  # until the owner is slower than the agent
        assert refused
        last = await far.client.get(FAR_CLUSTERS, "shop", TEAM)
        assert last["spec"]["topology"]["controlPlane"]["replicas"] == 5
        assert last["metadata"]["uid"] == first["metadata"]["uid"]
        assert last["metadata"]["generation"] == third["metadata"]["generation"], "what the old owner asked for was never done"
