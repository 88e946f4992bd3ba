"""Keeps the mirrored kinds as the agents report them: one key per management cluster.

Nothing is removed while the agent is away: what is missing then may only not be reported.
"""

from __future__ import annotations

from collections.abc import Iterable

from skerry.client.contract import Client, Ref
from skerry.controllers.mirror.plan import SOURCES, Step, offered, steps, withdrawn
from skerry.kinds.common import GROUP, VERSION
from skerry.kinds.observedobject import PLURAL_LABEL
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock
from skerry.machinery.errors import AlreadyExists, NotFound
from skerry.machinery.resource import Json
from skerry.runtime.controller import Controller, Options, Source
from skerry.runtime.informer import Informer, bare
from skerry.runtime.shares import EVERYTHING, Holding

MANAGER = "skerry-mirror"
OBSERVED = Ref(GROUP, VERSION, "observedobjects")
MANAGEMENT = Ref(GROUP, VERSION, "managementclusters", namespaced=False)
CLUSTERS = Ref(GROUP, VERSION, "clusters")
READ = f"{PLURAL_LABEL} in ({','.join(SOURCES)})"
"""Selects what is mirrored, out of all that agents report."""
MIRRORED = {plural: Ref(GROUP, VERSION, plural) for plural in ("clusterclasses", "kubernetesreleases", "provisioners")}


class MirrorController:
    """Mirrors what management clusters offer."""

    def __init__(
        self, client: Client, *, holding: Holding = EVERYTHING, clock: Clock | None = None, options: Options | None = None
    ) -> None:
        """Nothing happens before ``run``. ``holding`` says which management clusters are mirrored."""
        self._client, self._holding, self._clock, self._options = client, holding, clock, options
        self._places: set[tuple[str, str]] = set()
        """Management clusters with the namespaces in which something was seen when they were mirrored last."""
        self._management, self._observed = Informer(client, MANAGEMENT), Informer(client, OBSERVED, labels=READ, keep=kept)

    async def run(self) -> None:
        """Work until cancelled."""
        sources = [Source(self._management), Source(self._observed, self._concerned)]
        async with TaskOwner("mirror controller") as owner:
            owner.spawn(self._management.run(), "managementclusters")
            owner.spawn(self._observed.run(), "observedobjects")
            controller = Controller("mirror", sources, self.reconcile, mine=self._holding.covers, options=self._options, clock=self._clock)
            await controller.run()

    def _concerned(self, key: str) -> Iterable[str]:
        """Whom a change of an observed object concerns: of a cluster only its place is of interest, and most places are known."""
        name, seen = key.split("/", maxsplit=1)[0], self._observed.get(key)
        place = (name, seen["source"]["namespace"]) if seen is not None and seen["source"]["kind"] == "Cluster" else None
        if place in self._places:
            return ()
        return (name,)

    async def _reported(self, name: str) -> list[Json]:
        """What a management cluster reports of what is mirrored: as it is followed, or as it is listed where nothing is."""
        if self._observed.synced.is_set():
            return [each for each in self._observed.all() if each["metadata"]["namespace"] == name]
        return list((await self._client.list(OBSERVED, name, labels=READ))["items"])

    async def reconcile(self, name: str) -> float | None:
        """Mirror one management cluster; looks again only when something changes, or at the next scan."""
        try:
            management = await self._client.get(MANAGEMENT, name)
        except NotFound:
            return None  # its namespace goes, and the mirrored objects with it
        if management["metadata"].get("deletionTimestamp"):
            return None
        wanted = offered(name, await self._reported(name))
        self._places = {place for place in self._places if place[0] != name}
        self._places |= {(name, place) for plural, place in wanted if plural == "provisioners"}
        present: dict[tuple[str, str], Json] = {}
        for plural, ref in MIRRORED.items():
            present |= {(plural, each["metadata"]["name"]): each for each in (await self._client.list(ref, name))["items"]}
        clusters = (await self._client.list(CLUSTERS, name))["items"] if withdrawn(wanted, present) else ()
        used = {each["spec"]["provisioner"] for each in clusters}
        connected = any(
            each["type"] == "Connected" and each["status"] == "True" for each in (management.get("status") or {}).get("conditions") or ()
        )
        for step in steps(wanted, present, used):
            if step.do != "delete" or connected:
                await self._follow(step, name)
        return None

    async def _follow(self, step: Step, namespace: str) -> None:
        ref, metadata = MIRRORED[step.plural], step.body["metadata"]
        try:
            if step.do == "create":
                await self._client.create(ref, step.body, namespace, manager=MANAGER)
            elif step.do == "replace":
                await self._client.replace(ref, step.body, manager=MANAGER)
            else:
                await self._client.delete(ref, metadata["name"], namespace, uid=metadata["uid"])
        except (AlreadyExists, NotFound):
            return  # somebody was quicker; the change wakes us


def kept(observed: Json) -> Json:
    """What is held of an observed object: of a cluster no more than where it is."""
    return {**bare(observed), "source": observed["source"]} if observed["source"]["kind"] == "Cluster" else observed
