"""The front door: HTTPS for one ASGI application, with client certificates for who has one.

uvicorn's protocol is extended in one place: when a connection is made, the certificate that
the far end proved to hold is put where the application finds it (the ``tls`` extension of the
ASGI scope). TLS asks for a certificate and demands none; one of a foreign authority ends the
handshake. New certificates are loaded into the live context: connections that are open stay,
new ones see them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from skerry.kit.aio import TaskOwner

GRACE_SECONDS = 3
BACKLOG = 2048


class PeerProtocol(HttpToolsProtocol):
    """HTTP/1.1 that knows who is at the far end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Read the client certificate once per connection."""
        super().connection_made(transport)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self.tls_extension: dict[str, Any] = {"client_cert_der": certificate}

    def on_message_begin(self) -> None:
        """Hand the certificate to the application with every request."""
        super().on_message_begin()
        self.scope["extensions"] = {"tls": self.tls_extension}  # type: ignore[dict-item] # narrower in uvicorn than in ASGI


class Tls:
    """The front door's certificate, and the authorities whose client certificates are asked for."""

    def __init__(self, certificate: Path, key: Path, client_roots: bytes) -> None:
        """Load both; raises ssl.SSLError or OSError."""
        self._certificate, self._key = certificate, key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.context.load_verify_locations(cadata=client_roots.decode())
        self.context.set_alpn_protocols(["http/1.1"])
        self.reload()

    def reload(self) -> None:
        """Load the certificate again; open connections stay as they are."""
        self.context.load_cert_chain(self._certificate, self._key)


class _Server(uvicorn.Server):
    """uvicorn without its hold on the process: signals belong to whoever composes it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leave signals alone."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    """Bind a TCP socket; raises OSError that says what to do. asyncio sets TCP_NODELAY only where the protocol is named."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror}; stop what runs there, or choose another --port") from error
    return listener


class Door:
    """A listening front door."""

    def __init__(self, app: Any, *, host: str, port: int, tls: Tls | None, on_stop: Callable[[], None] = lambda: None) -> None:
        """``port`` 0 takes a free one; ``on_stop`` ends what would otherwise hold connections open."""
        self._config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=PeerProtocol,
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=GRACE_SECONDS,
            h11_max_incomplete_event_size=65536,
        )
        self._config.load()
        if tls is not None:
            self._config.ssl = tls.context
        self._server = _Server(self._config)
        self._on_stop = on_stop
        self.port = port

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen until the block is left; raises OSError if the address cannot be had."""
        server = self._server
        listener = _listen(self._config.host, self.port)
        self.port = listener.getsockname()[1]
        server.lifespan = self._config.lifespan_class(self._config)
        async with TaskOwner("door") as owner:
            await server.startup(sockets=[listener])
            ticker = owner.spawn(server.main_loop(), "ticker")
            try:
                yield
            finally:
                self._on_stop()
                server.should_exit = True
                await ticker
                await server.shutdown(sockets=[listener])


__all__ = ["Door", "PeerProtocol", "Tls"]
