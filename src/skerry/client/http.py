"""The client protocol over HTTP, for any Kubernetes-style API.

TLS trusts exactly what the connection names: the environment's certificate settings are not
looked at. A ``Status`` becomes the ApiError of its reason. Nothing is retried here: whoever
calls has a queue that does that.
"""

from __future__ import annotations

import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

import aiohttp

from skerry.client.contract import Event, PatchKind, Ref
from skerry.machinery import errors
from skerry.machinery.document import dumps, loads
from skerry.machinery.resource import Json

REASONS: dict[str, type[errors.ApiError]] = {
    each.reason: each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.ApiError) and each.reason
} | {"Gone": errors.Expired}
BY_CODE: dict[int, type[errors.ApiError]] = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    409: errors.Conflict,
    410: errors.Expired,
    422: errors.Invalid,
    429: errors.TooManyRequests,
    503: errors.ServiceUnavailable,
    504: errors.Timeout,
}

REQUEST_SECONDS = 30.0
WATCH_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Connection:
    """How an API is reached. ``ca`` None with https trusts nothing but what ``insecure`` says; PEM bytes throughout."""

    server: str
    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    token: str = ""
    insecure: bool = False
    server_name: str = ""
    proxy: str = ""

    def tls(self) -> ssl.SSLContext | bool:
        """The TLS context of the connection."""
        if not self.server.startswith("https:"):
            return False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca:
            context.load_verify_locations(cadata=self.ca.decode())
        else:
            context.load_default_certs()
        if self.certificate and self.key:
            with tempfile.TemporaryDirectory() as folder:  # the ssl module loads chains from files only
                chain = Path(folder) / "client.pem"
                chain.touch(mode=0o600)
                chain.write_bytes(self.certificate + b"\n" + self.key)
                context.load_cert_chain(chain)
        return context


def error_from(code: int, body: bytes) -> errors.ApiError:
    """The ApiError that an answer stands for."""
    try:
        status = loads(body)
    except ValueError:
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        kind = BY_CODE.get(code, errors.InternalError)
        return kind(f"the server answered {code}: {body[:300].decode(errors='replace').strip()}")
    details = status.get("details") or {}
    causes = [errors.Cause(each.get("reason", ""), each.get("message", ""), each.get("field", "")) for each in details.get("causes") or ()]
    subject = errors.Subject(*(str(details.get(name) or "") for name in ("name", "group", "kind", "uid")))
    kind = REASONS.get(status.get("reason") or "") or BY_CODE.get(code, errors.InternalError)
    return kind(status.get("message") or "", subject=subject, causes=causes, retry_after=details.get("retryAfterSeconds"))


