"""An ASGI application on a TLS socket, under uvicorn's protocol and without uvicorn's process.

* **Client certificates** are asked for and not demanded; what they prove reaches the application
  with every request (``protocol.py``).
* **New certificates without a restart.** :meth:`Door.reload` puts a second listener with
  the new context on the same socket, then takes the first away. The kernel's queue is shared, so
  nobody is refused in between, and open connections live on as they are. A fresh context knows
  no old session: a root that was taken out is gone for every new connection.
* **Stopping.** No new connections; idle ones close; running requests get their time; the
  application ends its watches (``on_stop``); what is left after the grace is cut.

Signals, lifespans and workers are the composing process's, which owns this object.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import uvloop
from uvicorn.config import Config

from skerry.apiserver.protocol import Application, Connection, Limits, Shared
from skerry.kit.clock import Clock
from skerry.kit.log import get

log = get("apiserver.http")


class Door:
    """Serves one application at one address."""

    def __init__(
        self,
        app: Application,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        clock: Clock,
        limits: Limits | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        """``host`` empty or ``::``: every address; ``port`` 0: any free one.

        ``tls`` comes from ``pki.tls.server_context``; None is plain HTTP. ``on_stop`` is called once
        running requests should come to their end; watches end only by it.
        """
        self._host, self._wanted_port = host, port
        self._tls = tls
        self._limits = limits or Limits()
        self._on_stop = on_stop
        self._clock = clock
        self._config = Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # nobody's X-Forwarded-For is believed
            server_header=False,
            timeout_keep_alive=self._limits.idle_seconds,
        )
        self._shared: Shared | None = None
        self._sockets: list[socket.socket] = []
        self._listeners: list[asyncio.Server] = []
        self._reloads = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve until the block is left; raises OSError where the address cannot be had."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    @property
    def port(self) -> int:
        """The port that is listened on; raises RuntimeError before the start."""
        if not self._sockets:
            raise RuntimeError("the server is not started")
        return int(self._sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen; raises OSError where the address cannot be had."""
        if self._shared is not None:
            raise RuntimeError("the server is started already")
        self._sockets = await listen(self._host, self._wanted_port, self._limits.backlog)
        self._shared = Shared(self._limits, self._clock)
        self._shared.refresh_date()
        self._listeners = await self._accept(self._tls)

    async def reload(self, tls: ssl.SSLContext) -> None:
        """Use another context for every connection from now on."""
        before, self._listeners = self._listeners, await self._accept(tls)
        self._tls = tls
        self._reloads += 1
        for listener in before:
            listener.close()

    async def stop(self) -> None:
        """Finish what runs, within the grace, and close; a second call does nothing."""
        shared = self._shared
        if shared is None or shared.stopping:
            return
        shared.stopping = True
        for listener in self._listeners:
            listener.close()
        for each in self._sockets:
            each.close()
        for connection in list(shared.connections):
            connection.shutdown()
        if self._on_stop is not None:
            self._on_stop()
        try:
            async with asyncio.timeout(self._limits.grace_seconds):
                await _quiet(shared)
        except TimeoutError:
            log.warning("requests were cut", connections=len(shared.connections), requests=len(shared.tasks))
            await _cut(shared)

    def statistics(self) -> dict[str, int]:
        """Open connections, running requests, requests answered, requests refused before the application, reloads."""
        shared = self._shared
        if shared is None:
            return {}
        return {
            "connections": len(shared.connections),
            "running": len(shared.tasks),
            "requests": shared.total_requests,
            "refused": shared.refused,
            "reloads": self._reloads,
        }

    async def _accept(self, tls: ssl.SSLContext | None) -> list[asyncio.Server]:
        """Listen on a duplicate of every socket, so that closing a listener leaves the socket open."""
        loop = asyncio.get_running_loop()
        secure: dict[str, Any] = {}
        if tls is not None:
            limits = self._limits
            secure = {"ssl": tls, "ssl_handshake_timeout": limits.handshake_seconds, "ssl_shutdown_timeout": limits.shutdown_seconds}
        backlog = self._limits.backlog
        return [await loop.create_server(self._connection, sock=each.dup(), backlog=backlog, **secure) for each in self._sockets]

    def _connection(self) -> Connection:
        assert self._shared is not None  # noqa: S101 listeners exist only once it is there
        return Connection(self._config, self._shared)


async def _quiet(shared: Shared) -> None:
    """Wait until no connection is open and no request runs."""
    while shared.connections:
        shared.changed.clear()
        await shared.changed.wait()
    if shared.tasks:
        await asyncio.wait(shared.tasks)


async def _cut(shared: Shared) -> None:
    tasks = list(shared.tasks)
    for task in tasks:
        task.cancel()
    for connection in list(shared.connections):
        connection.transport.abort()
    if tasks:
        await asyncio.wait(tasks, timeout=1)


async def listen(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Bind every address of ``host`` to one port (0: any free one); raises OSError if none can be had."""
    found = await asyncio.get_running_loop().getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with ExitStack() as unless_all_is_well:
        sockets: list[socket.socket] = []
        absent: OSError | None = None
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                both = host == "::" and socket.has_dualstack_ipv6()
                made = socket.create_server((address[0], port, *address[2:]), family=family, backlog=backlog, dualstack_ipv6=both)
            except OSError as error:
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                absent = error  # "localhost" has two families, this machine may have one
                continue
            unless_all_is_well.callback(made.close)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # accepted sockets inherit it
            made.setblocking(False)
            sockets.append(made)
            port = port or made.getsockname()[1]
        if not sockets:
            raise absent or OSError(f"{host} has no address")
        unless_all_is_well.pop_all()
        return sockets


def new_loop() -> asyncio.AbstractEventLoop:
    """The event loop to serve on, for ``asyncio.Runner(loop_factory=new_loop)``."""
    return uvloop.new_event_loop()
