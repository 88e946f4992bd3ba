"""An ASGI application on a TLS socket, under uvicorn's protocol and without uvicorn's process.

* **Client certificates** are asked for and not demanded; what they prove reaches the application
  with every request (``protocol.py``).
* **New certificates without a restart.** Each connection is accepted here and gets the context
  of that moment, so :meth:`Door.reload` is an assignment: nobody is refused in between, and open
  connections live on as they are. A fresh context knows no old session: a root that was taken
  out is gone for every new connection.
* **Strangers are bounded.** So many handshakes run at once and so long; when there are more, the
  oldest is given up, so that connections that never say anything keep nobody out. Peers that are
  gone without a word are noticed by TCP itself, within minutes.
* **Stopping.** No new connections; idle ones close; running requests get their time, but not
  those whose client stopped sending; the application ends its watches (``on_stop``); what is left
  after the grace is cut. A client that does not answer the goodbye of TLS holds nobody up.

Signals, lifespans and workers are the composing process's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvloop
from uvicorn.config import Config

from skerry.apiserver.protocol import Application, Connection, Limits, Shared
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock
from skerry.kit.log import get

OUT_OF_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
CUT_SECONDS = 1.0
GONE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", 120_000))
"""When TCP takes a peer for gone: two minutes without a sign of him, or in which he took nothing. Where the system has these options."""
HINTS = {
    errno.EADDRINUSE: "; stop what runs there, or choose another --port",
    errno.EACCES: "; a port below 1024 needs a privilege",
    errno.EADDRNOTAVAIL: "; this machine has no such address",
}

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
        upgrades: str = "",
    ) -> None:
        """``host`` empty or ``::``: every address; ``port`` 0: any free one.

        ``tls`` comes from ``pki.tls.server_context``; None is plain HTTP. ``on_stop`` is called once
        running requests should come to their end; watches end only by it. ``upgrades`` is what paths begin
        with whose upgrades the application answers (``upgrade.py``).
        """
        self._host = host
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
        self._shared = Shared(self._limits, clock, upgrades)
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._failed = 0
        self.port = port
        """The port that is listened on; with 0 it is known once the door is open."""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve until the block is left, once; raises OSError where the address cannot be had."""
        if self._shared.stopping:
            raise RuntimeError("a door that was closed stays closed")
        sockets = await listen(self._host, self.port, self._limits.backlog)
        self.port = int(sockets[0].getsockname()[1])
        self._shared.refresh_date()
        try:
            async with TaskOwner("door") as owner:
                for each in sockets:
                    owner.spawn(self._accept(each, owner), "accept")
                yield
        finally:
            for each in sockets:
                each.close()
            await self._stop()

    def reload(self, tls: ssl.SSLContext) -> None:
        """Use another context for every connection from now on."""
        self._tls = tls

    def statistics(self) -> dict[str, int]:
        """Open connections, running and finished requests, requests that never reached the application, failed handshakes."""
        shared = self._shared
        return {
            "connections": len(shared.connections),
            "running": len(shared.tasks),
            "upgraded": shared.upgraded,
            "requests": shared.total_requests,
            "refused": shared.refused,
            "failed_handshakes": self._failed,
        }

    async def _accept(self, listener: socket.socket, owner: TaskOwner) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    log.warning("no connection can be accepted for now", error=error.strerror)
                    await self._clock.sleep(1)
                continue  # otherwise the caller left before he was let in
            if len(self._handshakes) >= self._limits.handshakes:
                oldest = next(iter(self._handshakes))
                del self._handshakes[oldest]
                oldest.cancel()
                self._failed += 1
            shaking = owner.spawn(self._handshake(accepted), "handshake")
            self._handshakes[shaking] = None
            shaking.add_done_callback(lambda done: self._handshakes.pop(done, None))

    async def _handshake(self, accepted: socket.socket) -> None:
        """Hand a connection to the protocol; from then on it is nobody's but its own."""
        secure: dict[str, Any] = {}
        if self._tls is not None:
            limits = self._limits
            secure = {"ssl": self._tls, "ssl_handshake_timeout": limits.handshake_seconds, "ssl_shutdown_timeout": limits.shutdown_seconds}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._connection, accepted, **secure)
        except (OSError, EOFError) as error:
            self._failed += 1
            log.debug("a handshake failed", error=str(error))
        except Exception:
            self._failed += 1
            log.exception("a handshake failed unexpectedly")  # and never takes the server with it

    def _connection(self) -> Connection:
        return Connection(self._config, self._shared)

    async def _stop(self) -> None:
        """Finish what runs, within the grace."""
        shared = self._shared
        shared.stopping = True
        for connection in list(shared.connections):
            connection.shutdown()
        if self._on_stop is not None:
            self._on_stop()
        if unfinished := await _graceful(shared, self._limits):
            log.warning("requests were cut", requests=len(unfinished))
        else:
            await _gone(shared, self._limits.linger_seconds)
        await _cut(shared)


async def _graceful(shared: Shared, limits: Limits) -> set[asyncio.Task[None]]:
    """Wait until no request runs, at most for the grace, and not for bodies that do not come; returns what still runs."""
    left = limits.grace_seconds
    while True:
        for connection in list(shared.connections):
            if isinstance(connection, Connection):
                connection.look_for_body()
        pause = min(left, limits.stalled_seconds)
        unfinished, left = await _finished(shared, pause), left - pause
        if not unfinished or left <= 0:
            return unfinished


async def _finished(shared: Shared, seconds: float) -> set[asyncio.Task[None]]:
    """Wait until no request runs, at most so long; returns those that still do."""
    return (await asyncio.wait(shared.tasks, timeout=seconds))[1] if shared.tasks else set()


async def _gone(shared: Shared, seconds: float) -> None:
    """Wait until no connection is open, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while shared.connections:
                shared.changed.clear()
                await shared.changed.wait()


async def _cut(shared: Shared) -> None:
    """End what is left: a request that waits for its client finds that he is gone, another one is cancelled."""
    for connection in list(shared.connections):
        connection.transport.abort()
    for task in await _finished(shared, CUT_SECONDS):
        task.cancel()
    await _finished(shared, CUT_SECONDS)
    await _gone(shared, CUT_SECONDS)


async def listen(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Bind every address of ``host`` to one port (0: any free one); raises OSError, with what to do, if that cannot be had."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {host}: {error.strerror}") from error
    with contextlib.ExitStack() as unless_all_is_well:
        sockets: list[socket.socket] = []
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                made = unless_all_is_well.enter_context(_bound(family, (address[0], port, *address[2:]), both=host == "::"))
            except OSError as error:
                if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT} and len(found) > 1:
                    continue  # "localhost" has two families, this machine may have one
                text = f"cannot listen on {host or '*'} port {port}: {error.strerror}{HINTS.get(error.errno or 0, '')}"
                raise OSError(error.errno, text) from error
            made.listen(backlog)
            sockets.append(made)
            port = port or made.getsockname()[1]
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, f"this machine has no address of {host}")
        unless_all_is_well.pop_all()
        return sockets


def _bound(family: int, address: tuple[Any, ...], *, both: bool) -> socket.socket:
    """A bound socket; what it accepts inherits its options. asyncio sets TCP_NODELAY only where the protocol is named."""
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in GONE:
            if option := getattr(socket, name, None):
                made.setsockopt(socket.IPPROTO_TCP, option, value)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def new_loop() -> asyncio.AbstractEventLoop:
    """The event loop to serve on, for ``asyncio.Runner(loop_factory=new_loop)``."""
    return uvloop.new_event_loop()
