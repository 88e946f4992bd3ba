"""Desired state in the cluster: applied, kept, pruned, and taken away again.

* Objects are applied by server-side apply under our own manager; a field that somebody else
  owns is a conflict that is reported, never forced.
* Namespaces and CRDs come first; what cannot be applied yet fails alone and is tried again.
* What was applied is remembered in the cluster itself, in a ConfigMap per set, before it is
  applied: an agent that restarts, or another one, prunes what left the set. Only what stands
  in that memory is ever deleted.
* A removed set goes in reverse order, and is gone when every object is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from skerry.agent.discovery import KindMap
from skerry.client.contract import Client, Ref
from skerry.machinery.document import loads
from skerry.machinery.errors import AlreadyExists, ApiError, Conflict, NotFound
from skerry.machinery.resource import Json
from skerry.tunnel import link_pb2 as pb

MANAGER = "skerry-agent"
NAMESPACE = "skerry-agent"
NAMESPACES, CONFIGMAPS = Ref("", "v1", "namespaces", namespaced=False), Ref("", "v1", "configmaps")
FIRST = {"Namespace": 0, "CustomResourceDefinition": 1}


class Identity(NamedTuple):
    """Which object."""

    api_version: str
    kind: str
    namespace: str
    name: str


def identity_of(obj: Json) -> Identity:
    """Which object a manifest is; raises ValueError if it does not say."""
    metadata = obj.get("metadata") or {}
    if not (obj.get("apiVersion") and obj.get("kind") and metadata.get("name")):
        raise ValueError("a manifest needs apiVersion, kind and metadata.name")
    return Identity(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"])


def in_order(manifests: Sequence[Json]) -> list[Json]:
    """Namespaces first, then CRDs, then everything else as it stands."""
    return sorted(manifests, key=lambda obj: FIRST.get(str(obj.get("kind")), 2))


@dataclass(slots=True)
class Memory:
    """What a set has applied, as remembered in the cluster."""

    epoch: int
    generation: int
    objects: list[Identity]


class Applier:
    """Enforces sets in one cluster."""

    def __init__(self, client: Client, kinds: KindMap) -> None:
        """``client`` reaches the cluster's API."""
        self._client = client
        self._kinds = kinds

    async def enforce(self, state: pb.DesiredState) -> pb.DesiredResult:
        """Bring the cluster to a set; raises ApiError only where not even the memory can be kept."""
        result = pb.DesiredResult(set=state.set, owner_epoch=state.owner_epoch, generation=state.generation)
        memory = await self._recall(state.set)
        if memory is not None and (state.owner_epoch, state.generation) < (memory.epoch, memory.generation):
            result.refused = f"epoch {memory.epoch}, generation {memory.generation} was enforced already"
            return result
        before = memory.objects if memory else []
        if state.remove:
            result.objects.extend(await self._take_away(list(reversed(before))))
            result.gone = not result.objects
            if result.gone:
                await self._forget(state.set)
            return result
        manifests = in_order([loads(each) for each in state.manifests])
        wanted = [identity_of(obj) for obj in manifests]
        left = [each for each in before if each not in wanted]
        if wanted or before:
            await self._remember(state, [*wanted, *left])
        result.objects.extend([await self._apply(obj) for obj in manifests])
        if left:
            waiting = await self._take_away(list(reversed(left)))
            result.objects.extend(waiting)
            if not waiting:
                await self._remember(state, wanted)
        return result

    async def _apply(self, obj: Json) -> pb.ObjectResult:
        which = identity_of(obj)
        try:
            ref = await self._kinds.ref(which.api_version, which.kind)
            await self._client.apply(ref, obj, manager=MANAGER)
        except Conflict as error:
            return _result(which, pb.OUTCOME_FAILED, "Conflict", error.message)
        except NotFound as error:
            return _result(which, pb.OUTCOME_WAITING, "NotFound", error.message)
        except ApiError as error:
            return _result(which, pb.OUTCOME_FAILED, error.reason, error.message)
        return _result(which, pb.OUTCOME_APPLIED, "", "")

    async def _take_away(self, objects: Sequence[Identity]) -> list[pb.ObjectResult]:
        """Delete objects, one after the other is gone; returns what is still there."""
        for index, which in enumerate(objects):
            try:
                ref = await self._kinds.ref(which.api_version, which.kind)
                await self._client.delete(ref, which.name, which.namespace, propagation="Background")
                await self._client.get(ref, which.name, which.namespace)
            except NotFound:
                continue
            except ApiError as error:
                return [_result(which, pb.OUTCOME_FAILED, error.reason, error.message)]
            rest = [
                _result(each, pb.OUTCOME_WAITING, "WaitsForAnother", f"{which.kind} {which.name} goes first")
                for each in objects[index + 1 :]
            ]
            return [_result(which, pb.OUTCOME_WAITING, "BeingDeleted", "it has finalizers that are still at work"), *rest]
        return []

    # the memory

    def _memory_name(self, name: str) -> str:
        return f"manifest-set-{hashlib.sha256(name.encode()).hexdigest()[:24]}"

    async def _recall(self, name: str) -> Memory | None:
        try:
            found = await self._client.get(CONFIGMAPS, self._memory_name(name), NAMESPACE)
        except NotFound:
            return None
        data = found.get("data") or {}
        objects = [Identity(*each) for each in json.loads(data.get("objects", "[]"))]
        return Memory(int(data.get("ownerEpoch", "0")), int(data.get("generation", "0")), objects)

    async def _remember(self, state: pb.DesiredState, objects: Sequence[Identity]) -> None:
        body: Json = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self._memory_name(state.set), "namespace": NAMESPACE},
            "data": {
                "set": state.set,
                "ownerEpoch": str(state.owner_epoch),
                "generation": str(state.generation),
                "objects": json.dumps(list(objects)),
            },
        }
        try:
            await self._client.apply(CONFIGMAPS, body, manager=MANAGER, force=True)
        except NotFound:
            await self._make_namespace()
            await self._client.apply(CONFIGMAPS, body, manager=MANAGER, force=True)

    async def _make_namespace(self) -> None:
        try:
            await self._client.create(
                NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, manager=MANAGER
            )
        except AlreadyExists:
            return

    async def _forget(self, name: str) -> None:
        try:
            await self._client.delete(CONFIGMAPS, self._memory_name(name), NAMESPACE)
        except NotFound:
            return


def _result(which: Identity, outcome: pb.Outcome, reason: str, message: str) -> pb.ObjectResult:
    return pb.ObjectResult(
        api_version=which.api_version,
        kind=which.kind,
        namespace=which.namespace,
        name=which.name,
        outcome=outcome,
        reason=reason,
        message=message[:4096],
    )
