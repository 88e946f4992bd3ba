"""The gateway's paths at the front door: joining the fleet, and calls to managed clusters; everything else goes on to the API.

A proxied request is passed on as it comes, body and all, while its response is already on the
way back. One task listens to the caller from the beginning to the end of the call: who goes away
ends it, wherever it stands, and so does he who takes away the right to it.

A call that becomes a WebSocket takes the same way. To the rules it is the verb ``connect``, which
counts as a write: a shell is one, although the request for it is a GET. A page of another site
that opens one in the browser of somebody who has a client certificate is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

from skerry.gateway import recovering, registration, spdy
from skerry.gateway.attaching import MANIFESTS, Attaching
from skerry.gateway.proxy import SWITCHING, WEBSOCKET, CutOff, ProxyCall, ProxyCalls, request_head
from skerry.gateway.recovering import Recovering
from skerry.gateway.registration import Registration
from skerry.gateway.relay import Relays
from skerry.kinds.fullname import parsed
from skerry.kinds.managementcluster import ATTACH_PREFIX, PROXY_PREFIX
from skerry.kit.aio import TaskOwner
from skerry.kit.entropy import new_id
from skerry.kit.log import get
from skerry.machinery.document import dumps
from skerry.machinery.errors import BadRequest, Forbidden, MethodNotAllowed, NotFound, ServiceUnavailable
from skerry.machinery.identity import Attributes
from skerry.restapi.bearer import wanted_protocol
from skerry.restapi.callers import unknown
from skerry.restapi.request import Receive, Request
from skerry.restapi.response import Response, Send
from skerry.restapi.server import CANCELLED, ApiServer
from skerry.tunnel import link_pb2 as pb

log = get("gateway.front")


class Front:
    """An ASGI application in front of the API's."""

    def __init__(
        self,
        api: ApiServer,
        proxies: ProxyCalls,
        relays: Relays,
        register: Registration,
        attaching: Attaching,
        recovering: Recovering,
    ) -> None:
        """``api`` answers every other path, lets callers in, and has the outcome of each request written down."""
        self._recovering = recovering
        self._api = api
        self._proxies = proxies
        self._relays = relays
        self._register = register
        self._attaching = attaching

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        if not path.startswith((registration.PREFIX, ATTACH_PREFIX, PROXY_PREFIX)):
            await self._api(scope, receive, send)
            return
        request, request_id = Request(scope, receive, self._api.crowd.bodies), new_id()
        asked = [unknown(request)]
        begun = False

        async def sending(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            if path.startswith(PROXY_PREFIX):
                await self._call(request, receive, sending, asked, request_id)
                return
            answer = await self._joining(request, asked)
            self._api.record(asked[0], answer.code, "", request, request_id)
            await answer.send(sending, gzip_accepted=False)
        except Exception as error:
            if begun:
                raise  # nothing can be told any more but that the answer is not complete
            await self._api.failed(error, asked[0], request, request_id).send(send, gzip_accepted=False)
        except asyncio.CancelledError:
            if not begun:
                self._api.record(asked[0], 503, CANCELLED, request, request_id)
            raise
        finally:
            request.release()

    async def _joining(self, request: Request, asked: list[Attributes]) -> Response:
        """Answer at a path by which clusters and their agents join the fleet."""
        if request.path == registration.PATH:
            _only(request, "POST", "agents register with POST")
            answer = await self._register.register(await request.body())
            asked[0] = asked[0]._replace(name=answer["name"])
            return Response(dumps(answer), code=201)
        if request.path in {recovering.LINK, recovering.RENEWALS, recovering.TROUBLES_PATH}:
            return await self._coming_back(request, asked)
        if request.path.startswith(MANIFESTS):
            asked[0] = asked[0]._replace(path=MANIFESTS)  # the rest of it is a secret
            _only(request, "GET", "manifests are fetched with GET")
            name, manifest = await self._attaching.manifest(request.path.removeprefix(MANIFESTS))
            asked[0] = asked[0]._replace(name=name)
            return Response(manifest, media=b"application/yaml")
        if not request.path.startswith(ATTACH_PREFIX):
            raise NotFound
        _only(request, "POST", "clusters are attached with POST")
        await self._api.admit(request, asked)
        called = f"{request.scope.get('scheme', 'https')}://{request.header(b'host')}"
        offer = await self._attaching.offer(request.path.removeprefix(ATTACH_PREFIX), await request.body(), called)
        return Response(dumps(offer), code=201)

    async def _coming_back(self, request: Request, asked: list[Attributes]) -> Response:
        """Answer an agent that the link does not let in."""
        if request.path == recovering.LINK:
            _only(request, "GET", "where the link is, is asked for with GET")
            return Response(dumps(self._recovering.link()))
        _only(request, "POST", "agents renew, and tell, with POST")
        if request.path == recovering.TROUBLES_PATH:
            asked[0] = asked[0]._replace(name=self._recovering.trouble(await request.body()))
            return Response(b"{}", code=201)
        name, answer = await self._recovering.renew(await request.body())
        asked[0] = asked[0]._replace(name=name)
        return Response(dumps(answer), code=201)

    async def _call(self, request: Request, receive: Receive, send: Send, asked: list[Attributes], request_id: str) -> None:
        upgrade = wanted_protocol(request)
        if upgrade:
            asked[0] = asked[0]._replace(verb="connect")
        admitted = await self._api.admit(request, asked)
        name, target = _destination(request)
        head = request_head(request.method, target, list(request.scope["headers"]), asked[0].user, upgrade)
        if upgrade:
            _refuse_other_sites(request)
        if upgrade not in {"", WEBSOCKET}:
            told = await self._without_upgrade(name, head, receive)
            self._api.record(asked[0], told.code, "", request, request_id)
            await told.send(send, gzip_accepted=False)
            return
        try:
            async with self._far_end(name, head) as call, TaskOwner("proxied") as owner:
                with admitted.until_revoked(call.revoke):
                    owner.spawn(_listen(receive, call), "listen")
                    answer = await call.response_head()
                    self._api.record(asked[0], answer.code, "", request, request_id)
                    headers = [(header.name.lower().encode(), header.value.encode("latin-1")) for header in answer.headers]
                    if answer.code == SWITCHING:
                        headers += [(b"connection", b"Upgrade"), (b"upgrade", upgrade.encode())]
                    await send({"type": "http.response.start", "status": answer.code, "headers": headers})
                    async for chunk in call.response_body():
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except CutOff as error:
            # what is not completed closes the connection: the caller sees that there should have been more
            log.info("a proxied response was cut off", agent=name, path=request.path, reason=str(error))
        else:
            await send({"type": "http.response.body", "body": b""})

    async def _without_upgrade(self, name: str, head: pb.RequestHead, receive: Receive) -> Response:
        """What is answered to a call that wants an upgrade that is not carried; raises BadRequest, or why the call cannot be made."""
        if not spdy.ask(head):
            raise BadRequest(spdy.MESSAGE)
        try:
            async with self._far_end(name, head) as call, TaskOwner("asked") as owner:
                owner.spawn(_listen(receive, call), "listen")
                await call.feed_end()
                return await spdy.refused(call)
        except CutOff as error:
            raise ServiceUnavailable(f"the cluster's answer broke off: {error}", retry_after=5) from error

    @asynccontextmanager
    async def _far_end(self, name: str, head: pb.RequestHead) -> AsyncIterator[ProxyCall]:
        """A call until the block is left, by the agent or by the gateway that holds it; raises ServiceUnavailable, NotFound."""
        if self._proxies.routes.get(name) is None:
            elsewhere = self._relays.where(name)
            if not elsewhere:
                raise self._relays.missing(name)
            async with self._relays.open(elsewhere, name, head) as call:
                yield call
            return
        call = await self._proxies.open(name, head)
        try:
            yield call
        finally:
            call.finish()


def _only(request: Request, method: str, why: str) -> None:
    if request.method != method:
        raise MethodNotAllowed(why)


def _destination(request: Request) -> tuple[str, str]:
    """Whose API it is, and path and query there, encoded as they came."""
    path: bytes = request.scope.get("raw_path") or quote(request.path).encode()
    name, _, rest = path.decode("latin-1").partition("?")[0].removeprefix(PROXY_PREFIX).partition("/")
    if parsed(name) is None:
        raise NotFound
    query = request.scope.get("query_string", b"").decode("latin-1")
    return name, f"/{rest}" + (f"?{query}" if query else "")


def _refuse_other_sites(request: Request) -> None:
    """Browsers show a certificate whoever's page asks, and let any page open WebSockets; raises Forbidden."""
    origin = request.header(b"origin")
    shown = (request.scope.get("extensions") or {}).get("tls", {}).get("client_cert_der")
    if origin and shown and urlsplit(origin).netloc != request.header(b"host"):
        raise Forbidden(f"a page of {origin} opens no connections with a client certificate")


async def _listen(receive: Receive, call: ProxyCall) -> None:
    """Pass the request's body on, then give the call up when its caller goes away."""
    while (message := await receive())["type"] != "http.disconnect":
        if message.get("body"):
            await call.feed(message["body"])
        if not message.get("more_body"):
            await call.feed_end()
    if call.upgraded:
        await call.hang_up()
    call.finish()
