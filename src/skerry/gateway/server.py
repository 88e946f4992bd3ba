"""The gateway's end of the link: accepts agents and hands what they say to who decides on it.

The rules of a session are ``tunnel/session.py``'s. Identity comes from the certificate alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc

from skerry.gateway.proxy import ProxyCalls
from skerry.gateway.routes import Route, Routes
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.pki import policy
from skerry.pki.authority import Authority, PkiError
from skerry.pki.identity import identity
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.session import HEARTBEAT_SECONDS, DeltaOrder, Liveness, Verdict, refuse_hello
from skerry.tunnel.wire import peer_certificate

log = get("gateway.server")


@dataclass(frozen=True, slots=True)
class Receivers:
    """Who takes what an agent says, by management cluster."""

    inventory: Callable[[str, pb.InventoryDelta], Awaitable[None]]
    result: Callable[[str, pb.DesiredResult], Awaitable[None]]
    heartbeat: Callable[[str, pb.Heartbeat], None]


class LinkServer:
    """The servicer of the link."""

    def __init__(
        self,
        routes: Routes,
        receivers: Receivers,
        proxies: ProxyCalls,
        authority: Authority,
        clock: Clock,
        *,
        subscription: pb.Subscribe,
        heartbeat_seconds: int = HEARTBEAT_SECONDS,
    ) -> None:
        """``subscription`` names the kinds that every agent reports."""
        self._routes = routes
        self._receivers = receivers
        self._proxies = proxies
        self._authority = authority
        self._clock = clock
        self._subscription = subscription
        self._heartbeat = heartbeat_seconds

    async def Control(self, requests: AsyncIterator[pb.ControlRequest], context: Any) -> AsyncIterator[pb.ControlResponse]:  # noqa: N802 gRPC's name
        """One agent's session."""
        proved = _agent_name(context)
        first = await anext(aiter(requests), None)
        if first is None or first.WhichOneof("message") != "hello":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "an agent says hello first")
            return
        refusal = refuse_hello(first.hello.management_cluster, proved)
        if refusal or proved is None:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, refusal)
            return
        route = Route(proved, first.hello)
        route.send(pb.ControlResponse(welcome=pb.Welcome(session=route.session, heartbeat_seconds=self._heartbeat)))
        route.send(pb.ControlResponse(subscribe=self._subscription))
        self._routes.add(route)
        log.info("an agent connected", management_cluster=proved, session=route.session, version=first.hello.agent_version)
        try:
            async with TaskOwner(f"session-{proved}") as owner:
                owner.spawn(self._receive(route, requests), "receive")
                while (message := await route.outbox.get()) is not None:
                    yield message
        finally:
            route.ended = True
            self._routes.remove(route)
            log.info("an agent's session is over", management_cluster=proved, session=route.session)

    async def _receive(self, route: Route, requests: AsyncIterator[pb.ControlRequest]) -> None:
        liveness = Liveness(self._heartbeat, self._clock.monotonic())
        order = DeltaOrder()
        stream = aiter(requests)
        try:
            while True:
                async with asyncio.timeout(liveness.wait(self._clock.monotonic())):
                    message = await anext(stream, None)
                if message is None:
                    break
                liveness.heard(self._clock.monotonic())
                await self._take(route, message, order)
        except TimeoutError:
            log.warning("an agent fell silent", management_cluster=route.name, session=route.session)
        finally:
            route.end()

    async def _take(self, route: Route, message: pb.ControlRequest, order: DeltaOrder) -> None:
        match message.WhichOneof("message"):
            case "heartbeat":
                self._receivers.heartbeat(route.name, message.heartbeat)
            case "inventory":
                verdict = order.judge(message.inventory.sequence)
                if verdict is Verdict.TAKE:
                    await self._receivers.inventory(route.name, message.inventory)
                elif verdict is Verdict.RESYNC:
                    route.send(pb.ControlResponse(resync=pb.Resync()))
            case "result":
                await self._receivers.result(route.name, message.result)
            case "certificate_request":
                self._renew(route, message.certificate_request.csr)

    def _renew(self, route: Route, csr: bytes) -> None:
        try:
            certificate = self._authority.answer_agent(csr, route.name, self._clock.now())
        except PkiError as error:
            log.warning("a renewal was refused", management_cluster=route.name, error=str(error))
            return
        route.send(pb.ControlResponse(certificate=pb.Certificate(certificate=certificate, bundle=self._authority.bundle)))

    async def Proxy(self, requests: AsyncIterator[pb.ProxyRequest], context: Any) -> AsyncIterator[pb.ProxyResponse]:  # noqa: N802 gRPC's name
        """The stream of one proxied call."""
        proved = _agent_name(context)
        first = await anext(aiter(requests), None)
        call = self._proxies.claim(proved, first.opened.call) if proved and first is not None else None
        if call is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such call")
            return
        async with TaskOwner("proxy") as owner:
            owner.spawn(call.receive(requests), "receive")
            async for message in call.outgoing():
                yield message


def _agent_name(context: Any) -> str | None:
    certificate = peer_certificate(context)
    if not certificate:
        return None
    holder = identity(certificate)
    return policy.agent_of(holder.common_name, holder.organizations, holder.names)
