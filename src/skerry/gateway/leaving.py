"""Attached clusters leave the fleet: whoever deletes one has what was put there taken away first, by the agent itself.

* An attached cluster is held by a finalizer. One whose agent never came has nothing to take away.
* First the ManifestSets that are for it, then the agent with its namespace and rights, then what
  was granted on the cluster here, then the object.
* While the agent is away the deletion waits. An annotation lets go of the cluster all the same;
  what stands in it then stays until somebody removes it (``skerry detach --kubeconfig`` does).
* With several gateways the one that holds the agent asks it; any of them lets go by force.

Level-based: every look begins anew, and an agent that is asked twice does it once.
"""

from __future__ import annotations

from collections.abc import Callable

from skerry.client.contract import Client, PatchKind, Ref
from skerry.gateway.desired import MANIFESTSETS, agent_of
from skerry.gateway.routes import Route, Routes
from skerry.gateway.subjects import CLUSTERS, Subjects
from skerry.kinds.common import GROUP
from skerry.kinds.fullname import parsed
from skerry.machinery.errors import NotFound
from skerry.machinery.resource import Json
from skerry.runtime.bindings import end_bindings
from skerry.runtime.informer import Informer, key_of
from skerry.tunnel import link_pb2 as pb

FINALIZER = f"{GROUP}/attachment"
FORCE = f"{GROUP}/force-delete"
"""Annotation, ``"true"``: let go of a deleted cluster whose agent is away, and leave what is in it where it is."""
ATTACHED = "attached"
MANAGER = "skerry-gateway"
AGAIN_SECONDS = 10.0
FEATURE = "detach"


class Leaving:
    """Holds attached clusters, and lets them go."""

    def __init__(self, client: Client, routes: Routes, subjects: Subjects, sets: Informer) -> None:
        """``sets`` follows the ManifestSets."""
        self._client = client
        self._routes = routes
        self._subjects = subjects
        self._sets = sets
        self._left: dict[str, str] = {}
        self.waits_for: dict[str, str] = {}
        """What each cluster that is being deleted waits for, for people."""
        self._wake: Callable[[str], None] = lambda _: None

    def listen(self, wake: Callable[[str], None]) -> None:
        """Tell ``wake`` the full name of every cluster about whose leaving there is news."""
        self._wake = wake

    def heard(self, name: str, problem: str) -> None:
        """An agent says that it has left, or why it could not."""
        self._left[name] = problem
        self._wake(name)

    async def reconcile(self, name: str) -> float | None:
        """Bring one full name a step further; returns when to look again."""
        obj, found = self._subjects.get(name), parsed(name)
        if obj is None or found is None or found.management_cluster != ATTACHED or not found.cluster:
            self._forget(name)
            return None
        metadata = obj["metadata"]
        held = metadata.get("finalizers") or []
        if not metadata.get("deletionTimestamp"):
            if FINALIZER not in held:
                await self._hold(obj, [*held, FINALIZER])
            return None
        if FINALIZER not in held:
            return None
        waits = await self._step(name, obj)
        if waits:
            if self.waits_for.get(name) != waits:
                self.waits_for[name] = waits
                self._wake(name)
            return AGAIN_SECONDS
        await end_bindings(self._client, metadata["namespace"], metadata["name"])
        await self._hold(obj, [each for each in held if each != FINALIZER])
        self._forget(name)
        return None

    async def _step(self, name: str, obj: Json) -> str:
        """Do what can be done now; returns what the deletion waits for, empty: nothing."""
        sets = [each for each in self._sets.all() if agent_of(each) == name]
        for each in sets:
            if not each["metadata"].get("deletionTimestamp"):
                await self._delete(MANIFESTSETS, each["metadata"]["name"], each["metadata"]["namespace"])
        route = self._routes.get(name)
        if route is None:
            return self._without_agent(obj)
        if sets:
            return f"{len(sets)} manifest sets to be removed, first {key_of(sets[0])}"
        return self._ask(name, route)

    def _without_agent(self, obj: Json) -> str:
        never = "agent" not in (obj.get("status") or {})
        if never or (obj["metadata"].get("annotations") or {}).get(FORCE) == "true":
            return ""
        return f"its agent, which is away, to remove itself; the annotation {FORCE}=true lets go of the cluster and leaves the agent there"

    def _ask(self, name: str, route: Route) -> str:
        problem = self._left.pop(name, None)
        if problem == "":
            return ""
        if FEATURE not in route.hello.features:
            old = f"its agent, which is of release {route.hello.agent_version} and cannot remove itself"
            return f"{old}: update it, or use `skerry detach --kubeconfig`"
        route.send(pb.ControlResponse(detach=pb.Detach()))
        return f"its agent, which could not remove itself: {problem}" if problem else "its agent to remove itself"

    async def _hold(self, obj: Json, finalizers: list[str]) -> None:
        metadata = obj["metadata"]
        body = {"metadata": {"finalizers": finalizers or None, "resourceVersion": metadata["resourceVersion"]}}
        try:
            await self._client.patch(CLUSTERS, metadata["name"], metadata["namespace"], PatchKind.MERGE, body, manager=MANAGER)
        except NotFound:
            return

    async def _delete(self, ref: Ref, name: str, namespace: str) -> None:
        try:
            await self._client.delete(ref, name, namespace)
        except NotFound:
            return

    def _forget(self, name: str) -> None:
        self._left.pop(name, None)
        self.waits_for.pop(name, None)

    def concerned(self, key: str) -> list[str]:
        """The full names that a change of a ManifestSet may let go."""
        return [name for name in self.waits_for if self._sets.get(key) is None]
