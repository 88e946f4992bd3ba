"""The server as people meet it: real authorization, admission and accounts over a store in memory, called without sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from skerry.access import builtin
from skerry.access.accounts import Accounts
from skerry.access.admission import Granting
from skerry.access.audit import MemoryAudit
from skerry.access.authentication import Chain
from skerry.access.authentication import Peer as AnyPeer
from skerry.access.authorization import Authorization
from skerry.access.impersonation import Impersonation
from skerry.access.learning import learners
from skerry.access.observing import Observing
from skerry.apiserver.seed import _objects
from skerry.kinds import catalogue
from skerry.kit.clock import Clock, SystemClock
from skerry.machinery.identity import User
from skerry.machinery.resource import Resource
from skerry.pki import policy
from skerry.restapi.registry import Registry
from skerry.restapi.reviews import REVIEWS
from skerry.restapi.server import ApiServer
from skerry.store.contract import Store
from skerry.store.memory import MemoryStore
from tests.restapi.door import Answer, Caller

Json = dict[str, Any]
FLEET = "/apis/fleet.skerry.dev/v1alpha1"
API_VERSION = "fleet.skerry.dev/v1alpha1"
ADMIN = f"as:admin|{policy.ADMINISTRATORS}"
CONTROLLERS = f"as:{policy.component('controllers')}|{policy.COMPONENTS}"
KINDS = {resource.plural: resource for resource in reversed((*catalogue.ALL, *REVIEWS))}
"""By plural; of two groups that have the same one, the first."""


class Named:
    """Believes a bearer token that says ``as:NAME|GROUP,GROUP``, in the place of certificates and identity providers."""

    async def authenticate(self, peer: AnyPeer, token: str) -> User | None:
        if not token.startswith("as:"):
            return None
        name, _, groups = token.removeprefix("as:").partition("|")
        return User(name, groups=tuple(each for each in groups.split(",") if each))


def obj(kind: str | Resource, name: str, spec: Json | None = None, namespace: str = "", **more: Any) -> Json:
    resource = KINDS[kind] if isinstance(kind, str) else kind
    metadata: Json = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
        **({"spec": spec} if spec is not None else {}),
        **more,
    }


def path(kind: str | Resource, namespace: str = "", name: str = "") -> str:
    resource = KINDS[kind] if isinstance(kind, str) else kind
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    return base + (f"/namespaces/{namespace}" if namespace else "") + f"/{resource.plural}" + (f"/{name}" if name else "")


def cluster(name: str, group: str, namespace: str = "sv-1") -> Json:
    spec = {"clusterGroup": group, "version": "v1.34.2", "class": {"name": "c"}}
    return obj("clusters", name, spec, namespace)


class People:
    """Calls the server as somebody."""

    def __init__(self, app: ApiServer, audit: MemoryAudit) -> None:
        self.app = app
        self.audit = audit
        self._call = Caller(app)

    async def __call__(self, who: str, method: str, at: str, body: object = None, **more: Any) -> Answer:
        token = who if who.startswith(("as:", "skerry_")) else f"as:{who}"
        headers = {"authorization": f"Bearer {token}", **more.pop("headers", {})}
        return await self._call(method, at, body, headers=headers, **more)

    async def app_call(self, method: str, at: str) -> Answer:
        """Call as nobody."""
        return await self._call(method, at)

    async def make(self, body: Json, who: str = ADMIN) -> Answer:
        plural = next(each.plural for each in KINDS.values() if each.kind == body["kind"])
        return await self(who, "POST", path(plural, body["metadata"].get("namespace", "")), body)

    async def grant(self, role: str, who: str, kind: str = "Organization", name: str = "", namespace: str = "", by: str = ADMIN) -> Answer:
        """Bind a role; ``who`` is a user, or a group with an @ before it."""
        scope = {"kind": kind, **({"name": name} if name else {}), **({"namespace": namespace} if namespace else {})}
        subject = {"kind": "Group", "name": who[1:]} if who.startswith("@") else {"kind": "User", "name": who}
        title = ".".join(each for each in (role, kind.lower(), namespace, name, who.strip("@")) if each)
        return await self.make(obj("rolebindings", title, {"roleRef": {"name": role}, "scope": scope, "subjects": [subject]}), by)

    async def revoke(self, role: str, who: str, kind: str = "Organization", name: str = "", namespace: str = "") -> Answer:
        title = ".".join(each for each in (role, kind.lower(), namespace, name, who.strip("@")) if each)
        return await self(ADMIN, "DELETE", path("rolebindings", "", title))

    async def names(self, who: str, plural: str, namespace: str = "", **query: Any) -> list[str]:
        answer = await self(who, "GET", path(plural, namespace), **query)
        assert answer.code == 200, answer.body
        return [each["metadata"]["name"] for each in answer.json["items"]]

    async def can(self, who: str, verb: str, plural: str, namespace: str = "", name: str = "") -> bool:
        asked = {"verb": verb, "group": KINDS[plural].group, "resource": plural, "namespace": namespace, "name": name}
        answer = await self(who, "POST", path("selfsubjectaccessreviews"), {"spec": {"resourceAttributes": asked}})
        allowed: bool = answer.json["status"]["allowed"]
        return allowed


class Watching:
    """A watch under way; ``until`` waits for what it has told."""

    def __init__(self) -> None:
        self.code = 0
        self.events: list[Json] = []
        self.ended = False
        self._news = asyncio.Event()

    def told(self) -> list[tuple[str, str]]:
        return [(each["type"], each["object"].get("metadata", {}).get("name", "")) for each in self.events if each["type"] != "BOOKMARK"]

    async def until(self, state: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not state():
                self._news.clear()
                await self._news.wait()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.code = message["status"]
        else:
            self.events += [json.loads(line) for line in message.get("body", b"").splitlines()]
            self.ended = not message.get("more_body")
        self._news.set()


@contextlib.asynccontextmanager
async def watching(people: People, who: str, at: str, **query: str) -> AsyncIterator[Watching]:
    """Watch as somebody; the watch is under way when the block begins."""
    found = Watching()
    token = who if who.startswith(("as:", "skerry_")) else f"as:{who}"
    text = "&".join(f"{name}={value}" for name, value in {"watch": "true", **query}.items())
    headers = [(b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "method": "GET", "path": at, "query_string": text.encode(), "headers": headers, "client": ("127.0.0.1", 1)}
    leave = asyncio.Event()

    async def receive() -> Json:
        await leave.wait()
        return {"type": "http.disconnect"}

    async with asyncio.TaskGroup() as group:
        task = group.create_task(people.app(scope, receive, found.send))
        await found.until(lambda: found.code != 0)
        try:
            yield found
        finally:
            leave.set()
            task.cancel()


@contextlib.asynccontextmanager
async def people(clock: Clock | None = None, store: Store | None = None) -> AsyncIterator[People]:
    """A server with its built-in roles, management cluster sv-1, groups red and blue."""
    clock = clock or SystemClock()
    authorization, accounts, audit = Authorization(catalogue.MIRRORED), Accounts(clock), MemoryAudit(clock)
    app = ApiServer(
        store or MemoryStore(),
        Registry((*catalogue.ALL, *REVIEWS)),
        authenticator=Chain((Named(), accounts)),
        authorizer=authorization,
        audit=audit,
        clock=clock,
        version="v1.37.0",
    )
    accounts.fresh = app.caught_up
    app.callers.stand_in = Impersonation(accounts)
    app.heed(Observing(authorization.index, Granting(authorization.index, accounts, clock)), learners(authorization.index, accounts))
    async with app.running():
        found = People(app, audit)
        for _, each in _objects():
            await found.make(each, CONTROLLERS)
        for each in (*builtin.objects(), obj("namespaces", "sv-1"), obj("namespaces", "sv-2")):
            assert (await found.make(each, CONTROLLERS)).code == 201
        for name in ("red", "blue"):
            assert (await found.make(obj("clustergroups", name, {}))).code == 201
        yield found
