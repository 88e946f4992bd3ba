"""An upgraded connection to the cluster's API: after its 101, raw bytes between the socket and the link.

aiohttp makes the connection (TLS, proxy, credentials) and speaks HTTP as far as the 101; then it
hands its transport over, with what came behind the head, and from there on nothing is parsed.

* Both directions are bounded: a cluster that is not read is paused, one that does not read makes
  the caller wait.
* What the cluster said before its end arrives before it, also when it broke the connection off.
* When the caller hangs up, what he said before is still written; then the connection is closed,
  and a cluster that does not take it in time is cut off.
"""

from __future__ import annotations

import asyncio

import aiohttp

from skerry.kit.aio import TaskOwner
from skerry.kit.inflow import Inflow
from skerry.kit.pipe import Pipe
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.wire import CHUNK_BYTES

WEBSOCKET = "websocket"
HEADERS = (("Connection", "Upgrade"), ("Upgrade", WEBSOCKET))
LINGER_SECONDS = 5.0


class Upgraded(asyncio.Protocol):
    """One connection that left HTTP."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        """Take the connection of a 101 over; raises ConnectionError if it is none."""
        connection = response.connection
        former = connection.protocol if connection is not None else None
        if former is None or response.headers.get("Upgrade", "").lower() != WEBSOCKET:
            raise ConnectionError("the cluster's API switched to a protocol that nobody asked for")
        transport = former.transport
        if transport is None:
            raise ConnectionError("the cluster's API closed the connection as soon as it had switched protocols")
        self._transport: asyncio.Transport = transport
        self._former = former
        self._writable = asyncio.Event()
        self._writable.set()
        self._inflow = Inflow(transport.pause_reading, transport.resume_reading)
        former.set_parser(self, None)  # which hands over what it has
        transport.set_protocol(self)

    async def run(self, body: Pipe[bytes], upward: Pipe[pb.ProxyRequest]) -> None:
        """Pass bytes on, both ways, until the cluster ends it."""
        try:
            async with TaskOwner("upgraded") as owner:
                owner.spawn(self._write(body), "write")
                while chunk := await self._inflow.take(CHUNK_BYTES):
                    await upward.put(pb.ProxyRequest(body=chunk))
        finally:
            self._transport.abort()

    async def _write(self, body: Pipe[bytes]) -> None:
        while (chunk := await body.take()) is not None:
            if not self._transport.is_closing():
                self._transport.write(chunk)
            await self._writable.wait()
        self._end()
        await asyncio.sleep(LINGER_SECONDS)
        self._transport.abort()

    def _end(self) -> None:
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()  # TLS writes what waits, and takes leave

    # aiohttp's side, for what came before the transport was taken over

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Keep what came behind the head."""
        if data:
            self._inflow.put(data)
        return False, b""

    def feed_eof(self) -> None:
        """Nothing more comes."""
        self._inflow.end()

    # the transport's side

    def data_received(self, data: bytes) -> None:
        """Keep what came."""
        self._inflow.put(data)

    def pause_writing(self) -> None:
        """Have the writer wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let the writer go on."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, which aiohttp is told of too: it counts its connections."""
        self._inflow.end()
        self._writable.set()
        self._former.connection_lost(exc)
