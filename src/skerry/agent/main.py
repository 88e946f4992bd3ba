"""The agent: dials out, says who it is, and does what it is asked to, for as long as it lives.

Everything that outlives a session stands here (informers, what was last asked for, the fence
against old commands, the identity); a session only carries messages. When one breaks, the next
is tried after a while that grows, with jitter, so that many agents that lost one gateway do
not return together.

A renewed certificate is stored at once and used with the next connection: a connection that
stands is never broken for it, nor the calls that run through it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from skerry.agent import identity as identities
from skerry.agent.discovery import KindMap
from skerry.agent.enforce import Enforcer
from skerry.agent.identity import Identity
from skerry.agent.inventory import InventoryWatch
from skerry.agent.proxy import ProxyAgent
from skerry.agent.session import Parts, Session
from skerry.client.connection import Connection
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.kit.aio import Pulse, TaskOwner
from skerry.kit.backoff import Backoff
from skerry.kit.clock import Clock, SystemClock
from skerry.kit.log import get
from skerry.machinery.errors import ApiError, ServerTimeout, ServiceUnavailable, Timeout, TooManyRequests
from skerry.pki.authority import KeyPair, PkiError, key_pem, make_csr, new_key
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel import wire
from skerry.tunnel.rules import Fence, digest_of
from skerry.tunnel.session import HEARTBEAT_SECONDS, AgentSession

LONG_SESSION_SECONDS = 30.0
"""A session that lasted this long was a good one: the next is tried without delay."""

FEATURES = ("heartbeat-ack", "listings", "trust", "upgrade")
NAMESPACES = Ref("", "v1", "namespaces", namespaced=False)

log = get("agent.main")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How an agent runs: the cluster it serves, where it keeps its identity, and how it registers the first time."""

    target: Connection
    folder: Path
    server: str = ""
    server_ca: bytes = b""
    token: str = ""


class Agent:
    """One agent."""

    def __init__(self, identity: Identity, settings: AgentSettings, client: HttpClient, clock: Clock) -> None:
        """``client`` reaches the target cluster."""
        self._identity = identity
        self._settings = settings
        self._client = client
        self._clock = clock
        self._fence = Fence()
        self._pending_key: bytes | None = None
        self._problem = ""
        self._sessions = 0
        kinds, pulse = KindMap(client), Pulse()
        self._proxy = ProxyAgent(settings.target)
        self._inventory = InventoryWatch(client, kinds, clock)
        self._enforcer = Enforcer(client, kinds, self._fence, clock, pulse)
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
        )
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        backoff = Backoff(base=0.5, limit=30.0)
        async with TaskOwner("agent") as owner:
            owner.spawn(self._inventory.run(), "inventory")
            owner.spawn(self._enforcer.run(), "enforcer")
            owner.spawn(self._watch_api(), "api")
            try:
                while True:
                    began = self._clock.monotonic()
                    try:
                        reason = await self._session()
                    except Exception as error:
                        log.exception("a session failed unexpectedly")
                        reason = str(error)
                    self.connected.clear()
                    if self._clock.monotonic() - began > LONG_SESSION_SECONDS:
                        backoff.reset()
                    delay = backoff.next()
                    log.info("the session is over", reason=reason, again_in=round(delay, 1))
                    await self._clock.sleep(delay)
            finally:
                await self._proxy.close()

    async def _session(self) -> str:
        """One session; returns why it ended."""
        who = self._identity
        if who.expired(self._clock.now()):
            return "the agent's certificate has expired; register it again with a new token"
        async with wire.channel(who.gateway, who.bundle, who.certificate, who.key) as channel:
            machine = AgentSession(await self._hello(), self._fence, self._clock.monotonic())
            return await Session(machine, self._parts, self._clock).run(wire.stub(channel))

    async def _hello(self) -> pb.Hello:
        hello = pb.Hello(
            management_cluster=self._identity.management_cluster,
            agent_version=version("skerry"),
            features=FEATURES,
            trust_digest=digest_of(self._identity.bundle),
        )
        try:
            hello.kubernetes_version = (await self._client.raw("GET", "/version")).get("gitVersion", "")
            hello.cluster_uid = (await self._client.get(NAMESPACES, "kube-system"))["metadata"]["uid"]
        except ApiError as error:
            log.warning("the cluster's API does not answer", error=error.message)
        return hello

    def _welcomed(self, session: str) -> None:
        self._sessions += 1
        log.info("connected", gateway=self._identity.gateway, session=session)
        self.connected.set()

    def _heartbeat(self) -> pb.Heartbeat:
        return pb.Heartbeat(api_reachable=not self._problem, problem=self._problem)

    async def _watch_api(self) -> None:
        while True:
            try:
                await self._client.raw("GET", "/version")
                self._problem = ""
            except ApiError as error:
                self._problem = error.message
            await self._clock.sleep(HEARTBEAT_SECONDS)

    def _signing_request(self) -> bytes | None:
        if not self._identity.renewal_due(self._clock.now()):
            return None
        key = new_key()
        self._pending_key = key_pem(key)
        return make_csr(key)

    def _install(self, certificate: bytes, bundle: bytes) -> None:
        key, self._pending_key = self._pending_key, None
        try:
            KeyPair.split((key or b"") + certificate)
        except PkiError as error:
            log.warning("the gateway sent a certificate that cannot be used", error=str(error))
            return
        self._keep(identities.renewed(self._identity, certificate, key or b"", bundle))
        log.info("the agent has a new certificate; the next session uses it")

    def _keep_trust(self, bundle: bytes) -> None:
        self._keep(identities.trusting(self._identity, bundle))
        log.info("the agent trusts new roots; the next session uses them", digest=digest_of(bundle))

    def _keep(self, identity: Identity) -> None:
        identities.store(self._settings.folder, identity)
        self._identity = identity

    def statistics(self) -> dict[str, dict[str, int]]:
        """Counters for people and metrics."""
        return {
            "agent": {"sessions": self._sessions, "connected": int(self.connected.is_set())},
            "enforcer": self._enforcer.statistics(),
            "inventory": self._inventory.statistics(),
            "proxy": self._proxy.statistics(),
        }


async def run(settings: AgentSettings, clock: Clock | None = None) -> None:
    """Register if that was not done yet, then serve until cancelled; raises ApiError if registration is refused."""
    clock = clock or SystemClock()
    identity = identities.load(settings.folder)
    if identity is None or (settings.token and identity.expired(clock.now())):
        identity = await _register(settings, clock)
        log.info("registered", management_cluster=identity.management_cluster)
    async with HttpClient(settings.target, user_agent="skerry-agent") as client:
        await Agent(identity, settings, client, clock).run()


async def _register(settings: AgentSettings, clock: Clock) -> Identity:
    """Register as soon as the front door answers; raises ApiError once it refuses."""
    backoff = Backoff(base=1.0, limit=30.0)
    while True:
        try:
            return await identities.register(settings.server, settings.server_ca, settings.token, settings.folder)
        except (ServiceUnavailable, ServerTimeout, Timeout, TooManyRequests) as error:
            delay = backoff.next()
            log.warning("cannot register yet", error=error.message, again_in=round(delay, 1))
            await clock.sleep(delay)
