"""The embedded form: one process that holds the store, serves the API, and runs what belongs to it.

Everything is built here, explicitly and in order, and taken down in reverse: store, identity,
API server, front door. What a user needs to begin (the administrator's kubeconfig) is
written once the door is open, so that its presence means that the server answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass
from typing import Any

from skerry.access.audit import AuditFile
from skerry.access.authentication import Authentication, digest
from skerry.access.authorization import Authorization
from skerry.apiserver.http import Door, Tls
from skerry.apiserver.seed import seed
from skerry.client.http import Connection, HttpClient
from skerry.client.kubeconfig import render
from skerry.compose.link import controllers, gateway
from skerry.compose.settings import ServerSettings
from skerry.gateway.front import Front
from skerry.gateway.proxy import ProxyCalls
from skerry.gateway.registration import Registration
from skerry.gateway.routes import Routes
from skerry.kinds import catalogue
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, SystemClock
from skerry.kit.log import get
from skerry.machinery.errors import Unauthorized
from skerry.machinery.identity import Attributes, Rule, User
from skerry.pki import policy
from skerry.pki.authority import KeyPair
from skerry.pki.files import Safe, local_names, write_secret
from skerry.restapi.registry import Registry
from skerry.restapi.request import Receive, Request
from skerry.restapi.response import Send
from skerry.restapi.reviews import REVIEWS
from skerry.restapi.server import ApiServer, forbidden
from skerry.runtime.garbage import GarbageCollector
from skerry.runtime.namespaces import NamespaceController
from skerry.store.contract import StoreError
from skerry.store.sqlite import SqliteStore

KUBERNETES_VERSION = "v1.37.0"
"""The Kubernetes release whose API behaviour is served; clients decide by it what they may send."""

CONTROLLER = policy.component("controllers")
COMPONENT_RULES = {CONTROLLER: (Rule(("*",), ("*",), ("*",)), Rule(("get",), paths=("*",)))}
RENEWAL_CHECK_SECONDS = 3600.0
CANNOT_START = (StoreError, OSError, ssl.SSLError)
"""What keeps a server from starting; the message says why."""

log = get("compose.embedded")


@dataclass(frozen=True, slots=True)
class Running:
    """What a running server is reached by."""

    address: str
    admin: Connection
    api: ApiServer
    client: HttpClient
    front_ca: bytes


@contextlib.asynccontextmanager
async def embedded(settings: ServerSettings, clock: Clock | None = None) -> AsyncIterator[Running]:
    """Run a server until the block is left; raises one of CANNOT_START if it cannot."""
    clock = clock or SystemClock()
    store = await SqliteStore.open(settings.database)
    try:
        safe = Safe(settings.pki)
        now = clock.now()
        internal, external = safe.authority("internal", now), safe.authority("external", now)
        hosts = (*local_names(), *settings.names)
        safe.pair(external, policy.SERVER, "front-door", hosts[0], now, hosts=hosts)
        admin = safe.pair(internal, policy.ADMIN, "admin", "admin", now, groups=(policy.ADMINISTRATORS,))
        components = safe.pair(internal, policy.CLIENT, "controllers", CONTROLLER, now, groups=(policy.COMPONENTS,))
        safe.pair(internal, policy.SERVER, "gateway", hosts[0], now, hosts=hosts)
        audit = AuditFile(settings.audit, clock)
        authorizer = Authorization(catalogue.MIRRORED, COMPONENT_RULES)
        token = safe.token("admin")
        api = ApiServer(
            store,
            Registry((*catalogue.ALL, *REVIEWS)),
            authenticator=Authentication({digest(token): User("admin", groups=(policy.ADMINISTRATORS,))}),
            authorizer=authorizer,
            audit=audit,
            clock=clock,
            version=KUBERNETES_VERSION,
        )
        tls = Tls(*safe.paths("front-door"), internal.bundle)
        routes = Routes()
        front = _Front(api, ProxyCalls(routes))
        door = Door(front, host=settings.host, port=settings.port, tls=tls, on_stop=api.end_watches)
        async with api.running(), door.open(), contextlib.AsyncExitStack() as stack:
            shown = _shown(settings.host)
            address = f"https://{shown}:{door.port}"

            def connection(pair: KeyPair) -> Connection:
                return Connection(address, ca=external.bundle, certificate=pair.certificate, key=pair.key)

            client = await stack.enter_async_context(HttpClient(connection(components), user_agent="skerry-controllers"))
            await seed(client)
            listen = f"{settings.host}:{settings.gateway_port}"
            link = await stack.enter_async_context(gateway(api, client, safe, internal, front.proxies, routes, listen, clock))
            front.open(Registration(client, internal, f"{shown}:{link.port}", clock), authorizer)
            owner = await stack.enter_async_context(TaskOwner("embedded"))
            owner.spawn(_renew(safe, tls, hosts, clock), "certificates")
            owner.spawn(NamespaceController(client).run(), "namespaces")
            owner.spawn(GarbageCollector(client).run(), "garbage")
            owner.spawn(controllers(client, clock), "controllers")
            write_secret(settings.kubeconfig, render(connection(admin)))
            log.info("serving", address=address, data=str(settings.data))
            yield Running(address, connection(admin), api, client, external.bundle)
            log.info("stopping")
    finally:
        await store.close()


class _Front:
    """The front door's application: the API from the first moment, the gateway's paths once it listens."""

    def __init__(self, api: ApiServer, proxies: ProxyCalls) -> None:
        self.proxies = proxies
        self._api = api
        self._front: Front | None = None

    def open(self, registration: Registration, authorizer: Authorization) -> None:
        """Serve the gateway's paths from now on."""

        async def admit(request: Request) -> User:
            user = await self._api.user_of(request)
            if user is None:
                raise Unauthorized
            attributes = Attributes(user, request.method.lower(), path=request.path)
            decision = authorizer.authorize(attributes)
            if not decision.allowed:
                raise forbidden(attributes, decision.reason)
            return user

        self._front = Front(self._api, self.proxies, registration, admit)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await (self._front or self._api)(scope, receive, send)


async def _renew(safe: Safe, tls: Tls, hosts: tuple[str, ...], clock: Clock) -> None:
    """Renew the certificates of the front door and the gateway when they are due, while the server runs."""
    while True:
        await asyncio.sleep(RENEWAL_CHECK_SECONDS)
        now = clock.now()
        before = safe.paths("front-door")[0].read_bytes()
        safe.pair(safe.authority("internal", now), policy.SERVER, "gateway", hosts[0], now, hosts=hosts)
        pair = safe.pair(safe.authority("external", now), policy.SERVER, "front-door", hosts[0], now, hosts=hosts)
        if pair.certificate != before:
            tls.reload()
            log.info("renewed the front door's certificate")


def _shown(host: str) -> str:
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
