"""Garbage collection by owner references, for any API: what is owned goes when its owners are gone.

* An object all of whose owners are gone (by uid) is deleted, in the background.
* An owner with ``foregroundDeletion`` waits: its dependents are deleted first, and the finalizer
  falls when none is left that blocks it.
* An owner with ``orphan`` lets go: its reference is taken out of its dependents first.

An absent owner is looked up once before anything is deleted: a cache may be behind.
"""

from __future__ import annotations

import asyncio

from skerry.client.contract import Client, PatchKind, Ref
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock
from skerry.kit.log import get
from skerry.machinery.errors import ApiError, NotFound
from skerry.machinery.resource import Json
from skerry.runtime.informer import Informer
from skerry.runtime.kinds import Served, served_kinds
from skerry.runtime.queue import WorkQueue

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
UNTRACKED = frozenset(("events", "leases"))
NEW_KINDS_EVERY = 30.0

log = get("runtime.garbage")


class GarbageCollector:
    """Collects the garbage of one API."""

    def __init__(self, client: Client) -> None:
        """``client`` may do everything."""
        self._client = client
        self._kinds: dict[tuple[str, str], Served] = {}
        self._informers: dict[tuple[str, str], Informer] = {}
        self._queue = WorkQueue(SystemClock(), "garbage")

    async def run(self) -> None:
        """Work until cancelled."""
        async with TaskOwner("garbage") as owner:
            owner.spawn(self._work(), "worker")
            while True:
                try:
                    await self._discover(owner)
                except ApiError as error:
                    log.info("cannot read discovery; will try again", error=error.message)
                await asyncio.sleep(NEW_KINDS_EVERY)

    async def _discover(self, owner: TaskOwner) -> None:
        for served in await served_kinds(self._client):
            name = (served.api_version, served.kind)
            if name in self._informers or served.ref.plural in UNTRACKED or not {"list", "watch", "delete"} <= served.verbs:
                continue
            informer = Informer(self._client, served.ref)
            informer.listen(lambda key, name=name: self._changed(name, key))  # type: ignore[misc] # binds the loop's value
            self._kinds[name], self._informers[name] = served, informer
            owner.spawn(informer.run(), served.ref.plural)

    def _changed(self, name: tuple[str, str], key: str) -> None:
        api_version, kind = name
        self._queue.add(f"{api_version} {kind} {key}")
        if self._informers[name].get(key) is None:
            self._queue_orphans()

    def _queue_orphans(self) -> None:
        """Something went: look at everything that has an owner, and at every owner that waits for its dependents to go."""
        for (api_version, kind), informer in self._informers.items():
            for obj in informer.all():
                metadata = obj["metadata"]
                if metadata.get("ownerReferences") or FOREGROUND in (metadata.get("finalizers") or ()):
                    key = f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else metadata["name"]
                    self._queue.add(f"{api_version} {kind} {key}")

    async def _work(self) -> None:
        while True:
            item = await self._queue.take()
            try:
                await self._look(*item.split(" "))
            except ApiError as error:
                self._queue.failed(item)
                log.debug("will try again", item=item, error=error.message)
            else:
                self._queue.done(item)

    async def _look(self, api_version: str, kind: str, key: str) -> None:
        obj = self._informers[(api_version, kind)].get(key)
        if obj is None:
            return
        served = self._kinds[(api_version, kind)]
        finalizers = obj["metadata"].get("finalizers") or ()
        if obj["metadata"].get("deletionTimestamp"):
            if ORPHAN in finalizers:
                await self._orphan(served, obj)
            elif FOREGROUND in finalizers:
                await self._foreground(served, obj)
            return
        owners = obj["metadata"].get("ownerReferences") or []
        if owners and not await self._any_owner_lives(obj, owners):
            await self._delete(served, obj, "Background")

    async def _any_owner_lives(self, obj: Json, owners: list[Json]) -> bool:
        for owner in owners:
            served = self._kinds.get((owner["apiVersion"], owner["kind"]))
            if served is None:
                return True  # a kind that cannot be looked at may well have it
            namespace = obj["metadata"].get("namespace", "") if served.ref.namespaced else ""
            try:
                found = await self._client.get(served.ref, owner["name"], namespace)
            except NotFound:
                continue
            if found["metadata"]["uid"] == owner["uid"]:
                return True
        return False

    def _dependents(self, obj: Json) -> list[tuple[Served, Json, Json]]:
        uid = obj["metadata"]["uid"]
        return [
            (self._kinds[name], each, reference)
            for name, informer in self._informers.items()
            for each in informer.all()
            for reference in each["metadata"].get("ownerReferences") or ()
            if reference["uid"] == uid
        ]

    async def _foreground(self, served: Served, obj: Json) -> None:
        blocking = 0
        for kind, each, reference in self._dependents(obj):
            blocking += bool(reference.get("blockOwnerDeletion"))
            if not each["metadata"].get("deletionTimestamp"):
                await self._delete(kind, each, "Foreground" if reference.get("blockOwnerDeletion") else "Background")
        if not blocking:
            await self._drop_finalizer(served, obj, FOREGROUND)

    async def _orphan(self, served: Served, obj: Json) -> None:
        for kind, each, reference in self._dependents(obj):
            kept = [owner for owner in each["metadata"]["ownerReferences"] if owner["uid"] != reference["uid"]]
            body = {"metadata": {"ownerReferences": kept or None, "uid": each["metadata"]["uid"]}}
            await self._patch(kind.ref, each, body)
        await self._drop_finalizer(served, obj, ORPHAN)

    async def _drop_finalizer(self, served: Served, obj: Json, finalizer: str) -> None:
        kept = [each for each in obj["metadata"]["finalizers"] if each != finalizer]
        revision = obj["metadata"]["resourceVersion"]
        await self._patch(served.ref, obj, {"metadata": {"finalizers": kept or None, "resourceVersion": revision}})

    async def _patch(self, ref: Ref, obj: Json, body: Json) -> None:
        metadata = obj["metadata"]
        try:
            await self._client.patch(ref, metadata["name"], metadata.get("namespace", ""), PatchKind.MERGE, body, manager="skerry-garbage")
        except NotFound:
            return

    async def _delete(self, served: Served, obj: Json, propagation: str) -> None:
        metadata = obj["metadata"]
        try:
            await self._client.delete(
                served.ref, metadata["name"], metadata.get("namespace", ""), propagation=propagation, uid=metadata["uid"]
            )
        except NotFound:
            return
