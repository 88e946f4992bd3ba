"""Attached clusters leave the fleet: whoever deletes one has what was put there taken away first, by the agent itself.

* An attached cluster is held by a finalizer, and so is a management cluster whose agent came by our
  manifest (``attaching.py``), once nothing else holds that one. One whose agent never came has nothing to take away.
* First the ManifestSets that are for it, then the agent with its namespace and rights, then what
  was granted on the cluster here and its one-time tokens, then the object.
* While the agent is away the deletion waits. An annotation lets go of the cluster all the same, and
  half a minute after the deletion also where the agent is here and cannot do it; what stands in
  the cluster then stays until somebody removes it (``skerry detach --kubeconfig`` does).
* With several gateways the one that holds the agent asks it; of a cluster whose agent is with another
  gateway nothing is decided here.

Level-based: every look begins anew, and an agent that is asked twice does it once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from skerry.client.contract import Client, PatchKind, Ref
from skerry.gateway.assigned import Assigned, agent_of
from skerry.gateway.desired import MANIFESTSETS
from skerry.gateway.registration import OneTimeTokens
from skerry.gateway.routes import Route, Routes
from skerry.gateway.subjects import Subjects, address, connected
from skerry.kinds.cluster import FORCE
from skerry.kinds.common import GROUP
from skerry.kinds.fullname import FullName, parsed
from skerry.kinds.managementcluster import ATTACHED
from skerry.kit.clock import Clock
from skerry.machinery.errors import NotFound
from skerry.machinery.resource import Json
from skerry.runtime.bindings import end_bindings
from skerry.runtime.informer import Informer, key_of
from skerry.tunnel import link_pb2 as pb

FINALIZER = f"{GROUP}/attachment"
FORCED_AFTER = timedelta(seconds=30)
"""How long an agent that is here has to leave by itself where force is allowed."""
MANAGER = "skerry-gateway"
AGAIN_SECONDS = 10.0
FEATURE = "detach"


class _Asked(NamedTuple):
    """When an agent was asked last, and in which session."""

    route: Route
    at: float


class Leaving:
    """Holds attached clusters, and lets them go."""

    def __init__(self, client: Client, routes: Routes, subjects: Subjects, sets: Informer, assigned: Assigned, clock: Clock) -> None:
        """``sets`` follows the ManifestSets, ``assigned`` knows whose they are."""
        self._client = client
        self._routes = routes
        self._subjects = subjects
        self._sets = sets
        self._assigned = assigned
        self._clock = clock
        self._tokens = OneTimeTokens(client, clock)
        self._left: dict[str, str] = {}
        self._asked: dict[str, _Asked] = {}
        self.waits_for: dict[str, str] = {}
        """What each cluster that is being deleted waits for, for people."""
        self._wake: Callable[[str], None] = lambda _: None

    def listen(self, wake: Callable[[str], None]) -> None:
        """Tell ``wake`` the full name of every cluster about whose leaving there is news."""
        self._wake = wake

    def heard(self, name: str, problem: str) -> None:
        """An agent says that it has left, or why it could not: only one that was asked is believed, and that it has left stays true."""
        if name in self._asked and self._left.get(name) != "":
            self._left[name] = problem
            self._wake(name)

    async def reconcile(self, name: str) -> float | None:
        """Bring one full name a step further; returns when to look again."""
        obj, found = self._subjects.get(name), parsed(name)
        held: list[str] = (obj or {}).get("metadata", {}).get("finalizers") or []
        if obj is None or found is None or not _ours(found, held):
            self._forget(name)
            return None
        if not obj["metadata"].get("deletionTimestamp"):
            if FINALIZER not in held:
                await self._hold(name, obj, [*held, FINALIZER])
            return None
        if FINALIZER not in held or (not found.cluster and held != [FINALIZER]):
            return None
        waits = await self._step(name, obj)
        if waits:
            if self.waits_for.get(name) != waits:
                self.waits_for[name] = waits
                self._wake(name)
            return AGAIN_SECONDS
        if found.cluster:
            await end_bindings(self._client, found.management_cluster, found.cluster)
        await self._tokens.end(name)
        await self._hold(name, obj, [each for each in held if each != FINALIZER])
        self._forget(name)
        return None

    async def _step(self, name: str, obj: Json) -> str:
        """Do what can be done now; returns what the deletion waits for, empty: nothing."""
        forced = (obj["metadata"].get("annotations") or {}).get(FORCE) == "true"
        if forced and self._clock.now() - datetime.fromisoformat(obj["metadata"]["deletionTimestamp"]) >= FORCED_AFTER:
            return ""
        sets = self._assigned.sets(name)
        for each in sets:
            if not each["metadata"].get("deletionTimestamp"):
                await self._delete(MANIFESTSETS, each["metadata"]["name"], each["metadata"]["namespace"])
        route = self._routes.get(name)
        if route is None:
            return _without_agent(obj, forced=forced)
        if sets:
            return _removal_of(sets)
        return self._ask(name, route)

    def _ask(self, name: str, route: Route) -> str:
        problem = self._left.get(name)
        if problem == "":
            return ""
        if route.held:
            return "its agent to say which cluster it is in"
        if FEATURE not in route.hello.features:
            old = f"its agent, which is of release {route.hello.agent_version} and cannot remove itself"
            return f"{old}: update it, or use `skerry detach --kubeconfig`"
        before, now = self._asked.get(name), self._clock.monotonic()
        if before is None or before.route is not route or now - before.at >= AGAIN_SECONDS:
            self._asked[name] = _Asked(route, now)
            route.send(pb.ControlResponse(detach=pb.Detach()))
        return f"its agent, which could not remove itself: {problem}" if problem else "its agent to remove itself"

    async def _hold(self, name: str, obj: Json, finalizers: list[str]) -> None:
        ref, plain, namespace = address(name)
        body = {"metadata": {"finalizers": finalizers or None, "resourceVersion": obj["metadata"]["resourceVersion"]}}
        try:
            await self._client.patch(ref, plain, namespace, PatchKind.MERGE, body, manager=MANAGER)
        except NotFound:
            return

    async def _delete(self, ref: Ref, name: str, namespace: str) -> None:
        try:
            await self._client.delete(ref, name, namespace)
        except NotFound:
            return

    def _forget(self, name: str) -> None:
        self._left.pop(name, None)
        self._asked.pop(name, None)
        self.waits_for.pop(name, None)

    def concerned(self, key: str) -> list[str]:
        """The full names that a change of a ManifestSet may let go, or change what is said of them."""
        obj = self._sets.get(key)
        return [name for name in self.waits_for if obj is None or agent_of(obj) == name]


def _ours(found: FullName, held: Sequence[str]) -> bool:
    """Whether it is left to us how something goes: every attached cluster, and the management clusters that are held."""
    return found.management_cluster == ATTACHED if found.cluster else FINALIZER in held


def _without_agent(obj: Json, *, forced: bool) -> str:
    status = obj.get("status") or {}
    if connected(status):
        return "its agent, which is with another gateway or comes back"
    if forced or "agent" not in status:
        return ""
    return f"its agent, which is away, to remove itself; the annotation {FORCE}=true lets go of the cluster and leaves the agent there"


def _removal_of(sets: Sequence[Json]) -> str:
    """What keeps sets from going, as far as their agent said."""
    conditions = (sets[0].get("status") or {}).get("conditions") or ()
    said = [each for each in conditions if each["type"] == "Applied" and each["status"] != "True"]
    many = f"{len(sets)} manifest sets" if len(sets) > 1 else "a manifest set"
    why = f" ({said[0]['message']})" if said else ""
    return f"{many} to be removed, first {key_of(sets[0])}{why}"
