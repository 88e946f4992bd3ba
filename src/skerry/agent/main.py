"""The agent: dials out, says who it is, and does what it is asked to, for as long as it lives.

Everything that outlives a session stands here (informers, what was last asked for, the fence
against old commands, the identity); a session only carries messages. When one breaks, the next
is tried after a while that grows, with jitter, so that many agents that lost one gateway do
not return together.

An agent whose cluster has left the fleet says so until the gateway lets it go, and for a minute
at most: a gateway that did not hear it would wait for an agent that never comes back.

Another process with the same identity ends this one's session when its own begins. The agent says so when it comes back, and the
gateway decides which of the two goes on (``gateway/twins.py``).

A session that does not come about is looked into (``recovery.py``): what can be healed is, the rest is told.

A renewed certificate is stored at once and used with the next connection: a connection that
stands is never broken for it, nor the calls that run through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from skerry.agent import identity as identities
from skerry.agent.discovery import KindMap
from skerry.agent.enforce import Enforcer
from skerry.agent.health import Look, findings
from skerry.agent.identity import Identity
from skerry.agent.inventory import NODES, InventoryWatch
from skerry.agent.keeping import ClusterSecret, Folder, Keeper
from skerry.agent.leaving import leave
from skerry.agent.probe import EVERY_SECONDS, Probe
from skerry.agent.proxy import ProxyAgent
from skerry.agent.recovery import FrontDoor, Recovery
from skerry.agent.session import LAST_WORD_SECONDS, Gone, Parts, Session
from skerry.client.connection import Connection
from skerry.client.contract import Client, Ref
from skerry.client.http import HttpClient
from skerry.kit.aio import Pulse, TaskOwner
from skerry.kit.backoff import Backoff
from skerry.kit.clock import Clock, SystemClock
from skerry.kit.log import get
from skerry.machinery.errors import ApiError, Forbidden, NotFound, ServerTimeout, ServiceUnavailable, Timeout, TooManyRequests, Unauthorized
from skerry.pki.authority import KeyPair, PkiError, key_pem, make_csr, new_key
from skerry.runtime.meters import Meters
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel import statements, wire
from skerry.tunnel.places import IDENTIFIES
from skerry.tunnel.rules import Fence, digest_of
from skerry.tunnel.session import AgentSession

LONG_SESSION_SECONDS = 30.0
"""A session that lasted this long was a good one: the next is tried without delay."""

FEATURES = ("heartbeat-ack", "listings", "trust", "detach", "upgrade", "adoption", "results", IDENTIFIES)
NAMESPACES = Ref("", "v1", "namespaces", namespaced=False)

T = TypeVar("T")
log = get("agent.main")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How an agent runs: the cluster it serves, where it keeps its identity, and how it registers the first time.

    It is kept in ``folder``, or in the cluster itself where that is None. Whatever is dialled, is dialled through ``proxy``, an HTTP
    proxy's URL that may carry a user name and a password. ``metrics_address`` is where the agent shows its metrics, as HOST:PORT;
    empty: nowhere. ``proxy_ca`` signs what a proxy in between shows that inspects TLS: with it the agent proves itself by signed
    statements, where the site allows it.
    """

    target: Connection
    folder: Path | None
    server: str = ""
    server_ca: bytes = b""
    token: str = field(default="", repr=False)
    proxy: str = field(default="", repr=False)
    metrics_address: str = ""
    proxy_ca: bytes = b""

    def door(self, identity: Identity) -> FrontDoor:
        """The front door of an agent: the one that was named, or the one where it was registered."""
        server, ca = (self.server, self.server_ca) if self.server else (identity.server, identity.server_ca)
        return FrontDoor(server, ca, self.proxy, self.proxy_ca)

    def keeper(self, client: Client) -> Keeper:
        """What keeps the identity; ``client`` reaches the cluster."""
        return Folder(self.folder) if self.folder is not None else ClusterSecret(client)


