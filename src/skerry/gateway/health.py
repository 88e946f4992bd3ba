"""Whether an agent is connected, and how its cluster is, written into the status when that changes, never at a heartbeat.

A gateway that has just started knows of no agent. For as long as an agent may be silent without
being given up, those that were connected to the gateway before it are not called away. With
several gateways each judges its own agents, and those whose gateway gives no sign of life.
An agent whose line breaks without a word may be connected to another gateway before its old one
notices. So each writes only of a session that is the agent's newest (``sessions.py``), which it asks
after it has read the status that it writes over: whoever claims the agent later, writes later. What is
written is decided in ``standing.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

from skerry.client.contract import Client, PatchKind
from skerry.gateway.presence import EVERY_SECONDS, Presence
from skerry.gateway.routes import Routes
from skerry.gateway.sessions import Sessions
from skerry.gateway.standing import NOTHING, OURS, Told, next_status, told
from skerry.gateway.subjects import Subjects, address, connected
from skerry.gateway.twins import refuse_twin
from skerry.kinds.managementcluster import DUPLICATE
from skerry.kit.clock import Clock
from skerry.machinery.errors import NotFound
from skerry.machinery.resource import Json
from skerry.runtime.events import Recorder, changed
from skerry.tunnel import link_pb2 as pb

MANAGER = "skerry-gateway"


class Health:
    """Keeps the status of whatever agents speak for true."""

    def __init__(
        self,
        client: Client,
        routes: Routes,
        sessions: Sessions,
        subjects: Subjects,
        clock: Clock,
        *,
        patience: float,
        presence: Presence | None = None,
        waits_for: Mapping[str, str] | None = None,
    ) -> None:
        """``patience`` are the seconds in which agents come back after a start.

        ``presence`` knows the other gateways, None where there can be none; ``waits_for`` says what keeps clusters from leaving.
        """
        self._client = client
        self._routes = routes
        self._sessions = sessions
        self._subjects = subjects
        self._clock = clock
        self.recorder = Recorder(client, MANAGER, clock)
        self._told: dict[str, Told] = {}
        self._patient_until = clock.monotonic() + patience
        self._seen: set[str] = set()
        self._presence = presence
        self._waits_for = waits_for if waits_for is not None else {}

    def heartbeat(self, name: str, beat: pb.Heartbeat) -> bool:
        """Take a heartbeat; True if something changed that the status must show."""
        says = told(beat)
        if self._told.get(name, NOTHING) == says:
            return False
        self._told[name] = says
        return True

    async def reconcile(self, name: str) -> float | None:
        """Write the status that belongs to one full name if it is not true."""
        obj = self._subjects.get(name)
        if obj is None:
            self._told.pop(name, None)
            self._seen.discard(name)
            return None
        route = self._routes.get(name)
        if route is not None:
            self._seen.add(name)
            if not await self._sessions.stands(name, route.epoch):
                return None  # the look at the claims has ended it
        elif self._presence and await self._elsewhere(name, obj, self._presence):
            return EVERY_SECONDS
        elif name not in self._seen and connected(obj.get("status") or {}):
            wait = self._patient_until - self._clock.monotonic()
            if wait > 0:
                return wait
        gateway = self._presence.identity if self._presence else ""
        status = next_status(obj, route, self._told.get(name, NOTHING), self._clock.now(), gateway, self._waits_for.get(name, ""))
        if status != (obj.get("status") or {}):
            try:
                body = {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}, "status": status}
                ref, plain, namespace = address(name)
                await self._client.patch(ref, plain, namespace, PatchKind.MERGE, body, subresource="status", manager=MANAGER)
            except NotFound:
                return None
            for each in changed(obj.get("status"), status, (*OURS, DUPLICATE)):
                if each["reason"] != "NeverConnected":
                    warning = (each["status"] == "True") == (each["type"] == DUPLICATE)
                    self.recorder.tell(obj, each["reason"], each["message"], warning=warning)
        return None

    def holders(self) -> dict[str, int]:
        """How many agents each gateway holds, by its identity, as the statuses tell it."""
        return dict(self._subjects.holders)

    async def refuse_twin(self, name: str, hello: pb.Hello) -> str:
        """Why an agent that says hello is not let in beside the session that it has already; empty: it is (``twins.py``)."""
        if not hello.superseded:
            return ""
        await self._sessions.look()
        there = connected((self._subjects.get(name) or {}).get("status") or {})
        elsewhere = there and self._presence is not None and self._presence.elsewhere(self._sessions.holder(name))
        return refuse_twin(hello, self._routes.get(name), elsewhere=elsewhere, now=self._clock.monotonic())

    async def _elsewhere(self, name: str, obj: Json, presence: Presence) -> bool:
        """Whether it is for another gateway, which lives, to say how an agent is: one that wrote so, or has claimed the agent since."""
        await self._sessions.look()
        wrote = ((obj.get("status") or {}).get("agent") or {}).get("gateway", "")
        return any(presence.elsewhere(each) for each in (wrote, self._sessions.holder(name)))
