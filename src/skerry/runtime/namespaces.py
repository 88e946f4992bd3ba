"""The end of a namespace: when one is Terminating, everything in it is deleted, and then it is let go.

Objects with finalizers take their time; the namespace waits for them.
"""

from __future__ import annotations

from skerry.client.contract import Client, Ref
from skerry.kit.aio import TaskOwner
from skerry.machinery.errors import NotFound
from skerry.runtime.controller import Controller, Options, Source
from skerry.runtime.informer import Informer
from skerry.runtime.kinds import served_kinds

NAMESPACES = Ref("", "v1", "namespaces", namespaced=False)
FINALIZER = "kubernetes"
LOOK_AGAIN = 1.0


class NamespaceController:
    """Empties terminating namespaces of one API."""

    def __init__(self, client: Client) -> None:
        """``client`` may do everything."""
        self._client = client
        self._informer = Informer(client, NAMESPACES)

    async def run(self) -> None:
        """Work until cancelled."""
        async with TaskOwner("namespaces") as owner:
            owner.spawn(self._informer.run(), "informer")
            await Controller("namespaces", [Source(self._informer)], self.reconcile, options=Options(workers=2)).run()

    async def reconcile(self, name: str) -> float | None:
        """Empty one namespace, or finish it."""
        namespace = self._informer.get(name)
        if namespace is None or (namespace.get("status") or {}).get("phase") != "Terminating":
            return None
        left = 0
        for served in await served_kinds(self._client):
            if not served.ref.namespaced or not {"list", "delete"} <= served.verbs:
                continue
            for obj in (await self._client.list(served.ref, name))["items"]:
                left += 1
                if not obj["metadata"].get("deletionTimestamp"):
                    await self._delete(served.ref, obj["metadata"]["name"], name)
        if left:
            return LOOK_AGAIN
        finalizers = [each for each in (namespace.get("spec") or {}).get("finalizers") or () if each != FINALIZER]
        body = {**namespace, "spec": {**(namespace.get("spec") or {}), "finalizers": finalizers}}
        try:
            await self._client.replace(NAMESPACES, body, subresource="finalize")
        except NotFound:
            return None
        return None

    async def _delete(self, ref: Ref, name: str, namespace: str) -> None:
        try:
            await self._client.delete(ref, name, namespace, propagation="Background")
        except NotFound:
            return
