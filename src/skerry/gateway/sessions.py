"""Which session of an agent counts, over all gateways of an installation: the one that was claimed last.

A claim is a latest value, and its sequence number the *epoch* of the session. What an agent
reports is stored only while the claim of its session is the newest, and in the same step; so
whatever a gateway still holds of a session that is over, nothing of it is stored after the
first word of a newer one.

* A gateway looks at the claims before it welcomes an agent, and claims when the agent answers
  the welcome. A claim that was made in between by another makes its own fail. So a gateway that
  stood still, and finds in its buffers what an agent said before it went elsewhere, claims nothing.
* Every gateway looks now and then who claimed its agents, and ends the sessions that are over: an
  agent whose line broke without a word is given up long before it is missed.
* A claim stays when its session ends; the status of the management cluster says who is connected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from skerry.gateway.routes import Routes
from skerry.kit.clock import Clock
from skerry.kit.log import get

LOOK_SECONDS = 2.0
SUPERSEDED = "a newer session of this agent began at another gateway"

log = get("gateway.sessions")


class Claim(NamedTuple):
    """The newest claim on an agent. ``gateway`` is the identity of the one that made it, empty where there is but one."""

    name: str
    epoch: int
    gateway: str


class Outdone(Exception):
    """Another session of the agent was claimed."""


class Claims(Protocol):
    """Where claims are kept, for all gateways."""

    async def put(self, name: str, gateway: str, before: int) -> int:
        """Claim an agent whose newest claim is of epoch ``before`` (0: it has none); returns the new epoch. Raises Outdone if it is not."""
        ...

    async def head(self) -> int:
        """A number that no claim that was made so far is beyond, and no later one below."""
        ...

    async def since(self, epoch: int) -> Sequence[Claim] | None:
        """The claims that were made after an epoch (0: all that stand), by epoch; None where nobody knows, and all must be read."""
        ...


class Sessions:
    """What one gateway knows of the claims, and its own."""

    def __init__(self, claims: Claims, routes: Routes, identity: str, clock: Clock) -> None:
        """``identity`` is this gateway's, empty where there are no others."""
        self._claims = claims
        self._routes = routes
        self._identity = identity
        self._clock = clock
        self._latest: dict[str, Claim] = {}
        self._seen = 0
        self._looking = asyncio.Lock()
        self._asked = self._answered = 0

    async def run(self) -> None:
        """Look who claimed which agent, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 whatever keeps the store from answering, it is asked again
                log.info("cannot look at the claims; will try again", error=str(error))

    async def look(self) -> None:
        """Learn of all claims that were made before now, and end the sessions here that they end. Raises what the claims raise.

        Whoever comes while others look waits for one look, that begins after he came and is everybody's who waits: agents
        connect a hundred at a time.
        """
        self._asked += 1
        mine = self._asked
        async with self._looking:
            if self._answered >= mine:
                return
            asked = self._asked
            await self._look()
            self._answered = asked

    async def _look(self) -> None:
        head = await self._claims.head()
        if head != self._seen:
            made = await self._claims.since(self._seen)
            if made is None:
                made, self._latest = await self._claims.since(0) or (), {}
                for name in self._routes.names() - {claim.name for claim in made}:
                    self._routes.dismiss(name, "its claim was lost; say everything anew")
            for claim in made:
                self._latest[claim.name] = claim
                route = self._routes.get(claim.name)
                if route is not None and route.epoch < claim.epoch:
                    self._routes.dismiss(claim.name, SUPERSEDED, superseded=True)
            self._seen = head

    async def newest(self, name: str) -> int:
        """The epoch of the newest claim on an agent, 0 if there is none."""
        await self.look()
        claim = self._latest.get(name)
        return claim.epoch if claim else 0

    async def claim(self, name: str, before: int) -> int:
        """Claim an agent whose newest claim was ``before``; returns the epoch of the session. Raises Outdone."""
        return await self._claims.put(name, self._identity, before)

    async def stands(self, name: str, epoch: int) -> bool:
        """Tell whether a session of an agent is its newest anywhere, as of now."""
        return await self.newest(name) == epoch

    def holder(self, name: str) -> str:
        """The gateway that claimed an agent last, as far as was seen; empty if none did."""
        claim = self._latest.get(name)
        return claim.gateway if claim else ""
