"""One session with the gateway, from the first word to the last.

What is said and done is decided by the machine of ``tunnel/session.py``; here its steps are taken,
and messages carried. Everything that outlives a session belongs to the agent (``main.py``).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from skerry.agent.enforce import Enforcer
from skerry.agent.inventory import InventoryWatch
from skerry.agent.outbox import Outbox
from skerry.agent.proxy import ProxyAgent
from skerry.kit.aio import Pulse, TaskOwner
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.session import (
    Again,
    AgentSession,
    AgentStep,
    Complain,
    Enforce,
    Follow,
    Install,
    Keep,
    Leave,
    Over,
    Say,
    Serve,
    Welcomed,
)

RENEWAL_CHECK_SECONDS = 300.0
LAST_WORD_SECONDS = 60.0
"""How long an agent that has left waits for the gateway to hear it, and to let it go."""

log = get("agent.session")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a session works on."""

    enforcer: Enforcer
    inventory: InventoryWatch
    proxy: ProxyAgent
    pulse: Pulse
    heartbeat: Callable[[], pb.Heartbeat]
    signing_request: Callable[[], bytes | None]
    """A request for a new certificate where one is due, PEM."""
    install: Callable[[bytes, bytes], Awaitable[None]]
    """Keeps the certificate that was asked for last, and roots."""
    keep_trust: Callable[[bytes], Awaitable[None]]
    """Keeps roots; raises where they cannot be kept."""
    welcomed: Callable[[str], None]
    stale: Callable[[], str]
    """Why the session should be begun anew; empty: it need not be."""
    leave: Callable[[], Awaitable[str]]
    """Takes everything away, itself last; returns what kept it from that, empty: the agent ends."""
    superseded: Callable[[], None] = lambda: None
    """Hears that a newer session of the same agent took this one's place."""
    said: Counter[str] = field(default_factory=Counter)
    """How often each kind of message was sent."""


class Gone(Exception):
    """The gateway does not know the cluster, or does not let go of one that has left long ago."""


class _Over(Exception):
    """Time has ended the session: whoever waits for a message must wait no longer."""


class Session:
    """One session."""

    def __init__(self, machine: AgentSession, parts: Parts, clock: Clock) -> None:
        """Nothing is said before ``run``."""
        self._machine = machine
        self._parts = parts
        self._clock = clock
        self._outbox = Outbox(parts.enforcer.take_report, parts.pulse)
        self._over = ""
        self._ticking: asyncio.Task[None]

    async def run(self, stub: Any) -> str:
        """Talk until the session is over; returns why. Raises Gone where there is nobody to talk to any more."""
        for step in self._machine.opened():
            await self._take(step)
        stream = stub.Control(self._outbox.messages())
        try:
            async with TaskOwner("session") as owner:
                self._ticking = owner.spawn(self._tick(), "tick")
                while not self._over and isinstance(message := await stream.read(), pb.ControlResponse):
                    for step in self._machine.heard(message, self._clock.monotonic()):
                        await self._begin(step, owner, stub)
        except _Over:
            return self._over
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                raise Gone(error.details()) from error
            return self._over or f"{error.code().name.lower()}: {error.details()}"
        finally:
            self._outbox.close()
            stream.cancel()
        return self._over or "the gateway ended it"

    async def _begin(self, step: AgentStep, owner: TaskOwner, stub: Any) -> None:
        """Take a step that may start something."""
        match step:
            case Serve(call):
                owner.spawn(self._serve(stub, call), f"call-{call}")
            case Leave():
                owner.spawn(self._leave(), "leaving")
            case Welcomed():
                await self._take(step)
                self._ticking.cancel()  # it waits for the welcome; from now on it is about heartbeats
                self._ticking = owner.spawn(self._tick(), "tick")
                owner.spawn(self._renew(), "renewals")
                owner.spawn(self._parts.inventory.stream(self._outbox.send_delta), "inventory")
            case _:
                await self._take(step)

    async def _take(self, step: AgentStep) -> None:
        parts = self._parts
        match step:
            case Say(message):
                parts.said[message.WhichOneof("message") or ""] += 1
                self._outbox.say(message)
            case Welcomed(session):
                parts.welcomed(session)
            case Follow(kinds):
                parts.inventory.subscribe(kinds)
            case Again():
                parts.inventory.restart()
            case Enforce(state):
                parts.enforcer.ask(state)
            case Install(certificate, bundle):
                await parts.install(certificate, bundle)
            case Keep(bundle):
                await parts.keep_trust(bundle)
            case Complain(problem):
                log.warning(problem)
            case Over(reason, superseded):
                self._over = reason
                if superseded:
                    parts.superseded()

    async def _tick(self) -> None:
        while not self._over:
            await self._clock.sleep(self._machine.wait(self._clock.monotonic()))
            self._over = self._over or self._parts.stale()
            for step in self._machine.tick(self._clock.monotonic(), self._parts.heartbeat()):
                await self._take(step)
        raise _Over

    async def _renew(self) -> None:
        """Ask for a new certificate whenever one is due and none is on its way: with each request goes a key of its own."""
        while True:
            csr = self._parts.signing_request() if self._machine.may_renew else None
            if csr is not None:
                for step in self._machine.renew(csr):
                    await self._take(step)
            await self._clock.sleep(RENEWAL_CHECK_SECONDS)

    async def _leave(self) -> None:
        problem = await self._parts.leave()
        self._outbox.say(pb.ControlRequest(detached=pb.Detached(problem=problem)))
        if not problem:
            await self._clock.sleep(LAST_WORD_SECONDS)
            raise Gone("the cluster has left the fleet")

    async def _serve(self, stub: Any, call: str) -> None:
        try:
            await self._parts.proxy.serve(stub, call)
        except grpc.aio.AioRpcError as error:
            log.debug("a proxied call ended", call=call, code=error.code().name)
        except Exception:
            log.exception("a proxied call failed unexpectedly", call=call)
