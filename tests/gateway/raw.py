"""Both ends of an upgraded connection, without anything that knows WebSocket: a server that switches, and a caller."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: yes\r\n\r\n"
ASKS = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhl\r\nSec-WebSocket-Version: 13\r\n"


@dataclass
class End:
    """One end of a connection, and the head that came over it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: str = ""

    async def says(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)  # a drain that need not wait lets nobody else have his turn

    async def hears(self, data: bytes) -> None:
        """Wait until exactly this has come."""
        async with asyncio.timeout(60):
            assert await self.reader.readexactly(len(data)) == data

    async def rest(self) -> bytes:
        """Everything up to the end, however that comes."""
        heard = bytearray()
        async with asyncio.timeout(60):
            try:
                while chunk := await self.reader.read(1 << 16):
                    heard += chunk
            except ConnectionError:
                pass
        return bytes(heard)

    async def hears_head(self) -> None:
        async with asyncio.timeout(60):
            self.head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    @property
    def code(self) -> int:
        return int(self.head.split()[1])

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        lines = [line.partition(": ") for line in self.head.split("\r\n")[1:]]
        return [value for found, _, value in lines if found.lower() == name]


Talk = Callable[[End], Awaitable[None]]


@dataclass
class Switcher:
    """A server that answers each path as the test says; one that is not named gets a 404."""

    talks: dict[str, Talk] = field(default_factory=dict)
    ends: list[End] = field(default_factory=list)
    address: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = End(reader, writer)
        try:
            await end.hears_head()
            path = end.head.split()[1].partition("?")[0]
            if path not in self.talks:
                await end.says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                return
            self.ends.append(end)
            await self.talks[path](end)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def switcher(tls: ssl.SSLContext | None = None) -> AsyncIterator[Switcher]:
    made = Switcher()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.address = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        for end in made.ends:
            end.writer.transport.abort()
        server.close()


@asynccontextmanager
async def calling(
    front: str,
    target: str,
    *,
    asks: str = ASKS,
    more: str = "",
    method: str = "GET",
    behind: bytes = b"",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[End]:
    """A caller who has asked, and has the head of the answer."""
    at = urlsplit(front)
    reader, writer = await asyncio.open_connection(at.hostname, at.port, ssl=tls)
    end = End(reader, writer)
    try:
        await end.says(f"{method} {target} HTTP/1.1\r\nHost: {at.netloc}\r\n{asks}{more}\r\n".encode("latin-1") + behind)
        await end.hears_head()
        yield end
    finally:
        writer.transport.abort()


async def switches(end: End) -> None:
    await end.says(SWITCHED)


async def echo(end: End) -> None:
    await end.says(SWITCHED)
    while chunk := await end.reader.read(1 << 16):
        await end.says(chunk)
