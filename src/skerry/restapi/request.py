"""A request as the server sees it: method, path, query, headers, and a body that is read at most once.

The query parameters are those of Kubernetes' ListOptions, CreateOptions and their kin, parsed
and validated here once, so that everything behind works with :class:`Options`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

from skerry.machinery import causes
from skerry.machinery.errors import BadRequest, Cause, RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType, invalid

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MOST_BODY_BYTES = 3 * 1024 * 1024
"""What kube-apiserver takes of a resource."""

BODY_SECONDS = 60.0
"""How long a body may be on its way: at three megabytes that is a line of 50 kB/s. Kubernetes gives a whole request as much."""

MOST_MANAGER_BYTES = 128


@dataclass(slots=True)
class Options:
    """The query parameters that mean something to the API; a DeleteOptions body may add to them."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    continuation: str = ""
    revision: str = ""
    match: str = ""
    watch: bool = False
    bookmarks: bool = False
    initial_events: bool | None = None
    timeout: int | None = None
    dry_run: bool = False
    manager: str = ""
    validation: str = "Warn"
    force: bool | None = None
    propagation: str = ""
    orphan: bool | None = None


class Bodies(Protocol):
    """Counts the bytes of the bodies of all requests."""

    def take(self, size: int) -> None:
        """Count bytes that came; raises TooManyRequests."""
        ...

    def give_back(self, size: int) -> None:
        """Count bytes that went."""
        ...


class Request:
    """One HTTP request."""

    __slots__ = ("_bodies", "_body", "_headers", "_held", "_query", "_receive", "method", "path", "scope")

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, bodies: Bodies | None = None) -> None:
        """Wrap an ASGI scope; ``bodies`` is told of what the body holds in memory."""
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._receive = receive
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._query: dict[str, str] | None = None
        self._body: bytes | None = None
        self._bodies = bodies
        self._held = 0

    def header(self, name: bytes) -> str:
        """A header by its lower-case name, empty if absent."""
        return self._headers.get(name, b"").decode("latin-1")

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; of a repeated one the first counts."""
        if self._query is None:
            raw = self.scope.get("query_string", b"")
            if not raw:
                self._query = {}
            else:
                try:
                    pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, errors="strict")
                except ValueError as error:
                    raise BadRequest(f"the query of the request cannot be decoded: {error}") from error
                self._query = {}
                for name, value in pairs:
                    self._query.setdefault(name, value)
        return self._query

    async def body(self) -> bytes:
        """Read the whole body, decompressed; raises RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType or BadRequest."""
        if self._body is None:
            encoding = self.header(b"content-encoding").strip().lower()
            if encoding not in {"", "identity", "gzip"}:
                raise UnsupportedMediaType(f"the content encoding {encoding!r} is not understood; send the body as it is, or as gzip")
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    data = await self._received()
            except TimeoutError:
                raise RequestTimeout(f"the body of the request did not arrive within {BODY_SECONDS:g} seconds") from None
            self._body = await asyncio.to_thread(_inflate, data) if encoding == "gzip" else data
        return self._body

    def release(self) -> None:
        """The request is over: its body is no longer in memory."""
        if self._bodies is not None:
            self._bodies.give_back(self._held)
        self._held = 0

    def _hold(self, size: int) -> None:
        if self._bodies is not None:
            self._bodies.take(size)
            self._held += size

    async def _received(self) -> bytes:
        chunks, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("the client went away while it was sending")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > MOST_BODY_BYTES:
                raise _too_large()
            self._hold(len(chunk))
            chunks.append(chunk)
            if not message.get("more_body"):
                return b"".join(chunks)


def _too_large() -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"Request entity too large: limit is {MOST_BODY_BYTES}")


def _inflate(data: bytes) -> bytes:
    """Decompress gzip, up to the limit and not a byte further."""
    engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = engine.decompress(data, MOST_BODY_BYTES + 1)
    except zlib.error as error:
        raise BadRequest(f"the body is not gzip: {error}") from error
    if len(plain) > MOST_BODY_BYTES:
        raise _too_large()
    if not engine.eof or engine.unused_data:
        raise BadRequest(f"the body is not gzip: {'more follows its end' if engine.eof else 'it is cut off'}")
    return plain


OPTIONS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions", "DELETE": "DeleteOptions"}


def options(query: dict[str, str], method: str = "GET", *, named: bool = False) -> Options:
    """Parse and check the query parameters that mean something to a request: others are not looked at.

    ``named`` tells an object from a collection. Raises BadRequest, or Invalid about the options of this method.
    """
    if not query:
        return Options()
    kind = OPTIONS.get(method, "")
    if not kind and named:
        return Options(revision=query.get("resourceVersion", ""))
    found = Options() if named or kind not in {"", "DeleteOptions"} else _list_options(query)
    if kind:
        _settle_write(found, query, kind)
    return found


def _list_options(query: dict[str, str]) -> Options:
    return Options(
        labels=query.get("labelSelector", ""),
        fields=query.get("fieldSelector", ""),
        limit=max(0, _number(query, "limit") or 0),
        continuation=query.get("continue", ""),
        revision=query.get("resourceVersion", ""),
        match=query.get("resourceVersionMatch", ""),
        watch=_flag(query, "watch") or False,
        bookmarks=_flag(query, "allowWatchBookmarks") or False,
        initial_events=_flag(query, "sendInitialEvents"),
        timeout=_number(query, "timeoutSeconds"),
    )


def _settle_write(found: Options, query: dict[str, str], kind: str) -> None:
    """Add what the options of a write say."""
    dry = query.get("dryRun")
    if dry not in {None, "All"}:
        raise invalid(kind, "meta.k8s.io", "", [causes.not_supported("dryRun", [dry], ["All"])])
    found.dry_run = bool(dry)
    if kind == "DeleteOptions":
        _number(query, "gracePeriodSeconds")  # nothing here takes time to end, but a mistake is one
        found.propagation = query.get("propagationPolicy", "")
        found.orphan = _flag(query, "orphanDependents")
        return
    found.validation = query.get("fieldValidation") or "Warn"
    if found.validation not in {"Strict", "Warn", "Ignore"}:
        raise invalid(
            kind, "meta.k8s.io", "", [causes.not_supported("fieldValidation", found.validation, ["", "Ignore", "Strict", "Warn"])]
        )
    found.manager = query.get("fieldManager", "")
    if wrong := _manager_problem(found.manager):
        raise invalid(kind, "meta.k8s.io", "", [wrong])
    found.force = _flag(query, "force")


def _manager_problem(manager: str) -> Cause | None:
    if len(manager.encode()) > MOST_MANAGER_BYTES:
        return causes.too_long("fieldManager", MOST_MANAGER_BYTES)
    for place, letter in enumerate(manager):
        if not letter.isprintable():
            return causes.invalid("fieldManager", manager, f"invalid character U+{ord(letter):04X} (at position {place})")
    return None


def _number(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        found = int(text)
    except ValueError:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if not -(1 << 63) <= found < 1 << 63:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
    return found


def _flag(query: dict[str, str], name: str) -> bool | None:
    text = query.get(name)
    if text is None:
        return None
    return text.lower() not in {"false", "0", "f"}


def unescape(segment: str) -> str:
    """A path segment as it was meant."""
    return unquote(segment)
