"""Calls to a managed cluster's own API, through its agent: ``/k8s/MANAGEMENT-CLUSTER/…`` at the front door.

Each call is a stream of its own that the agent opens when it is asked to; a request that is
cancelled here ends its stream, and with it the call at the far end. The caller's credentials
never leave: Authorization and Impersonate-* are dropped, and the user that the front door
found is set instead, so that the cluster's own RBAC decides.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

from skerry.gateway.routes import Routes
from skerry.machinery.errors import ServiceUnavailable
from skerry.machinery.identity import User
from skerry.tunnel import link_pb2 as pb

OPEN_SECONDS = 15.0
PREFIX = "/k8s/"
DROPPED = frozenset(("authorization", "host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "keep-alive", "cookie"))
WINDOW = 16
"""Chunks of one call that may wait for a slow reader before the stream stands still."""


class ProxyCall:
    """One call: the request goes out, the response comes in."""

    def __init__(self, agent: str, head: pb.RequestHead, body: AsyncIterator[bytes]) -> None:
        """``body`` yields the chunks of the request."""
        self.agent = agent
        self.id = secrets.token_hex(8)
        self._head = head
        self._body = body
        self._incoming: asyncio.Queue[pb.ProxyRequest | None] = asyncio.Queue(WINDOW)
        self._finished = asyncio.Event()
        self.claimed = asyncio.Event()
        self._given_up = False

    async def outgoing(self) -> AsyncIterator[pb.ProxyResponse]:
        """What the agent is told; the stream stays open until the response is over."""
        yield pb.ProxyResponse(head=self._head)
        async for chunk in self._body:
            yield pb.ProxyResponse(body=chunk)
        yield pb.ProxyResponse(end=pb.BodyEnd())
        await self._finished.wait()

    async def receive(self, requests: AsyncIterator[pb.ProxyRequest]) -> None:
        """Take what the agent answers."""
        try:
            async for message in requests:
                await self._incoming.put(message)
        finally:
            await self._incoming.put(None)

    async def response_head(self) -> pb.ResponseHead:
        """The head of the response; raises ServiceUnavailable."""
        message = await self._incoming.get()
        if message is None:
            raise ServiceUnavailable("the agent went away during the call; try again")
        if message.WhichOneof("message") == "failed":
            raise ServiceUnavailable(f"the cluster's API cannot be reached by its agent: {message.failed.message}")
        return message.head

    async def response_body(self) -> AsyncIterator[bytes]:
        """The chunks of the response."""
        while not self._given_up and (message := await self._incoming.get()) is not None:
            if message.WhichOneof("message") == "body":
                yield message.body

    def give_up(self) -> None:
        """The caller went away: end the response, and with it the call."""
        self._given_up = True
        self._finished.set()
        while not self._incoming.empty():
            self._incoming.get_nowait()
        self._incoming.put_nowait(None)

    def finish(self) -> None:
        """The call is over here, whether it ended or was given up."""
        self._finished.set()


class ProxyCalls:
    """The calls that wait for their stream."""

    def __init__(self, routes: Routes) -> None:
        """Calls go to whoever is connected."""
        self._routes = routes
        self._waiting: dict[tuple[str, str], ProxyCall] = {}

    def claim(self, agent: str, call: str) -> ProxyCall | None:
        """The call that an agent opened a stream for; only its own."""
        found = self._waiting.pop((agent, call), None)
        if found is not None:
            found.claimed.set()
        return found

    async def open(self, agent: str, head: pb.RequestHead, body: AsyncIterator[bytes]) -> ProxyCall:
        """Ask an agent to open a stream for a call; raises ServiceUnavailable if it is away or does not."""
        route = self._routes.get(agent)
        if route is None:
            raise ServiceUnavailable(f"the agent of management cluster {agent} is not connected", retry_after=5)
        call = ProxyCall(agent, head, body)
        self._waiting[(agent, call.id)] = call
        route.send(pb.ControlResponse(open_proxy=pb.OpenProxy(call=call.id)))
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await call.claimed.wait()
        except TimeoutError:
            raise ServiceUnavailable(f"the agent of management cluster {agent} did not open a stream in time", retry_after=5) from None
        finally:
            self._waiting.pop((agent, call.id), None)
        return call


def request_head(method: str, target: str, headers: list[tuple[bytes, bytes]], user: User) -> pb.RequestHead:
    """The head of a proxied request: the caller's headers without his credentials, and who he is instead."""
    kept = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    kept = [(name, value) for name, value in kept if name not in DROPPED and not name.startswith("impersonate-")]
    kept.append(("impersonate-user", user.name))
    kept += [("impersonate-group", group) for group in user.groups]
    return pb.RequestHead(method=method, target=target, headers=[pb.Header(name=name, value=value) for name, value in kept])
