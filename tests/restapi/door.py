"""The server without sockets: one ASGI application, called directly."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from skerry.access.audit import NoAudit
from skerry.kinds import catalogue
from skerry.kit.clock import SystemClock
from skerry.machinery.crd import resources
from skerry.machinery.identity import Attributes, Decision, Rule, User
from skerry.restapi.contract import Peer
from skerry.restapi.registry import Registry
from skerry.restapi.reviews import REVIEWS
from skerry.restapi.server import ApiServer
from skerry.store.contract import Store
from skerry.store.memory import MemoryStore

Json = dict[str, Any]


class Everybody:
    """Lets everybody do everything; `nobody` in the token is refused."""

    async def authenticate(self, peer: Peer, token: str) -> User | None:
        return User(token or "tester")

    def authorize(self, attributes: Attributes) -> Decision:
        return Decision(attributes.user.name != "nobody", "nobody may do nothing" if attributes.user.name == "nobody" else "")

    def rules(self, user: User, namespace: str) -> list[Rule]:
        return [Rule(("*",), ("*",), ("*",))]


@dataclass
class Answer:
    code: int
    headers: dict[str, str]
    body: bytes
    warnings: list[str] = field(default_factory=list)

    @property
    def json(self) -> Json:
        found: Json = json.loads(self.body)
        return found

    @property
    def events(self) -> list[Json]:
        return [json.loads(line) for line in self.body.splitlines()]


class Caller:
    """Sends requests to an application and waits for the whole answer."""

    def __init__(self, app: ApiServer) -> None:
        self.app = app

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        media: str = "application/json",
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"content-type": media, "user-agent": "pytest/1", **(headers or {})}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": urlencode(query).encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
        }
        answer = Answer(0, {}, b"")
        requests = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive() -> Json:
            if requests:
                return requests.pop(0)
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.code = message["status"]
                for name, value in message["headers"]:
                    answer.headers[name.decode()] = value.decode()
                    if name == b"warning":
                        answer.warnings.append(value.decode())
            else:
                answer.body += message.get("body", b"")

        async with asyncio.timeout(60):
            await self.app(scope, receive, send)
        return answer

    async def patch(self, path: str, body: object, kind: str = "merge", **query: Any) -> Answer:
        media = {"apply": "application/apply-patch+yaml"}.get(kind, f"application/{kind}-patch+json")
        if kind == "apply":
            query.setdefault("fieldManager", "tester")
        return await self("PATCH", path, body, media=media, **query)


@contextlib.asynccontextmanager
async def door(*definitions: Json, store: Store | None = None) -> AsyncIterator[Caller]:
    """A running server of the whole catalogue and further CRDs, with namespace ``ns``."""
    everybody = Everybody()
    extra = [resource for definition in definitions for resource in resources(definition)]
    server = ApiServer(
        store or MemoryStore(),
        Registry((*catalogue.ALL, *REVIEWS, *extra)),
        authenticator=everybody,
        authorizer=everybody,
        audit=NoAudit(),
        clock=SystemClock(),
        version="v1.37.0",
    )
    async with server.running():
        call = Caller(server)
        await call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}})
        yield call
