"""What sites put between an agent and the gateway: an HTTP proxy that wants a password, and one that looks into TLS.

Both are real: they speak CONNECT on a socket of their own. The inspecting one ends the agent's TLS with a certificate that it
makes for each name under its own root, begins one of its own towards the far end, and passes on what it reads.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Self

from skerry.pki import policy
from skerry.pki.authority import Authority, make_root
from skerry.pki.tls import load_identity
from tests.pumping import pump


class ConnectProxy:
    """An HTTP proxy that connects whoever knows the password (empty: everybody)."""

    def __init__(self, user: str = "", password: str = "") -> None:
        self.user, self.password = user, password
        self.port = 0
        self.connected: list[str] = []
        """Where it led, in order."""
        self.refused = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        await self.start()
        try:
            yield self
        finally:
            self.die()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def die(self) -> None:
        """Stop listening, and break every connection."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    def url(self, user: str = "", password: str = "") -> str:
        return f"http://{user}:{password}@127.0.0.1:{self.port}" if user else f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError, EOFError, ssl.SSLError):
                target = await self._asked(reader, writer)
                if target:
                    self.connected.append(target)
                    await self._lead(target, reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Read the head of a request, and answer it; where it leads, empty: nowhere."""
        first, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        wanted = f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"
        shown = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in headers)}.get("proxy-authorization")
        if self.user and shown != wanted:
            self.refused += 1
            writer.write(
                b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="site"\r\nContent-Length: 0\r\n\r\n'
            )
            await writer.drain()
            return ""
        method, target, _ = first.split(" ")
        assert method == "CONNECT"
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        return target

    async def _lead(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host.strip("[]"), int(port))
        await self._join(reader, writer, far_reader, far_writer)

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far_reader: asyncio.StreamReader, far_writer: asyncio.StreamWriter
    ) -> None:
        self._writers.add(far_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, far_writer))
                group.create_task(pump(far_reader, writer))
        finally:
            self._writers.discard(far_writer)


class InspectingProxy(ConnectProxy):
    """A proxy that reads what passes."""

    def __init__(self, trusts: bytes, user: str = "", password: str = "") -> None:
        """``trusts``: the roots of the far ends that it leads to; anybody else's certificate it does not take."""
        super().__init__(user, password)
        self.authority = Authority(make_root("Corporate Inspection CA", datetime.now(UTC)))
        self.read = bytearray()
        """All that agents said, in the clear."""
        self._trusts = trusts

    async def _lead(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = target.rpartition(":")
        shown = self.authority.issue(policy.SERVER, "inspected", datetime.now(UTC), hosts=(host.strip("[]"),))
        near = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load_identity(near, shown.pem)
        near.set_alpn_protocols(["h2", "http/1.1"])
        await writer.start_tls(near)
        protocol = writer.get_extra_info("ssl_object").selected_alpn_protocol() or "http/1.1"
        far = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        far.load_verify_locations(cadata=self._trusts.decode())
        far.set_alpn_protocols([protocol])
        far_reader, far_writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=far)
        await self._join(_Tap(reader, self.read), writer, far_reader, far_writer)  # type: ignore[arg-type]


class _Tap:
    def __init__(self, reader: asyncio.StreamReader, into: bytearray) -> None:
        self._reader, self._into = reader, into

    async def read(self, size: int) -> bytes:
        data = await self._reader.read(size)
        self._into += data
        return data
