"""What each set has applied, remembered in the cluster itself: one ConfigMap per set, in our own namespace.

It is written before the cluster is changed, and holds the highest command that was enforced. So
an agent that restarts, or another one in its place, prunes what left a set, takes a removed set
away, and refuses to go back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from skerry.agent.objects import Identity, mark_of
from skerry.client.contract import Client, Ref
from skerry.machinery.errors import AlreadyExists, NotFound
from skerry.machinery.resource import Json
from skerry.tunnel.places import NAMESPACE

MANAGER = "skerry-agent"
NAMESPACES, CONFIGMAPS = Ref("", "v1", "namespaces", namespaced=False), Ref("", "v1", "configmaps")


@dataclass(frozen=True, slots=True)
class Memory:
    """The highest command of a set, and the objects that it has or may have applied, in their order."""

    set: str
    epoch: int
    generation: int
    objects: tuple[Identity, ...] = ()

    def refuse(self, epoch: int, generation: int) -> str:
        """Why a command is not taken, with the way out; empty if it is."""
        if (epoch, generation) >= (self.epoch, self.generation):
            return ""
        return (
            f"epoch {self.epoch}, generation {self.generation} was enforced already, and this is epoch {epoch}, generation {generation};"
            f" if it comes from an installation made anew, delete ConfigMap {NAMESPACE}/{_name(self.set)} in the cluster"
        )


class Memories:
    """The memories of one cluster."""

    def __init__(self, client: Client) -> None:
        """``client`` reaches the cluster's API."""
        self._client = client

    async def recall(self, name: str) -> Memory | None:
        """What is remembered of a set; None if nothing is."""
        try:
            found = await self._client.get(CONFIGMAPS, _name(name), NAMESPACE)
        except NotFound:
            return None
        data = found.get("data") or {}
        objects = tuple(Identity(*each) for each in json.loads(data.get("objects", "[]")))
        return Memory(name, int(data.get("ownerEpoch", "0")), int(data.get("generation", "0")), objects)

    async def remember(self, memory: Memory) -> None:
        """Keep a memory in the place of the one before."""
        body: Json = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": _name(memory.set), "namespace": NAMESPACE},
            "data": {
                "set": memory.set,
                "ownerEpoch": str(memory.epoch),
                "generation": str(memory.generation),
                "objects": json.dumps(memory.objects),
            },
        }
        try:
            await self._client.apply(CONFIGMAPS, body, manager=MANAGER, force=True)
        except NotFound:
            await self._make_namespace()
            await self._client.apply(CONFIGMAPS, body, manager=MANAGER, force=True)

    async def forget(self, name: str) -> None:
        """The set is gone."""
        try:
            await self._client.delete(CONFIGMAPS, _name(name), NAMESPACE)
        except NotFound:
            return

    async def _make_namespace(self) -> None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        try:
            await self._client.create(NAMESPACES, body, manager=MANAGER)
        except AlreadyExists:
            return


def _name(name: str) -> str:
    return f"manifest-set-{mark_of(name)}"
