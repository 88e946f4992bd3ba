"""The simulated site in the process of an embedded server: a management cluster called ``demo``, its agent, a few clusters.

The site is served on a loopback port of its own, and the agent is the real one: it registers
with a one-time token at the front door, dials the gateway, and knows no more of the server
than any agent does. The demonstration clusters are ordinary objects, applied at the Kubernetes
door; who deletes one does not see it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from skerry.agent import identity as identities
from skerry.agent.keeping import Folder
from skerry.agent.main import Agent, AgentSettings
from skerry.apiserver.http import Door
from skerry.client.connection import Connection
from skerry.client.contract import PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.compose.embedded import Running
from skerry.compose.settings import ServerSettings
from skerry.gateway.registration import OneTimeTokens
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, SystemClock
from skerry.machinery.errors import AlreadyExists, NotFound
from skerry.machinery.resource import Json
from skerry.pki import policy
from skerry.pki.files import Safe
from skerry.pki.tls import server_context
from skerry.sim.site import Site

NAME = "demo"
PROVISIONERS = ("team-a", "team-b")
MANAGER = "skerry-demo"
POPULATED = f"{GROUP}/demonstrated"
"""Annotation of the management cluster: its demonstration clusters were made."""

MANAGEMENT = Ref(GROUP, VERSION, "managementclusters", namespaced=False)
CLUSTERS, POOLS = Ref(GROUP, VERSION, "clusters"), Ref(GROUP, VERSION, "nodepools")
NAMESPACES = Ref("", "v1", "namespaces", namespaced=False)

FLEET = {
    "team-a.web": ("v1.34.2", 3, {"md-0": 3}),
    "team-a.batch": ("v1.33.6", 1, {"md-0": 2, "gpu": 1}),
    "team-b.edge": ("v1.35.1", 1, {}),
}
"""Demonstration clusters: version, control plane machines, pools."""


def _cluster(name: str, version: str, control_plane: int) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "Cluster",
        "metadata": {"name": name, "namespace": NAME},
        "spec": {"version": version, "class": {"name": "quick-start"}, "controlPlane": {"replicas": control_plane}},
    }


def _pool(cluster: str, name: str, replicas: int) -> Json:
    metadata = {"name": f"{cluster}.{name}", "namespace": NAME}
    return {"apiVersion": API_VERSION, "kind": "NodePool", "metadata": metadata, "spec": {"replicas": replicas}}


@contextlib.asynccontextmanager
async def demonstration(running: Running, settings: ServerSettings, clock: Clock | None = None) -> AsyncIterator[None]:
    """Run the simulated site and its agent until the block is left."""
    clock = clock or SystemClock()
    site = Site(clock)
    safe = Safe(settings.data / "demo")
    authority = safe.authority("root", clock.now())
    pair = safe.pair(authority, policy.SERVER, "site", "localhost", clock.now(), hosts=("localhost", "127.0.0.1"))
    door = Door(site, host="127.0.0.1", port=0, tls=server_context(pair.pem, authority.bundle), clock=clock, on_stop=site.api.end_watches)
    async with site.api.running(), door.open():
        target = Connection(f"https://127.0.0.1:{door.port}", ca=authority.bundle, token=site.token)
        async with site.running(target, PROVISIONERS):
            await _announce(running.client)
            folder = settings.data / "demo" / "agent"
            keeper = Folder(folder)
            token, _ = await OneTimeTokens(running.client, clock).make(NAME)  # the site forgets everything: it is another cluster each time
            identity = await identities.register(running.address, running.front_ca, token)
            await keeper.store(identity)
            identity = identities.moved(identity, running.gateway)
            async with HttpClient(target, user_agent="skerry-agent") as client, TaskOwner("demo") as owner:
                agent = Agent(identity, AgentSettings(target, folder), client, clock)
                owner.spawn(agent.run(), "agent")
                await _room(running.client, clock)
                await _populate(running.client)
                yield


async def _announce(client: HttpClient) -> None:
    """Make the management cluster, if it is not there."""
    body = {"apiVersion": API_VERSION, "kind": "ManagementCluster", "metadata": {"name": NAME}, "spec": {"provider": "ClusterAPI"}}
    with contextlib.suppress(AlreadyExists):
        await client.create(MANAGEMENT, body, manager=MANAGER)


async def _room(client: HttpClient, clock: Clock) -> None:
    """Wait for the namespace that the controllers make for the management cluster."""
    while True:
        try:
            await client.get(NAMESPACES, NAME)
        except NotFound:
            await clock.sleep(0.05)
        else:
            return


async def _populate(client: HttpClient) -> None:
    """Apply the demonstration clusters, unless all of them were once."""
    management = await client.get(MANAGEMENT, NAME)
    if POPULATED in (management["metadata"].get("annotations") or {}):
        return
    for name, (version, control_plane, pools) in FLEET.items():
        await client.apply(CLUSTERS, _cluster(name, version, control_plane), manager=MANAGER)
        for pool, replicas in pools.items():
            await client.apply(POOLS, _pool(name, pool, replicas), manager=MANAGER)
    await client.patch(MANAGEMENT, NAME, "", PatchKind.MERGE, {"metadata": {"annotations": {POPULATED: "true"}}}, manager=MANAGER)
