"""Which agents are connected, and how each is spoken to.

Messages to an agent wait in its route in two lines. Words (a welcome, an order to open a
stream) are small and go first; an agent that lets too many of them wait is cut off, and told
everything anew when it is back. Desired states are big and may be many, so only the names of
the sets wait: each is put together when its turn comes, as it is at that moment, however often
it changed meanwhile. So a slow agent costs the gateway names, not manifests.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from skerry.tunnel import link_pb2 as pb

MOST_WORDS = 1000
"""Words that may wait for one agent before its session is ended."""

MakeState = Callable[[], pb.DesiredState | None]
"""Puts a desired state together at the moment when it is sent; None: there is nothing to send any more."""


@dataclass(eq=False, slots=True)
class Route:
    """The live session of one agent."""

    name: str
    hello: pb.Hello
    session: str = field(default_factory=lambda: secrets.token_hex(8))
    trusts: str = ""
    """Digest of the roots that the agent trusts, as far as it acknowledged them."""
    since: float = 0.0
    """When the agent said hello, by the gateway's own clock."""
    epoch: int = 0
    """Orders the sessions of one agent, over all gateways; 0: it was not claimed yet."""
    held: bool = False
    """Gets no orders: it is not known which cluster this is."""
    ended: bool = False
    reason: str = ""
    """Why it was ended from here."""
    _words: deque[pb.ControlResponse] = field(default_factory=deque)
    _states: dict[str, MakeState] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, message: pb.ControlResponse) -> None:
        """Queue a word; too many of them end the session."""
        if self.ended:
            return
        if len(self._words) >= MOST_WORDS:
            self.end()
        else:
            self._words.append(message)
            self._wake.set()

    def send_state(self, name: str, make: MakeState) -> None:
        """Queue a set; one that waits already is sent once."""
        if not self.ended:
            self._states[name] = make
            self._wake.set()

    def end(self) -> None:
        """End the session after the words that wait; states are not waited for, a new session is told them anyway."""
        self.ended = True
        self._states.clear()
        self._wake.set()

    async def next(self) -> pb.ControlResponse | None:
        """Wait for what is to be sent next; None: the session is over."""
        while True:
            if self._words:
                return self._words.popleft()
            if self._states:
                name = next(iter(self._states))
                state = self._states.pop(name)()
                if state is not None:
                    return pb.ControlResponse(desired=state)
                continue
            if self.ended:
                return None
            self._wake.clear()
            await self._wake.wait()

    @property
    def queued(self) -> int:
        """How much waits."""
        return len(self._words) + len(self._states)


class Routes:
    """The connected agents by the full name of what they speak for; a newer session takes the place of an older one."""

    def __init__(self) -> None:
        """Nobody is connected."""
        self._routes: dict[str, Route] = {}
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, listener: Callable[[str], None]) -> None:
        """Tell ``listener`` the name of every agent that comes or goes."""
        self._listeners.append(listener)

    def add(self, route: Route) -> None:
        """An agent is here."""
        older = self._routes.get(route.name)
        self._routes[route.name] = route
        if older is not None:
            _dismiss(older, "a newer session of this agent began", superseded=True)
        self._tell(route.name)

    def remove(self, route: Route) -> None:
        """A session is over; unless it was replaced already, the agent is away."""
        route.end()
        if self._routes.get(route.name) is route:
            del self._routes[route.name]
            self._tell(route.name)

    def get(self, name: str) -> Route | None:
        """The session of an agent, None if it is away."""
        return self._routes.get(name)

    def names(self) -> set[str]:
        """The agents that are connected."""
        return set(self._routes)

    def current(self, route: Route) -> bool:
        """Whether a session is still the agent's latest."""
        return self._routes.get(route.name) is route

    def dismiss(self, name: str, reason: str, *, superseded: bool = False) -> None:
        """End the session of an agent, if it has one; ``superseded``: because it has a newer one elsewhere."""
        route = self._routes.get(name)
        if route is not None:
            _dismiss(route, reason, superseded=superseded)

    def end_all(self) -> None:
        """End every session."""
        for name in list(self._routes):
            self.dismiss(name, "the gateway is stopping")

    def spread_trust(self, bundle: bytes) -> None:
        """Send roots to every connected agent; whoever connects later is told by its session."""
        for route in self._routes.values():
            route.send(pb.ControlResponse(trust=pb.TrustBundle(bundle=bundle)))

    def trust(self) -> dict[str, str]:
        """The digest of the roots that each connected agent trusts; empty where it has not acknowledged any."""
        return {name: route.trusts for name, route in self._routes.items()}

    def _tell(self, name: str) -> None:
        for listener in self._listeners:
            listener(name)

    def agents(self) -> list[dict[str, Any]]:
        """Who is connected, for people."""
        return [
            {
                "name": name,
                "session": route.session,
                "epoch": route.epoch,
                "version": route.hello.agent_version,
                "queued": route.queued,
            }
            for name, route in sorted(self._routes.items())
        ]

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {"connected": len(self._routes), "queued": sum(route.queued for route in self._routes.values())}


def _dismiss(route: Route, reason: str, *, superseded: bool = False) -> None:
    route.send(pb.ControlResponse(goodbye=pb.Goodbye(reason=reason, superseded=superseded)))
    route.reason = reason
    route.end()
