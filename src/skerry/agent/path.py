"""What stands between the agent and the gateway, seen by a handshake that trusts nobody.

gRPC says of a certificate that it does not trust only that it does not trust it. So the agent looks for itself, when no session
comes about: it dials as the link does, through the proxy if there is one, and reads the certificate that it is shown. Nothing
is sent but the handshake, and nothing is believed.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from datetime import datetime
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature

LOOK_SECONDS = 15.0
MOST_HEAD = 16 * 1024


class Finding(NamedTuple):
    """What is in the way: one word for programs, a sentence for people."""

    reason: str
    message: str


class NoWay(Exception):
    """Nobody answers there, or the proxy does not let us through; the message says which."""


async def shown(address: str, proxy: str = "") -> x509.Certificate:
    """The certificate that is shown at HOST:PORT; raises NoWay."""
    host, port = split(address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            reader, writer = await _connected(host, port, proxy)
            try:
                await writer.start_tls(context, server_hostname=host)
                tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
                return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
            finally:
                writer.transport.abort()
                del reader
    except TimeoutError as error:
        raise NoWay(f"{address} does not answer") from error
    except (OSError, ValueError, EOFError) as error:
        raise NoWay(f"{address} cannot be reached: {_plainly(error)}") from error


def judged(certificate: x509.Certificate, address: str, roots: bytes, now: datetime) -> Finding | None:
    """What is wrong with a certificate that a gateway should have shown, by an agent's roots and clock; None: nothing is."""
    if not any(_signed(certificate, root) for root in x509.load_pem_x509_certificates(roots)):
        issuer = certificate.issuer.rfc4514_string()
        return Finding(
            "TLSIntercepted",
            f"what answers at {address} shows a certificate of {issuer}, not one of Skerry's own root: something in between inspects TLS; "
            "let it pass this address untouched, or let the agent prove itself by signed tokens (--trust-proxy-ca)",
        )
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begins <= now < ends:
        return None
    return Finding(
        "ClockSkew",
        f"the gateway's certificate is good from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC, but the agent's clock says "
        f"{now:%Y-%m-%d %H:%M} UTC: set it, and keep it set with NTP",
    )


def split(address: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``; the host of an IPv6 address without its brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def _connected(host: str, port: int, proxy: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to somebody, by CONNECT where there is a proxy."""
    if not proxy:
        return await asyncio.open_connection(host, port)
    at = urlsplit(proxy)
    try:
        reader, writer = await asyncio.open_connection(at.hostname, at.port or 80, limit=MOST_HEAD)
    except OSError as error:
        raise NoWay(f"the proxy {at.hostname}:{at.port or 80} cannot be reached: {_plainly(error)}") from error
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if at.username is not None:
        pair = f"{unquote(at.username)}:{unquote(at.password or '')}"
        head += f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"
    writer.write(f"{head}\r\n".encode())
    try:
        status = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n", 1)[0].decode("latin-1")
    except asyncio.LimitOverrunError as error:
        writer.transport.abort()
        raise NoWay(f"the proxy {at.hostname}:{at.port or 80} does not answer as a proxy does") from error
    code = status.split(" ")[1] if status.startswith("HTTP/1.") and " " in status else ""
    if not code.startswith("2"):
        writer.transport.abort()
        why = "wants other credentials" if code == "407" else "does not connect"
        raise NoWay(f"the proxy {at.hostname}:{at.port or 80} {why}: it answered {status.partition(' ')[2] or 'nothing'}")
    return reader, writer


def _plainly(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number and number > 0 else str(error) or type(error).__name__


def _signed(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
