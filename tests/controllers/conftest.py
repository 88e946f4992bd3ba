"""A whole API server over the memory store, in this process, and the far end played by hand."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from skerry.apiserver.http import Door
from skerry.client.connection import Connection
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.kinds import catalogue, observedobject
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.kit.clock import SystemClock
from skerry.machinery.document import gapped
from skerry.machinery.identity import Attributes, Decision, Rule, User
from skerry.restapi.contract import Peer, Record
from skerry.restapi.registry import Registry
from skerry.restapi.server import ApiServer
from skerry.store.contract import Key
from skerry.store.memory import MemoryStore

Json = dict[str, Any]
NOW = "2026-11-23T12:00:00Z"
FIRST = (
    b'{"apiVersion":"fleet.skerry.dev/v1alpha1","kind":"ObservedObject","metadata":{"name":"first","namespace":"elsewhere"},'
    b'"source":{"apiVersion":"v1","kind":"Node","name":"first"},"object":{}}'
)


class Everybody:
    """Lets everybody do everything and writes nothing down."""

    async def authenticate(self, peer: Peer, token: str) -> User | None:
        return User("test")

    def authorize(self, attributes: Attributes) -> Decision:
        return Decision(True)

    def rules(self, user: User, namespace: str) -> list[Rule]:
        return []

    def record(self, record: Record) -> None:
        return


class Site:
    """One installation, and what its management cluster ``sv-1`` reports."""

    def __init__(self, api: ApiServer, client: HttpClient, connection: Connection) -> None:
        self.api, self.client, self.connection = api, client, connection

    async def create(self, plural: str, kind: str, name: str, spec: Json | None = None, namespace: str = "sv-1") -> Json:
        ref = Ref(GROUP, VERSION, plural, namespaced=bool(namespace))
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        return await self.client.create(ref, {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec or {}}, namespace)

    async def get(self, plural: str, name: str, namespace: str = "sv-1") -> Json:
        return await self.client.get(Ref(GROUP, VERSION, plural, namespaced=bool(namespace)), name, namespace)

    async def set_status(self, plural: str, name: str, status: Json, namespace: str = "sv-1") -> None:
        found = await self.get(plural, name, namespace)
        ref = Ref(GROUP, VERSION, plural, namespaced=bool(namespace))
        await self.client.replace(ref, {**found, "status": status}, subresource="status")

    async def connected(self, status: str = "True") -> None:
        since = {"lastTransitionTime": NOW}
        condition = {"type": "Connected", "status": status, "reason": "Session", "message": "", **since}
        await self.set_status("managementclusters", "sv-1", {"phase": "Connected", "conditions": [condition]}, "")

    async def observe(self, obj: Json | None, kind: str, name: str, namespace: str = "team-a") -> None:
        """Report an object of the far end as the gateway would; None says that it is gone."""
        group = obj["apiVersion"].split("/")[0] if obj else "cluster.x-k8s.io"
        own = f"{kind.lower()}{'es' if kind.endswith('Class') else 's'}.{group}.{namespace}.{name}"
        value = None
        if obj is not None:
            labels = (obj["metadata"].get("labels") or {}).get("cluster.x-k8s.io/cluster-name")
            metadata: Json = {
                "name": own,
                "namespace": "sv-1",
                "uid": hashlib.sha256(own.encode()).hexdigest()[:32],
                "creationTimestamp": NOW,
            }
            metadata["labels"] = {observedobject.GROUP_LABEL: group, observedobject.PLURAL_LABEL: own.partition(".")[0]}
            if labels:
                metadata["labels"][observedobject.CLUSTER_LABEL] = labels
            source = {"apiVersion": obj["apiVersion"], "kind": kind, "name": name, "namespace": namespace}
            value = gapped(
                {
                    "apiVersion": API_VERSION,
                    "kind": "ObservedObject",
                    "metadata": metadata,
                    "source": source,
                    "object": obj,
                    "observedTime": NOW,
                }
            )
        await self.api.put_latest({(observedobject.RESOURCE.key, "sv-1", own): value})
        cache = self.api.parts.feeds.caches[observedobject.RESOURCE.key]
        async with asyncio.timeout(60):  # lists of latest values may lag behind a write: wait for the state
            while (("sv-1", own) in cache.rows) != (obj is not None) or cache.revision < (await self._newest()):  # noqa: ASYNC110 the cache has no event of its own
                await asyncio.sleep(0.005)

    async def _newest(self) -> int:
        rows = await self.api.parts.store.latest_changes("default", observedobject.RESOURCE.key, 1)
        return max((row.sequence for row in rows), default=0)


@pytest.fixture
async def bare() -> AsyncIterator[Site]:
    """An installation without anything in it."""
    store, everybody = MemoryStore(), Everybody()
    # The feed of latest values overlooks the very first one of a store and then spins, so one is there before it starts.
    await store.latest_put({Key("default", observedobject.RESOURCE.key, "elsewhere", "first"): FIRST})
    api = ApiServer(
        store,
        Registry(catalogue.ALL),
        authenticator=everybody,
        authorizer=everybody,
        audit=everybody,
        clock=SystemClock(),
        version="v1.37.0",
    )
    door = Door(api, host="127.0.0.1", port=0, tls=None, clock=SystemClock(), on_stop=api.end_watches)
    async with api.running(), door.open():
        connection = Connection(f"http://127.0.0.1:{door.port}")
        async with HttpClient(connection) as client:
            yield Site(api, client, connection)
    await store.close()


@pytest.fixture
async def site(bare: Site) -> Site:
    """An installation with a connected management cluster, a provisioner and a class."""
    namespaces = Ref("", "v1", "namespaces", namespaced=False)
    await bare.client.create(namespaces, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sv-1"}})
    await bare.create("managementclusters", "ManagementCluster", "sv-1", namespace="")
    await bare.connected()
    await bare.create("provisioners", "Provisioner", "team-a")
    offered = {"provisioner": "team-a", "apiVersion": "cluster.x-k8s.io/v1beta2", "workerClasses": ["node-pool"]}
    await bare.create("clusterclasses", "ClusterClass", "team-a.std", offered)
    return bare
