"""The gateway's paths at the front door: registration, and calls to managed clusters; everything else goes on to the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from skerry.gateway import registration
from skerry.gateway.proxy import PREFIX, ProxyCall, ProxyCalls, request_head
from skerry.gateway.registration import Registration
from skerry.kit.aio import TaskOwner
from skerry.machinery.document import dumps
from skerry.machinery.errors import ApiError, MethodNotAllowed, NotFound
from skerry.machinery.identity import User
from skerry.restapi.request import Receive, Request
from skerry.restapi.response import Response, Send
from skerry.restapi.status import code_of, failure

Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
Admit = Callable[[Request], Awaitable[User]]
"""Who a caller of a managed cluster is; raises Unauthorized or Forbidden."""


class Front:
    """An ASGI application in front of the API's."""

    def __init__(self, api: Application, proxies: ProxyCalls, register: Registration, admit: Admit) -> None:
        """``api`` answers every other path."""
        self._api = api
        self._proxies = proxies
        self._register = register
        self._admit = admit

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        if path != registration.PATH and not path.startswith(PREFIX):
            await self._api(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            if path == registration.PATH:
                if request.method != "POST":
                    raise MethodNotAllowed("agents register with POST")
                response = Response(await self._register.register(await request.body()), code=201)
            else:
                await self._call(request, receive, send)
                return
        except ApiError as error:
            response = Response(dumps(failure(error)), code=code_of(error))
        await response.send(send, gzip_accepted=False)

    async def _call(self, request: Request, receive: Receive, send: Send) -> None:
        user = await self._admit(request)
        name, _, rest = request.path.removeprefix(PREFIX).partition("/")
        if not name:
            raise NotFound
        query = request.scope.get("query_string", b"").decode("latin-1")
        target = f"/{rest}" + (f"?{query}" if query else "")
        head = request_head(request.method, target, list(request.scope["headers"]), user)
        call = await self._proxies.open(name, head, _body(receive))
        try:
            answer = await call.response_head()
            headers = [(header.name.lower().encode(), header.value.encode("latin-1")) for header in answer.headers]
            await send({"type": "http.response.start", "status": answer.code, "headers": headers})
            async with TaskOwner("proxied") as owner:
                owner.spawn(_until_gone(receive, call), "disconnect")
                async for chunk in call.response_body():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            call.finish()


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = bool(message.get("more_body"))
        if message.get("body"):
            yield message["body"]


async def _until_gone(receive: Receive, call: ProxyCall) -> None:
    """Give the call up when its caller goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    call.give_up()
