"""Whether a management cluster is connected, written into its status when that changes, never at a heartbeat.

A gateway that has just started knows of no agent. For as long as an agent may be silent without
being given up, those that were connected to the gateway before it are not called away. With
several gateways each judges its own agents, and those whose gateway gives no sign of life.
An agent whose line breaks without a word may be connected to another gateway before its old one
notices. So each writes only of a session that is the agent's newest (``sessions.py``), which it asks
after it has read the status that it writes over: whoever claims the agent later, writes later.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from skerry.client.contract import Client, PatchKind, Ref
from skerry.gateway.conditions import Verdict, condition
from skerry.gateway.presence import EVERY_SECONDS, Presence
from skerry.gateway.routes import Route, Routes
from skerry.gateway.sessions import Sessions
from skerry.kinds.common import GROUP, VERSION
from skerry.kinds.managementcluster import BUILTIN
from skerry.kit.clock import Clock, rfc3339
from skerry.machinery.errors import NotFound
from skerry.machinery.resource import Json
from skerry.runtime.events import Recorder, changed
from skerry.runtime.informer import Informer
from skerry.tunnel import link_pb2 as pb

MANAGER = "skerry-gateway"
MANAGEMENT_CLUSTERS = Ref(GROUP, VERSION, "managementclusters", namespaced=False)


class Health:
    """Keeps the status of management clusters true."""

    def __init__(
        self,
        client: Client,
        routes: Routes,
        sessions: Sessions,
        informer: Informer,
        clock: Clock,
        *,
        patience: float,
        presence: Presence | None = None,
    ) -> None:
        """``informer`` follows the ManagementClusters; ``patience`` are the seconds in which agents come back after a start.

        ``presence`` knows the other gateways, None where there can be none.
        """
        self._client = client
        self._routes = routes
        self._sessions = sessions
        self._informer = informer
        self._clock = clock
        self.recorder = Recorder(client, MANAGER, clock)
        self._problems: dict[str, str] = {}
        self._patient_until = clock.monotonic() + patience
        self._seen: set[str] = set()
        self._presence = presence

    def heartbeat(self, name: str, beat: pb.Heartbeat) -> bool:
        """Take a heartbeat; True if something changed that the status must show."""
        problem = "" if beat.api_reachable else beat.problem or "its API does not answer"
        if self._problems.get(name, "") == problem:
            return False
        self._problems[name] = problem
        return True

    async def reconcile(self, name: str) -> float | None:
        """Write the status of one management cluster if it is not true."""
        obj = self._informer.get(name)
        if obj is None:
            return None
        route = self._routes.get(name)
        if route is not None:
            self._seen.add(name)
            if not await self._sessions.stands(name, route.epoch):
                return None  # the look at the claims has ended it
        elif self._presence and await self._elsewhere(name, obj, self._presence):
            return EVERY_SECONDS
        elif name not in self._seen and (obj.get("status") or {}).get("phase") == "Connected":
            wait = self._patient_until - self._clock.monotonic()
            if wait > 0:
                return wait
        gateway = self._presence.identity if self._presence else ""
        status = next_status(obj, route, self._problems.get(name, ""), self._clock.now(), gateway)
        if status != (obj.get("status") or {}):
            try:
                body = {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}, "status": status}
                await self._client.patch(MANAGEMENT_CLUSTERS, name, "", PatchKind.MERGE, body, subresource="status", manager=MANAGER)
            except NotFound:
                return None
            for each in changed(obj.get("status"), status, ("Connected", "Healthy")):
                if each["reason"] != "NeverConnected":
                    self.recorder.tell(obj, each["reason"], each["message"], warning=each["status"] != "True")
        return None

    def holders(self) -> dict[str, int]:
        """How many agents each gateway holds, by its identity, as the statuses tell it."""
        statuses = [(self._informer.get(name) or {}).get("status") or {} for name in self._informer.known()]
        return dict(Counter(str((each.get("agent") or {}).get("gateway", "")) for each in statuses if each.get("phase") == "Connected"))

    async def _elsewhere(self, name: str, obj: Json, presence: Presence) -> bool:
        """Whether it is for another gateway, which lives, to say how an agent is: one that wrote so, or has claimed the agent since."""
        await self._sessions.look()
        wrote = ((obj.get("status") or {}).get("agent") or {}).get("gateway", "")
        return any(presence.elsewhere(each) for each in (wrote, self._sessions.holder(name)))


def next_status(obj: Json, route: Route | None, problem: str, now: datetime, gateway: str = "") -> Json:
    """The status that is true now (pure)."""
    before: Json = obj.get("status") or {}
    status = {**before, "observedGeneration": obj["metadata"].get("generation", 0)}
    others = [each for each in before.get("conditions") or () if each["type"] not in {"Connected", "Healthy"}]
    if obj["metadata"].get("name") in BUILTIN:
        return {**status, "phase": "BuiltIn", "conditions": others}
    if route is None:
        never = "agent" not in before
        status["phase"] = "Pending" if never else "Disconnected"
        connected = Verdict("False", "AgentAway", "its agent is away")
        if never:
            connected = Verdict("False", "NeverConnected", "its agent has not connected yet")
        healthy = Verdict("Unknown", connected.reason, connected.message)
    else:
        status["phase"] = "Connected"
        status["kubernetesVersion"] = route.hello.kubernetes_version
        agent = {"version": route.hello.agent_version, **({"gateway": gateway} if gateway else {})}
        known = dict(before.get("agent") or {})
        since = known.pop("connectedSince", None) if before.get("phase") == "Connected" else None
        status["agent"] = {**agent, "connectedSince": since if since and known == agent else rfc3339(now)}
        connected = Verdict("True", "AgentConnected", "its agent holds a session")
        healthy = Verdict("True", "ApiReachable", "its API answers its agent")
        if problem:
            healthy = Verdict("False", "ApiUnreachable", problem)
    generation = status["observedGeneration"]
    ours = [condition(before, kind, verdict, now, generation) for kind, verdict in (("Connected", connected), ("Healthy", healthy))]
    status["conditions"] = [*others, *ours]
    return status
