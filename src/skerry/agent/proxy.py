"""Proxied calls: the gateway's request, made to the cluster's own API, its answer streamed back.

The request is made with the agent's own credentials and the impersonation that the gateway
set. When the gateway ends the stream, the call to the cluster is cancelled with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from skerry.client.connection import Connection
from skerry.kit.aio import TaskOwner
from skerry.kit.log import get
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.wire import CHUNK_BYTES

HOP_BY_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding"))

log = get("agent.proxy")


class ProxyAgent:
    """Makes proxied calls."""

    def __init__(self, connection: Connection) -> None:
        """``connection`` reaches the cluster's API."""
        self._connection = connection
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close every connection to the cluster."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._connection.tls() or True, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=True)
        return self._session

    async def serve(self, stub: Any, call_id: str) -> None:
        """Open the stream of one call and serve it to its end."""
        upward: asyncio.Queue[pb.ProxyRequest | None] = asyncio.Queue(16)
        await upward.put(pb.ProxyRequest(opened=pb.ProxyOpened(call=call_id)))
        stream = stub.Proxy(_drain(upward))
        first = await stream.read()
        if not isinstance(first, pb.ProxyResponse) or first.WhichOneof("message") != "head":
            return
        body: asyncio.Queue[bytes | None] = asyncio.Queue(16)
        async with TaskOwner("call") as owner:
            answering = owner.spawn(self._answer(first.head, body, upward), "answer")
            try:
                await self._feed(stream, body, answering)
            finally:
                answering.cancel()
                stream.cancel()

    async def _feed(self, stream: Any, body: asyncio.Queue[bytes | None], answering: asyncio.Task[None]) -> None:
        """Pass the request's body on; return when the gateway ends the stream or the answer is complete."""
        async with TaskOwner("feed") as owner:
            reading = owner.spawn(_read_body(stream, body), "read")
            await asyncio.wait((reading, answering), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                # the answer is in the queue; the gateway ends the stream once it has it all
                await asyncio.wait((reading,), timeout=30)

    async def _answer(self, head: pb.RequestHead, body: asyncio.Queue[bytes | None], upward: asyncio.Queue[pb.ProxyRequest | None]) -> None:
        headers = [(header.name, header.value) for header in head.headers]
        try:
            if token := self._connection.bearer():
                headers.append(("Authorization", f"Bearer {token}"))
            async with self._opened().request(
                head.method,
                self._connection.server.rstrip("/") + head.target,
                headers=headers,
                data=_body(body) if head.method not in {"GET", "HEAD", "DELETE"} else None,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                server_hostname=self._connection.server_name or None,
            ) as response:
                kept = [pb.Header(name=name, value=value) for name, value in response.headers.items() if name.lower() not in HOP_BY_HOP]
                await upward.put(pb.ProxyRequest(head=pb.ResponseHead(code=response.status, headers=kept)))
                async for chunk in response.content.iter_any():
                    for begin in range(0, len(chunk), CHUNK_BYTES):
                        await upward.put(pb.ProxyRequest(body=chunk[begin : begin + CHUNK_BYTES]))
        except (aiohttp.ClientError, OSError) as error:
            await upward.put(pb.ProxyRequest(failed=pb.ProxyFailed(message=str(error))))
        await upward.put(None)


async def _drain(queue: asyncio.Queue[pb.ProxyRequest | None]) -> AsyncIterator[pb.ProxyRequest]:
    while (message := await queue.get()) is not None:
        yield message


async def _body(queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
    while (chunk := await queue.get()) is not None:
        yield chunk


async def _read_body(stream: Any, body: asyncio.Queue[bytes | None]) -> None:
    while isinstance(message := await stream.read(), pb.ProxyResponse):
        match message.WhichOneof("message"):
            case "body":
                await body.put(message.body)
            case "end":
                await body.put(None)
