"""Clusters that an agent can serve in a test: a real kube-apiserver, and our own API machinery in its place.

The same tests run on both, so that what holds for one is known to hold for the other.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from peers.kubernetes import Kubernetes
from skerry.apiserver.http import Door
from skerry.client import kubeconfig
from skerry.client.connection import Connection
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.kinds.catalogue import CORE
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock
from skerry.machinery.crd import resources
from skerry.machinery.errors import AlreadyExists
from skerry.restapi.registry import Registry
from skerry.restapi.reviews import REVIEWS
from skerry.restapi.server import ApiServer
from skerry.runtime.namespaces import NamespaceController
from skerry.sim.site import CRD_REF, CRDS
from skerry.store.memory import MemoryStore
from tests.gateway.fleet import Everybody

Json = dict[str, Any]
CLUSTERS = Ref("cluster.x-k8s.io", "v1beta2", "clusters")
NAMESPACES = Ref("", "v1", "namespaces", namespaced=False)


@dataclass
class Target:
    """One cluster, and its administrator's client."""

    connection: Connection
    client: HttpClient
    api: ApiServer | None = None

    async def namespace(self) -> str:
        """Make a namespace that nobody else uses."""
        name = f"t-{secrets.token_hex(4)}"
        await self.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    async def install(self, definition: Json) -> None:
        """Install a CRD, unless it is there."""
        try:
            await self.client.create(CRD_REF, definition)
        except AlreadyExists:
            return
        if self.api is not None:
            await self.api.serve_kinds(resources(definition))


def definition(kind: str, plural: str, group: str, versions: Sequence[str] = ("v1beta2",)) -> Json:
    """A CRD of a kind whose spec and status may be anything."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {"name": name, "served": True, "storage": number == 0, "schema": schema, "subresources": {"status": {}}}
                for number, name in enumerate(versions)
            ],
        },
    }


def cluster(name: str, namespace: str, **spec: Any) -> Json:
    """A Cluster of Cluster API, or something that is called so."""
    labels = {"cluster.x-k8s.io/cluster-name": name}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": metadata, "spec": spec}


@asynccontextmanager
async def real(peer: Kubernetes) -> AsyncIterator[Target]:
    """A real kube-apiserver."""
    connection = kubeconfig.read(peer.kubeconfig)
    async with HttpClient(connection) as client:
        yield Target(connection, client)


@asynccontextmanager
async def ours() -> AsyncIterator[Target]:
    """Our own API machinery."""
    clock, everybody = SystemClock(), Everybody()
    api = ApiServer(
        MemoryStore(),
        Registry((*CORE, CRDS, *REVIEWS)),
        authenticator=everybody,
        authorizer=everybody,
        audit=everybody,
        clock=clock,
        version="v1.37.0",
    )
    door = Door(api, host="127.0.0.1", port=0, tls=None, clock=clock, on_stop=api.end_watches)
    async with api.running(), door.open():
        connection = Connection(f"http://127.0.0.1:{door.port}")
        async with HttpClient(connection) as client, TaskOwner("target") as owner:
            owner.spawn(NamespaceController(client).run(), "namespaces")
            for name in ("default", "kube-system"):
                await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            yield Target(connection, client, api)