def path_of(ref: Ref, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The path of an object or a collection."""
    parts = ["apis", ref.group, ref.version] if ref.group else ["api", ref.version]
    if ref.namespaced and namespace:
        parts += ["namespaces", namespace]
    return "/" + "/".join([*parts, ref.plural, *([name] if name else []), *([subresource] if subresource else [])])


class HttpClient:
    """See ``client.contract.Client``. Use as an async context manager."""

    def __init__(self, connection: Connection, *, user_agent: str = "skerry") -> None:
        """Nothing is opened before the first request."""
        self.connection = connection
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._tls = connection.tls()

    async def __aenter__(self) -> Self:
        headers = {"User-Agent": self._user_agent, "Accept": "application/json"}
        if self.connection.token:
            headers["Authorization"] = f"Bearer {self.connection.token}"
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, auto_decompress=True, read_bufsize=2**20)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def open(
        self, method: str, path: str, *, body: bytes | None = None, media: str = "application/json", seconds: float = REQUEST_SECONDS
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and hand out the response as it comes; connection troubles become ServiceUnavailable."""
        if self._session is None:
            raise RuntimeError("the client is not open")
        headers = {"Content-Type": media} if body is not None else {}
        try:
            async with self._session.request(
                method,
                self.connection.server.rstrip("/") + path,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=10),
                server_hostname=self.connection.server_name or None,
                proxy=self.connection.proxy or None,
            ) as response:
                yield response
        except TimeoutError as error:
            raise errors.Timeout(f"{self.connection.server} did not answer in time") from error
        except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
            raise errors.ServiceUnavailable(f"cannot reach {self.connection.server}: {error}") from error

    async def _json(self, method: str, path: str, body: object = None, media: str = "application/json") -> Json:
        data = None if body is None else dumps(body)
        async with self.open(method, path, body=data, media=media) as response:
            answer = await response.read()
            if response.status >= 400:
                raise error_from(response.status, answer)
            found: Json = loads(answer) if answer else {}
            return found

    async def raw(self, method: str, path: str, body: object = None) -> Json:
        """Any request that answers JSON."""
        return await self._json(method, path, body)

    async def get(self, ref: Ref, name: str, namespace: str = "", *, resource_version: str = "") -> Json:
        """Return the object."""
        return await self._json("GET", path_of(ref, namespace, name) + _query(resourceVersion=resource_version))

    async def list(
        self, ref: Ref, namespace: str = "", *, labels: str = "", fields: str = "", resource_version: str = "", page: int = 500
    ) -> Json:
        """Return the whole list, page by page."""
        token, found = "", None
        while True:
            revision = "" if token else resource_version
            query = _query(
                labelSelector=labels, fieldSelector=fields, resourceVersion=revision, limit=str(page) if page else "", **{"continue": token}
            )
            answer = await self._json("GET", path_of(ref, namespace) + query)
            if found is None:
                found = answer
            else:
                found["items"] += answer["items"]
            token = answer["metadata"].get("continue", "")
            if not token:
                found["metadata"].pop("continue", None)
                found["metadata"].pop("remainingItemCount", None)
                return found

    async def create(self, ref: Ref, body: Json, namespace: str = "", *, manager: str = "") -> Json:
        """Create and return the object."""
        place = namespace or body.get("metadata", {}).get("namespace", "")
        return await self._json("POST", path_of(ref, place) + _query(fieldManager=manager), body)

    async def replace(self, ref: Ref, body: Json, *, subresource: str = "", manager: str = "") -> Json:
        """Update the object."""
        metadata = body["metadata"]
        path = path_of(ref, metadata.get("namespace", ""), metadata["name"], subresource)
        return await self._json("PUT", path + _query(fieldManager=manager), body)

    async def apply(self, ref: Ref, body: Json, *, manager: str, force: bool = False, subresource: str = "", dry_run: bool = False) -> Json:
        """Server-side apply."""
        metadata = body["metadata"]
        query = _query(fieldManager=manager, force="true" if force else "false", dryRun="All" if dry_run else "")
        path = path_of(ref, metadata.get("namespace", ""), metadata["name"], subresource)
        return await self._json("PATCH", path + query, body, "application/apply-patch+yaml")

    async def patch(
        self, ref: Ref, name: str, namespace: str, kind: PatchKind, body: object, *, subresource: str = "", manager: str = ""
    ) -> Json:
        """Patch the object."""
        return await self._json("PATCH", path_of(ref, namespace, name, subresource) + _query(fieldManager=manager), body, kind.value)

    async def delete(
        self, ref: Ref, name: str, namespace: str = "", *, propagation: str = "", uid: str = "", resource_version: str = ""
    ) -> Json:
        """Delete the object."""
        body: Json = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if propagation:
            body["propagationPolicy"] = propagation
        preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}
        if preconditions:
            body["preconditions"] = preconditions
        return await self._json("DELETE", path_of(ref, namespace, name), body)

    async def watch(
        self, ref: Ref, namespace: str = "", *, labels: str = "", fields: str = "", resource_version: str = "", bookmarks: bool = True
    ) -> AsyncIterator[Event]:
        """Yield events until the server ends the stream."""
        query = _query(
            watch="true",
            labelSelector=labels,
            fieldSelector=fields,
            resourceVersion=resource_version,
            allowWatchBookmarks="true" if bookmarks else "",
            timeoutSeconds=str(WATCH_SECONDS),
        )
        async with self.open("GET", path_of(ref, namespace) + query, seconds=WATCH_SECONDS + 30) as response:
            if response.status >= 400:
                raise error_from(response.status, await response.read())
            async for line in _lines(response.content):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise error_from(int(event["object"].get("code") or 500), dumps(event["object"]))
                yield Event(event["type"], event["object"])


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line


def _query(**values: str) -> str:
    found = {name: value for name, value in values.items() if value}
    return f"?{urlencode(found)}" if found else ""


__all__ = ["Connection", "HttpClient", "error_from", "path_of"]
