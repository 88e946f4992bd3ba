"""Gather, plan, act, report: the loop of the cluster controller, and what wakes it.

The plan is followed as it stands; nothing is decided here. The status is written last, even
when an action failed, and then says so: ``observedGeneration`` moves only on success. Status
writes carry the revision that was looked at, so a plan on an old spec is never reported as one
on a new spec. Retries are the queue's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from skerry.capi.render import CAPI_GROUP
from skerry.client.contract import Client, PatchKind, Ref
from skerry.controllers.cluster import refs
from skerry.controllers.cluster.actions import (
    AnyAction,
    ApplyManifestSet,
    DeleteManifestSet,
    DeleteNodePool,
    DiscoverCluster,
    DiscoverNodePool,
    EnsureFinalizer,
    FollowCluster,
    FollowNodePool,
    ForgetCluster,
    LeaveManifestSet,
    LetBe,
    ReleaseManifestSet,
    RemoveFinalizer,
)
from skerry.controllers.cluster.gather import Look, gather, still_seen
from skerry.controllers.cluster.plan import Plan, plan
from skerry.controllers.cluster.stages import is_trouble
from skerry.controllers.cluster.world import FINALIZER
from skerry.kinds.cluster import DISCOVERED, ClusterStatus
from skerry.kinds.common import API_VERSION, Condition
from skerry.kinds.managementcluster import BUILTIN
from skerry.kinds.manifestset import PRUNE
from skerry.kinds.nodepool import NodePoolStatus
from skerry.kinds.observedobject import GROUP_LABEL
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, SystemClock, rfc3339
from skerry.kit.log import get
from skerry.machinery.errors import AlreadyExists, ApiError, Invalid, NotFound
from skerry.machinery.names import label_problem
from skerry.machinery.resource import Json
from skerry.runtime.bindings import end_bindings
from skerry.runtime.conditions import merged
from skerry.runtime.controller import Controller, Options, Source
from skerry.runtime.events import Recorder, changed
from skerry.runtime.informer import Informer, bare
from skerry.runtime.shares import EVERYTHING, Holding

MANAGER = "skerry-lifecycle"
log = get("controllers.cluster")
_KINDS = {"clusters": refs.CLUSTERS, "nodepools": refs.POOLS}


class ClusterController:
    """Makes, changes and removes clusters and their node pools. ``holding`` says which, and under which epoch."""

    def __init__(
        self, client: Client, *, holding: Holding = EVERYTHING, clock: Clock | None = None, options: Options | None = None
    ) -> None:
        """Nothing happens before ``run``."""
        self._client, self._holding, self._clock = client, holding, clock or SystemClock()
        self._options, self._recorder = options, Recorder(client, MANAGER, self._clock)
        self._informers = {ref.plural: Informer(client, ref) for ref in (refs.MANAGEMENT, refs.CLASSES, refs.PROVISIONERS)}
        self._informers |= {ref.plural: Informer(client, ref, keep=bare) for ref in (refs.CLUSTERS, refs.POOLS, refs.SETS)}
        self._informers["observedobjects"] = Informer(client, refs.OBSERVED, labels=f"{GROUP_LABEL}={CAPI_GROUP}", keep=_owned)

    async def run(self) -> None:
        """Work until cancelled."""
        found = self._informers
        sources = [
            Source(found["clusters"]),
            Source(found["nodepools"], cluster_of_pool),
            Source(found["manifestsets"], cluster_of_set),
            Source(found["observedobjects"], self._cluster_of_observed, reconciled=True),
            Source(found["managementclusters"], self._clusters_in),
            Source(found["clusterclasses"], lambda key: self._clusters_in(key.split("/")[0])),
            Source(found["provisioners"], lambda key: self._clusters_in(key.split("/")[0])),
        ]
        async with TaskOwner("cluster controller") as owner:
            for name, informer in found.items():
                owner.spawn(informer.run(), name)
            owner.spawn(self._recorder.run(), "events")
            controller = Controller("cluster", sources, self.reconcile, mine=self._mine, options=self._options, clock=self._clock)
            await controller.run()

    def _mine(self, key: str) -> bool:
        """Attached clusters are what their agents say (``gateway/standing.py``): there is nothing to plan."""
        return self._holding.covers(key) and key.partition("/")[2].partition(".")[0] not in BUILTIN

    async def reconcile(self, key: str) -> float | None:
        """Bring one cluster (``namespace/provisioner.name``) to what is asked for; returns when to look again, in seconds."""
        look = await gather(self._client, key, self._holding.epoch(key.partition("/")[0]), self._copy)
        made = plan(look.world, rfc3339(self._clock.now()))
        try:
            await self._act(look, made)
        except ApiError as error:
            await self._report(look, self._failed(look, made, error))
            raise
        await self._report(look, made)
        return made.recheck_after

    async def _act(self, look: Look, made: Plan) -> None:
        for action in made.actions:
            await self._do(look, action)

    async def _do(self, look: Look, action: AnyAction) -> None:
        namespace = look.world.namespace
        match action:
            case EnsureFinalizer(name=name, plural=plural):
                held = [*(look.raw[(plural, name)]["metadata"].get("finalizers") or ()), FINALIZER]
                look.raw[(plural, name)] = await self._set_finalizers(look, plural, name, held, **_given_up(look.raw[(plural, name)]))
            case LetBe(name=name, plural=plural):
                held = [each for each in look.raw[(plural, name)]["metadata"]["finalizers"] if each != FINALIZER]
                look.raw[(plural, name)] = await self._set_finalizers(look, plural, name, held)
            case RemoveFinalizer(name=name, plural=plural):
                if plural == "clusters":
                    await end_bindings(self._client, namespace, name)
                held = [each for each in look.raw[(plural, name)]["metadata"]["finalizers"] if each != FINALIZER]
                await self._set_finalizers(look, plural, name, held)
                del look.raw[(plural, name)]
            case ApplyManifestSet(name=name, owner_epoch=epoch, manifests=manifests, adopt=adopt):
                spec = {"ownerEpoch": epoch, "manifests": manifests, **({"adopt": adopt} if adopt else {})}
                await self._client.apply(refs.SETS, manifest_set(name, namespace, spec), manager=MANAGER, force=True)
            case LeaveManifestSet(name=name, owner_epoch=epoch):
                await self._leave(name, namespace, epoch)
            case DeleteManifestSet(name=name):
                await self._delete(refs.SETS, name, namespace)
            case ReleaseManifestSet(name=name):
                await self._release(look, name)
            case DeleteNodePool(name=name):
                await self._delete(refs.POOLS, name, namespace)
                look.raw.pop(("nodepools", name), None)  # its revision moved: the change wakes us, and the status is written then
            case DiscoverCluster() | DiscoverNodePool() | FollowCluster() | FollowNodePool() | ForgetCluster():
                await self._observe(look, action)

    async def _observe(self, look: Look, action: AnyAction) -> None:
        """Write what was found at the far end; a spec that cannot be stored is nobody's to wait for, and is told."""
        namespace, name = look.world.namespace, action.name
        match action:
            case DiscoverCluster(uid=uid, spec=spec):
                provisioner, short = name.split(".")
                if await still_seen(self._client, namespace, provisioner, short, uid):  # it may have been deleted since, here and there
                    await end_bindings(self._client, namespace, name)
                    await self._discover("clusters", "Cluster", name, namespace, spec)
            case DiscoverNodePool(spec=spec):
                await self._discover("nodepools", "NodePool", name, namespace, spec)
            case FollowCluster(spec=spec):
                await self._follow(look, "clusters", name, spec)
            case FollowNodePool(spec=spec):
                await self._follow(look, "nodepools", name, spec)
            case ForgetCluster(why=why):
                metadata = look.raw.pop(("clusters", name))["metadata"]
                await end_bindings(self._client, namespace, name)
                await self._client.delete(refs.CLUSTERS, name, namespace, uid=metadata["uid"], resource_version=metadata["resourceVersion"])
                log.info("an observed cluster was forgotten", cluster=f"{namespace}/{name}", why=why)

    async def _discover(self, plural: str, kind: str, name: str, namespace: str, spec: Json) -> None:
        metadata = {"name": name, "namespace": namespace, "labels": {DISCOVERED: "true"}}
        try:
            await self._client.create(
                _KINDS[plural], {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}, namespace, manager=MANAGER
            )
        except AlreadyExists:
            return  # somebody was quicker; the change wakes us
        except Invalid as error:
            log.warning("what was found cannot be shown", kind=kind, name=f"{namespace}/{name}", error=error.message)

    async def _follow(self, look: Look, plural: str, name: str, spec: Json) -> None:
        found = look.raw[(plural, name)]
        labels = {**(found["metadata"].get("labels") or {}), DISCOVERED: "true"}
        body = {**found, "metadata": {**found["metadata"], "labels": labels}, "spec": spec}
        try:
            look.raw[(plural, name)] = await self._client.replace(_KINDS[plural], body, manager=MANAGER)
        except Invalid as error:
            log.warning("what was found cannot be shown", name=f"{look.world.namespace}/{name}", error=error.message)

    async def _leave(self, name: str, namespace: str, epoch: int) -> None:
        """Say that a set is left, and only then delete it: between the two nothing else can come."""
        try:
            found = await self._client.get(refs.SETS, name, namespace)
            spec = {**found["spec"], "ownerEpoch": max(epoch, found["spec"].get("ownerEpoch", 0)), "leave": True}
            left = await self._client.apply(refs.SETS, manifest_set(name, namespace, spec), manager=MANAGER, force=True)
            if not left["metadata"].get("deletionTimestamp"):
                await self._client.delete(refs.SETS, name, namespace, resource_version=left["metadata"]["resourceVersion"])
        except NotFound:
            return

    async def _set_finalizers(self, look: Look, plural: str, name: str, held: list[str], **more: Any) -> Json:
        revision = look.raw[(plural, name)]["metadata"]["resourceVersion"]
        body = {"metadata": {"finalizers": held or None, "resourceVersion": revision, **more}}
        return await self._client.patch(_KINDS[plural], name, look.world.namespace, PatchKind.MERGE, body, manager=MANAGER)

    async def _release(self, look: Look, name: str) -> None:
        namespace = look.world.namespace
        try:
            found = await self._client.get(refs.SETS, name, namespace)
        except NotFound:
            return
        metadata = found["metadata"]
        held = [each for each in metadata.get("finalizers") or () if each != PRUNE]
        body = {"metadata": {"finalizers": held or None, "resourceVersion": metadata["resourceVersion"]}}
        await self._client.patch(refs.SETS, name, namespace, PatchKind.MERGE, body, manager=MANAGER)
        left = [f"{each['kind']} {each['metadata'].get('namespace', '')}/{each['metadata']['name']}" for each in found["spec"]["manifests"]]
        log.warning("a cluster was let go of by force", cluster=f"{namespace}/{look.world.name}", left_at_the_far_end=left)

    async def _delete(self, ref: Ref, name: str, namespace: str) -> None:
        try:
            await self._client.delete(ref, name, namespace)
        except NotFound:
            return

    async def _report(self, look: Look, made: Plan) -> None:
        if made.status is not None and look.world.cluster is not None:
            await self._report_one(look, "clusters", look.world.name, made.status)
        for name, status in made.pools.items():
            await self._report_one(look, "nodepools", name, status)

    async def _report_one(self, look: Look, plural: str, name: str, status: ClusterStatus | NodePoolStatus) -> None:
        """Write a status where it differs; an object that is gone needs none."""
        found = look.raw.get((plural, name))
        if found is None:
            return
        body: Any = msgspec.to_builtins(status)
        if (found.get("status") or {}) == body:
            return
        try:
            answer = await self._client.replace(_KINDS[plural], {**found, "status": body}, subresource="status", manager=MANAGER)
        except NotFound:
            return
        look.raw[(plural, name)] = answer
        for each in changed(found.get("status"), body, ("Ready",)):
            self._recorder.tell(answer, each["reason"], each["message"], warning=is_trouble(status))

    def _failed(self, look: Look, made: Plan, error: ApiError) -> Plan:
        """The report on a plan that could not be followed: as before, and why."""
        cluster = look.world.cluster
        if cluster is None:
            return Plan()
        status = msgspec.structs.replace(cluster.status)
        news = [
            Condition(kind, "False", "ActionFailed", error.message, observed_generation=cluster.metadata.generation)
            for kind in ("Ready", "Applied")
        ]
        status.conditions = merged(cluster.status.conditions, news, rfc3339(self._clock.now()))
        status.phase = made.status.phase if made.status else status.phase
        return Plan(status=status)

    def _copy(self, ref: Ref, name: str, namespace: str) -> Json | None:
        return self._informers[ref.plural].get(f"{namespace}/{name}" if namespace else name)

    def _cluster_of_observed(self, key: str) -> Iterable[str]:
        return cluster_of_observed(key, self._informers["observedobjects"].get(key))

    def _clusters_in(self, namespace: str) -> Iterable[str]:
        found = {key for key in self._informers["clusters"].known() if key.startswith(f"{namespace}/")}
        start = f"{namespace}/clusters.{CAPI_GROUP}."
        for key in self._informers["observedobjects"].known():
            if key.startswith(start):
                found.update(self._cluster_of_observed(key))
        return found


