"""Garbage collection by owner references, for any API: what is owned goes when its owners are gone.

* An object all of whose owners are gone (by uid) is deleted, in the background; one owner that is
  left keeps it, and the references to the others are taken out.
* An owner with ``foregroundDeletion`` waits: the dependents that block it are deleted first, and
  the finalizer falls when none of them is left.
* An owner with ``orphan`` lets go: its reference is taken out of its dependents first.
* An owner lives in the namespace of its dependents, or in none. A reference across namespaces
  counts as one to an owner that is gone; a cluster-scoped object that names an owner in a
  namespace is kept, since nobody can look that owner up. An Event at the object tells of both.

Everything is decided on what informers saw. An owner that they do not see is asked for once
before anything is deleted, and every write names the revision that it was decided on: whoever
changed the object meanwhile is heard first. Nothing happens before every kind was listed.
"""

from __future__ import annotations

import asyncio
import secrets

from skerry.client.contract import Client, PatchKind, Ref
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock, rfc3339
from skerry.kit.log import get
from skerry.machinery.errors import ApiError, NotFound
from skerry.machinery.resource import Json
from skerry.runtime.informer import Informer
from skerry.runtime.kinds import Served, served_kinds
from skerry.runtime.owners import FOREGROUND, ORPHAN, Graph, Owner, Place, blocks, judge, owners_of, unblocked, waits, without
from skerry.runtime.queue import WorkQueue

UNTRACKED = frozenset(("events",))
NEW_KINDS_EVERY = 30.0
WORKERS = 4
MANAGER = "skerry-garbage"
EVENTS = Ref("", "v1", "events")
NEEDED = ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp", "finalizers", "ownerReferences")

log = get("runtime.garbage")


