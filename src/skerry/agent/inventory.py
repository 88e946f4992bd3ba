"""Inventory: the subscribed kinds of the cluster, sent as deltas.

One informer per kind lives as long as the agent; a session only decides what is sent. When a
session begins, or the gateway asks for everything again, the numbering starts anew: every kind
is sent whole, marked complete. After that only what changed, many changes of one object as one.
Kinds that the cluster does not serve are looked for again now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from skerry.agent.discovery import KindMap
from skerry.client.contract import Client
from skerry.kit.aio import TaskOwner
from skerry.kit.log import get
from skerry.machinery.document import dumps
from skerry.machinery.resource import Json
from skerry.runtime.informer import Informer
from skerry.tunnel import link_pb2 as pb

GATHER_SECONDS = 0.1
LOOK_FOR_KINDS_EVERY = 10.0
MOST_ITEMS = 200

KindName = tuple[str, str]
Send = Callable[[pb.InventoryDelta], Awaitable[None]]

log = get("agent.inventory")


def trimmed(obj: Json) -> bytes:
    """An object without what nobody at the far end reads."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    annotations = metadata.get("annotations")
    if annotations:
        kept = {name: value for name, value in annotations.items() if not name.endswith("last-applied-configuration")}
        metadata["annotations"] = kept
    return dumps({**obj, "metadata": metadata})


class InventoryWatch:
    """Follows the kinds that a gateway subscribed to."""

    def __init__(self, client: Client, kinds: KindMap) -> None:
        """Nothing is watched before somebody subscribes."""
        self._client = client
        self._kinds = kinds
        self._wanted: set[KindName] = set()
        self._informers: dict[KindName, Informer] = {}
        self._dirty: set[tuple[KindName, str]] = set()
        self._whole: set[KindName] = set()
        self._again = True
        self._wake = asyncio.Event()
        self._look = asyncio.Event()

    def subscribe(self, kinds: list[KindName]) -> None:
        """Follow these kinds from now on."""
        self._wanted |= set(kinds)
        self._look.set()

    def restart(self) -> None:
        """Begin anew: everything is sent again."""
        self._again = True
        self._wake.set()

    async def run(self) -> None:
        """Keep an informer for every wanted kind that the cluster serves, until cancelled."""
        async with TaskOwner("inventory") as owner:
            while True:
                self._look.clear()
                for kind in sorted(self._wanted - set(self._informers)):
                    ref = await self._kinds.preferred(*kind)
                    if ref is None:
                        continue
                    informer = Informer(self._client, ref)
                    informer.listen(lambda key, kind=kind: self._changed(kind, key))  # type: ignore[misc] # binds the loop's value
                    self._informers[kind] = informer
                    owner.spawn(informer.run(), ref.plural)
                    owner.spawn(self._once_synced(kind, informer), f"{ref.plural}-synced")
                try:
                    async with asyncio.timeout(LOOK_FOR_KINDS_EVERY if set(self._informers) != self._wanted else None):
                        await self._look.wait()
                except TimeoutError:
                    continue

    async def _once_synced(self, kind: KindName, informer: Informer) -> None:
        await informer.synced.wait()
        self._whole.add(kind)
        self._wake.set()

    def _changed(self, kind: KindName, key: str) -> None:
        self._dirty.add((kind, key))
        self._wake.set()

    async def stream(self, send: Send) -> None:
        """Send deltas over one session, until cancelled."""
        sequence = 0
        self._again = True
        self._wake.set()
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()
            if self._again:
                self._again, sequence = False, 0
                self._dirty.clear()
                self._whole = {kind for kind, informer in self._informers.items() if informer.synced.is_set()}
            for delta in self._deltas():
                sequence += 1
                delta.sequence = sequence
                await send(delta)

    def _deltas(self) -> list[pb.InventoryDelta]:
        whole, self._whole = self._whole, set()
        dirty, self._dirty = self._dirty, set()
        deltas = []
        for kind in sorted(whole):
            items = [self._item(kind, key) for key in self._informers[kind].known()]
            deltas.append(pb.InventoryDelta(items=items, complete=[pb.ResourceKind(group=kind[0], plural=kind[1])]))
        rest = [(kind, key) for kind, key in sorted(dirty) if kind not in whole and self._informers[kind].synced.is_set()]
        deltas += [
            pb.InventoryDelta(items=[self._item(*each) for each in rest[begin : begin + MOST_ITEMS]])
            for begin in range(0, len(rest), MOST_ITEMS)
        ]
        return deltas

    def _item(self, kind: KindName, key: str) -> pb.InventoryItem:
        obj = self._informers[kind].get(key)
        namespace, _, name = key.rpartition("/")
        return pb.InventoryItem(
            kind=pb.ResourceKind(group=kind[0], plural=kind[1]), namespace=namespace, name=name, object=trimmed(obj) if obj else b""
        )
