"""A gateway beside a whole API server over the memory store, and real agents that dial it: everything but the processes.

The wire between an agent and the gateway can be cut (:class:`Wire`), which neither end is told of
beforehand. What an agent serves is any Kubernetes API.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from skerry.agent import identity as identities
from skerry.agent.keeping import Folder
from skerry.agent.main import Agent, AgentSettings
from skerry.apiserver.http import Door
from skerry.apiserver.protocol import Limits
from skerry.client.connection import Connection
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.compose.link import Link, Options, gateway
from skerry.gateway.attaching import Attaching
from skerry.gateway.front import Front
from skerry.gateway.proxy import ProxyCalls
from skerry.gateway.registration import OneTimeTokens, Registration
from skerry.gateway.routes import Route, Routes
from skerry.kinds import catalogue
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.kinds.managementcluster import PROXY_PREFIX
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, SystemClock
from skerry.machinery.errors import NotFound
from skerry.machinery.identity import Attributes, Decision, Rule, User
from skerry.pki import policy
from skerry.pki.authority import Authority, KeyPair, make_csr, make_root
from skerry.pki.identity import alternative_names
from skerry.pki.tls import server_context
from skerry.restapi.contract import Peer, Record
from skerry.restapi.registry import Registry
from skerry.restapi.server import ApiServer
from skerry.store.memory import MemoryStore
from skerry.tunnel.session import HEARTBEAT_SECONDS

Json = dict[str, Any]
SETS = Ref(GROUP, VERSION, "manifestsets")
OBSERVED = Ref(GROUP, VERSION, "observedobjects")
MANAGEMENT = Ref(GROUP, VERSION, "managementclusters", namespaced=False)
NAMESPACES = Ref("", "v1", "namespaces", namespaced=False)
SECRETS = Ref("", "v1", "secrets")
MAPS = Ref("", "v1", "configmaps")


class Everybody:
    """Lets everybody do everything, under the name that his token says."""

    async def authenticate(self, peer: Peer, token: str) -> User | None:
        return User(token or "test", groups=("skerry:testers", "system:masters"))

    def authorize(self, attributes: Attributes) -> Decision:
        return Decision(True)

    def rules(self, user: User, namespace: str) -> Sequence[Rule]:
        return []

    def __init__(self) -> None:
        self.records: list[Record] = []

    def record(self, record: Record) -> None:
        self.records.append(record)


async def eventually(state: Callable[[], Awaitable[Any]], seconds: float = 60.0) -> Any:
    """Wait until ``state`` returns something true without failing, and return it."""
    ends, last = time.monotonic() + seconds, ""
    while time.monotonic() < ends:
        try:
            if found := await state():
                return found
            last = repr(found)
        except (AssertionError, LookupError) as error:
            last = repr(error)
        except Exception as error:
            last = f"{type(error).__name__}: {error}"
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {last}")


class Wire:
    """A TCP relay in front of the gateway that can be cut and mended, or stop passing anything on and say nothing."""

    def __init__(self, link: Link) -> None:
        self.lead_to(link)
        self._writers: set[asyncio.StreamWriter] = set()
        self._up = True
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0
        self.accepted = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            self.cut()
            server.close()

    def lead_to(self, link: Link) -> None:
        """Bring who connects from now on to another gateway."""
        self._target = int(link.address.rpartition(":")[2])

    def cut(self) -> None:
        """Break every connection, and let nobody through."""
        self._up = False
        for writer in list(self._writers):
            writer.transport.abort()

    def freeze(self) -> None:
        """Hold back everything from now on; connections stay open, as behind a firewall that forgot them."""
        self._flows.clear()

    def mend(self) -> None:
        """Let everybody through, and everything that was held back."""
        self._up = True
        self._flows.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._up:
            writer.transport.abort()
            return
        self.accepted += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer))
                group.create_task(self._pump(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()


class Fleet:
    """One installation."""

    app: Front
    """What answers at the front door, for tests that want a door of another kind."""

    def __init__(
        self, api: ApiServer, client: HttpClient, link: Link, front: str, authority: Authority, folder: Path, records: list[Record]
    ) -> None:
        self.api, self.client, self.link, self.front, self.authority, self.folder = api, client, link, front, authority, folder
        self.records = records
        self.front_ca = b""
        self.clock = SystemClock()
        self.wire = Wire(link)

    async def management_cluster(self, name: str = "sv-1") -> None:
        await self.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        await self.client.create(MANAGEMENT, {"apiVersion": API_VERSION, "kind": "ManagementCluster", "metadata": {"name": name}})

    async def register(self, name: str = "sv-1") -> identities.Identity:
        token, _ = await OneTimeTokens(self.client, self.clock).make(name)
        identity = await identities.register(self.front, self.front_ca, token)
        await Folder(self.folder / name).store(identity)
        return identities.moved(identity, f"127.0.0.1:{self.wire.port}")

    def ended(self, identity: identities.Identity, days: float) -> identities.Identity:
        """The same agent with a certificate of the same registration that ended so many days ago."""
        loaded = KeyPair(identity.certificate, identity.key).load()
        number = policy.registration_of(alternative_names(loaded[0].extensions))
        then = self.clock.now() - policy.AGENT.lifetime - timedelta(days=days)
        return replace(identity, certificate=self.authority.answer_agent(make_csr(loaded[1]), identity.name, then, number))

    @asynccontextmanager
    async def agent(
        self,
        target: Connection,
        name: str = "sv-1",
        identity: identities.Identity | None = None,
        clock: Clock | None = None,
        *,
        connects: bool = True,
        **more: Any,
    ) -> AsyncIterator[Agent]:
        """An agent that is connected, or tries to. A second one of the same name stands for a restart: it knows nothing of the first.

        ``more`` are further settings.
        """
        identity, before = identity or await self.register(name), self.link.routes.get(name)
        async with HttpClient(target, user_agent="skerry-agent") as client, TaskOwner("agent") as owner:
            agent = Agent(identity, AgentSettings(target, self.folder / name, **more), client, clock or self.clock)
            owner.spawn(agent.run(), name)
            if connects:
                async with asyncio.timeout(60):
                    await agent.connected.wait()
                await self.joined(name, before)
            yield agent

    async def joined(self, name: str, before: Route | None) -> None:
        """Wait until an agent's session counts, and is another than one before."""

        async def counts() -> bool:
            return self.link.routes.get(name) not in {None, before}

        await eventually(counts)

    async def ask(self, name: str, manifests: Sequence[Json], epoch: int = 1, namespace: str = "sv-1") -> Json:
        body = {
            "apiVersion": API_VERSION,
            "kind": "ManifestSet",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ownerEpoch": epoch, "manifests": list(manifests)},
        }
        return await self.client.apply(SETS, body, manager="tests", force=True)

    async def set(self, name: str, namespace: str = "sv-1") -> Json:
        return await self.client.get(SETS, name, namespace)

    async def settled(self, name: str, **counts: int) -> Json:
        """Wait until a set's status speaks of its present generation, with these counts."""

        async def state() -> Json | None:
            found = await self.set(name)
            status = found.get("status") or {}
            assert status.get("observedGeneration") == found["metadata"]["generation"], status
            assert all(status[key] == value for key, value in counts.items()), status
            return found

        found: Json = await eventually(state)
        return found

    async def gone(self, name: str, namespace: str = "sv-1") -> None:
        """Wait until a set is not there any more."""

        async def state() -> bool:
            try:
                return not await self.set(name, namespace)
            except NotFound:
                return True

        await eventually(state)

    async def observed(self, plural: str, namespace: str = "sv-1") -> dict[str, Json]:
        """What is known of a kind, by name."""
        found = await self.client.list(OBSERVED, namespace, labels=f"fleet.skerry.dev/source-plural={plural}")
        return {each["source"]["name"]: each for each in found["items"]}