class Agent:
    """One agent."""

    def __init__(self, identity: Identity, settings: AgentSettings, client: HttpClient, clock: Clock) -> None:
        """``client`` reaches the target cluster."""
        self._identity = identity
        self._proxied = settings.proxy
        self._door = settings.door(identity)
        self._recovery = Recovery(self._door, clock)
        self._mute = False
        self._instance, self._began, self._superseded = secrets.token_hex(8), clock.monotonic(), False
        self._keeper = settings.keeper(client)
        self._unsaved = False
        self._left_at: float | None = None
        self._leaving = asyncio.Lock()
        self._client = client
        self._clock = clock
        self._fence = Fence()
        self._pending_key: bytes | None = None
        self._probe = Probe(client, clock)
        self._sessions = 0
        kinds, pulse = KindMap(client), Pulse()
        self._proxy = ProxyAgent(settings.target)
        self._inventory = InventoryWatch(client, kinds, clock)
        self._meters = Meters()
        self._enforcer = Enforcer(client, kinds, self._fence, clock, pulse, self._meters)
        self._parts = Parts(
            enforcer=self._enforcer,
            inventory=self._inventory,
            proxy=self._proxy,
            pulse=pulse,
            heartbeat=self._heartbeat,
            signing_request=self._signing_request,
            install=self._install,
            keep_trust=self._keep_trust,
            welcomed=self._welcomed,
            stale=self._stale,
            leave=self._leave,
            superseded=self._outdone,
        )
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled, or until the cluster has left the fleet."""
        waits = backoff()
        async with TaskOwner("agent") as owner:
            owner.spawn(self._inventory.run(), "inventory")
            owner.spawn(self._enforcer.run(), "enforcer")
            owner.spawn(self._watch_api(), "api")
            try:
                while True:
                    began, sessions = self._clock.monotonic(), self._sessions
                    try:
                        reason = await self._session()
                    except Gone as gone:
                        reason = str(gone)
                        if self._left_at is not None:
                            log.info("the cluster has left the fleet", reason=reason)
                            return
                    except (ApiError, ConnectionError) as error:
                        reason = str(error)
                    except Exception as error:
                        log.exception("a session failed unexpectedly")
                        reason = str(error)
                    self.connected.clear()
                    if self._left_at is not None and self._clock.monotonic() - self._left_at > LAST_WORD_SECONDS:
                        log.warning("the cluster has left the fleet, and no gateway was there to hear it", reason=reason)
                        return
                    if self._clock.monotonic() - began > LONG_SESSION_SECONDS:
                        waits.reset()
                    if sessions == self._sessions and await self._recovered(reason):
                        continue
                    delay = waits.next()
                    log.info("the session is over", reason=reason, again_in=round(delay, 1))
                    await self._clock.sleep(delay)
            finally:
                await self._proxy.close()

    async def _session(self) -> str:
        """One session; returns why it ended."""
        who = self._identity
        if who.expired(self._clock.now()):
            return "the agent's certificate has expired"
        async with self._stub(who) as stub:
            machine = AgentSession(await self._hello(), self._fence, self._clock.monotonic())
            return await Session(machine, self._parts, self._clock).run(stub)

    @asynccontextmanager
    async def _stub(self, who: Identity) -> AsyncIterator[Any]:
        """The client side of the link, which proves who it is in the way that gets through; raises ApiError or ConnectionError."""
        places = await self._door.link(self._clock) if self._door.proxy_ca else None
        if places is None or not places.statement_gateway:
            async with wire.channel(who.gateway, who.bundle, who.certificate, who.key, proxy=self._proxied) as channel:
                yield wire.stub(channel)
            return
        roots = self._door.ca + self._door.proxy_ca
        async with wire.channel(places.statement_gateway, roots, b"", b"", proxy=self._proxied) as channel:
            stub = wire.stub(channel)
            challenge, had_at = await wire.challenge(stub), self._clock.monotonic()

            def prove(purpose: str) -> str:
                return statements.sign(who.certificate, who.key, purpose, challenge, self._clock.monotonic() - had_at)

            yield wire.Proved(stub, prove)

    async def _recovered(self, reason: str) -> bool:
        """Look into why a session did not come about; True: the agent goes on as somebody else, at once."""
        healed = await self._recovery.after(self._identity, reason)
        if healed is None:
            return False
        self._identity, self._unsaved = healed, True
        await self._save()
        return True

    async def _hello(self) -> pb.Hello:
        hello = pb.Hello(
            management_cluster=self._identity.name,
            agent_version=version("skerry"),
            features=FEATURES,
            trust_digest=digest_of(self._identity.bundle),
            instance=self._instance,
            runs_seconds=self._clock.monotonic() - self._began,
            superseded=self._superseded,
        )
        try:
            hello.kubernetes_version = (await self._client.raw("GET", "/version")).get("gitVersion", "")
            with contextlib.suppress(Forbidden, NotFound):  # only who may report what is in the cluster may look
                hello.cluster_uid = (await self._client.get(NAMESPACES, "kube-system"))["metadata"]["uid"]
        except ApiError as error:
            self._problem = error.message
            log.warning("the cluster's API does not answer", error=error.message)
        self._mute = not hello.kubernetes_version
        return hello

    def _stale(self) -> str:
        return "the cluster's API answers again, and can say which cluster this is" if self._mute and not self._problem else ""

    def _outdone(self) -> None:
        self._superseded = True

    def _welcomed(self, session: str) -> None:
        self._sessions += 1
        self._superseded = False
        self._recovery.welcomed()
        log.info("connected", gateway=self._identity.gateway, session=session)
        self.connected.set()

    def _heartbeat(self) -> pb.Heartbeat:
        probe = self._probe
        if probe.problem:
            return pb.Heartbeat(api_reachable=False, problem=probe.problem)
        return pb.Heartbeat(api_reachable=True, findings=findings(self._look()))

    def _look(self) -> Look:
        seen, probe = self._inventory.seen, self._probe
        workloads = [each for kind in ("deployments", "daemonsets", "statefulsets") for each in seen(("apps", kind))]
        return Look(list(seen(NODES)), workloads, probe.failed, probe.certificate_ends, self._clock.now())

    async def _watch_api(self) -> None:
        while True:
            await self._probe.look()
            if self._unsaved:
                await self._save()
            await self._clock.sleep(EVERY_SECONDS)

    def _signing_request(self) -> bytes | None:
        if not self._identity.renewal_due(self._clock.now()):
            return None
        key = new_key()
        self._pending_key = key_pem(key)
        return make_csr(key)

    async def _install(self, certificate: bytes, bundle: bytes) -> None:
        key, self._pending_key = self._pending_key, None
        try:
            KeyPair.split((key or b"") + certificate)
        except PkiError as error:
            log.warning("the gateway sent a certificate that cannot be used", error=str(error))
            return
        self._identity, self._unsaved = identities.renewed(self._identity, certificate, key or b"", bundle), True
        await self._save()
        log.info("the agent has a new certificate; the next session uses it")

    async def _keep_trust(self, bundle: bytes) -> None:
        changed = identities.trusting(self._identity, bundle)
        await self._keeper.store(changed)  # what fails here ends the session: nothing is acknowledged that was not kept
        self._identity = changed
        log.info("the agent trusts new roots; the next session uses them", digest=digest_of(bundle))

    async def _leave(self) -> str:
        """Take everything away, once: whoever asks again is told how it went, for the agent has no rights any more."""
        async with self._leaving:
            if self._left_at is not None:
                return ""
            problem = await leave(self._client)
            if problem:
                log.warning("the agent cannot leave yet", problem=problem)
                return problem
            self._left_at = self._clock.monotonic()
            try:
                await self._keeper.forget()
            except (ApiError, OSError) as error:
                log.warning("the agent's identity cannot be removed", error=str(error))
            return ""

    async def _save(self) -> None:
        """Store the identity; what cannot be stored now is used all the same, and stored later."""
        try:
            await self._keeper.store(self._identity)
        except (ApiError, OSError) as error:
            log.warning("the agent's identity cannot be stored yet; will try again", error=str(error))
        else:
            self._unsaved = False

    def statistics(self) -> dict[str, dict[str, int]]:
        """Counters for people and metrics."""
        heartbeats = self._parts.said["heartbeat"]
        return {
            "agent": {"sessions": self._sessions, "connected": int(self.connected.is_set()), "heartbeats": heartbeats},
            "enforcer": self._enforcer.statistics(),
            "inventory": self._inventory.statistics(),
            "proxy": self._proxy.statistics(),
        }

    @asynccontextmanager
    async def shown(self, address: str) -> AsyncIterator[None]:
        """Serve the agent's metrics at HOST:PORT until the block is left; nowhere if that is empty. Raises OSError."""
        if not address:
            yield
            return
        from skerry.agent import metrics  # an HTTP server and Prometheus' library: megabytes that few agents have a use for

        sources = metrics.Sources(
            statistics=self.statistics,
            outcomes=self._enforcer.outcomes,
            inventory=self._inventory.objects,
            certificates=lambda: {"agent": self._identity.certificate, "roots": self._identity.bundle},
            reachable=lambda: not self._probe.problem,
            answered=self._client.answered,
            meters=self._meters,
        )
        async with metrics.served(address, metrics.page(sources)):
            yield


