"""One server: a process that opens the store, serves the API, and runs what belongs to it.

Everything is built here, explicitly and in order, and taken down in reverse: store, identity,
API server, front door. What a user needs to begin (the administrator's kubeconfig) is
written last, so that its presence means that the server answers.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, MutableMapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from skerry.access.audit import AuditFile
from skerry.access.authentication import Tokens
from skerry.access.tokens import TokenFileError
from skerry.apiserver.http import Door
from skerry.apiserver.protocol import Application
from skerry.apiserver.seed import seed
from skerry.client.connection import Connection
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.client.inside import InsideClient
from skerry.client.kubeconfig import render
from skerry.compose.assembly import KUBERNETES_VERSION, assembled
from skerry.compose.database import opened, replica
from skerry.compose.encryption import encrypted, offer_keys
from skerry.compose.link import Options, controllers, free_shares, gateway
from skerry.compose.metrics import Calls, Sources, offer_metrics
from skerry.compose.restoring import offer_restore
from skerry.compose.settings import ServerSettings
from skerry.compose.statistics import offer_statistics
from skerry.gateway.attaching import Attaching
from skerry.gateway.front import Front
from skerry.gateway.proxy import ProxyCalls
from skerry.gateway.recovering import Recovering
from skerry.gateway.registration import OneTimeTokens, Registration
from skerry.gateway.relay import Relays
from skerry.gateway.routes import Routes
from skerry.kinds import apitoken
from skerry.kinds.managementcluster import PROXY_PREFIX
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, SystemClock
from skerry.kit.collection import collect_in_between
from skerry.kit.lag import LoopLag
from skerry.kit.log import get
from skerry.machinery.identity import User
from skerry.pki import policy
from skerry.pki.authority import Authority, KeyPair, PkiError
from skerry.pki.files import Safe, front_door_names, write_secret
from skerry.pki.tls import server_context
from skerry.restapi.request import Receive
from skerry.restapi.response import Send
from skerry.restapi.server import ApiServer
from skerry.runtime import events, meters
from skerry.runtime.events import EVENTS
from skerry.runtime.expiry import expire
from skerry.runtime.garbage import GarbageCollector
from skerry.runtime.namespaces import NamespaceController
from skerry.store.contract import StoreError
from skerry.store.sqlite import SqliteStore

CONTROLLER = policy.component("controllers")
RENEWAL_CHECK_SECONDS = 3600.0
CANNOT_START = (StoreError, OSError, PkiError, TokenFileError)
"""What keeps a server from starting; the message says why."""

API_TOKENS = Ref(apitoken.RESOURCE.group, apitoken.RESOURCE.version, apitoken.RESOURCE.plural, namespaced=False)

log = get("compose.embedded")


@dataclass(frozen=True, slots=True)
class Running:
    """What a running server is reached by. Its kubeconfig is written by ``announce``, when everything that was asked for is there."""

    settings: ServerSettings

    address: str
    admin: Connection
    api: ApiServer
    client: HttpClient
    front_ca: bytes
    gateway: str

    def announce(self) -> None:
        """Write the administrator's kubeconfig: its presence means that the server can be used."""
        write_secret(self.settings.kubeconfig, render(self.admin))


@contextlib.asynccontextmanager
async def embedded(settings: ServerSettings, clock: Clock | None = None) -> AsyncIterator[Running]:
    """Run a server until the block is left; raises one of CANNOT_START if it cannot."""
    clock = clock or SystemClock()
    _own(settings.data)
    async with opened(settings) as plain:
        store, rewriting = await encrypted(plain, settings.keyring, clock, shared=settings.shared)
        settings.kubeconfig.unlink(missing_ok=True)
        safe = Safe(settings.pki)
        now = clock.now()
        keys = _Keys(safe, safe.authority("internal", now), safe.authority("external", now), front_door_names(settings.all_names))
        with contextlib.closing(AuditFile(settings.audit, clock)) as audit:
            api = assembled(store, _tokens(safe), audit, clock)
            api.trouble = store.trouble
            offer_keys(api, store, rewriting)
            if isinstance(plain, SqliteStore):
                offer_restore(api, plain, settings)
            async with TaskOwner("encryption") as owner, _serving(settings, api, audit, keys, clock) as running:
                owner.spawn(rewriting.run(), "rewriting")
                yield running