class GarbageCollector:
    """Collects the garbage of one API."""

    def __init__(self, client: Client) -> None:
        """``client`` may do everything."""
        self._client = client
        self._clock = SystemClock()
        self._kinds: dict[tuple[str, str], Served] = {}
        self._informers: dict[tuple[str, str], Informer] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._graph = Graph()
        self._told: dict[Place, set[str]] = {}
        self._queue = WorkQueue(self._clock, "garbage")

    async def run(self) -> None:
        """Work until cancelled."""
        async with TaskOwner("garbage") as owner:
            await self._discover(owner)
            for number in range(WORKERS):
                owner.spawn(self._work(), f"worker-{number}")
            while True:
                await self._clock.sleep(NEW_KINDS_EVERY)
                await self._discover(owner)

    async def _discover(self, owner: TaskOwner) -> None:
        try:
            served = {(each.ref.group, each.kind): each for each in await served_kinds(self._client)}
        except ApiError as error:
            log.info("cannot read discovery; will try again", error=error.message)
            return
        for kind in self._informers.keys() - served.keys():
            self._tasks.pop(kind).cancel()
            self._informers.pop(kind).synced.set()  # nobody shall wait for it any more
            self._graph.forget(*kind)
        new = served.keys() - self._kinds.keys()
        self._kinds = served
        for kind, each in served.items():
            if kind not in self._informers and each.ref.plural not in UNTRACKED and {"list", "watch", "delete"} <= each.verbs:
                self._follow(kind, each, owner)
        if new:
            for place in self._graph.owned():
                self._add(place)

    def _follow(self, kind: tuple[str, str], served: Served, owner: TaskOwner) -> None:
        informer = self._informers[kind] = Informer(self._client, served.ref, keep=_needed)
        informer.listen(lambda key: self._changed(Place(*kind, key)))
        self._tasks[kind] = owner.spawn(informer.run(), served.ref.plural)

    def _served(self, place: Place) -> Served:
        """How a place is reached; raises NotFound if its kind is no longer served."""
        found = self._kinds.get(place[:2])
        if found is None:
            raise NotFound
        return found

    def _metadata(self, place: Place) -> Json | None:
        informer = self._informers.get(place[:2])
        found = informer.get(place.key) if informer else None
        metadata: Json | None = found["metadata"] if found else None
        return metadata

    def _changed(self, place: Place) -> None:
        metadata = self._metadata(place)
        if metadata is None:
            self._told.pop(place, None)
        for each in self._graph.put(place, metadata):
            self._add(each)

    def _add(self, place: Place) -> None:
        self._queue.add(" ".join(place))

    async def _work(self) -> None:
        while True:
            item = await self._queue.take()
            for informer in list(self._informers.values()):
                await informer.synced.wait()
            try:
                await self._look(Place(*item.split(" ")))
            except NotFound:
                self._queue.done(item)  # somebody was faster
            except ApiError as error:
                self._queue.failed(item)
                log.debug("will try again", item=item, error=error.message)
            else:
                self._queue.done(item)

    async def _look(self, place: Place) -> None:
        metadata = self._metadata(place)
        if metadata is None:
            return
        finalizers = metadata.get("finalizers") or ()
        if metadata.get("deletionTimestamp"):
            if ORPHAN in finalizers:
                await self._orphan(place, metadata)
            elif FOREGROUND in finalizers:
                await self._foreground(place, metadata)
            return
        owners = [(owner, await self._state(place, metadata, owner)) for owner in owners_of(metadata)]
        dependents = self._graph.dependents(metadata["uid"])
        verdict = judge(metadata, owners, has_dependents=bool(dependents))
        if verdict.drop:
            await self._patch(place, metadata, {"ownerReferences": without(metadata, verdict.drop)})
        elif verdict.delete == "Foreground" and blocks(metadata) and any(self._waits(each) for each in dependents):
            await self._patch(place, metadata, {"ownerReferences": unblocked(metadata)})  # a circle: somebody must go first
        elif verdict.delete:
            await self._delete(place, metadata, verdict.delete)

    def _waits(self, place: Place) -> bool:
        metadata = self._metadata(place)
        return metadata is not None and waits(metadata)

    async def _state(self, place: Place, metadata: Json, owner: Json) -> Owner:
        """Say what became of an owner."""
        group = owner["apiVersion"].rpartition("/")[0]
        served = self._kinds.get((group, owner["kind"]))
        if served is None:
            return Owner.UNKNOWN
        if served.ref.namespaced and not place.namespace:
            await self._tell(place, metadata, owner)
            return Owner.UNKNOWN
        where = self._graph.place_of(owner["uid"])
        namespace = place.namespace if served.ref.namespaced else ""
        if where is not None and where.namespace != namespace:
            await self._tell(place, metadata, owner, where.namespace)
        key = f"{namespace}/{owner['name']}" if namespace else owner["name"]
        found = self._metadata(Place(group, owner["kind"], key))
        if found is None or found["uid"] != owner["uid"]:
            try:
                found = (await self._client.get(served.ref, owner["name"], namespace))["metadata"]
            except NotFound:
                return Owner.GONE
        if found["uid"] != owner["uid"]:
            return Owner.GONE
        return Owner.WAITS if waits(found) else Owner.THERE

    async def _foreground(self, place: Place, metadata: Json) -> None:
        blocking = [each for each in self._graph.dependents(metadata["uid"]) if blocks(self._metadata(each) or {}, metadata["uid"])]
        for each in blocking:
            self._add(each)
        if not blocking:
            await self._drop_finalizer(place, metadata, FOREGROUND)

    async def _orphan(self, place: Place, metadata: Json) -> None:
        for each in self._graph.dependents(metadata["uid"]):
            dependent = self._metadata(each)
            if dependent is None:
                continue
            try:
                await self._patch(each, dependent, {"ownerReferences": without(dependent, [metadata["uid"]])})
            except NotFound:
                continue
        await self._drop_finalizer(place, metadata, ORPHAN)

    async def _drop_finalizer(self, place: Place, metadata: Json, finalizer: str) -> None:
        kept = [each for each in metadata["finalizers"] if each != finalizer]
        await self._patch(place, metadata, {"finalizers": kept or None})

    async def _patch(self, place: Place, metadata: Json, change: Json) -> None:
        ref = self._served(place).ref
        body = {"metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"], **change}}
        await self._client.patch(ref, metadata["name"], place.namespace, PatchKind.MERGE, body, manager=MANAGER)

    async def _delete(self, place: Place, metadata: Json, propagation: str) -> None:
        ref, revision = self._served(place).ref, metadata["resourceVersion"]
        await self._client.delete(
            ref, metadata["name"], place.namespace, propagation=propagation, uid=metadata["uid"], resource_version=revision
        )

    async def _tell(self, place: Place, metadata: Json, owner: Json, actual: str = "") -> None:
        """Leave an Event at an object whose owner cannot be one, once."""
        told = self._told.setdefault(place, set())
        if owner["uid"] in told:
            return
        told.add(owner["uid"])
        now, served = rfc3339(self._clock.now()), self._served(place)
        lives = f"namespace: {actual}, " if actual else ""
        where = f'in namespace "{place.namespace}"' if place.namespace else "at the cluster scope"
        about = {"apiVersion": served.api_version, "kind": served.kind, "name": metadata["name"], "uid": metadata["uid"]}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}", "namespace": place.namespace or "default"},
            "involvedObject": about | ({"namespace": place.namespace} if place.namespace else {}),
            "reason": "OwnerRefInvalidNamespace",
            "message": f"ownerRef [{owner['apiVersion']}/{owner['kind']}, {lives}name: {owner['name']}, uid: {owner['uid']}]"
            f" does not exist {where}",
            "type": "Warning",
            "source": {"component": "garbage-collector-controller"},
            "reportingComponent": "garbage-collector-controller",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._client.create(EVENTS, event, manager=MANAGER)
        except ApiError as error:
            log.info("cannot leave an event", about=metadata["name"], error=error.message)


def _needed(obj: Json) -> Json:
    """What is held of an object in memory."""
    metadata = obj["metadata"]
    return {"metadata": {name: metadata[name] for name in NEEDED if name in metadata}}
