"""What moves a simulated site: looks at each cluster, asks the plan for the next step, takes it, and looks again soon.

It is a client of the site's API like any controller. Objects are written with the revision that
was looked at; a write that lost is simply planned anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

from skerry.client.contract import Client, PatchKind, Ref
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, rfc3339
from skerry.machinery.errors import AlreadyExists, Conflict, NotFound
from skerry.machinery.resource import Json
from skerry.runtime.controller import Controller, Source
from skerry.runtime.informer import Informer, key_of
from skerry.sim.plan import CLUSTER_LABEL, Action, Change, Create, Delete, Faults, Tempo, World, plan

CLUSTERS = Ref("cluster.x-k8s.io", "v1beta2", "clusters")
PARTS = {
    "KubeadmControlPlane": Ref("controlplane.cluster.x-k8s.io", "v1beta2", "kubeadmcontrolplanes"),
    "MachineDeployment": Ref("cluster.x-k8s.io", "v1beta2", "machinedeployments"),
    "Machine": Ref("cluster.x-k8s.io", "v1beta2", "machines"),
}
REFS = {"Cluster": CLUSTERS, **PARTS}
MANAGER = "cluster-api"
LOOK_AGAIN = 0.2
NAMES_A_LOOK = 50


class Engine:
    """Plays Cluster API's controllers for one site."""

    def __init__(self, client: Client, clock: Clock, tempo: Tempo, faults: Callable[[], Faults]) -> None:
        """``client`` may do everything in the site."""
        self._client = client
        self._clock = clock
        self._tempo = tempo
        self._faults = faults
        self._clusters = Informer(client, CLUSTERS)
        self._parts = {kind: Informer(client, ref) for kind, ref in PARTS.items()}
        self._phases: dict[str, tuple[str, float]] = {}
        self._fresh = itertools.count(1, NAMES_A_LOOK)

    async def run(self) -> None:
        """Work until cancelled."""
        sources = [Source(self._clusters), *(Source(informer, partial(self._owner, informer)) for informer in self._parts.values())]
        async with TaskOwner("simulation") as owner:
            owner.spawn(self._clusters.run(), "clusters")
            for kind, informer in self._parts.items():
                owner.spawn(informer.run(), kind)
            await Controller("simulation", sources, self.reconcile, clock=self._clock).run()

    def _owner(self, informer: Informer, key: str) -> tuple[str, ...]:
        obj = informer.get(key)
        return (f"{key.split('/', maxsplit=1)[0]}/{obj['metadata']['labels'][CLUSTER_LABEL]}",) if obj else ()

    async def reconcile(self, key: str) -> float | None:
        """Take the next step of one cluster."""
        namespace, name = key.split("/", 1)
        try:
            cluster = await self._client.get(CLUSTERS, name, namespace)
        except NotFound:
            return None
        parts = {kind: (await self._client.list(ref, namespace, labels=f"{CLUSTER_LABEL}={name}"))["items"] for kind, ref in PARTS.items()}
        kinds = {"KubeadmControlPlane": "controlplane.cluster.x-k8s.io/v1beta2"}
        for kind, objects in parts.items():
            for obj in objects:
                obj.setdefault("kind", kind)
                obj.setdefault("apiVersion", kinds.get(kind, "cluster.x-k8s.io/v1beta2"))
        planes = parts["KubeadmControlPlane"]
        world = World(
            cluster=cluster,
            plane=planes[0] if planes else None,
            deployments=parts["MachineDeployment"],
            machines=sorted(parts["Machine"], key=lambda each: (each["metadata"]["creationTimestamp"], key_of(each))),
            since=self._since([cluster, *parts["Machine"]]),
            clock=self._clock.monotonic(),
            now=rfc3339(self._clock.now()),
            fresh=next(self._fresh),
            tempo=self._tempo,
            faults=self._faults(),
        )
        for action in plan(world):
            await self._act(action)
        return LOOK_AGAIN

    def _since(self, objects: list[Json]) -> dict[str, float]:
        found = {}
        for obj in objects:
            uid, phase = obj["metadata"]["uid"], str((obj.get("status") or {}).get("phase", ""))
            known = self._phases.get(uid)
            if known is None or (known[0] != phase and obj["kind"] != "Cluster"):
                known = self._phases[uid] = (phase, self._clock.monotonic())
            found[uid] = known[1]
        return found

    async def _act(self, action: Action) -> None:
        obj = action.obj
        ref, metadata = REFS[obj["kind"]], obj["metadata"]
        try:
            match action:
                case Create():
                    await self._client.create(ref, obj, manager=MANAGER)
                case Change(status=status):
                    await self._client.replace(ref, obj, subresource="status" if status else "", manager=MANAGER)
                case Delete():
                    body = {"metadata": {"finalizers": metadata.get("finalizers") or None}}
                    await self._client.patch(ref, metadata["name"], metadata["namespace"], PatchKind.MERGE, body, manager=MANAGER)
                    await self._client.delete(ref, metadata["name"], metadata["namespace"], propagation="Background")
        except (Conflict, NotFound, AlreadyExists):
            return  # somebody was quicker; the next look sees it