def backoff() -> Backoff:
    """How long an agent waits between sessions: so many that lost one gateway together come back spread over half a minute."""
    return Backoff(base=0.5, limit=30.0)


async def run(settings: AgentSettings, clock: Clock | None = None) -> None:
    """Register if that was not done yet, then serve until cancelled; raises ApiError if registration is refused."""
    clock = clock or SystemClock()
    async with HttpClient(settings.target, user_agent="skerry-agent") as client:
        agent = Agent(await _identity(settings, client, clock), settings, client, clock)
        async with agent.shown(settings.metrics_address):
            await agent.run()


async def _identity(settings: AgentSettings, client: HttpClient, clock: Clock) -> Identity:
    """The identity that is kept, or a new one where a new token asks for it; raises ApiError or OSError."""
    keeper = settings.keeper(client)
    known = await _patiently("read the agent's identity", keeper.load, clock)
    if known is not None and not known.registers_again(settings.token, clock.now()):
        return known
    if not (settings.server and settings.token):
        raise Unauthorized("this agent has not registered yet: give it --server, --server-ca and --token (see `skerry token`)")
    register = partial(identities.register, settings.server, settings.server_ca, settings.token, settings.proxy, settings.proxy_ca)
    try:
        identity = await _patiently("register", register, clock)
    except Unauthorized:
        if known is None:
            raise
        log.warning("the registration token is of no use any more; going on as who the agent was before", name=known.name)
        return known
    log.info("registered", name=identity.name)
    await _patiently("store the agent's identity", partial(keeper.store, identity), clock)
    return identity


async def _patiently(what: str, attempt: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Try until whoever is asked answers; raises ApiError once it refuses."""
    backoff = Backoff(base=1.0, limit=30.0)
    while True:
        try:
            return await attempt()
        except (ServiceUnavailable, ServerTimeout, Timeout, TooManyRequests) as error:
            delay = backoff.next()
            log.warning("cannot do it yet", what=what, error=error.message, again_in=round(delay, 1))
            await clock.sleep(delay)
