"""The gateway's end of the link: accepts agents and hands what they say to who decides on it.

The rules of a session are a machine in ``tunnel/session.py``; here its steps are taken. Identity
comes from the certificate alone, and is asked for again with every stream: from the handshake, or, on the port for agents whose
handshake ends at a proxy, from a statement that its key has signed (``statements.py``).

A session counts once its agent has answered the welcome and is claimed (``sessions.py``): from
then on it gets orders, and what it says is heard. Reports that come earlier are let go; the agent
says them again when it is told what is wanted.

What an agent reported and could not be kept (a full disk, a store that is away) ends its
session: the agent comes back and reports everything anew, so nothing is lost and nothing
has to be repeated here. One agent's trouble never reaches another's session.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc

from skerry.gateway.proxy import ProxyCall, ProxyCalls
from skerry.gateway.routes import Route
from skerry.gateway.sessions import SUPERSEDED, Outdone, Sessions
from skerry.gateway.statements import Agent, Statements, agent_of
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.errors import NotCarried, ServiceUnavailable, Unauthorized
from skerry.pki import policy
from skerry.pki.authority import Authority, PkiError
from skerry.pki.identity import identity
from skerry.restapi.status import code_of
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import KindName, Names
from skerry.tunnel.session import (
    HEARTBEAT_SECONDS,
    Beat,
    GatewaySession,
    GatewayStep,
    Joined,
    Left,
    Over,
    Refused,
    Result,
    Sign,
    Store,
    Tell,
    Trusts,
)
from skerry.tunnel.statements import CHALLENGE, CONTROL, METADATA, PROXY
from skerry.tunnel.wire import peer_certificate

TICK_SECONDS = 1.0
"""How late it may be noticed that an agent fell silent."""


class Admission(NamedTuple):
    """Whether an agent is let in."""

    refusal: str = ""
    """Why it is not; empty if it is."""
    identity: bool = False
    """Whether that is because of who it is."""
    held: bool = False
    """It is let in, but gets no orders in this session: it could not say which cluster it is in."""


Admit = Callable[[Agent, pb.Hello], Awaitable[Admission]]

log = get("gateway.server")


async def everybody(agent: Agent, hello: pb.Hello) -> Admission:  # noqa: ARG001 an Admit that looks at nothing
    """Let in whoever has an agent's certificate."""
    return Admission()


def nobody_left(name: str, problem: str) -> None:
    """Hear that an agent left, and do nothing about it."""


@dataclass(frozen=True, slots=True)
class Receivers:
    """Who takes what an agent says, by its full name."""

    inventory: Callable[[Route, pb.InventoryDelta, Mapping[KindName, Names]], Awaitable[None]]
    """Raises Outdone where the session is not the agent's newest any more."""
    result: Callable[[str, pb.DesiredResult], None]
    heartbeat: Callable[[str, pb.Heartbeat], None]
    left: Callable[[str, str], None] = nobody_left
    """Takes a full name and what kept its agent from removing itself, empty: nothing did."""
    admit: Admit = everybody


