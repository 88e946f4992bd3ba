"""What is said of an agent that does not come in: by itself at the front door, or by whoever had to refuse it.

It is kept in the status as ``trouble``, with when it was last told; the conditions are made of it (``standing.py``). A trouble
that nobody has told for a while is over, and so is one that kept an agent from connecting once it is here.

Whether it was told lately is judged by when it was last *seen* to change, on this gateway's own clock: clocks of machines are
never compared. So every gateway may clear what another wrote. An agent that tells the same again is written down once a
minute, and whatever it tells, no more often than every ten seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from skerry.client.contract import Client, PatchKind
from skerry.gateway.routes import Routes
from skerry.gateway.subjects import Subjects, address
from skerry.kinds.managementcluster import DOUBLES
from skerry.kit.clock import Clock, rfc3339
from skerry.machinery.errors import NotFound
from skerry.machinery.resource import Json

MANAGER = "skerry-gateway"
KEPT_SECONDS = 180.0
"""How long a trouble stands that nobody tells any more: a few of the longest waits between an agent's attempts."""
AGAIN_SECONDS = 60.0
LEAST_SECONDS = 10.0
MOST_MESSAGE = 1024


class Told(NamedTuple):
    """One word for programs, a sentence for people."""

    reason: str
    message: str


class Troubles:
    """Keeps the troubles in the statuses true."""

    def __init__(self, client: Client, routes: Routes, subjects: Subjects, clock: Clock) -> None:
        """``subjects`` are what agents speak for."""
        self._client = client
        self._routes = routes
        self._subjects = subjects
        self._clock = clock
        self._news: dict[str, Told] = {}
        self._wrote: dict[str, float] = {}
        self._seen: dict[str, tuple[str, float]] = {}
        self._wake: Callable[[str], None] = lambda _: None

    def listen(self, wake: Callable[[str], None]) -> None:
        """Tell ``wake`` the full name of everything of which there is news."""
        self._wake = wake

    def tell(self, name: str, reason: str, message: str) -> None:
        """Something keeps the agent of a full name away."""
        self._news[name] = Told(reason, message[:MOST_MESSAGE])
        self._wake(name)

    async def reconcile(self, name: str) -> float | None:
        """Write down what was told of one full name, or that it is over; returns when to look again."""
        obj, now = self._subjects.get(name), self._clock.monotonic()
        if obj is None:
            for each in (self._news, self._wrote, self._seen):
                each.pop(name, None)
            return None
        standing: Json | None = (obj.get("status") or {}).get("trouble")
        self._look(name, standing, now)
        news = self._news.get(name)
        if news is not None and (news.reason in DOUBLES or self._routes.get(name) is None):
            return await self._tell(name, obj, standing, news, now)
        self._news.pop(name, None)
        if standing is None:
            return None
        left = self._seen[name][1] + KEPT_SECONDS - now
        if left > 0 and (standing["reason"] in DOUBLES or self._routes.get(name) is None):
            return left
        await self._write(name, obj, None)
        return None

    def _look(self, name: str, standing: Json | None, now: float) -> None:
        """Remember when the trouble that stands was last seen to change."""
        if standing is None:
            self._seen.pop(name, None)
        elif self._seen.get(name, ("",))[0] != standing.get("lastSeen", ""):
            self._seen[name] = (standing.get("lastSeen", ""), now)

    async def _tell(self, name: str, obj: Json, standing: Json | None, news: Told, now: float) -> float:
        same = standing is not None and (standing["reason"], standing["message"]) == news
        due = self._wrote.get(name, -AGAIN_SECONDS) + (AGAIN_SECONDS if same else LEAST_SECONDS) - now
        if due > 0 and not same:
            return due
        if due <= 0:
            await self._write(name, obj, {"reason": news.reason, "message": news.message, "lastSeen": rfc3339(self._clock.now())})
            self._wrote[name] = now
        if self._news.get(name) is news:
            del self._news[name]
        return KEPT_SECONDS

    async def _write(self, name: str, obj: Json, trouble: Json | None) -> None:
        ref, plain, namespace = address(name)
        body = {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}, "status": {"trouble": trouble}}
        try:
            await self._client.patch(ref, plain, namespace, PatchKind.MERGE, body, subresource="status", manager=MANAGER)
        except NotFound:
            return