def manifest_set(name: str, namespace: str, spec: Json) -> Json:
    """A ManifestSet to be applied."""
    metadata = {"name": name, "namespace": namespace, "finalizers": [PRUNE]}
    return {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": metadata, "spec": spec}


def _given_up(found: Json) -> Json:
    """Who owns what once an object is managed: what was written here while it was observed is nobody's, and others apply it freely."""
    entries = found["metadata"].get("managedFields") or []
    kept = [each for each in entries if each.get("manager") != MANAGER or each.get("subresource")]
    return {"managedFields": kept or [{}]} if len(kept) < len(entries) else {}


def _owned(observed: Json) -> Json:
    """What is held of an observed object: what says whose it is."""
    label = f"{CAPI_GROUP}/cluster-name"
    labels = {name: value for name, value in ((observed["object"].get("metadata") or {}).get("labels") or {}).items() if name == label}
    source = {name: observed["source"].get(name, "") for name in ("apiVersion", "kind", "namespace", "name")}
    return {**bare(observed), "source": source, "object": {"metadata": {"labels": labels}}}


def cluster_of_pool(key: str) -> Iterable[str]:
    """``sv-1/team-a.shop.md-0`` concerns ``sv-1/team-a.shop``."""
    return (key.rsplit(".", 1)[0],)


def cluster_of_set(key: str) -> Iterable[str]:
    """``sv-1/cluster.team-a.shop`` concerns ``sv-1/team-a.shop``; sets of other controllers concern nobody here."""
    namespace, name = key.split("/", 1)
    return (f"{namespace}/{name.removeprefix('cluster.')}",) if name.startswith("cluster.") and name.count(".") == 2 else ()


def cluster_of_observed(key: str, observed: Json | None) -> Iterable[str]:
    """Which cluster an observed object belongs to. One that is gone is told by its name, which says so for Clusters themselves."""
    namespace, name = key.split("/", 1)
    prefix = f"clusters.{CAPI_GROUP}."
    if observed is None:
        return (f"{namespace}/{name.removeprefix(prefix)}",) if name.startswith(prefix) else ()
    source = observed["source"]
    if not str(source["apiVersion"]).startswith(f"{CAPI_GROUP}/"):
        return ()
    metadata = observed["object"].get("metadata") or {}
    owner = source["name"] if source["kind"] == "Cluster" else (metadata.get("labels") or {}).get(f"{CAPI_GROUP}/cluster-name")
    if not owner or label_problem(owner) or label_problem(source["namespace"]):
        return ()  # what has no name here has no object here
    return (f"{namespace}/{source['namespace']}.{owner}",)