class LinkServer:
    """The servicer of the link."""

    def __init__(
        self,
        sessions: Sessions,
        receivers: Receivers,
        proxies: ProxyCalls,
        authority: Authority,
        clock: Clock,
        *,
        subscription: Callable[[str], pb.Subscribe],
        heartbeat_seconds: int = HEARTBEAT_SECONDS,
        statements: Statements | None = None,
    ) -> None:
        """``subscription`` names the kinds that an agent reports, by its full name.

        ``statements`` are how agents prove themselves that show no certificate, None: not at all.
        """
        self._statements = statements
        self._routes = proxies.routes
        self._claims = sessions
        self._receivers = receivers
        self._proxies = proxies
        self._authority = authority
        self._clock = clock
        self._subscription = subscription
        self._heartbeat = heartbeat_seconds
        self._sessions = self._refused = self._beats = self._deltas = self._results = 0
        self._due: list[tuple[float, int, _Talk]] = []
        self._order = itertools.count()

    async def run(self) -> None:
        """Look after the time of every session, until cancelled: one task for all, for there may be ten thousand."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            while self._due and self._due[0][0] <= self._clock.monotonic():
                _, number, talk = heapq.heappop(self._due)
                if talk.route.ended or number != talk.watched:
                    continue
                for step in talk.machine.tick(self._clock.monotonic()):
                    await self._do(talk, step)
                self._watch(talk)

    def _watch(self, talk: _Talk) -> None:
        """Look at a session's time when its machine wants it, from now on."""
        now, talk.watched = self._clock.monotonic(), next(self._order)
        heapq.heappush(self._due, (now + talk.machine.wait(now), talk.watched, talk))

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {
            **self._routes.statistics(),
            "sessions": self._sessions,
            "refused": self._refused,
            "heartbeats": self._beats,
            "deltas": self._deltas,
            "results": self._results,
        }

    async def Control(self, requests: AsyncIterator[pb.ControlRequest], context: Any) -> AsyncIterator[pb.ControlResponse]:  # noqa: N802 gRPC's name
        """One agent's session."""
        agent = await self._proved(context, CONTROL)
        proved = agent.name if agent else None
        route = Route(proved or "", pb.Hello())
        welcome = pb.Welcome(session=route.session, heartbeat_seconds=self._heartbeat)
        bundle = self._authority.bundle
        machine = GatewaySession(proved, welcome, self._subscription(proved or ""), bundle, self._clock.monotonic())
        try:
            async with TaskOwner(f"session-{proved}") as owner:
                talk = _Talk(machine, route, bundle, agent)
                owner.spawn(self._hear(talk, requests), "hear")
                self._watch(talk)
                while (message := await route.next()) is not None:
                    yield message
        finally:
            self._routes.remove(route)
        if talk.refused is not None:
            self._refused += 1
            log.warning("an agent was refused", agent=proved, reason=talk.refused.reason)
            code = grpc.StatusCode.PERMISSION_DENIED if talk.refused.identity else grpc.StatusCode.FAILED_PRECONDITION
            await context.abort(code, talk.refused.reason)
        log.info("an agent's session is over", agent=proved, session=route.session, reason=route.reason or talk.reason)

    async def _hear(self, talk: _Talk, requests: AsyncIterator[pb.ControlRequest]) -> None:
        try:
            async for message in requests:
                for step in talk.machine.heard(message, self._clock.monotonic()):
                    await self._do(talk, step)
                if talk.route.ended:
                    return
            talk.reason = talk.reason or "the agent ended it"
        except Outdone:
            talk.reason = SUPERSEDED
            talk.route.send(pb.ControlResponse(goodbye=pb.Goodbye(reason=SUPERSEDED, superseded=True)))
        except Exception:
            talk.reason = "what the agent said could not be kept"
            log.exception("a session ends, its agent will report everything anew", agent=talk.route.name)
        finally:
            talk.route.end()

    async def _do(self, talk: _Talk, step: GatewayStep) -> None:
        name = talk.route.name
        match step:
            case Tell(message):
                talk.route.send(message)
            case Joined(hello):
                await self._join(talk, hello)
            case Beat(heartbeat) if await self._counts(talk):
                self._beats += 1
                self._receivers.heartbeat(name, heartbeat)
            case Store(delta, complete) if await self._counts(talk):
                self._deltas += 1
                await self._receivers.inventory(talk.route, delta, complete)
            case Result(result) if self._routes.current(talk.route):
                self._results += 1
                self._receivers.result(name, result)
            case Left(problem) if self._routes.current(talk.route):
                self._receivers.left(name, problem)
            case Sign(csr):
                talk.route.send(self._signed(name, csr, talk.agent.registration if talk.agent else 0))
            case Trusts(digest):
                talk.route.trusts = digest
            case Refused() | Over():
                talk.refused = step if isinstance(step, Refused) else None
                talk.reason = step.reason
                talk.route.end()

    async def _join(self, talk: _Talk, hello: pb.Hello) -> None:
        assert talk.agent is not None  # noqa: S101 nobody else joins
        admission = await self._receivers.admit(talk.agent, hello)
        if admission.refusal:
            await self._do(talk, Refused(admission.refusal, admission.identity))
            return
        self._watch(talk)  # from now on it is about heartbeats
        talk.route.hello, talk.route.held, talk.route.since = hello, admission.held, self._clock.monotonic()
        talk.before = await self._claims.newest(talk.route.name)

    async def _counts(self, talk: _Talk) -> bool:
        """Whether a session is the agent's newest here; one that is not claimed yet is, for its agent has answered the welcome."""
        route = talk.route
        if not route.epoch:
            route.epoch = await self._claims.claim(route.name, talk.before)
            self._sessions += 1
            self._routes.add(route)
            if self._authority.bundle != talk.bundle:  # which was spread while this one was not known
                route.send(pb.ControlResponse(trust=pb.TrustBundle(bundle=self._authority.bundle)))
            log.info("an agent connected", agent=route.name, session=route.session, version=route.hello.agent_version)
        return self._routes.current(route)

    def _signed(self, name: str, csr: bytes, registration: int) -> pb.ControlResponse:
        try:
            certificate = self._authority.answer_agent(csr, name, self._clock.now(), registration)
        except PkiError as error:
            log.warning("a renewal was refused", agent=name, error=str(error))
            return pb.ControlResponse(certificate_refused=pb.CertificateRefused(reason=str(error)))
        return pb.ControlResponse(certificate=pb.Certificate(certificate=certificate, bundle=self._authority.bundle))

    async def Proxy(self, requests: AsyncIterator[pb.ProxyRequest], context: Any) -> AsyncIterator[pb.ProxyResponse]:  # noqa: N802 gRPC's name
        """The stream of one proxied call."""
        agent = await self._proved(context, PROXY)
        first = await anext(aiter(requests), None)
        call = self._proxies.claim(agent.name, first.opened.call) if agent and first is not None else None
        if call is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such call")
            return
        async with TaskOwner("proxy") as owner:
            owner.spawn(call.receive(requests), "receive")
            async for message in call.outgoing():
                yield message

    async def Relay(self, requests: AsyncIterator[pb.RelayRequest], context: Any) -> AsyncIterator[pb.RelayResponse]:  # noqa: N802 gRPC's name
        """One call that another gateway was asked for. It goes to an agent that is connected here, or nowhere: calls never circle."""
        first = await anext(aiter(requests), None) if self._is_gateway(context) else None
        if first is None:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "calls are passed on by gateways alone")
            return
        try:
            call = await self._proxies.open(first.management_cluster, first.message.head)
        except (ServiceUnavailable, NotCarried) as error:
            yield pb.RelayResponse(refused=error.message, code=code_of(error))
            return
        try:
            async with TaskOwner("relay") as owner:
                owner.spawn(_feed(call, requests), "feed")
                async for message in call.answers():
                    yield pb.RelayResponse(message=message)
        finally:
            call.finish()

    async def _proved(self, context: Any, purpose: str) -> Agent | None:
        """Who is at the other end; None if it is no agent. Ends the stream of one that can prove itself by a statement, and has not."""
        certificate = peer_certificate(context)
        if certificate:
            return agent_of(certificate)
        if self._statements is None:
            return None
        said = dict(context.invocation_metadata() or ()).get(METADATA)
        try:
            return self._statements.judge(said if isinstance(said, str) else "", purpose).agent
        except Unauthorized as error:
            challenge = ((CHALLENGE, self._statements.challenge()),)
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, error.message, trailing_metadata=challenge)
            raise

    def _is_gateway(self, context: Any) -> bool:
        certificate = peer_certificate(context)
        holder = identity(certificate) if certificate else None
        return holder is not None and policy.COMPONENTS in holder.organizations and holder.valid_at(self._clock.now())


async def _feed(call: ProxyCall, requests: AsyncIterator[pb.RelayRequest]) -> None:
    """Pass the request's body on, and give the call up when the other gateway does."""
    async for request in requests:
        match request.message.WhichOneof("message"):
            case "body":
                await call.feed(request.message.body)
            case "end":
                await call.feed_end()
    call.finish()


@dataclass(slots=True)
class _Talk:
    """A session under way."""

    machine: GatewaySession
    route: Route
    bundle: bytes
    """The roots that the agent is told of when it is welcomed."""
    agent: Agent | None
    """Who has proved himself."""
    before: int = 0
    """The newest claim on the agent before it was welcomed."""
    watched: int = -1
    """The number under which its time is looked after; others are of what it waited for before."""
    reason: str = ""
    refused: Refused | None = None
