"""Calls to a managed cluster's own API, through its agent: ``/k8s/NAME/…`` at the front door, by its full name
(``sv-1`` of a management cluster, ``sv-1.team-a.shop`` of a cluster).

* Each call is a stream of its own that the agent opens when it is asked to, so a slow reader
  holds up nobody else.
* Both directions are bounded: who does not read makes the other wait.
* A caller who goes away ends the stream, and with it the call at the far end.
* A response must begin in time, as with a Kubernetes API server itself; how long it then takes is the cluster's affair.
* A response counts as complete only when the agent says so. One that was cut off is never
  passed on as if that were all.
* The caller's credentials never leave: Authorization, cookies, Impersonate-* and the token among a
  WebSocket's protocols are dropped, and the user that the front door found is set instead, so
  that the cluster's own RBAC decides.

* An upgraded connection (exec, attach, port-forward: a WebSocket) is the same stream. After the
  101 its chunks are raw bytes, which nobody here looks into; what its caller sent before he hung
  up still arrives. An agent of an older release cannot do it, and that is said.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress

from skerry.gateway.routes import Route, Routes
from skerry.kinds.fullname import words
from skerry.kit.pipe import Pipe
from skerry.machinery.errors import ApiError, Forbidden, NotCarried, ServiceUnavailable, Timeout
from skerry.machinery.identity import AUTHENTICATED, User
from skerry.restapi.bearer import SUBPROTOCOLS, without_token
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.wire import CHUNK_BYTES

OPEN_SECONDS = 15.0
HEAD_SECONDS = 75.0
"""How long a cluster may take to begin its answer, after the last that it was told: its API server itself gives up after 60."""
LONG_RUNNING = re.compile(r"[?&](?:watch|follow)=(?:true|1)(?:&|$)|/watch/|/(?:log|proxy|exec|attach|portforward)(?:[/?]|$)")
"""Targets that may be silent for ever before they answer, as Kubernetes has them too."""
DROPPED = frozenset(
    (
        *("authorization", "proxy-authorization", "cookie"),
        *("host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "keep-alive", "expect"),
    )
)
DROPPED_PREFIXES = ("impersonate-", "x-remote-")
WEBSOCKET = "websocket"
SWITCHING = 101
FEATURE = "upgrade"
"""What an agent that carries upgraded connections says of itself."""
LINGER_SECONDS = 5.0
"""How long a far end may take what the caller of an upgraded connection said before he hung up."""
SPECIAL = "system:"

WINDOW = 16
"""Chunks of one call that may wait for a slow reader, in each direction, before the stream stands still."""


class CutOff(Exception):
    """The response broke off after its head was passed on."""


class ProxyCall:
    """One call: the request goes out, the response comes in."""

    def __init__(self, agent: str, head: pb.RequestHead) -> None:
        """``feed`` is what fills the request's body."""
        self.agent = agent
        self.id = secrets.token_hex(8)
        self._head = head
        self._request: Pipe[pb.ProxyResponse] = Pipe(WINDOW)
        self._response: Pipe[pb.ProxyRequest] = Pipe(WINDOW)
        self.claimed = asyncio.Event()
        self.lost = False
        """The session in which its stream was asked for is over."""
        self._over = asyncio.Event()
        self._told_at = asyncio.get_running_loop().time()
        self.failure = ""
        """Why no answer comes, where that is known."""
        self.error: type[ApiError] = ServiceUnavailable
        """What kind of error that is."""
        self.upgraded = False
        """Whether it left HTTP: both bodies are raw bytes."""

    # the front door's side

    async def feed(self, chunk: bytes) -> None:
        """Pass on a part of the request's body."""
        for begin in range(0, len(chunk), CHUNK_BYTES):
            await self._request.put(pb.ProxyResponse(body=chunk[begin : begin + CHUNK_BYTES]))
            self._told_at = asyncio.get_running_loop().time()

    async def feed_end(self) -> None:
        """The request's body is complete."""
        await self._request.put(pb.ProxyResponse(end=pb.BodyEnd()))

    async def response_head(self) -> pb.ResponseHead:
        """The head of the response; raises ServiceUnavailable, or Timeout where it does not come in time."""
        message = await self._first()
        if message is None:
            retry = 5 if self.error is ServiceUnavailable else None
            raise self.error(self.failure or "the agent went away during the call; try again", retry_after=retry)
        if message.WhichOneof("message") == "failed":
            raise ServiceUnavailable(f"the cluster's API cannot be reached by its agent: {message.failed.message}")
        self.upgraded = message.head.code == SWITCHING and self._head.upgrade == WEBSOCKET
        if message.head.code < 200 and not self.upgraded:
            raise ServiceUnavailable(f"the cluster's API answered {message.head.code}, which is no answer to this call")
        return message.head

    async def _first(self) -> pb.ProxyRequest | None:
        long_running = LONG_RUNNING.search(self._head.target) and not self._head.upgrade
        patience, now = (None if long_running else HEAD_SECONDS), asyncio.get_running_loop().time
        while True:
            try:
                async with asyncio.timeout_at(patience and self._told_at + patience):
                    return await self._response.take()
            except TimeoutError:
                if patience and now() >= self._told_at + patience:
                    why = f"its agent is connected, but the cluster's API did not begin to answer within {patience:.0f} seconds"
                    raise Timeout(f"{words(self.agent)}: {why}; see whether its API server is well, then try again") from None

    async def response_body(self) -> AsyncIterator[bytes]:
        """The chunks of the response; raises CutOff if it broke off."""
        while (message := await self._response.take()) is not None:
            match message.WhichOneof("message"):
                case "body":
                    yield message.body
                case "end":
                    return
                case "failed":
                    raise CutOff(message.failed.message)
        raise CutOff(self.failure or "one end went away")

    async def answers(self) -> AsyncIterator[pb.ProxyRequest]:
        """The whole answer as the agent sent it, for whoever passes it on."""
        while (message := await self._response.take()) is not None:
            yield message

    def revoke(self) -> None:
        """The caller may no longer make the call: end it, whatever is under way."""
        self.failure = "the right to this call was taken away"
        self.finish()

    async def hang_up(self) -> None:
        """The caller of an upgraded connection is gone: what he said before still arrives, if the far end takes it in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self.feed_end()
                await self._over.wait()
        self.finish()

    def finish(self) -> None:
        """The call is over here, whether it ended or was given up: end its stream."""
        self._request.abort()
        self._response.abort()

    # the agent's side

    async def outgoing(self) -> AsyncIterator[pb.ProxyResponse]:
        """What the agent is told; the stream stays open until the call is over."""
        yield pb.ProxyResponse(head=self._head)
        while (message := await self._request.take()) is not None:
            yield message

    async def receive(self, requests: AsyncIterator[pb.ProxyRequest]) -> None:
        """Take what the agent answers."""
        try:
            async for message in requests:
                await self._response.put(message)
        finally:
            self._response.close()
            self._over.set()


class ProxyCalls:
    """The calls that wait for their stream."""

    def __init__(self, routes: Routes) -> None:
        """Calls go to whoever is connected."""
        self.routes = routes
        self._waiting: dict[tuple[str, str], tuple[ProxyCall, Route]] = {}
        self._opened = 0
        routes.listen(self._came_or_went)

    def _came_or_went(self, agent: str) -> None:
        """Wait no more for streams that were asked for in a session which is over."""
        lost = [key for key, (_, route) in self._waiting.items() if key[0] == agent and not self.routes.current(route)]
        for key in lost:
            call, _ = self._waiting.pop(key)
            call.lost = True
            call.claimed.set()

    def claim(self, agent: str, call: str) -> ProxyCall | None:
        """The call that an agent opened a stream for; only its own."""
        found, _ = self._waiting.pop((agent, call), (None, None))
        if found is not None:
            self._opened += 1
            found.claimed.set()
        return found

    async def open(self, agent: str, head: pb.RequestHead) -> ProxyCall:
        """Ask an agent to open a stream for a call; raises ServiceUnavailable if it is away or does not, NotCarried if it cannot."""
        route = self.routes.get(agent)
        if route is None:
            raise ServiceUnavailable(f"the agent of {words(agent)} is not connected", retry_after=5)
        if route.held:
            raise ServiceUnavailable(f"the agent of {words(agent)} cannot say yet which cluster it is in", retry_after=15)
        if head.upgrade and FEATURE not in route.hello.features:
            release = route.hello.agent_version or "of an older release"
            raise NotCarried(f"the agent of {words(agent)} ({release}) carries no exec, attach or port-forward yet: update it")
        call = ProxyCall(agent, head)
        self._waiting[(agent, call.id)] = call, route
        route.send(pb.ControlResponse(open_proxy=pb.OpenProxy(call=call.id)))
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await call.claimed.wait()
        except TimeoutError:
            why = f"holds a session, but opened no stream for the call within {OPEN_SECONDS:.0f} seconds; see its log"
            raise ServiceUnavailable(f"the agent of {words(agent)} {why}") from None
        finally:
            self._waiting.pop((agent, call.id), None)
        if call.lost:
            raise ServiceUnavailable(f"the agent of {words(agent)} went away before the call reached it; try again", retry_after=5)
        return call

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {"waiting": len(self._waiting), "opened": self._opened}


def request_head(method: str, target: str, headers: list[tuple[bytes, bytes]], user: User, upgrade: str = "") -> pb.RequestHead:
    """The head of a proxied request: the caller's headers without his credentials, and who he is instead.

    Raises Forbidden for a user whose name means something special to every cluster. Groups that do are left out:
    who belongs to ``system:masters`` of a cluster is for that cluster to say.
    """
    if user.name.startswith(SPECIAL):
        raise Forbidden(f"{user.name} is not a user that can be handed on to a cluster")
    sent = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    kept = [(name, value) for name, value in sent if name not in DROPPED and not name.startswith(DROPPED_PREFIXES)]
    kept = [(name, without_token(value) if name == SUBPROTOCOLS else value) for name, value in kept]
    kept = [(name, value) for name, value in kept if value or name != SUBPROTOCOLS]
    kept.append(("impersonate-user", user.name))
    kept += [("impersonate-group", group) for group in user.groups if not group.startswith(SPECIAL) or group == AUTHENTICATED]
    carried = [pb.Header(name=name, value=value) for name, value in kept]
    return pb.RequestHead(method=method, target=target, headers=carried, upgrade=upgrade)
