"""A real API over the memory store, reached over HTTP as controllers reach it, with kinds that own each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from skerry.access.audit import NoAudit
from skerry.apiserver.http import Door
from skerry.client.connection import Connection
from skerry.client.contract import PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.kinds import catalogue
from skerry.kit.clock import SystemClock
from skerry.machinery.crd import resources
from skerry.machinery.errors import NotFound
from skerry.restapi.registry import Registry
from skerry.restapi.server import ApiServer
from skerry.store.memory import MemoryStore
from tests.restapi.door import Everybody, Json

GROUP = "things.example.com"
NAMESPACES = Ref("", "v1", "namespaces", namespaced=False)
EVENTS = Ref("", "v1", "events")
BOXES = Ref(GROUP, "v1", "boxes")
SHELVES = Ref(GROUP, "v1", "shelves", namespaced=False)
KINDS = {BOXES: "Box", SHELVES: "Shelf", NAMESPACES: "Namespace"}


def definition(kind: str, plural: str, scope: str, *older: str) -> Json:
    """A CRD of a kind without fields, served as v1 and in older versions."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": name, "served": True, "storage": name == "v1", "schema": schema} for name in ("v1", *older)],
        },
    }


class Api:
    """One API and a client of it that may do everything."""

    def __init__(self, server: ApiServer, client: HttpClient) -> None:
        self.server, self.client = server, client

    async def make(self, ref: Ref, name: str, namespace: str = "", *, owners: tuple[Json, ...] = (), **metadata: Any) -> Json:
        """Create an object with some owners."""
        version = f"{ref.group}/{ref.version}" if ref.group else ref.version
        body: Json = {"apiVersion": version, "kind": KINDS[ref], "metadata": {"name": name, **metadata}}
        if owners:
            body["metadata"]["ownerReferences"] = list(owners)
        return await self.client.create(ref, body, namespace)

    async def get(self, ref: Ref, name: str, namespace: str = "") -> Json | None:
        """An object; None if it is not there."""
        try:
            return await self.client.get(ref, name, namespace)
        except NotFound:
            return None

    async def gone(self, ref: Ref, name: str, namespace: str = "") -> None:
        """Wait until an object is not there."""
        await self.until(lambda: self.get(ref, name, namespace), lambda found: found is None)

    async def until(self, look: Callable[[], Coroutine[Any, Any, Any]], there: Callable[[Any], object]) -> Any:
        """Look until what is seen is what is waited for, a minute at most."""
        found: object = None
        try:
            async with asyncio.timeout(60):
                while not there(found := await look()):  # noqa: ASYNC110 the API has no event for it
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"still so after a minute: {found}") from None
        return found

    async def release(self, ref: Ref, name: str, namespace: str = "") -> None:
        """Take an object's finalizers away."""
        await self.client.patch(ref, name, namespace, PatchKind.MERGE, {"metadata": {"finalizers": None}})


def owner(obj: Json, **more: Any) -> Json:
    """A reference to an owner."""
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"], **more}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """Boxes that live in namespaces, shelves that do not, and the namespaces ``a`` and ``b``."""
    everybody = Everybody()
    boxes, shelves = definition("Box", "boxes", "Namespaced", "v1beta1"), definition("Shelf", "shelves", "Cluster")
    server = ApiServer(
        MemoryStore(),
        Registry((*catalogue.CORE, *resources(boxes), *resources(shelves))),
        authenticator=everybody,
        authorizer=everybody,
        audit=NoAudit(),
        clock=SystemClock(),
        version="v1.37.0",
    )
    door = Door(server, host="127.0.0.1", port=0, tls=None, clock=SystemClock(), on_stop=server.end_watches)
    async with server.running(), door.open(), HttpClient(Connection(f"http://127.0.0.1:{door.port}")) as client:
        found = Api(server, client)
        for name in ("a", "b"):
            await found.make(NAMESPACES, name)
        yield found
