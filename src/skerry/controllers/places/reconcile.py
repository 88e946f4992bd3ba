"""Follows the rules of places: two small controllers, one for management clusters and one for provisioners.

The status of a ManagementCluster is the gateway's (whether its agent is connected). Only while
one is being deleted is something added to it here: what the deletion waits for. Conditions of
others are kept, and the write carries the revision that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from skerry.client.contract import Client, PatchKind, Ref
from skerry.controllers.places.plan import FINALIZER, Decision, builtin, keeps, management_cluster, namespace_set, provisioner, set_name
from skerry.kinds.common import GROUP, VERSION, Condition
from skerry.kinds.managementcluster import BUILTIN
from skerry.kinds.manifestset import ManifestSet
from skerry.kinds.provisioner import Provisioner
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, SystemClock, rfc3339
from skerry.machinery.errors import AlreadyExists, NotFound
from skerry.machinery.resource import Json
from skerry.runtime.conditions import merged
from skerry.runtime.controller import Controller, Options, Source
from skerry.runtime.informer import Informer, bare
from skerry.runtime.shares import EVERYTHING, Holding

MANAGER = "skerry-places"
NAMESPACES = Ref("", "v1", "namespaces", namespaced=False)
MANAGEMENT = Ref(GROUP, VERSION, "managementclusters", namespaced=False)
PROVISIONERS = Ref(GROUP, VERSION, "provisioners")
CLUSTERS = Ref(GROUP, VERSION, "clusters")
SETS = Ref(GROUP, VERSION, "manifestsets")
OBSERVED = Ref(GROUP, VERSION, "observedobjects")
SOON = 10.0


class PlacesController:
    """Gives management clusters their namespaces and provisioners theirs."""

    def __init__(
        self, client: Client, *, holding: Holding = EVERYTHING, clock: Clock | None = None, options: Options | None = None
    ) -> None:
        """Nothing happens before ``run``. ``holding`` says what is worked on, and under which epoch."""
        self._client, self._holding, self._clock, self._options = client, holding, clock or SystemClock(), options

    async def run(self) -> None:
        """Work until cancelled."""
        informers = {ref.plural: Informer(self._client, ref, keep=bare) for ref in (NAMESPACES, CLUSTERS, SETS)}
        informers |= {ref.plural: Informer(self._client, ref) for ref in (MANAGEMENT, PROVISIONERS)}
        places = [
            Source(informers["managementclusters"]),
            Source(informers["namespaces"]),
            Source(informers["clusters"], _if_deleting(informers["managementclusters"], lambda key: key.split("/")[0])),
        ]
        rooms = [
            Source(informers["provisioners"]),
            Source(informers["manifestsets"], provisioner_of_set),
            Source(informers["clusters"], _if_deleting(informers["provisioners"], lambda key: key.split(".")[0])),
        ]
        async with TaskOwner("places") as owner:
            for name, informer in informers.items():
                owner.spawn(informer.run(), name)
            made = [
                Controller(name, sources, reconcile, mine=self._holding.covers, options=self._options, clock=self._clock)
                for name, sources, reconcile in (
                    ("managementclusters", places, self.reconcile_management),
                    ("provisioners", rooms, self.reconcile_provisioner),
                )
            ]
            for name in filter(self._holding.covers, BUILTIN):  # by the queues, which try again: a full disk refuses them too
                made[0].queue.add(name)
                made[1].queue.add(f"{name}/{name}")
            owner.spawn(made[1].run(), "provisioner controller")
            await made[0].run()

    async def reconcile_management(self, name: str) -> float | None:
        """Bring one ManagementCluster to what is asked for."""
        found = await self._maybe(MANAGEMENT, name)
        if found is None:
            if name in BUILTIN:
                await seed(self._client)
            return None
        there = await self._maybe(NAMESPACES, name)
        deleting = bool(found["metadata"].get("deletionTimestamp"))
        there_too = (await self._client.list(CLUSTERS, name))["items"] if deleting else ()
        clusters = [each["metadata"]["name"] for each in there_too if keeps(each)]
        decision = management_cluster(deleting=deleting, clusters=clusters, namespace_there=there is not None)
        if decision.do == "hold":
            found = await self._hold(MANAGEMENT, found)
            if there is None:
                await self._create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        elif decision.do == "withdraw" and there is not None and not there["metadata"].get("deletionTimestamp"):
            await self._client.delete(NAMESPACES, name, uid=there["metadata"]["uid"])
        elif decision.do == "let go":
            await self._let_go(MANAGEMENT, found)
            return None
        if not deleting:
            return None
        await self._report(MANAGEMENT, found, decision, {"phase": "Deleting"})
        return SOON

    async def reconcile_provisioner(self, key: str) -> float | None:
        """Bring one Provisioner (``namespace/name``) to what is asked for."""
        namespace, name = key.split("/", 1)
        found = await self._maybe(PROVISIONERS, name, namespace)
        if found is None:
            if namespace == name and name in BUILTIN:
                await seed(self._client)
            return None
        typed = msgspec.convert(found, Provisioner)
        raw = await self._maybe(SETS, set_name(name), namespace)
        sent = msgspec.convert(raw, ManifestSet) if raw else None
        clusters: list[str] = []
        seen = 0
        if typed.metadata.deletion_timestamp:
            users = (await self._client.list(CLUSTERS, namespace, fields=f"spec.provisioner={name}"))["items"]
            clusters = [each["metadata"]["name"] for each in users]
            seen = len((await self._client.list(OBSERVED, namespace, fields=f"source.namespace={name}"))["items"])
        decision = provisioner(typed, sent, clusters=clusters, seen=seen)
        if decision.do == "send":
            found = await self._hold(PROVISIONERS, found)
            epoch = self._holding.epoch(namespace)
            body = namespace_set(typed, epoch)
            if sent is None or sent.spec.owner_epoch < epoch or sent.spec.manifests != body["spec"]["manifests"]:
                await self._client.apply(SETS, body, manager=MANAGER, force=True)
        elif decision.do == "withdraw" and sent is not None and not sent.metadata.deletion_timestamp:
            await self._client.delete(SETS, set_name(name), namespace)
        elif decision.do == "let go":
            await self._let_go(PROVISIONERS, found)
            return None
        extra: Json = {"lastEnforcedTime": sent.status.last_enforced_time} if sent and sent.status.last_enforced_time else {}
        extra["observedGeneration"] = typed.metadata.generation
        await self._report(PROVISIONERS, found, decision, extra)
        return SOON if typed.metadata.deletion_timestamp else None

    async def _report(self, ref: Ref, found: Json, decision: Decision, extra: Json) -> None:
        """Write our condition beside those of others, if anything changes."""
        status = found.get("status") or {}
        old = msgspec.convert(status.get("conditions") or [], list[Condition])
        news = decision.condition(found["metadata"].get("generation", 0))
        conditions: Any = msgspec.to_builtins(merged(old, [news], rfc3339(self._clock.now())))
        body = {**status, **extra, "conditions": conditions}
        if body != status:
            await self._client.replace(ref, {**found, "status": body}, subresource="status", manager=MANAGER)

    async def _hold(self, ref: Ref, found: Json) -> Json:
        held = found["metadata"].get("finalizers") or []
        return found if FINALIZER in held else await self._finalizers(ref, found, [*held, FINALIZER])

    async def _let_go(self, ref: Ref, found: Json) -> None:
        held = found["metadata"].get("finalizers") or []
        if FINALIZER in held:
            await self._finalizers(ref, found, [each for each in held if each != FINALIZER])

    async def _finalizers(self, ref: Ref, found: Json, held: list[str]) -> Json:
        metadata = found["metadata"]
        body = {"metadata": {"finalizers": held or None, "resourceVersion": metadata["resourceVersion"]}}
        return await self._client.patch(ref, metadata["name"], metadata.get("namespace", ""), PatchKind.MERGE, body, manager=MANAGER)

    async def _create(self, ref: Ref, body: Json) -> None:
        try:
            await self._client.create(ref, body, manager=MANAGER)
        except AlreadyExists:
            return

    async def _maybe(self, ref: Ref, name: str, namespace: str = "") -> Json | None:
        try:
            return await self._client.get(ref, name, namespace)
        except NotFound:
            return None


async def seed(client: Client) -> None:
    """Create the built-in places that are missing."""
    kinds = {"managementclusters": MANAGEMENT, "namespaces": NAMESPACES, "provisioners": PROVISIONERS}
    for plural, body in builtin():
        try:
            await client.create(kinds[plural], body, body["metadata"].get("namespace", ""), manager=MANAGER)
        except AlreadyExists:
            continue


def _if_deleting(places: Informer, place_of: Callable[[str], str]) -> Callable[[str], Iterable[str]]:
    """The place that a cluster is in, while it is being deleted: only then does it wait for clusters."""

    def keys(key: str) -> Iterable[str]:
        place = place_of(key)
        found = places.get(place)
        return (place,) if found is not None and found["metadata"].get("deletionTimestamp") else ()

    return keys


def provisioner_of_set(key: str) -> Iterable[str]:
    """``sv-1/provisioner.team-a`` concerns ``sv-1/team-a``; sets of other controllers concern nobody here."""
    namespace, name = key.split("/", 1)
    return (f"{namespace}/{name.removeprefix('provisioner.')}",) if name.startswith("provisioner.") and name.count(".") == 1 else ()
