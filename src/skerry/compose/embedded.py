"""The embedded form: one process that holds the store, serves the API, and runs what belongs to it.

Everything is built here, explicitly and in order, and taken down in reverse: store, identity,
API server, front door. What a user needs to begin (the administrator's kubeconfig) is
written once the door is open, so that its presence means that the server answers.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from skerry.access.audit import AuditFile
from skerry.access.authentication import Certificates, Chain, Tokens
from skerry.access.authorization import Authorization
from skerry.access.tokens import TokenFileError
from skerry.apiserver.http import Door
from skerry.apiserver.seed import seed
from skerry.client.connection import Connection
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import render
from skerry.compose.settings import ServerSettings
from skerry.kinds import catalogue
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, SystemClock
from skerry.kit.log import get
from skerry.machinery.identity import User
from skerry.pki import policy
from skerry.pki.authority import Authority, KeyPair, PkiError
from skerry.pki.files import Safe, front_door_names, write_secret
from skerry.pki.tls import server_context
from skerry.restapi.registry import Registry
from skerry.restapi.reviews import REVIEWS
from skerry.restapi.server import ApiServer
from skerry.runtime.garbage import GarbageCollector
from skerry.runtime.namespaces import NamespaceController
from skerry.store.contract import StoreError
from skerry.store.sqlite import SqliteStore

KUBERNETES_VERSION = "v1.37.0"
"""The Kubernetes release whose API behaviour is served; clients decide by it what they may send."""

CONTROLLER = policy.component("controllers")
RENEWAL_CHECK_SECONDS = 3600.0
CANNOT_START = (StoreError, OSError, PkiError, TokenFileError)
"""What keeps a server from starting; the message says why."""

log = get("compose.embedded")


@dataclass(frozen=True, slots=True)
class Running:
    """What a running server is reached by."""

    address: str
    admin: Connection
    api: ApiServer


@contextlib.asynccontextmanager
async def embedded(settings: ServerSettings, clock: Clock | None = None) -> AsyncIterator[Running]:
    """Run a server until the block is left; raises one of CANNOT_START if it cannot."""
    clock = clock or SystemClock()
    store = await SqliteStore.open(settings.database)
    try:
        safe = Safe(settings.pki)
        now = clock.now()
        keys = _Keys(safe, safe.authority("internal", now), safe.authority("external", now), front_door_names(settings.names))
        admin = safe.pair(keys.internal, policy.ADMIN, "admin", policy.ADMINISTRATOR.common, now, groups=policy.ADMINISTRATOR.groups)
        with contextlib.closing(AuditFile(settings.audit, clock)) as audit:
            api = ApiServer(
                store,
                Registry((*catalogue.ALL, *REVIEWS)),
                authenticator=Chain((Certificates(clock), _tokens(safe))),
                authorizer=Authorization(catalogue.MIRRORED),
                audit=audit,
                clock=clock,
                version=KUBERNETES_VERSION,
            )
            tls = server_context(keys.front_door(now).pem, keys.internal.bundle)
            door = Door(api, host=settings.host, port=settings.port, tls=tls, clock=clock, on_stop=api.end_watches)
            async with _serving(settings, api, door, keys, admin, clock) as running:
                yield running
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def _serving(
    settings: ServerSettings, api: ApiServer, door: Door, keys: _Keys, admin: KeyPair, clock: Clock
) -> AsyncIterator[Running]:
    """Open the door, and run what belongs to the server."""
    async with api.running(), door.open(), contextlib.AsyncExitStack() as stack:
        address = f"https://{_shown(settings.host)}:{door.port}"

        def connection(pair: KeyPair) -> Connection:
            return Connection(address, ca=keys.external.bundle, certificate=pair.certificate, key=pair.key)

        async def renew() -> None:
            """Renew what is due, while the server runs."""
            shown, used = keys.front_door(clock.now()), keys.controllers(clock.now())
            while True:
                await clock.sleep(RENEWAL_CHECK_SECONDS)
                now = clock.now()
                if shown != (shown := keys.front_door(now)):
                    door.reload(server_context(shown.pem, keys.internal.bundle))
                if used != (used := keys.controllers(now)):
                    client.renew(connection(used))

        client = await stack.enter_async_context(HttpClient(connection(keys.controllers(clock.now())), user_agent="skerry-controllers"))
        await seed(client)
        owner = await stack.enter_async_context(TaskOwner("embedded"))
        owner.spawn(renew(), "certificates")
        owner.spawn(NamespaceController(client).run(), "namespaces")
        owner.spawn(GarbageCollector(client).run(), "garbage")
        write_secret(settings.kubeconfig, render(connection(admin)))
        log.info("serving", address=address, data=str(settings.data))
        yield Running(address, connection(admin), api)
        log.info("stopping")


@dataclass(frozen=True, slots=True)
class _Keys:
    """What this installation proves itself by; each certificate is renewed when it is asked for and due."""

    safe: Safe
    internal: Authority
    external: Authority
    hosts: tuple[str, ...]

    def front_door(self, now: datetime) -> KeyPair:
        return self.safe.pair(self.external, policy.SERVER, "front-door", "skerry", now, hosts=self.hosts)

    def controllers(self, now: datetime) -> KeyPair:
        return self.safe.pair(self.internal, policy.CLIENT, "controllers", CONTROLLER, now, groups=(policy.COMPONENTS,))


def _tokens(safe: Safe) -> Tokens:
    """The tokens, with one for the administrator: its text is left beside the hashes once, for him to take away."""
    tokens = Tokens(safe.folder / "tokens.json")
    name, groups = policy.ADMINISTRATOR
    if not tokens.knows(name):
        write_secret(safe.folder / "admin.token", tokens.mint(User(name, groups=groups)).encode())
    return tokens


def _shown(host: str) -> str:
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
