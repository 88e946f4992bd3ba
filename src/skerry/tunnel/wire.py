"""The wire of the link: gRPC over mutual TLS, both ends, in one file.

The gateway's certificate, and the roots that it trusts, are read at every handshake, so that
renewed ones are used at once; connections that stand are left alone. Flow control is HTTP/2's.
Keep-alive pings find a dead path sooner than TCP does.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from skerry.tunnel import link_pb2_grpc
from skerry.tunnel.statements import CHALLENGE, CONTROL, METADATA, PROXY

MOST_MESSAGE_BYTES = 16 * 1024 * 1024
CHUNK_BYTES = 256 * 1024

LIMITS: list[tuple[str, int]] = [
    ("grpc.max_send_message_length", MOST_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
]

Pair = Callable[[], tuple[bytes, bytes]]
"""Reads a certificate chain and its key, both PEM."""

Roots = Callable[[], bytes]
"""Reads the roots that agents' certificates may come from, PEM."""


class Shown:
    """What a gateway shows and trusts in handshakes: asked for at each, and made into a context of TLS only where it has changed.

    A context holds a hundred kilobytes for as long as a connection that was made with it. And gRPC puts it in the place of the one
    before without a lock, and ends the process where two handshakes do so at once: it is told of another one only when there is one.
    """

    def __init__(self, pair: Pair, roots: Roots | None) -> None:
        """Read both for the first time; without ``roots`` nobody is asked for a certificate."""
        self._pair, self._roots = pair, roots
        self._changing = threading.Lock()
        self._last = self._read()
        self.now = self._made()

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What is to be used from now on; None: what was."""
        with self._changing:
            found = self._read()
            if found == self._last:
                return None
            self._last = found
            self.now = self._made()
            return self.now

    def _read(self) -> tuple[tuple[bytes, bytes], bytes | None]:
        return self._pair(), self._roots() if self._roots else None

    def _made(self) -> grpc.ServerCertificateConfiguration:
        (certificate, key), roots = self._last
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=roots)


def server(servicer: Any, address: str, pair: Pair, roots: Roots | None) -> tuple[grpc.aio.Server, int]:
    """Make a server for a servicer; returns it, not yet started, and the port it took. Raises OSError if it cannot listen.

    Without ``roots`` nobody shows a certificate: the servicer sees to it that everybody proves himself otherwise.
    """
    shown = Shown(pair, roots)
    changed: Any = shown.changed  # the stubs do not know that None is an answer: no change
    credentials = grpc.dynamic_ssl_server_credentials(shown.now, changed, require_client_authentication=roots is not None)
    made = grpc.aio.server(options=LIMITS)
    link_pb2_grpc.add_LinkServiceServicer_to_server(servicer, made)  # type: ignore[no-untyped-call] # generated
    try:
        _try(address)
        port = made.add_secure_port(address, credentials)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "is something else running there?"
        raise OSError(f"cannot listen on {address} for agents: {why}; stop what runs there, or choose another port") from error
    return made, port


def _try(address: str) -> None:
    """Bind an address and leave it, because gRPC would not say why it cannot; raises OSError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    for family, kind, protocol, _, place in socket.getaddrinfo(host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)


def channel(address: str, roots: bytes, certificate: bytes, key: bytes, *, name: str = "", proxy: str = "") -> grpc.aio.Channel:
    """Make a channel to a gateway; its certificate must hold ``name``, if one is given, in place of the address's own.

    ``proxy`` is the URL of an HTTP proxy (``http://user:password@host:port``) that connects to it; what the environment says of
    proxies does not count. An empty ``certificate``: none is shown.
    """
    if proxy:
        os.environ["no_grpc_proxy"] = " "  # noqa: SIM112 so gRPC calls it; else it heeds no_proxy, and dials past the proxy that it was told
    credentials = grpc.ssl_channel_credentials(root_certificates=roots, private_key=key or None, certificate_chain=certificate or None)
    override = [("grpc.ssl_target_name_override", name)] if name else []
    through = [("grpc.http_proxy", proxy)] if proxy else [("grpc.enable_http_proxy", 0)]
    return grpc.aio.secure_channel(address, credentials, options=[*LIMITS, *override, *through])


def stub(of: grpc.aio.Channel) -> Any:
    """The client side of the service."""
    return link_pb2_grpc.LinkServiceStub(of)  # type: ignore[no-untyped-call] # generated


Prove = Callable[[str], str]
"""Makes a statement for a purpose."""


class Proved:
    """The client side of the service where every stream proves itself by a statement."""

    def __init__(self, of: Any, prove: Prove) -> None:
        """``of`` is a stub."""
        self._of = of
        self._prove = prove

    def Control(self, messages: AsyncIterator[Any]) -> Any:  # noqa: N802 gRPC's name
        """Open the session."""
        return self._of.Control(messages, metadata=((METADATA, self._prove(CONTROL)),))

    def Proxy(self, messages: AsyncIterator[Any]) -> Any:  # noqa: N802 gRPC's name
        """Open the stream of a proxied call."""
        return self._of.Proxy(messages, metadata=((METADATA, self._prove(PROXY)),))


async def challenge(of: Any) -> str:
    """Draw a challenge from the gateway at the other end, by asking it for a session without proof; raises ConnectionError."""
    call = of.Control(_silence())
    try:
        code = await call.code()
        found = dict(await call.trailing_metadata() or ()).get(CHALLENGE)
    finally:
        call.cancel()
    if code != grpc.StatusCode.UNAUTHENTICATED or not isinstance(found, str):
        raise ConnectionError(f"{code.name.lower()}: {await call.details()}")
    return found


async def _silence() -> AsyncIterator[Any]:
    """Say nothing, and end."""
    none: tuple[Any, ...] = ()
    for each in none:
        yield each


def peer_certificate(context: Any) -> bytes | None:
    """The client certificate of a call, DER."""
    found = context.auth_context().get("x509_pem_cert")
    return x509.load_pem_x509_certificate(found[0]).public_bytes(Encoding.DER) if found else None
