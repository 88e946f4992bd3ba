"""The agent: dials out, says who it is, and does what it is asked to, for as long as it lives.

Everything that outlives a session (informers, what was last asked for, the fence against old
commands) stands outside of it; a session only carries messages. When one breaks, the next is
tried after a while that grows, with jitter. Applying is level-based: what was asked for last is
enforced again from time to time, which repairs drift.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc

from skerry.agent import identity as identities
from skerry.agent.apply import Applier
from skerry.agent.discovery import KindMap
from skerry.agent.identity import Identity
from skerry.agent.inventory import InventoryWatch
from skerry.agent.proxy import ProxyAgent
from skerry.client.connection import Connection
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.kit.aio import TaskOwner
from skerry.kit.backoff import Backoff
from skerry.kit.clock import Clock, SystemClock
from skerry.kit.log import get
from skerry.machinery.errors import ApiError
from skerry.pki.authority import key_pem, make_csr, new_key
from skerry.runtime.queue import WorkQueue
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel import wire
from skerry.tunnel.session import HEARTBEAT_SECONDS, Fence

ENFORCE_AGAIN_SECONDS = 30.0
WAITING_SECONDS = 0.5
RENEWAL_CHECK_SECONDS = 300.0
WORKERS = 4

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
        kinds = KindMap(client)
        self._applier = Applier(client, kinds)
        self._inventory = InventoryWatch(client, kinds)
        self._proxy = ProxyAgent(settings.target)
        self._fence = Fence()
        self._wanted: dict[str, pb.DesiredState] = {}
        self._queue = WorkQueue(clock, "desired")
        self._outbox: asyncio.Queue[pb.ControlRequest] = asyncio.Queue(1000)
        self._problem = ""
        self._pending_key: bytes | None = None
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        backoff = Backoff(base=0.5, limit=30.0)
        async with TaskOwner("agent") as owner:
            owner.spawn(self._inventory.run(), "inventory")
            owner.spawn(self._watch_api(), "api")
            for number in range(WORKERS):
                owner.spawn(self._enforce(), f"enforce-{number}")
            try:
                while True:
                    began = self._clock.monotonic()
                    reason = await self._session()
                    self.connected.clear()
                    if self._clock.monotonic() - began > 30:
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
            stub = wire.stub(channel)
            self._outbox = asyncio.Queue(1000)
            stream = stub.Control(self._outgoing(await self._hello()))
            try:
                async with TaskOwner("session") as owner:
                    owner.spawn(self._heartbeats(), "heartbeats")
                    owner.spawn(self._renewals(), "renewals")
                    owner.spawn(self._inventory.stream(self._send_delta), "inventory")
                    while (message := await stream.read()) is not grpc.aio.EOF:
                        if message.WhichOneof("message") == "goodbye":
                            return str(message.goodbye.reason)
                        await self._take(message, owner, stub)
            except grpc.aio.AioRpcError as error:
                return f"{error.code().name.lower()}: {error.details()}"
            else:
                return "the gateway ended it"
            finally:
                stream.cancel()

    async def _hello(self) -> pb.Hello:
        hello = pb.Hello(management_cluster=self._identity.management_cluster, agent_version=version("skerry"))
        try:
            hello.kubernetes_version = (await self._client.raw("GET", "/version")).get("gitVersion", "")
            system = await self._client.get(Ref("", "v1", "namespaces", namespaced=False), "kube-system")
            hello.cluster_uid = system["metadata"]["uid"]
        except ApiError as error:
            log.warning("the cluster's API does not answer", error=error.message)
        return hello

    async def _outgoing(self, hello: pb.Hello) -> AsyncIterator[pb.ControlRequest]:
        outbox = self._outbox
        yield pb.ControlRequest(hello=hello)
        while True:
            yield await outbox.get()

    async def _send_delta(self, delta: pb.InventoryDelta) -> None:
        await self._outbox.put(pb.ControlRequest(inventory=delta))

    async def _heartbeats(self) -> None:
        while True:
            beat = pb.Heartbeat(api_reachable=not self._problem, problem=self._problem)
            await self._outbox.put(pb.ControlRequest(heartbeat=beat))
            await self._clock.sleep(HEARTBEAT_SECONDS)

    async def _watch_api(self) -> None:
        while True:
            try:
                await self._client.raw("GET", "/version")
                self._problem = ""
            except ApiError as error:
                self._problem = error.message
            await self._clock.sleep(HEARTBEAT_SECONDS)

    async def _renewals(self) -> None:
        while True:
            if self._identity.renewal_due(self._clock.now()):
                key = new_key()
                self._pending_key = key_pem(key)
                await self._outbox.put(pb.ControlRequest(certificate_request=pb.CertificateRequest(csr=make_csr(key))))
            await self._clock.sleep(RENEWAL_CHECK_SECONDS)

    async def _take(self, message: pb.ControlResponse, owner: TaskOwner, stub: Any) -> None:
        match message.WhichOneof("message"):
            case "welcome":
                log.info("connected", gateway=self._identity.gateway, session=message.welcome.session)
                self.connected.set()
            case "subscribe":
                self._inventory.subscribe([(kind.group, kind.plural) for kind in message.subscribe.kinds])
            case "resync":
                self._inventory.restart()
            case "desired":
                await self._ask(message.desired)
            case "open_proxy":
                owner.spawn(self._serve_call(stub, message.open_proxy.call), f"call-{message.open_proxy.call}")
            case "certificate":
                self._renewed(message.certificate)

    async def _serve_call(self, stub: Any, call: str) -> None:
        try:
            await self._proxy.serve(stub, call)
        except grpc.aio.AioRpcError as error:
            log.debug("a proxied call ended", call=call, code=error.code().name)

    def _renewed(self, certificate: pb.Certificate) -> None:
        if self._pending_key is None:
            return
        self._identity = replace(self._identity, certificate=certificate.certificate, bundle=certificate.bundle, key=self._pending_key)
        self._pending_key = None
        identities.store(self._settings.folder, self._identity)
        log.info("the agent has a new certificate; the next session uses it")

    async def _ask(self, state: pb.DesiredState) -> None:
        refused = self._fence.admit(state.set, state.owner_epoch, state.generation)
        if refused:
            result = pb.DesiredResult(set=state.set, owner_epoch=state.owner_epoch, generation=state.generation, refused=refused)
            await self._outbox.put(pb.ControlRequest(result=result))
            return
        self._wanted[state.set] = state
        self._queue.add(state.set)

    async def _enforce(self) -> None:
        while True:
            name = await self._queue.take()
            state = self._wanted.get(name)
            if state is None:
                self._queue.done(name)
                continue
            try:
                result = await self._applier.enforce(state)
            except (ApiError, ValueError) as error:
                delay = self._queue.failed(name)
                log.info("cannot enforce yet", set=name, error=str(error), again_in=round(delay, 1))
                continue
            await self._report(state, result)

    async def _report(self, state: pb.DesiredState, result: pb.DesiredResult) -> None:
        name = state.set
        await self._outbox.put(pb.ControlRequest(result=result))
        self._queue.done(name)
        if result.gone and self._wanted.get(name) is state:
            del self._wanted[name]
            self._fence.forget(name)
            return
        settled = all(each.outcome == pb.OUTCOME_APPLIED for each in result.objects)
        self._queue.add_after(name, ENFORCE_AGAIN_SECONDS if settled and not result.gone else WAITING_SECONDS)


async def run(settings: AgentSettings, clock: Clock | None = None) -> None:
    """Register if that was not done yet, then serve until cancelled; raises ApiError if registration is refused."""
    clock = clock or SystemClock()
    identity = identities.load(settings.folder)
    if identity is None or (settings.token and identity.expired(clock.now())):
        identity = await identities.register(settings.server, settings.server_ca, settings.token, settings.folder)
        log.info("registered", management_cluster=identity.management_cluster)
    async with HttpClient(settings.target, user_agent="skerry-agent") as client:
        await Agent(identity, settings, client, clock).run()
