"""Inventory: the subscribed kinds of the cluster, sent as deltas.

One informer per kind lives as long as the agent; a session only decides what is sent. When a
session begins, or the gateway asks for everything again, the numbering starts anew: every kind
is listed whole, in as many deltas as it takes. After that only what changed, many changes
of one object as one.

Memory is bounded by what the cluster holds, not by how slow the gateway is: a few fields of each
object are kept (``projection.py``), pods are counted (``pods.py``), of what changed only the keys wait,
and a delta is put together when it can be sent. No delta is larger than a message may be. Kinds that
the cluster does not serve are looked for again now and then, quietly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from skerry.agent.discovery import KindMap
from skerry.agent.pods import Pods
from skerry.agent.projection import kept
from skerry.client.contract import Client, Ref
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.document import dumps
from skerry.machinery.resource import Json
from skerry.runtime.informer import SMALL_PAGE, Informer
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import KindName

GATHER_SECONDS = 0.1
LOOK_FOR_KINDS_EVERY = 10.0
MOST_ITEMS = 200
MOST_BYTES = 1024 * 1024
"""A delta is closed once it is larger; one object of Kubernetes is at most a megabyte and a half."""

NODES: KindName = ("", "nodes")
NAMESPACES: KindName = ("", "namespaces")

Send = Callable[[pb.InventoryDelta], Awaitable[None]]

log = get("agent.inventory")


class InventoryWatch:
    """Follows the kinds that a gateway subscribed to."""

    def __init__(self, client: Client, kinds: KindMap, clock: Clock) -> None:
        """Nothing is watched before somebody subscribes."""
        self._client = client
        self._kinds = kinds
        self._clock = clock
        self._wanted: set[KindName] = set()
        self._informers: dict[KindName, Informer] = {}
        self._following: dict[KindName, asyncio.Task[None]] = {}
        self._dirty: set[tuple[KindName, str]] = set()
        self._whole: set[KindName] = set()
        self._again = True
        self._wake = asyncio.Event()
        self._look = asyncio.Event()
        self._pods = Pods(client, lambda name: self._counted(NODES, name), lambda name: self._counted(NAMESPACES, name))
        self._counting: asyncio.Task[None] | None = None

    def subscribe(self, kinds: Iterable[KindName]) -> None:
        """Follow these kinds, and no others, from now on."""
        self._wanted = set(kinds)
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
                for kind in set(self._following) - self._wanted:
                    self._following.pop(kind).cancel()
                    del self._informers[kind]
                for kind in sorted(self._wanted - set(self._following)):
                    ref = await self._kinds.preferred(*kind)
                    if ref is not None:
                        self._informers[kind] = Informer(self._client, ref, keep=kept(kind), page=SMALL_PAGE)
                        self._following[kind] = owner.spawn(self._follow(kind, ref), ref.plural)
                counting = await self._count(owner)
                missing = set(self._following) != self._wanted or not counting
                try:
                    async with asyncio.timeout(LOOK_FOR_KINDS_EVERY if missing else None):
                        await self._look.wait()
                except TimeoutError:
                    continue

    def seen(self, kind: KindName) -> Iterable[Json]:
        """What is known now of a kind. They are shared: do not change them."""
        return self._informers[kind].all() if self._synced(kind) else ()

    async def _count(self, owner: TaskOwner) -> bool:
        """Follow the pods while nodes or namespaces are reported; returns whether that is as it should be."""
        wanted = bool({NODES, NAMESPACES} & set(self._following))
        if wanted and self._counting is None and await self._kinds.preferred("", "pods") is not None:
            self._counting = owner.spawn(self._pods.informer.run(), "pods")
        elif not wanted and self._counting is not None:
            self._counting.cancel()
            self._counting = None
        return wanted == (self._counting is not None)

    def _counted(self, kind: KindName, name: str) -> None:
        if kind in self._informers and self._informers[kind].get(name) is not None:
            self._changed(kind, name)

    async def _follow(self, kind: KindName, ref: Ref) -> None:
        informer = self._informers[kind]
        informer.listen(lambda key: self._changed(kind, key))
        async with TaskOwner(ref.plural) as owner:
            running = owner.spawn(informer.run(), "informer")
            await informer.synced.wait()
            self._whole.add(kind)
            self._wake.set()
            await running

    def _changed(self, kind: KindName, key: str) -> None:
        self._dirty.add((kind, key))
        self._wake.set()

    async def stream(self, send: Send) -> None:
        """Send deltas over one session, until cancelled; ``send`` waits while the gateway is slow."""
        sequence = 0
        self.restart()
        while True:
            await self._wake.wait()
            await self._clock.sleep(GATHER_SECONDS)
            self._wake.clear()
            if self._again:
                self._again, sequence = False, 0
                self._dirty.clear()
                self._whole = {kind for kind, informer in self._informers.items() if informer.synced.is_set()}
            for delta in self._deltas():
                if self._again:
                    break  # whatever is left is part of everything
                sequence += 1
                delta.sequence = sequence
                await send(delta)

    def _deltas(self) -> Iterator[pb.InventoryDelta]:
        whole, self._whole = self._whole & set(self._informers), set()
        dirty, self._dirty = self._dirty, set()
        for kind in sorted(whole):
            yield from self._listing(kind)
        rest = [(kind, key) for kind, key in sorted(dirty) if kind not in whole and self._synced(kind)]
        for items in self._batches(rest):
            yield pb.InventoryDelta(items=items)

    def _listing(self, kind: KindName) -> Iterator[pb.InventoryDelta]:
        name = pb.ResourceKind(group=kind[0], plural=kind[1])
        last = pb.InventoryDelta(begins=[name])
        for items in self._batches([(kind, key) for key in self._informers[kind].known()]):
            if last.items:
                yield last
                last = pb.InventoryDelta()
            last.items.extend(items)
        last.complete.append(name)
        yield last

    def _batches(self, keys: Sequence[tuple[KindName, str]]) -> Iterator[list[pb.InventoryItem]]:
        """Items as they are at the moment when their batch is asked for."""
        items: list[pb.InventoryItem] = []
        size = 0
        for kind, key in keys:
            items.append(self._item(kind, key))
            size += len(items[-1].object)
            if len(items) >= MOST_ITEMS or size >= MOST_BYTES:
                yield items
                items, size = [], 0
        if items:
            yield items

    def _synced(self, kind: KindName) -> bool:
        return kind in self._informers and self._informers[kind].synced.is_set()

    def _item(self, kind: KindName, key: str) -> pb.InventoryItem:
        obj = self._informers[kind].get(key) if kind in self._informers else None
        namespace, _, name = key.rpartition("/")
        if obj is not None and kind == NODES:
            obj = {**obj, "counted": {"requests": self._pods.on_node(name)}}
        elif obj is not None and kind == NAMESPACES:
            obj = {**obj, "counted": {"pods": self._pods.in_namespace(name)}}
        return pb.InventoryItem(
            kind=pb.ResourceKind(group=kind[0], plural=kind[1]), namespace=namespace, name=name, object=dumps(obj) if obj else b""
        )

    def objects(self) -> dict[KindName, int]:
        """How many objects of each kind are known."""
        return {kind: informer.statistics()["objects"] for kind, informer in self._informers.items()}

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        held = sum(informer.statistics()["objects"] for informer in self._informers.values())
        return {"kinds": len(self._informers), "objects": held, "changed": len(self._dirty)}
