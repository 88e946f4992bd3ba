"""The server: one ASGI application for any set of kinds.

The pipeline of every request: authenticate → authorize → decode → default → validate → own
fields → store → audit. The first two and the last stand here; the middle is the handlers'
(``reads``, ``watching``, ``writes``, ``deletes``), which get a :class:`Call` and give back a
:class:`Response`. Whatever goes wrong becomes a ``Status``: an ApiError as it stands, anything
unexpected as a 500 that names the request, with the cause in the log.

TLS and sockets are somebody else's (``apiserver/http.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qs

from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, rfc3339
from skerry.kit.entropy import new_id
from skerry.kit.log import frames, get
from skerry.machinery.document import Gapped
from skerry.machinery.errors import (
    ApiError,
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
    Subject,
    Unauthorized,
    not_found,
)
from skerry.machinery.identity import ANONYMOUS, Attributes, Decision, User
from skerry.machinery.resource import Resource
from skerry.restapi import deletes, patching, reads, scaling, watching, writes
from skerry.restapi.advice import warning_headers
from skerry.restapi.cache import Item
from skerry.restapi.callers import Admitted, Callers, peer_of, unknown
from skerry.restapi.context import Call, Parts
from skerry.restapi.contract import Admission, Audit, Authenticator, Authorizer, Record
from skerry.restapi.crowd import Crowd
from skerry.restapi.decode import body_object, is_built_in
from skerry.restapi.discovery import Discovery, subresources
from skerry.restapi.feeds import Feeds
from skerry.restapi.following import Learner, follow
from skerry.restapi.guard import forbidden
from skerry.restapi.negotiate import PLAIN, form
from skerry.restapi.openapi import OpenApi
from skerry.restapi.registry import Registry
from skerry.restapi.request import Receive, Request, options
from skerry.restapi.response import Response, Send, json_response
from skerry.restapi.reviews import Asker, review
from skerry.restapi.routes import Target, target, verb
from skerry.restapi.status import code_of, failure
from skerry.restapi.tally import READS, Tally
from skerry.store.contract import Guard, Key, Store, StoreError, StoreFull, StoreUnavailable
from skerry.store.sealing import CannotOpen

Json = dict[str, Any]
Handler = Callable[[Call], Awaitable[Response]]
Answerer = Callable[[], Awaitable[Json]]
StoredAt = TypeVar("StoredAt", bound=tuple[str, str, str])
"""Storage key, namespace and name."""
PageWriter = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Writes a page for an Accept header; returns it with its content type."""

HANDLERS: Mapping[str, Handler] = {
    "get": reads.get,
    "list": reads.items,
    "watch": watching.watch,
    "create": writes.create,
    "update": writes.update,
    "patch": patching.patch,
    "delete": deletes.delete,
    "deletecollection": deletes.delete_all,
}
SCALING: Mapping[str, Handler] = {"get": scaling.get, "update": scaling.update, "patch": scaling.patch}
NO_METHOD = "the server does not allow this method on the requested resource"
CANCELLED = "Cancelled"
HEALTH = frozenset(("/healthz", "/livez", "/readyz"))

log = get("restapi.server")


