"""One connection: uvicorn's HTTP protocol, with what an API server needs beside it.

* What the handshake proved of the client is read once and handed over with every request:
  ``scope["extensions"]["tls"]["client_cert_der"]`` (bytes) and ``["skerry.peer"]``
  (:class:`CertificateIdentity`); both are None for a client that showed nothing.
* A head, a whole message and the time to send a head are bounded. uvicorn bounds the time to be
  idle, and stops reading while an application does not take its body.
* What is left of a message after its answer has as long as a head; requests that are sent ahead of
  their answers are bounded; and when the connection goes, every one of them learns of it (uvicorn
  tells the newest only).
* Trailers are dropped: uvicorn would add them to headers that were already judged.
* Bytes that are not HTTP get a ``Status`` and a closed connection. So do upgrades (WebSocket,
  SPDY), but under one path, where the application may answer them with raw bytes (``upgrade.py``).

Listening, reloading and stopping are ``http.py``'s.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any, TypeAlias, cast

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from skerry.apiserver.corked import Corked
from skerry.apiserver.upgrade import EXTENSION, Upgrade
from skerry.kit.clock import Clock
from skerry.pki.identity import CertificateIdentity, identity

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a server and its connections, in bytes and seconds; ``handshakes`` is how many may run at once.

    ``upgraded`` is how many connections may have left HTTP, or ask to. Once ``unsent_bytes`` of an answer wait for their client,
    nothing is added before he took most of them.

    When the server stops, running requests have ``grace_seconds`` to finish, but one whose body stopped coming only
    ``stalled_seconds``; then clients have ``linger_seconds`` to take what is still under way to them, and to say goodbye.
    """

    head_bytes: int = 64 * 1024
    message_bytes: int = 16 * 1024 * 1024
    unsent_bytes: int = 64 * 1024
    head_seconds: float = 20.0
    idle_seconds: int = 75
    handshake_seconds: float = 10.0
    shutdown_seconds: float = 5.0
    handshakes: int = 512
    grace_seconds: float = 10.0
    stalled_seconds: float = 1.0
    linger_seconds: float = 0.5
    backlog: int = 2048
    upgraded: int = 1024


MOST_AHEAD = 64
"""Requests that may be sent before the first is answered: clients send one or two, and what came at once is parsed at once."""

TOLD_AT_ONCE = 50
"""Requests that end in one turn of the event loop because their clients are gone: about ten milliseconds."""

NO_HTTP = "the request is not well-formed HTTP/1.1"


class Shared(ServerState):
    """What the connections of one server share."""

    def __init__(self, limits: Limits, clock: Clock, upgrades: str = "") -> None:
        """Begin without connections; ``upgrades`` is what paths begin with under which the application is asked about upgrades."""
        super().__init__()
        self.upgrades = upgrades.encode()
        self.upgraded = 0
        self.limits = limits
        self.clock = clock
        self.stopping = False
        self.refused = 0
        self.changed = asyncio.Event()
        self._gone: deque[asyncio.Event] = deque()
        self._dated = float("-inf")

    def tell(self, event: asyncio.Event) -> None:
        """Set the event of a request whose client is gone, soon: of thousands that go at once, some in each turn of the loop."""
        if not self._gone:
            asyncio.get_running_loop().call_soon(self._tell_some)
        self._gone.append(event)

    def _tell_some(self) -> None:
        for _ in range(min(TOLD_AT_ONCE, len(self._gone))):
            self._gone.popleft().set()
        if self._gone:
            asyncio.get_running_loop().call_soon(self._tell_some)

    def refresh_date(self) -> None:
        """Keep the Date header at most a second old."""
        now = self.clock.monotonic()
        if now - self._dated >= 1:
            self._dated = now
            self.default_headers = [(b"date", format_datetime(self.clock.now(), usegmt=True).encode())]


