"""Which agents are connected, and how each is spoken to."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from skerry.tunnel import link_pb2 as pb

OUTBOX = 1000
"""Messages that may wait for one agent before its session is ended: it comes back and is told everything anew."""


@dataclass(eq=False)
class Route:
    """The live session of one agent."""

    name: str
    hello: pb.Hello
    session: str = field(default_factory=lambda: secrets.token_hex(8))
    outbox: asyncio.Queue[pb.ControlResponse | None] = field(default_factory=lambda: asyncio.Queue(OUTBOX + 1))
    ended: bool = False

    def send(self, message: pb.ControlResponse) -> None:
        """Queue a message; a full queue ends the session."""
        if self.ended:
            return
        if self.outbox.qsize() >= OUTBOX:
            self.end()
        else:
            self.outbox.put_nowait(message)

    def end(self) -> None:
        """End the session after what is queued."""
        if not self.ended:
            self.ended = True
            self.outbox.put_nowait(None)


class Routes:
    """The connected agents by management cluster; a newer session takes the place of an older one."""

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
            older.send(pb.ControlResponse(goodbye=pb.Goodbye(reason="a newer session of this agent began")))
            older.end()
        self._tell(route.name)

    def remove(self, route: Route) -> None:
        """A session is over; unless it was replaced already, the agent is away."""
        if self._routes.get(route.name) is route:
            del self._routes[route.name]
            self._tell(route.name)

    def get(self, name: str) -> Route | None:
        """The session of an agent, None if it is away."""
        return self._routes.get(name)

    def end_all(self) -> None:
        """End every session."""
        for route in list(self._routes.values()):
            route.send(pb.ControlResponse(goodbye=pb.Goodbye(reason="the gateway is stopping")))
            route.end()

    def _tell(self, name: str) -> None:
        for listener in self._listeners:
            listener(name)

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {"connected": len(self._routes), "queued": sum(route.outbox.qsize() for route in self._routes.values())}
