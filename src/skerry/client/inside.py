"""The client of an API in the same process: the same requests and answers as over HTTP, handed over without a socket.

What a server's own controllers ask is most of what it is asked. Over the loopback each of those requests was encrypted,
framed, parsed and decrypted at both ends by one interpreter, which cost more than answering it. Here the application is
called as the front door calls it, with the certificate that the client would show: it is authenticated, authorized, limited
and audited like anybody.

* An application that was begun is not cut off: who goes away is told to it as a closed connection is, and it ends by itself.
* A stream that nobody reads waits after a few chunks, as a socket makes it wait.
* Every failure is an ApiError; what the application raises is logged, and to its caller a broken connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from skerry.client.connection import Connection
from skerry.client.http import JSON, HttpClient
from skerry.kit.aio import TaskOwner
from skerry.kit.log import get
from skerry.machinery.errors import ServiceUnavailable, Timeout

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Callable[[], Awaitable[Scope]], Callable[[Scope], Awaitable[None]]], Awaitable[None]]

MOST_WAITING = 1024 * 1024
"""Bytes of an answer that wait for their reader before whoever writes them waits too."""

log = get("client.inside")


class InsideClient(HttpClient):
    """A :class:`skerry.client.contract.Client` of an application of this process; to be entered before it is used."""

    def __init__(self, app: Application, connection: Connection, *, user_agent: str = "skerry") -> None:
        """``connection`` says what the client proves itself by, and what the server is called."""
        super().__init__(connection, user_agent=user_agent)
        self._app = app
        self._owner = TaskOwner("inside")
        self._shown = _shown(connection)

    async def __aenter__(self) -> Self:
        await self._owner.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()
        await self._owner.__aexit__(kind, error, trace)

    def renew(self, connection: Connection) -> None:
        """Use another certificate from now on."""
        super().renew(connection)
        self._shown = _shown(connection)

    @asynccontextmanager
    async def open(  # type: ignore[override] # the answer is not aiohttp's, but has what is asked of it
        self, method: str, path: str, *, body: bytes | None = None, media: str = JSON, seconds: float = 0, silence: float = 0
    ) -> AsyncIterator[InsideAnswer]:
        """Ask the application, and hand out the answer as it comes; as :meth:`HttpClient.open`."""
        if self._closed:
            raise ServiceUnavailable(f"the client of {self._base} is closed")
        answer = InsideAnswer(self._base, body or b"", silence)
        with _timeouts(self._base):
            async with asyncio.timeout(seconds or None):
                self._owner.spawn(self._ask(self._scope(method, path, body, media), answer), method)
                try:
                    await answer.begun()
                    counted = (method, answer.status)
                    self.answered[counted] = self.answered.get(counted, 0) + 1
                    yield answer
                finally:
                    answer.leave()

    async def _ask(self, scope: Scope, answer: InsideAnswer) -> None:
        try:
            await self._app(scope, answer.receive, answer.send)
        except Exception:
            log.exception("a request failed unexpectedly", method=scope["method"], path=scope["path"])
        finally:
            answer.end()

    def _scope(self, method: str, path: str, body: bytes | None, media: str) -> Scope:
        raw, _, query = path.partition("?")
        headers = [(b"host", urlsplit(self._base).netloc.encode()), (b"user-agent", self._user_agent.encode()), (b"accept", JSON.encode())]
        if body is not None:
            headers += [(b"content-type", media.encode()), (b"content-length", b"%d" % len(body))]
        if token := self.connection.bearer():
            headers.append((b"authorization", f"Bearer {token}".encode()))
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "https",
            "method": method,
            "path": unquote(raw),
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "headers": headers,
            "client": ("127.0.0.1", 0),
            "extensions": {"tls": {"client_cert_der": self._shown}},
        }


class InsideAnswer:
    """One answer, between the application that writes it and the caller who reads it."""

    def __init__(self, server: str, body: bytes, silence: float) -> None:
        """``silence`` bounds the seconds between two chunks; 0: nothing does."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.content = self
        self._server, self._body, self._silence = server, body, silence
        self._asked = self._whole = self._ended = False
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._news, self._read, self._left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def receive(self) -> Scope:
        """Give the application the request's body, then that the caller went away."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Scope) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().title(): value.decode("latin-1") for name, value in message["headers"]}
        elif not self._left.is_set():
            self._chunks.append(message.get("body", b""))
            self._waiting += len(self._chunks[-1])
            self._whole = not message.get("more_body", False)
        self._news.set()
        while self._waiting > MOST_WAITING and not self._left.is_set():
            self._read.clear()
            await self._read.wait()

    def end(self) -> None:
        """The application has ended."""
        self._ended = True
        self._news.set()

    def leave(self) -> None:
        """The caller has."""
        self._left.set()
        self._read.set()

    async def begun(self) -> None:
        """Wait for the answer's head; raises ServiceUnavailable if none comes."""
        while not self.status:
            if self._ended:
                raise ServiceUnavailable(f"{self._server} cannot be reached: it did not answer")
            await self._more()

    async def iter_any(self) -> AsyncIterator[bytes]:
        """The body as it comes; raises ServiceUnavailable if it breaks off."""
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._waiting -= len(chunk)
                self._read.set()
                if chunk:
                    yield chunk
            if self._whole:
                return
            if self._ended:
                raise ServiceUnavailable(f"{self._server} cannot be reached: its answer broke off")
            async with asyncio.timeout(self._silence or None):
                await self._more()

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([chunk async for chunk in self.iter_any()])

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()


def _shown(connection: Connection) -> bytes | None:
    """The certificate that the far end would see, DER."""
    return x509.load_pem_x509_certificate(connection.certificate).public_bytes(Encoding.DER) if connection.certificate else None


@contextmanager
def _timeouts(server: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise Timeout(f"{server} did not answer in time") from error
