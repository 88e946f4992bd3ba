"""The end of a namespace: when one is Terminating, everything in it is deleted, and then it is let go.

Objects with finalizers take their time; the namespace waits for them, and its conditions tell
what is left and whom it waits for, in the words of Kubernetes. A kind that cannot be emptied
does not keep the others from being emptied.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from skerry.client.contract import Client, Ref
from skerry.kinds.common import Condition
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock, rfc3339
from skerry.machinery.errors import ApiError, NotFound
from skerry.machinery.resource import Json
from skerry.runtime.conditions import merged
from skerry.runtime.controller import Controller, Options, Source
from skerry.runtime.informer import Informer
from skerry.runtime.kinds import Served, served_kinds

NAMESPACES = Ref("", "v1", "namespaces", namespaced=False)
FINALIZER = "kubernetes"
LOOK_AGAIN = 1.0


@dataclass
class Remains:
    """What is still in a namespace: how many objects of each kind, how many per finalizer, and what went wrong."""

    objects: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether the namespace has to wait."""
        return bool(self.objects or self.failures)

    def conditions(self) -> list[Condition]:
        """The conditions of the namespace; those that are True name what it waits for."""
        kinds = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(self.objects.items()))
        finalizers = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(self.finalizers.items()))
        failed = f"Failed to delete all resource types, {len(self.failures)} remaining: {', '.join(self.failures)}"
        return [
            Condition("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", "All resources successfully discovered"),
            Condition(
                "NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions", "All legacy kube types successfully parsed"
            ),
            Condition("NamespaceDeletionContentFailure", "True", "ContentDeletionFailed", failed)
            if self.failures
            else Condition(
                "NamespaceDeletionContentFailure",
                "False",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            Condition("NamespaceContentRemaining", "True", "SomeResourcesRemain", f"Some resources are remaining: {kinds}")
            if kinds
            else Condition("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed"),
            Condition(
                "NamespaceFinalizersRemaining",
                "True",
                "SomeFinalizersRemain",
                f"Some content in the namespace has finalizers remaining: {finalizers}",
            )
            if finalizers
            else Condition("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ]


class NamespaceController:
    """Empties terminating namespaces of one API."""

    def __init__(self, client: Client) -> None:
        """``client`` may do everything."""
        self._client = client
        self._clock = SystemClock()
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
        spec = namespace.get("spec") or {}
        if FINALIZER not in (spec.get("finalizers") or ()):
            return None
        remains = Remains()
        for served in await served_kinds(self._client):
            if served.ref.namespaced and {"list", "delete"} <= served.verbs:
                await self._empty(served, name, remains)
        try:
            if remains:
                await self._tell(namespace, remains)
                return LOOK_AGAIN
            finalizers = [each for each in spec["finalizers"] if each != FINALIZER]
            await self._client.replace(NAMESPACES, {**namespace, "spec": {**spec, "finalizers": finalizers}}, subresource="finalize")
        except NotFound:
            return None
        return None

    async def _empty(self, served: Served, namespace: str, remains: Remains) -> None:
        """Delete what there is of one kind, and count what stays."""
        ref = served.ref
        try:
            for obj in (await self._client.list(ref, namespace))["items"]:
                left = obj if obj["metadata"].get("deletionTimestamp") else await self._delete(ref, obj["metadata"]["name"], namespace)
                if left is not None:
                    remains.objects[f"{ref.plural}.{ref.group}"] += 1
                    remains.finalizers.update(left["metadata"].get("finalizers") or ())
        except ApiError as error:
            remains.failures.append(error.message)

    async def _delete(self, ref: Ref, name: str, namespace: str) -> Json | None:
        """Delete one object; return it if it stays for a while."""
        try:
            left = await self._client.delete(ref, name, namespace, propagation="Background")
        except NotFound:
            return None
        return None if left.get("kind") == "Status" else left

    async def _tell(self, namespace: Json, remains: Remains) -> None:
        """Write the conditions, if they say anything new."""
        status = namespace.get("status") or {}
        old = msgspec.convert(status.get("conditions") or [], list[Condition])
        new = merged(old, remains.conditions(), rfc3339(self._clock.now()))
        if new != old:
            body = {**namespace, "status": {**status, "conditions": msgspec.to_builtins(new)}}
            await self._client.replace(NAMESPACES, body, subresource="status")