class Connection(HttpToolsProtocol):
    """One connection."""

    def __init__(self, config: Config, shared: Shared) -> None:
        """Wait for the transport."""
        super().__init__(config, shared, {})
        self._shared = shared
        self._limits = shared.limits
        self._extensions: dict[str, Any] = {}
        self._in_head = True
        self._received = 0
        self._known = 0
        self._head_bytes = 0
        self._running: RequestResponseCycle | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._upgrade: Upgrade | None = None
        self._left_http = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn narrows it
        """Read who is there."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(self._limits.unsent_bytes)
        self.transport = cast("asyncio.Transport", Corked(transport, self.loop))
        self._extensions = peer_extensions(transport.get_extra_info("ssl_object"))
        if self._shared.stopping:
            transport.close()
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the requests of this connection, and whoever waits for the last one."""
        self._head_came()
        if self._upgrade is not None:
            self._shared.upgraded -= 1
            self._upgrade.end()
        for cycle in {self._running, self.cycle, *(queued for queued, _ in self.pipeline)}:
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                self._shared.tell(cycle.message_event)
        newest = self.cycle
        self.cycle = None  # type: ignore[assignment] # uvicorn would wake it at once, however many connections are lost together
        super().connection_lost(exc)
        self.cycle = newest
        self._shared.changed.set()

    def data_received(self, data: bytes) -> None:
        """Parse what came, within the bounds."""
        if self.transport.is_closing():
            return
        if self._upgrade is not None and self._left_http:
            self._upgrade.data_received(data)
            return
        self._received += len(data)
        self._parse(data)
        if self.transport.is_closing():
            self._head_came()
        elif self._in_head and self._received > self._limits.head_bytes:
            self._refuse(431, "BadRequest", f"the request's head is larger than {self._limits.head_bytes} bytes")
        elif self._received > self._limits.message_bytes:
            self._refuse(413, "RequestEntityTooLarge", f"the request is larger than {self._limits.message_bytes} bytes")
        elif self._in_head and self._received:
            self._expect_head()

    def _parse(self, data: bytes) -> None:
        """What uvicorn does with what came, but for what is behind an upgrade: it would lose that."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as ended:
            self._left_http = True
            if self._upgrade is not None:
                self._upgrade.data_received(data[ended.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400, "BadRequest", NO_HTTP)

    def on_message_begin(self) -> None:
        """Add to the scope what uvicorn does not know."""
        if len(self.pipeline) >= MOST_AHEAD:
            raise ValueError("too many requests were sent ahead of their answers")  # the parser gives up, and with it the connection
        super().on_message_begin()
        self._head_bytes = 0
        self.scope["extensions"] = self._extensions
        self._received = max(self._received, 1)  # the head may begin in the chunk that ended the message before
        self._shared.refresh_date()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, and leave a trailer."""
        if self._in_head:
            self._head_bytes += len(name) + len(value)
            super().on_header(name, value)

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_headers_complete(self) -> None:
        """Start the application, or refuse an upgrade that it does not want to hear of."""
        self._in_head = False
        self._head_came()
        upgrade = self.parser.should_upgrade()
        if too_large := self._head_bytes > self._limits.head_bytes:
            self.url, self.headers[:] = b"/", []
            self.app = refuse_head  # it came in one piece with its end
        elif upgrade and (protocol := self._wanted_protocol()):
            self.app = self._with_upgrade(protocol)  # the last request of this connection
        super().on_headers_complete()
        if upgrade or too_large:
            self.cycle.keep_alive = False
        if self._upgrade is not None:
            self._upgrade.cycle = self.cycle

    def _with_upgrade(self, protocol: str) -> Any:
        """What answers a request for another protocol."""
        shared = self._shared
        if not shared.upgrades or not self.url.startswith(shared.upgrades) or self.parser.get_http_version() != "1.1":
            return refuse_upgrade
        if shared.upgraded >= self._limits.upgraded:
            return refuse_another
        shared.upgraded += 1
        extensions: dict[str, Any] = {**self._extensions, EXTENSION: protocol}
        self.scope["extensions"] = extensions
        self._upgrade = Upgrade(self.app, self.transport, self.flow)
        return self._upgrade

    def on_message_complete(self) -> None:
        """Count anew, and be ready for the next head."""
        super().on_message_complete()
        self._head_came()
        self._in_head = True
        self._received = 0

    def look_for_body(self) -> None:
        """Refuse a request whose body is not complete and got no further since the last look."""
        if self._in_head or self.transport.is_closing() or self.flow.read_paused:
            return
        if self._received == self._known:
            self._refuse(408, "Timeout", "the server stops, and the rest of the request's body does not come")
        self._known = self._received

    def on_response_complete(self) -> None:
        """Wait for the rest of a message that was answered before its end, but not for long."""
        super().on_response_complete()
        if self.cycle is not None and self.cycle.response_complete and not self._in_head and not self.transport.is_closing():
            self._expect_head()

    def shutdown(self) -> None:
        """Finish what runs; what was upgraded would never finish by itself."""
        super().shutdown()
        if self._upgrade is not None:
            self._upgrade.end()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _wanted_protocol(self) -> str:
        """The protocol that a client wants to go on with, if that is one that we know of."""
        upgrade = (self._get_upgrade() or b"").decode("latin-1")
        return upgrade if upgrade == "websocket" or upgrade.startswith("spdy/") else ""

    def _expect_head(self) -> None:
        if self._overdue is None:
            self._overdue = self.loop.call_later(self._limits.head_seconds, self._head_overdue)

    def _head_came(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _head_overdue(self) -> None:
        self._overdue = None
        if self._received and self._in_head:
            self._refuse(408, "Timeout", f"the request's head did not arrive within {self._limits.head_seconds:g} seconds")
        else:
            self.transport.close()

    def _refuse(self, code: int, reason: str, message: str) -> None:
        """Answer with a Status and close; a response that has begun can only be cut."""
        self._head_came()
        self._shared.refused += 1
        if self.transport.is_closing():
            return
        for cycle in (self._running, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
                if cycle.response_started:
                    self.transport.abort()
                    return
        body = status_body(code, reason, message)
        head = [b"%s: %s\r\n" % each for each in (*self.server_state.default_headers, (b"content-type", b"application/json"))]
        self.transport.write(
            b"".join((STATUS_LINE[code], *head, b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body), body)),
        )
        self.transport.close()


def peer_extensions(connection: ssl.SSLObject | None) -> dict[str, Any]:
    """What the application is told of a connection's far end."""
    der = connection.getpeercert(binary_form=True) if connection is not None else None
    holder: CertificateIdentity | None = None
    if der is not None:
        try:
            holder = identity(der)
        except ValueError:
            pass  # proved, but unreadable: whoever authenticates refuses it
    return {"tls": {"client_cert_der": der}, "skerry.peer": holder}


async def refuse_upgrade(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer a request for another protocol."""
    body = status_body(400, "BadRequest", "this server takes no upgraded connections (WebSocket, SPDY)")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse_another(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer a request for one more upgraded connection than there may be."""
    body = status_body(429, "TooManyRequests", "too many upgraded connections (exec, attach, port-forward) are open; try again later")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"retry-after", b"10")]
    await send({"type": "http.response.start", "status": 429, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


async def refuse_head(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer a request whose head is too large."""
    body = status_body(431, "BadRequest", "the request's head (URL and headers) is too large; select less, or send what is large in a body")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 431, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def status_body(code: int, reason: str, message: str) -> bytes:
    """A Status object, encoded."""
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code}
    return msgspec.json.encode(status)
