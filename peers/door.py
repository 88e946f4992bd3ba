"""A plain HTTP client for a Kubernetes door, as close to the wire as the comparison needs.

The differential suite compares answers byte for byte where it can, and sends requests that no
real client would (broken JSON, invalid UTF-8, odd headers): so this client adds nothing,
retries nothing, follows nothing and interprets nothing. It is synchronous on purpose: a
scenario is a list of steps, one after the other.

``stream`` reads a watch line by line until the server ends it or the caller has enough.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status code, the headers (as sent, in order) and the whole body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> list[str]:
        """Return every value of a header, whatever the case of its name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)


class Refused(RuntimeError):
    """A call that had to succeed did not; the message is the server's."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a server is and how to be let in: a root to trust, and a token or a client certificate (or neither)."""

    url: str
    ca_file: Path | None = None
    token: str = ""
    certificate: Path | None = None
    key: Path | None = None

    def as_user(self, token: str) -> Door:
        """Return the same door with another bearer token (empty: nobody in particular) and no client certificate."""
        return replace(self, token=token, certificate=None, key=None)

    def call(
        self, method: str, path: str, body: bytes | Json | None = None, headers: Mapping[str, str] | None = None, *, timeout: float = 30
    ) -> Answer:
        """Send one request (``path`` with its query) and read the whole answer. A dict is sent as JSON."""
        connection = self.connect(timeout)
        try:
            response = self.send(connection, method, path, body, headers)
            return Answer(response.status, tuple(response.getheaders()), response.read())
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: bytes | Json | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send one request that must succeed and decode its answer; raises Refused."""
        answer = self.call(method, path, body, headers)
        if answer.status >= 400:
            raise Refused(f"{method} {path}: {answer.status}: {answer.body.decode(errors='replace')[:2000]}")
        return answer.json()

    def stream(self, path: str, headers: Mapping[str, str] | None = None, *, timeout: float = 30) -> Iterator[Json]:
        """Yield the events of a watch; ends when the server ends it, or with TimeoutError after a silence of ``timeout`` seconds."""
        connection = self.connect(timeout)
        try:
            response = self.send(connection, "GET", path, None, headers)
            if response.status != 200:
                raise Refused(f"GET {path}: {response.status}: {response.read().decode(errors='replace')[:2000]}")
            while line := response.readline():
                if line.strip():
                    yield json.loads(line)
        finally:
            connection.close()

    def connect(self, timeout: float = 30) -> http.client.HTTPConnection:
        """Return a connection that is opened by its first request."""
        parts = urlsplit(self.url)
        host, port = parts.hostname or "127.0.0.1", parts.port
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=timeout)
        context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        if self.certificate and self.key:
            context.load_cert_chain(self.certificate, self.key)
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)

    def send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | Json | None, headers: Mapping[str, str] | None
    ) -> http.client.HTTPResponse:
        """Send one request over a connection and return the response as soon as it has begun."""
        given = {key.lower(): value for key, value in (headers or {}).items()}
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        if isinstance(body, dict):
            given.setdefault("content-type", "application/json")
        if self.token:
            given.setdefault("authorization", f"Bearer {self.token}")
        connection.putrequest(method, path, skip_accept_encoding=True)
        for key, value in given.items():
            connection.putheader(key, value)
        if content is not None:
            connection.putheader("content-length", str(len(content)))
        connection.endheaders(content)
        return connection.getresponse()


class Session:
    """One kept connection through a door, for many small calls in a row. Not for threads to share."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._connection = door.connect()

    def call(self, method: str, path: str, body: bytes | Json | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Like ``Door.call``. A connection that the server has closed meanwhile is opened again, once."""
        try:
            return self._call(method, path, body, headers)
        except (http.client.RemoteDisconnected, ConnectionError):
            self._connection.close()
            return self._call(method, path, body, headers)

    def _call(self, method: str, path: str, body: bytes | Json | None, headers: Mapping[str, str] | None) -> Answer:
        response = self._door.send(self._connection, method, path, body, headers)
        return Answer(response.status, tuple(response.getheaders()), response.read())