def _own(folder: Path) -> None:
    """Make the data folder, and see that files can be made in it; raises OSError that says what to do."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(error.errno, f"cannot use the data folder {folder}: {error.strerror}; choose another one with --data") from error


@contextlib.asynccontextmanager
async def _serving(settings: ServerSettings, api: ApiServer, audit: AuditFile, keys: _Keys, clock: Clock) -> AsyncIterator[Running]:
    """Open the door, and run what belongs to the server."""
    shown, measured = _bracketed("127.0.0.1" if settings.everywhere else settings.host), meters.measure_here()
    front = _Front(api, ProxyCalls(Routes()))
    tls = server_context(keys.front_door(clock.now()).pem, keys.internal.bundle)
    door = Door(front, host=settings.host, port=settings.port, tls=tls, clock=clock, on_stop=api.end_watches, upgrades=PROXY_PREFIX)
    async with api.running(), door.open(), contextlib.AsyncExitStack() as stack:
        address = f"https://{shown}:{door.port}"

        def connection(pair: KeyPair) -> Connection:
            return Connection(address, ca=keys.external.bundle, certificate=pair.certificate, key=pair.key)

        components = connection(keys.controllers(clock.now()))
        client = await stack.enter_async_context(InsideClient(front, components, user_agent="skerry-controllers"))
        await seed(client)
        if not settings.shared:
            await free_shares(client)  # the lock on the database proves that their former holder is gone
        identity = replica(settings.data) if settings.shared else ""
        options = Options(
            identity=identity,
            host=_bracketed(settings.host),
            port=settings.gateway_port,
            known_as=_bracketed(settings.known_as),
            gateway_address=settings.gateway_address,
            statement_port=settings.agent_token_port,
            statement_address=settings.agent_token_address,
            grace=timedelta(days=settings.agent_grace_days),
        )
        link = await stack.enter_async_context(
            gateway(
                api,
                client,
                keys.internal,
                lambda: keys.gateway(clock.now()),
                front.proxies,
                clock,
                options,
                lambda: keys.front_door(clock.now()),
            )
        )
        lag, shares = LoopLag(), set[int]()
        parts = {"audit": audit.statistics, "door": door.statistics, "gateway": link.statistics, "loop": lag.statistics}
        offer_statistics(api, settings, parts, link)
        sources = Sources(
            audit=audit,
            door=door.statistics,
            link=link.statistics,
            proxies=front.proxies.statistics,
            phases=link.phases,
            healths=link.healths,
            states=link.states,
            calls=front.calls,
            lag=lag,
            shares=shares,
            answered=client.answered,
            meters=measured,
        )
        offer_metrics(api, settings, KUBERNETES_VERSION, sources)
        tokens = OneTimeTokens(client, clock)
        front.open(
            link.relays,
            Registration(tokens, keys.internal, settings.gateway_address or link.address, clock, link.enrolments),
            Attaching(client, tokens, keys.external.bundle, settings.agent_image),
            link.recovering,
        )
        owner = await stack.enter_async_context(TaskOwner("embedded"))
        owner.spawn(collect_in_between(lambda: api.parts.aside.here > 0), "collection")
        owner.spawn(lag.run(), "lag")
        owner.spawn(_renew(keys, door, client, connection, clock), "certificates")
        owner.spawn(NamespaceController(client).run(), "namespaces")
        owner.spawn(GarbageCollector(client).run(), "garbage")
        owner.spawn(expire(client, EVENTS, events.over, clock), "events")
        owner.spawn(expire(client, API_TOKENS, apitoken.over, clock), "tokens")
        owner.spawn(controllers(client, clock, shares), "controllers")
        admin = connection(keys.admin(clock.now()))
        log.info("serving", address=address, data=str(settings.data))
        yield Running(settings, address, admin, api, client, keys.external.bundle, link.address)
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

    def gateway(self, now: datetime) -> KeyPair:
        return self.safe.pair(self.internal, policy.SERVER, "gateway", "skerry", now, hosts=self.hosts)

    def controllers(self, now: datetime) -> KeyPair:
        return self.safe.pair(self.internal, policy.CLIENT, "controllers", CONTROLLER, now, groups=(policy.COMPONENTS,))

    def admin(self, now: datetime) -> KeyPair:
        name, groups = policy.ADMINISTRATOR
        return self.safe.pair(self.internal, policy.ADMIN, "admin", name, now, groups=groups)


async def _renew(keys: _Keys, door: Door, client: HttpClient, connection: Callable[[KeyPair], Connection], clock: Clock) -> None:
    """Take new certificates into use as they become due, while the server runs; the gateway asks for its own."""
    now = clock.now()
    front_door, components = keys.front_door(now), keys.controllers(now)
    while True:
        await clock.sleep(RENEWAL_CHECK_SECONDS)
        try:
            due = keys.front_door(clock.now()), keys.controllers(clock.now())
        except (OSError, PkiError) as error:  # it is no reason to end: there may be room at the next look
            log.warning("a certificate could not be renewed", error=str(error))
            continue
        if due[0] != front_door:
            door.reload(server_context(due[0].pem, keys.internal.bundle))
        if due[1] != components:
            client.renew(connection(due[1]))
        front_door, components = due


def _tokens(safe: Safe) -> Tokens:
    """The tokens, with one for the administrator: its text is left beside the hashes once, for him to take away."""
    tokens = Tokens(safe.folder / "tokens.json")
    name, groups = policy.ADMINISTRATOR
    if not tokens.knows(name):
        write_secret(safe.folder / "admin.token", tokens.mint(User(name, groups=groups)).encode())
    return tokens


class _Front:
    """The front door's application: the API from the first moment, the gateway's paths once it listens."""

    def __init__(self, api: ApiServer, proxies: ProxyCalls) -> None:
        self.proxies = proxies
        self.calls = Calls()
        self._api = api
        self._front: Front | None = None

    def open(self, relays: Relays, registration: Registration, attaching: Attaching, recovering: Recovering) -> None:
        """Serve the gateway's paths from now on."""
        self._front = Front(self._api, self.proxies, relays, registration, attaching, recovering)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        app = self._front or self._api
        if scope["path"].startswith(PROXY_PREFIX):
            await self._counted(app, scope, receive, send)
        else:
            await app(scope, receive, send)

    async def _counted(self, app: Application, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a call to a cluster, and count it by what it was answered with."""
        code = 0

        async def sent(message: MutableMapping[str, Any]) -> None:
            nonlocal code
            code = message.get("status", code)
            await send(message)

        self.calls.running += 1
        try:
            await app(scope, receive, sent)
        finally:
            self.calls.running -= 1
            self.calls.ended(code)


def _bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host