@asynccontextmanager
async def fleet(
    folder: Path, *, heartbeat_seconds: int = HEARTBEAT_SECONDS, identity: str = "", statement_port: int | None = None, tls: bool = False
) -> AsyncIterator[Fleet]:
    """Run an installation until the block is left; with an ``identity`` its gateway is one of several, with ``tls`` its door is shut."""
    clock, everybody = SystemClock(), Everybody()
    api = ApiServer(
        MemoryStore(),
        Registry(catalogue.ALL),
        authenticator=everybody,
        authorizer=everybody,
        audit=everybody,
        clock=clock,
        version="v1.37.0",
    )
    authority = Authority(make_root("test root", clock.now() - timedelta(days=365)))  # so that what it signed can have ended
    proof = authority.issue(policy.CLIENT, policy.component("controllers"), clock.now(), groups=(policy.COMPONENTS,))
    door = Door(api, host="127.0.0.1", port=0, tls=None, clock=clock, on_stop=api.end_watches)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(api.running())
        await stack.enter_async_context(door.open())
        at = Connection(f"http://127.0.0.1:{door.port}", certificate=proof.certificate, key=proof.key)
        client = await stack.enter_async_context(HttpClient(at))
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "skerry-system"}})
        options = Options(heartbeat_seconds=heartbeat_seconds, identity=identity, statement_port=statement_port)
        yield await stack.enter_async_context(_gated(api, client, authority, folder, everybody.records, options, tls=tls))


@asynccontextmanager
async def beside(first: Fleet, identity: str) -> AsyncIterator[Fleet]:
    """Run another gateway over the same API, with a front door of its own, until the block is left."""
    options = Options(identity=identity)
    async with _gated(first.api, first.client, first.authority, first.folder, first.records, options) as made:
        yield made


@asynccontextmanager
async def _gated(
    api: ApiServer, client: HttpClient, authority: Authority, folder: Path, records: list[Record], options: Options, *, tls: bool = False
) -> AsyncIterator[Fleet]:
    clock, proxies = SystemClock(), ProxyCalls(Routes())
    shown = authority.issue(policy.SERVER, "skerry", clock.now(), hosts=("127.0.0.1", "localhost"))
    async with gateway(api, client, authority, lambda: shown, proxies, clock, options) as link:
        tokens = OneTimeTokens(client, clock)
        registration = Registration(tokens, authority, link.address, clock, link.enrolments)
        attaching = Attaching(client, tokens, b"the front door's root", "skerry:test")
        app = Front(api, proxies, link.relays, registration, attaching, link.recovering)
        context = server_context(shown.pem, authority.bundle) if tls else None
        front = Door(app, host="127.0.0.1", port=0, tls=context, clock=clock, limits=Limits(message_bytes=1 << 30), upgrades=PROXY_PREFIX)
        async with front.open():
            made = Fleet(api, client, link, f"http{'s' * tls}://127.0.0.1:{front.port}", authority, folder, records)
            made.front_ca = authority.bundle if tls else b""
            made.app = app
            async with made.wire.open():
                yield made


def config_map(name: str, namespace: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def namespace_of(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
