"""The client over HTTP: one connection pool, one caller, any Kubernetes-style API.

* Every failure is an ApiError, that of the network too: ServiceUnavailable where nobody answered
  or the connection broke, Timeout where the answer took too long. What happened stands in
  ``__cause__``.
* Nothing is retried here, except what HTTP itself allows on a kept-alive connection that the
  server had just closed. Retries live in the queue of whoever calls.
* A list is whole: pages are followed, and where the server has forgotten the revision of the
  first page half-way, the list begins anew in one piece, as client-go's pager does.
* A watch ends where the server ends it, and raises where the connection breaks or stays silent
  for longer than the server was told to hold it.
* Each kind of request has its own time. Nothing comes from the environment: no proxies, no
  netrc, no trust stores.

Bodies and answers are JSON; what they mean is the caller's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from skerry.client.answers import Lines, error_of, status_error
from skerry.client.connection import BadConnection, Connection
from skerry.client.contract import Event, PatchKind, Ref
from skerry.machinery.errors import Expired, ServiceUnavailable, Timeout
from skerry.machinery.resource import Json

APPLY = "application/apply-patch+yaml"  # JSON is YAML
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Times:
    """How long each kind of request may take, in seconds.

    ``watch`` is how long a server is asked to hold a watch; silence for ``slack`` longer ends it.
    """

    connect: float = 10.0
    read: float = 30.0
    write: float = 60.0
    items: float = 120.0
    watch: int = 300
    slack: float = 30.0


class HttpClient:
    """A :class:`skerry.client.contract.Client` over HTTP."""

    def __init__(self, connection: Connection, *, times: Times | None = None, user_agent: str = "skerry") -> None:
        """Open nothing yet; raises BadConnection for TLS settings that cannot be used."""
        self.connection = connection
        self._base = connection.server.rstrip("/")
        self._times = times or Times()
        self._user_agent = user_agent
        self._tls = connection.tls()
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self.answered: dict[tuple[str, int], int] = {}
        """How many requests were answered, by method and code."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; a second call does nothing."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, ref: Ref, name: str, namespace: str = "", *, resource_version: str = "") -> Json:
        """Return the object; raises NotFound."""
        return await self._json("GET", path_of(ref, namespace, name), {"resourceVersion": resource_version}, seconds=self._times.read)

    async def list(
        self, ref: Ref, namespace: str = "", *, labels: str = "", fields: str = "", resource_version: str = "", page: int = 500
    ) -> Json:
        """Return the whole List object, following ``continue`` page by page (``page`` objects at a time; 0: unpaged)."""
        path = path_of(ref, namespace)
        query = {"labelSelector": labels, "fieldSelector": fields, "resourceVersion": resource_version, "limit": str(page or "")}
        whole = part = await self._json("GET", path, query, seconds=self._times.items)
        items = list(whole.get("items") or ())
        while token := (part.get("metadata") or {}).get("continue"):
            try:
                part = await self._json("GET", path, {**query, "resourceVersion": "", "continue": token}, seconds=self._times.items)
            except Expired:  # the revision of the first page is gone: what was read fits nothing that is still to be had
                whole = part = await self._json("GET", path, {**query, "resourceVersion": "", "limit": ""}, seconds=self._times.items)
                items = []
            items += part.get("items") or ()
        metadata = {**(whole.get("metadata") or {}), **(part.get("metadata") or {})}
        metadata.pop("continue", None)
        metadata.pop("remainingItemCount", None)
        return {**whole, "metadata": metadata, "items": items}

    async def pages(self, ref: Ref, namespace: str = "", *, labels: str = "", fields: str = "", page: int = 500) -> AsyncIterator[Json]:
        """Yield a list page by page, each a List object of the same revision; raises Expired where that is forgotten half-way."""
        query, token = {"labelSelector": labels, "fieldSelector": fields, "limit": str(page)}, ""
        while True:
            part = await self._json("GET", path_of(ref, namespace), {**query, "continue": token}, seconds=self._times.items)
            yield {**part, "items": part.get("items") or []}
            token = (part.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    async def create(self, ref: Ref, body: Json, namespace: str = "", *, manager: str = "") -> Json:
        """Create and return the object as stored."""
        where = namespace or str((body.get("metadata") or {}).get("namespace") or "")
        return await self._json("POST", path_of(ref, where), {"fieldManager": manager}, body)

    async def replace(self, ref: Ref, body: Json, *, subresource: str = "", manager: str = "") -> Json:
        """Update; name, namespace and (if any) resourceVersion are read from ``body``."""
        path = path_of(ref, *_place(body), subresource)
        return await self._json("PUT", path, {"fieldManager": manager}, body)

    async def apply(self, ref: Ref, body: Json, *, manager: str, force: bool = False, subresource: str = "", dry_run: bool = False) -> Json:
        """Server-side apply ``body`` (which names its apiVersion and kind) as ``manager``."""
        query = {"fieldManager": manager, "force": "true" if force else "", "dryRun": "All" if dry_run else ""}
        return await self._json("PATCH", path_of(ref, *_place(body), subresource), query, body, media=APPLY)

    async def patch(
        self, ref: Ref, name: str, namespace: str, kind: PatchKind, body: object, *, subresource: str = "", manager: str = ""
    ) -> Json:
        """Patch in one of the three classic ways."""
        return await self._json("PATCH", path_of(ref, namespace, name, subresource), {"fieldManager": manager}, body, media=kind.value)

    async def delete(
        self, ref: Ref, name: str, namespace: str = "", *, propagation: str = "", uid: str = "", resource_version: str = ""
    ) -> Json:
        """Delete, optionally only if uid or revision still match."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if propagation:
            options["propagationPolicy"] = propagation
        if conditions := {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}:
            options["preconditions"] = conditions
        return await self._json("DELETE", path_of(ref, namespace, name), {}, options)

    async def watch(
        self, ref: Ref, namespace: str = "", *, labels: str = "", fields: str = "", resource_version: str = "", bookmarks: bool = True
    ) -> AsyncIterator[Event]:
        """Yield events after ``resource_version`` until the server ends the stream; raises Expired when it is compacted."""
        query = {
            "watch": "true",
            "labelSelector": labels,
            "fieldSelector": fields,
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true" if bookmarks else "",
            "timeoutSeconds": str(self._times.watch),
        }
        lines = Lines()
        silence = self._times.watch + self._times.slack
        async with self.open("GET", _with_query(path_of(ref, namespace), query), silence=silence) as response:
            if response.status >= 400:
                raise error_of(response.status, await response.read(), response.headers.get("Retry-After", ""))
            async for chunk in response.content.iter_any():
                for line in lines.feed(chunk):
                    yield _event(line)

    async def raw(self, method: str, path: str, body: object = None) -> Json:
        """Any other request that answers JSON (discovery, /version); ``path`` may carry a query."""
        return await self._json(method, path, {}, body)

    @asynccontextmanager
    async def open(
        self, method: str, path: str, *, body: bytes | None = None, media: str = JSON, seconds: float = 0, silence: float = 0
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and hand out the response as it comes, whatever its code.

        ``path`` is encoded and may carry a query. ``seconds`` bounds the whole, ``silence`` the time between two
        chunks (0: nothing does). What goes wrong inside the block becomes an ApiError too.
        """
        headers = {"Accept": JSON}
        if body is not None:
            headers["Content-Type"] = media
        limits = aiohttp.ClientTimeout(total=seconds or None, connect=self._times.connect, sock_read=silence or None)
        with _api_errors(self._base):
            if token := self.connection.bearer():
                headers["Authorization"] = f"Bearer {token}"
            async with self._opened().request(
                method,
                URL(self._base + path, encoded=True),
                data=body,
                headers=headers,
                timeout=limits,
                ssl=self._tls if self._tls is not None else True,
                proxy=self.connection.proxy or None,
                server_hostname=self.connection.server_name or None,
                allow_redirects=False,  # a redirect would carry the credentials to somebody else
            ) as response:
                answer = (method, response.status)
                self.answered[answer] = self.answered.get(answer, 0) + 1
                yield response

    def renew(self, connection: Connection) -> None:
        """Use another certificate, token or root from now on; requests that run end as they began.

        The server stays the same. Raises BadConnection, and changes nothing, for settings that cannot be used.
        """
        if connection.server != self.connection.server:
            raise BadConnection(f"the client of {self.connection.server} cannot turn to {connection.server}")
        tls = connection.tls()
        self.connection, self._tls = connection, tls

    async def _json(
        self, method: str, path: str, query: Mapping[str, str], body: object = None, *, media: str = JSON, seconds: float = 0
    ) -> Json:
        data = None if body is None else msgspec.json.encode(body)
        async with self.open(method, _with_query(path, query), body=data, media=media, seconds=seconds or self._times.write) as response:
            answer = await response.read()
            if response.status >= 300:
                raise error_of(response.status, answer, response.headers.get("Retry-After", ""))
            found = msgspec.json.decode(answer)
        if not isinstance(found, dict):
            raise ServiceUnavailable(f"{self._base} does not answer as an API server does")
        return found

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ServiceUnavailable(f"the client of {self._base} is closed")
        if self._session is None:
            # no limit: every watch holds a connection, and a caller that waits for one would wait for ever
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60, socket_factory=_socket)
            self._session = aiohttp.ClientSession(
                connector=connector, trust_env=False, headers={"User-Agent": self._user_agent}, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


def path_of(ref: Ref, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """``/apis/fleet.skerry.dev/v1alpha1/namespaces/sv-1/clusters/team-a.shop/status``."""
    parts = ["/apis", ref.group, ref.version] if ref.group else ["/api", ref.version]
    if ref.namespaced and namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts += [part for part in (ref.plural, quote(name, safe=""), subresource) if part]
    return "/".join(parts)


def _place(body: Json) -> tuple[str, str]:
    metadata = body.get("metadata") or {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def _with_query(path: str, query: Mapping[str, str]) -> str:
    text = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items() if value)
    return f"{path}?{text}" if text else path


class _WatchEvent(msgspec.Struct):
    type: str
    object: Json


_events = msgspec.json.Decoder(_WatchEvent)


def _event(line: bytes) -> Event:
    event = _events.decode(line)
    if event.type == "ERROR":
        raise status_error(event.object)
    return Event(event.type, event.object)


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that notices a dead far end within a minute and a half: a watch is silent for longer."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):  # not everywhere outside Linux
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)
    return made


@contextmanager
def _api_errors(server: str) -> Iterator[None]:
    """Turn what the network and the decoder raise into ApiErrors."""
    try:
        yield
    except TimeoutError as error:
        raise Timeout(f"{server} did not answer in time") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise ServiceUnavailable(f"{server} shows a certificate that is not trusted: {error.certificate_error}") from error
    except aiohttp.ClientHttpProxyError as error:  # its text holds the proxy's address, and with it the password
        why = "wants other credentials" if error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED else "does not connect to it"
        raise ServiceUnavailable(f"{server} cannot be reached: the proxy {why} ({error.status} {error.message})") from None
    except aiohttp.ClientProxyConnectionError as error:
        raise ServiceUnavailable(f"{server} cannot be reached: the proxy does not answer ({_plainly(error.os_error)})") from None
    except aiohttp.ClientConnectorError as error:
        raise ServiceUnavailable(f"{server} cannot be reached: {_plainly(error.os_error)}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ServiceUnavailable(f"{server} cannot be reached: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServiceUnavailable(f"{server} does not answer as an API server does") from error


def _plainly(error: OSError) -> str:
    """What kept a connection from being made, without the inner workings that aiohttp adds."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
