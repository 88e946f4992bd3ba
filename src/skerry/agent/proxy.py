"""Proxied calls: the gateway's request, made to the cluster's own API, its answer streamed back.

* The request is made with the agent's own credentials and the impersonation that the gateway
  set. Nothing is followed elsewhere: a redirect is an answer.
* When the gateway ends the stream, the call to the cluster is cancelled with it.
* An answer is complete only with its end mark; a broken one ends without.
* Bytes pass as they are: what the cluster's API has compressed stays compressed.
* A call that is to become a WebSocket, and does, goes on as raw bytes (``upgraded.py``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from yarl import URL

from skerry.agent.upgraded import HEADERS, WEBSOCKET, Upgraded
from skerry.client.connection import Connection
from skerry.kit.aio import TaskOwner
from skerry.kit.log import get
from skerry.kit.pipe import Pipe
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.wire import CHUNK_BYTES

HOP_BY_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length", "trailer", "upgrade"))
SWITCHING = 101
WINDOW = 8
CONNECT_SECONDS = 10.0

log = get("agent.proxy")


class ProxyAgent:
    """Makes proxied calls."""

    def __init__(self, connection: Connection) -> None:
        """``connection`` reaches the cluster's API."""
        self._connection = connection
        self._session: aiohttp.ClientSession | None = None
        self._calls = self._running = self._upgraded = 0

    async def close(self) -> None:
        """Close every connection to the cluster."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._connection.tls() or True, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector, auto_decompress=False, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    async def serve(self, stub: Any, call_id: str) -> None:
        """Open the stream of one call and serve it to its end; raises AioRpcError where the stream breaks."""
        self._calls += 1
        self._running += 1
        try:
            await self._serve(stub, call_id)
        finally:
            self._running -= 1

    async def _serve(self, stub: Any, call_id: str) -> None:
        upward: Pipe[pb.ProxyRequest] = Pipe(WINDOW)
        body: Pipe[bytes] = Pipe(WINDOW)
        await upward.put(pb.ProxyRequest(opened=pb.ProxyOpened(call=call_id)))
        stream = stub.Proxy(_drain(upward))
        try:
            first = await stream.read()
            if not isinstance(first, pb.ProxyResponse) or first.WhichOneof("message") != "head":
                return
            async with TaskOwner("call") as owner:
                owner.spawn(self._answer(first.head, body, upward), "answer")
                await _read_body(stream, body)  # until the gateway ends the stream: it has everything, or wants no more
        finally:
            upward.abort()
            stream.cancel()

    async def _answer(self, head: pb.RequestHead, body: Pipe[bytes], upward: Pipe[pb.ProxyRequest]) -> None:
        try:
            await self._ask(head, body, upward)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:  # ValueError: a header that HTTP does not allow
            await upward.put(pb.ProxyRequest(failed=pb.ProxyFailed(message=str(error) or type(error).__name__)))
        upward.close()
        body.abort()  # nobody reads any more of it

    async def _ask(self, head: pb.RequestHead, body: Pipe[bytes], upward: Pipe[pb.ProxyRequest]) -> None:
        headers = [(header.name, _text(header.value)) for header in head.headers]
        if token := self._connection.bearer():
            headers.append(("Authorization", f"Bearer {token}"))
        leaves_http = head.upgrade == WEBSOCKET
        headers += HEADERS if leaves_http else ()
        first = None if leaves_http else await body.take()
        async with self._opened().request(
            head.method,
            URL(self._connection.server.rstrip("/") + head.target, encoded=True),
            headers=headers,
            skip_auto_headers=("Accept-Encoding", "Content-Type", "User-Agent"),
            data=None if first is None else _rest(first, body),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            server_hostname=self._connection.server_name or None,
            proxy=self._connection.proxy or None,
            allow_redirects=False,
        ) as response:
            answered = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers]
            kept = [pb.Header(name=name, value=value) for name, value in answered if name.lower() not in HOP_BY_HOP]
            raw = Upgraded(response) if leaves_http and response.status == SWITCHING else None
            await upward.put(pb.ProxyRequest(head=pb.ResponseHead(code=response.status, headers=kept)))
            if raw is not None:
                self._upgraded += 1
                await raw.run(body, upward)
            async for chunk in response.content.iter_any():
                for begin in range(0, len(chunk), CHUNK_BYTES):
                    await upward.put(pb.ProxyRequest(body=chunk[begin : begin + CHUNK_BYTES]))
        await upward.put(pb.ProxyRequest(end=pb.ResponseEnd()))

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {"calls": self._calls, "running": self._running, "upgraded": self._upgraded}


def _text(value: str) -> str:
    """A header's value for a library that writes UTF-8; on the link each byte is a character."""
    try:
        return value.encode("latin-1").decode()
    except ValueError:
        return value


async def _drain(pipe: Pipe[pb.ProxyRequest]) -> AsyncIterator[pb.ProxyRequest]:
    while (message := await pipe.take()) is not None:
        yield message


async def _rest(first: bytes, body: Pipe[bytes]) -> AsyncIterator[bytes]:
    yield first
    while (chunk := await body.take()) is not None:
        yield chunk


async def _read_body(stream: Any, body: Pipe[bytes]) -> None:
    while isinstance(message := await stream.read(), pb.ProxyResponse):
        match message.WhichOneof("message"):
            case "body":
                await body.put(message.body)
            case "end":
                body.close()
