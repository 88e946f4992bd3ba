"""A simulated management cluster: a Kubernetes API in memory with Cluster API's kinds and behaviour.

It is served over TLS like a real one and reached by the same client and the same agent; only
its machines are imaginary. Faults are set by people through its API: ConfigMap ``faults`` in
namespace ``sim``, with ``slow: "md-0=30"``, ``fail: md-1``, ``quota: "5"`` or
``unreachable: "20"`` (seconds during which the API answers nobody).
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, MutableMapping, Sequence
from typing import Any

from skerry.client.connection import Connection
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.kinds.catalogue import CORE
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.crd import OPEN, resources
from skerry.machinery.errors import Unauthorized
from skerry.machinery.identity import Attributes, Decision, Rule, User
from skerry.machinery.resource import Column, Json, Resource
from skerry.machinery.schema import Schema
from skerry.restapi.contract import Peer, Record
from skerry.restapi.registry import Registry
from skerry.restapi.request import Receive
from skerry.restapi.response import Send
from skerry.restapi.reviews import REVIEWS
from skerry.restapi.server import ApiServer
from skerry.runtime.garbage import GarbageCollector
from skerry.runtime.informer import Informer
from skerry.runtime.namespaces import NamespaceController
from skerry.sim.definitions import definitions
from skerry.sim.engine import Engine
from skerry.sim.faults import read
from skerry.sim.plan import Faults, Tempo
from skerry.store.memory import MemoryStore

CRDS = Resource(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    short_names=("crd",),
    namespaced=False,
    schema=Schema({"type": "object", "properties": {"spec": OPEN, "status": OPEN}}),
    status=True,
    columns=(Column("Created at", ".metadata.creationTimestamp", "date"),),
)
CRD_REF = Ref("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
NAMESPACES, CONFIGMAPS = Ref("", "v1", "namespaces", namespaced=False), Ref("", "v1", "configmaps")
CLASSES = Ref("cluster.x-k8s.io", "v1beta2", "clusterclasses")
FAULTS_KEY = "sim/faults"

log = get("sim.site")


class Keeper:
    """Lets the holder of one token do everything, and nobody else anything; writes nothing down."""

    def __init__(self, token: str) -> None:
        """``token`` is the site's only credential."""
        self._token = token

    async def authenticate(self, peer: Peer, token: str) -> User | None:  # noqa: ARG002 certificates mean nothing here
        """Know the holder of the token."""
        if not token:
            return None
        if not secrets.compare_digest(token, self._token):
            raise Unauthorized
        return User("kubernetes-admin", groups=("system:masters",))

    def authorize(self, attributes: Attributes) -> Decision:
        """Allow the holder everything."""
        return Decision("system:masters" in attributes.user.groups)

    def rules(self, user: User, namespace: str) -> Sequence[Rule]:  # noqa: ARG002 there is one user
        """Everything."""
        return [Rule(("*",), ("*",), ("*",))]

    def record(self, record: Record) -> None:
        """Forget it."""


class Site:
    """One simulated management cluster."""

    def __init__(self, clock: Clock, *, tempo: Tempo | None = None, version: str = "v1.37.0") -> None:
        """Nothing runs before ``running``."""
        self.token = secrets.token_urlsafe(32)
        self._clock = clock
        self._tempo = tempo or Tempo()
        keeper = Keeper(self.token)
        self.api = ApiServer(
            MemoryStore(),
            Registry((*CORE, CRDS, *REVIEWS)),
            authenticator=keeper,
            authorizer=keeper,
            audit=keeper,
            clock=clock,
            version=version,
        )
        self._faults: Informer | None = None
        self._silent_until = 0.0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request, unless the site is out of reach on demand."""
        if self._clock.monotonic() < self._silent_until:
            await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.api(scope, receive, send)

    @contextlib.asynccontextmanager
    async def running(self, connection: Connection, provisioners: Sequence[str]) -> AsyncIterator[None]:
        """Install the kinds and a ClusterClass per provisioner, and behave, until the block is left. ``connection`` reaches ``self``."""
        async with HttpClient(connection, user_agent="cluster-api") as client, TaskOwner("site") as owner:
            for definition in definitions():
                await client.create(CRD_REF, definition)
                await self.api.serve_kinds(resources(definition))
            for name in ("default", "kube-system", "sim", *provisioners):
                await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            for name in provisioners:
                await client.create(CLASSES, cluster_class(name))
            self._faults = Informer(client, CONFIGMAPS, namespace="sim")
            self._faults.listen(self._fault_changed)
            owner.spawn(self._faults.run(), "faults")
            owner.spawn(NamespaceController(client).run(), "namespaces")
            owner.spawn(GarbageCollector(client).run(), "garbage")
            owner.spawn(Engine(client, self._clock, self._tempo, self.faults).run(), "cluster-api")
            yield

    def _data(self) -> Json:
        found = self._faults.get(FAULTS_KEY) if self._faults else None
        return (found or {}).get("data") or {}

    def _fault_changed(self, key: str) -> None:
        if key != FAULTS_KEY:
            return
        asked = read(self._data())
        if asked.silent_seconds:
            self._silent_until = self._clock.monotonic() + asked.silent_seconds
        for problem in asked.problems:
            log.warning("a fault was not understood", problem=problem)

    def faults(self) -> Faults:
        """What shall go wrong now."""
        return read(self._data()).faults


def cluster_class(namespace: str, name: str = "quick-start") -> Json:
    """The class that simulated clusters are made from."""
    schema = {"openAPIV3Schema": {"type": "string", "default": "small", "enum": ["small", "medium", "large"]}}
    variable = {"name": "machineSize", "required": False, "schema": schema}
    definition = {"from": "inline", "required": False, "schema": schema}
    return {
        "apiVersion": "cluster.x-k8s.io/v1beta2",
        "kind": "ClusterClass",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "controlPlane": {
                "templateRef": {"apiVersion": "controlplane.cluster.x-k8s.io/v1beta2", "kind": "KubeadmControlPlaneTemplate", "name": name}
            },
            "workers": {"machineDeployments": [{"class": "default-worker"}]},
            "variables": [variable],
            "kubernetesVersions": ["v1.33.6", "v1.34.2", "v1.35.1"],
        },
        "status": {"variables": [{"name": "machineSize", "definitions": [definition]}]},
    }