class ApiServer:
    """A Kubernetes-style API over a store."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        authenticator: Authenticator,
        authorizer: Authorizer,
        audit: Audit,
        clock: Clock,
        version: str,
        organization: str = "default",
    ) -> None:
        """``version`` is the Kubernetes version that clients are told."""
        self.registry = registry
        self.callers = Callers(authenticator, self.caught_up)
        self._authorizer = authorizer
        self._audit = audit
        feeds = Feeds(store, organization, registry.keys)
        self.parts = Parts(store, feeds, registry, clock, organization)
        self._learners: Mapping[str, Learner] = {}
        self.crowd = Crowd()
        self._discovery = Discovery(registry)
        self._openapi = OpenApi(registry, version)
        self._version = version
        self._ready = False
        self.trouble: Callable[[], str] = str
        """Tells what keeps a server that runs from being ready; empty if nothing does."""
        self.offered: dict[tuple[str, str], Answerer] = {}
        self.pages: dict[str, PageWriter] = {}
        self.tally = Tally(registry)

    def heed(self, admission: Admission, learners: Mapping[str, Learner]) -> None:
        """Before running: ask an admission about every write, and tell learners of every change of their kinds."""
        self.parts.admission = admission
        self._learners = learners

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve from here on: load the caches and follow the store until the block is left."""
        async with TaskOwner("restapi") as owner:
            await self.parts.feeds.start(owner)
            follow(self.parts.feeds, self._learners)
            self._ready = True
            try:
                yield
            finally:
                self._ready = False
                self.end_watches()

    def end_watches(self) -> None:
        """End every watch, so that connections can close."""
        for cache in self.parts.feeds.caches.values():
            cache.drop_all()

    async def serve_kinds(self, resources: Sequence[Resource]) -> None:
        """Serve more kinds from now on."""
        self.registry.add(*resources)
        for resource in resources:
            await self.parts.feeds.add(resource)

    def offer(self, method: str, path: str, answerer: Answerer) -> None:
        """Answer a path that is no resource with a document, to callers whom a rule allows the path."""
        self.offered[method, path] = answerer

    def offer_page(self, path: str, write: PageWriter) -> None:
        """Answer a path that is no resource with a text, to callers whom a rule allows the path."""
        self.pages[path] = write

    async def put_latest(self, values: Mapping[StoredAt, Gapped | None], guard: Guard | None = None) -> int:
        """Upsert latest values by (storage key, namespace, name), None removes; returns their last sequence number. Raises Outdated."""
        stored = {
            Key(self.parts.organization, *place): value.head[:-1] + b'"\\u0000"' + value.tail[1:] if value else None
            for place, value in values.items()
        }
        return await self.parts.store.latest_put(stored, guard)

    async def admit(self, request: Request, asked: list[Attributes]) -> Admitted:
        """Let a caller in at a path that others serve; raises Unauthorized or Forbidden, having said in ``asked`` what is known."""
        await self.callers.identify(request, asked)
        if asked[0].user.name == ANONYMOUS:
            raise Unauthorized
        return Admitted(asked[0], await self._authorize(asked[0]), self._authorizer, self.parts.clock)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        request = Request(scope, receive, self.crowd.bodies)
        asked, monotonic, here = [unknown(request)], self.parts.clock.monotonic, self.tally.here
        began, reads, code, streams = monotonic(), request.method in READS, 0, False
        here[reads] += 1
        try:
            response = await self._respond(request, asked)
            code, streams = response.code, response.gone is not None
            here[reads] -= streams  # a watch is not waited for
            await self._send(response, request, receive, send)
        finally:
            here[reads] -= not streams
            if code:
                self.tally.ended(asked[0], request.header(b"content-type"), code, monotonic() - began)

    async def _respond(self, request: Request, asked: list[Attributes]) -> Response:
        """The answer to a request, whatever goes wrong."""
        request_id = new_id()
        warnings: list[str] = []
        try:
            await self.callers.identify(request, asked)
            response = await self._answer(request, asked, warnings)
        except Exception as error:  # noqa: BLE001 whatever it is, the caller gets a Status
            response = self.failed(error, asked[0], request, request_id)
        except asyncio.CancelledError:  # the server stops, and what was asked for may have been done all the same
            self.record(asked[0], 503, CANCELLED, request, request_id)
            raise
        else:
            self.record(asked[0], response.code, "", request, request_id)
        response.headers = [
            *response.headers,
            (b"audit-id", request_id.encode()),
            *warning_headers(warnings),
        ]
        return response

    async def _send(self, response: Response, request: Request, receive: Receive, send: Send) -> None:
        gzip_accepted = "gzip" in request.header(b"accept-encoding")
        try:
            if response.gone is None:
                await response.send(send, gzip_accepted=gzip_accepted)
                return
            async with TaskOwner("watch") as owner:
                owner.spawn(_until_gone(receive, response.gone), "disconnect")
                await response.send(send, gzip_accepted=gzip_accepted)
        finally:
            request.release()
            response.after()

    def failed(self, error: Exception, attributes: Attributes, request: Request, request_id: str) -> Response:
        """The Status of whatever went wrong, written down."""
        told = in_words(error, request, request_id)
        response = error_response(told)
        self.record(attributes, response.code, told.reason, request, request_id)
        return response

    def record(self, attributes: Attributes, code: int, reason: str, request: Request, request_id: str) -> None:
        """Have written down what became of a request."""
        self._audit.record(Record(attributes, code, reason, peer_of(request).address, request_id))

    async def _answer(self, request: Request, asked: list[Attributes], warnings: list[str]) -> Response:
        user = asked[0].user
        found = target(request.path)
        if found is None or (found.group, found.version) == ("", ""):
            return await self._other(request, asked[0])
        resource = self.registry.find(found.group, found.version, found.plural)
        opts = options(request.query, request.method, named=bool(found.name))
        action = verb(request.method, named=bool(found.name), watches=opts.watch)
        asked[0] = attributes = Attributes(
            user, action or request.method.lower(), *found[:3], found.subresource, found.namespace, found.name
        )
        decision = await self._authorize(attributes)
        if resource is None or (found.namespace and not resource.namespaced):
            raise NotFound
        if resource.create_only:
            return await self._review(request, resource, user, action, warnings)
        call = _call(self.parts, request, resource, found, action, opts, user)
        call.warnings = warnings
        call.sight = decision.sight
        _end_with_credential(call)
        if not self._ready:
            raise ServiceUnavailable("the server is starting or stopping; try again", retry_after=1)
        try:
            return await self.crowd.answer((SCALING if call.subresource == "scale" else HANDLERS)[action], call)
        finally:
            asked[0] = attributes._replace(name=call.name if action == "create" else found.name)

    async def _authorize(self, attributes: Attributes) -> Decision:
        """Decide, by everything that was acknowledged before; raises Forbidden."""
        decision = self._authorizer.authorize(attributes)
        if not decision.settled and await self.caught_up():
            decision = self._authorizer.authorize(attributes)
        if decision.allowed:
            return decision
        raise forbidden(attributes, decision.reason)

    async def caught_up(self) -> bool:
        """Wait until every write that was acknowledged is known here; returns whether there was any to wait for."""
        return self._ready and await self.parts.feeds.caught_up()

    async def _review(self, request: Request, resource: Resource, user: User, action: str, warnings: list[str]) -> Response:
        if action != "create":
            raise MethodNotAllowed(NO_METHOD)
        call = Call(self.parts, request, resource, action, "", "", "", options(request.query, request.method), PLAIN, user, warnings)
        await self.caught_up()
        asked = Asker(user, self._authorizer, self._stored)
        return json_response(review(resource, await body_object(call), asked, rfc3339(self.parts.clock.now())), 201)

    def _stored(self, attributes: Attributes) -> Item | None:
        """The object that is asked about, if it is there."""
        resource = self.registry.find(attributes.group, attributes.version, attributes.resource)
        kind = (attributes.group, attributes.resource)  # clients leave the version out
        resource = resource or next((each for each in self.registry.all() if (each.group, each.plural) == kind), None)
        cache = self.parts.feeds.caches.get(resource.key) if resource else None
        if resource is None or cache is None:
            return None
        return cache.rows.get((attributes.namespace if resource.namespaced else "", attributes.name))

    async def _other(self, request: Request, attributes: Attributes) -> Response:
        attributes = attributes._replace(verb="get" if request.method in {"GET", "HEAD"} else request.method.lower())
        await self._authorize(attributes)
        path = request.path.rstrip("/") or "/"
        if (offered := self.offered.get((request.method, path))) is not None:
            return json_response(await offered())
        if request.method in READS and (page := self.pages.get(path)) is not None:
            text, media = await page(request.header(b"accept"))
            return Response(text, media=media.encode())
        if request.method not in {"GET", "HEAD"}:
            raise MethodNotAllowed(NO_METHOD) if path.startswith(("/api", "/openapi", "/version")) else NotFound
        if path in HEALTH:
            return self._health(request, path[1:])
        if path == "/version":
            return json_response(version_document(self._version))
        if path == "/":
            return json_response({"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]})
        document = await self._openapi.respond(request, path) if path.startswith("/openapi/") else self._discovery.respond(request, path)
        if document is None:
            raise NotFound
        return document

    def _health(self, request: Request, name: str) -> Response:
        """Answer as kube-apiserver does: 200, or 500 with a line for each check, which kubectl shows."""
        checks = {"ping": ""}
        if name == "readyz":
            checks |= {"serving": "" if self._ready else "the server is starting or stopping", "store": self.trouble()}
        failed = any(checks.values())
        told = [f"[-]{check} failed: {why}" if why else f"[+]{check} ok" for check, why in checks.items()]
        verbose = "verbose" in parse_qs(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        text = "\n".join((*told, f"{name} check {'failed' if failed else 'passed'}", "")) if failed or verbose else "ok"
        return Response(text.encode(), code=500 if failed else 200, media=b"text/plain; charset=utf-8")

    def statistics(self) -> Json:
        """Counters for people and metrics."""
        caches = {key: cache.statistics() for key, cache in self.parts.feeds.caches.items()}
        return {
            "position": self.parts.feeds.position,
            "caches": caches,
            "aside": self.parts.aside.statistics(),
            "crowd": self.crowd.statistics(),
        }


def _call(parts: Parts, request: Request, resource: Resource, found: Target, action: str, opts: Any, user: User) -> Call:
    """The call that a request makes, if it can be made at all; raises what the caller is told."""
    allowed = subresources(resource).get(found.subresource, []) if found.subresource else resource.verbs
    if found.subresource and found.subresource not in subresources(resource):
        raise NotFound if is_built_in(resource) else not_found(resource.plural, resource.group, found.name)
    if resource.namespaced and not found.namespace and request.method not in {"GET", "HEAD"}:
        raise NotFound
    if not found.name and request.method in {"PUT", "PATCH"}:
        raise BadRequest("name must be provided")
    if action not in allowed:
        if action == "deletecollection" or (found.subresource and is_built_in(resource)):
            raise MethodNotAllowed(NO_METHOD)
        about = Subject("", resource.group, resource.plural)
        qualified = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
        asked = "create" if request.method == "POST" else action
        raise MethodNotAllowed(
            f'{asked} is not supported on resources of kind "{qualified}"',
            subject=about,
        )
    accepted = form(request.header(b"accept"))
    return Call(parts, request, resource, action, found.namespace, found.name, found.subresource, opts, accepted, user)


def _end_with_credential(call: Call) -> None:
    """Let no watch outlive the credential that it was opened with."""
    limit = call.user.limit
    if limit is not None and call.verb == "watch":
        left = max(1, int((limit.expires - call.parts.clock.now()).total_seconds()))
        call.options.timeout = min(call.options.timeout or left, left)


async def _until_gone(receive: Receive, gone: Callable[[], None]) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            gone()
            await asyncio.Event().wait()


def unavailable(error: StoreError) -> ServiceUnavailable:
    """What a caller is told of a store that cannot do what was asked."""
    match error:
        case StoreFull():
            return ServiceUnavailable(str(error), retry_after=10)
        case StoreUnavailable():
            return ServiceUnavailable("the database does not answer now; try again", retry_after=1)
        case CannotOpen():
            return ServiceUnavailable(str(error))
        case _:
            return ServiceUnavailable("the store cannot answer now; the server's log says more")


def in_words(error: Exception, request: Request, request_id: str) -> ApiError:
    """What a caller is told of whatever went wrong; what nobody expected goes into the log."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, StoreError):
        if not isinstance(error, (StoreFull, StoreUnavailable, CannotOpen)):
            log.error("the store failed", request=request_id, path=request.path, exc_info=error)
        return unavailable(error)
    # without its message, which may quote what the caller sent
    log.error("a request failed unexpectedly", request=request_id, method=request.method, path=request.path, error=frames(error))
    return InternalError(f"the server met an error of its own; its log says more under request {request_id}")


def error_response(error: ApiError) -> Response:
    """Answer with the Status of an error, and the headers that go with it."""
    body = failure(error)
    if isinstance(error, reads.ExpiredToken):
        body["metadata"] = {"continue": error.token}
    headers = [(b"retry-after", str(error.retry_after).encode())] if error.retry_after is not None else []
    if isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b'Bearer realm="skerry"'))
    return json_response(body, code_of(error), headers)


def version_document(version: str) -> Json:
    """What ``/version`` answers."""
    major, minor, *_ = version.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": version,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    }
