"""The gateway and the lifecycle controllers of one process, built around a client of the API.

Controllers work on shares of the management clusters: the epoch of a share is what every command to an agent carries, so
that whatever a former owner still sends is refused at the far end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

from skerry.client.http import HttpClient
from skerry.compose.claims import ClaimTable
from skerry.compose.resultsweep import ResultSweeper
from skerry.compose.stock import CachedStock, Sweeper
from skerry.controllers.cluster.reconcile import ClusterController
from skerry.controllers.mirror.reconcile import MirrorController
from skerry.controllers.places.reconcile import PlacesController
from skerry.gateway.assigned import Assigned
from skerry.gateway.desired import MANIFESTSETS, STATES, Desired, state_of
from skerry.gateway.enrolment import Came, Enrolments
from skerry.gateway.health import Health
from skerry.gateway.inventory import Inventory
from skerry.gateway.leaving import Leaving
from skerry.gateway.presence import Presence
from skerry.gateway.proxy import ProxyCalls
from skerry.gateway.recovering import Places, Recovering
from skerry.gateway.relay import Relays
from skerry.gateway.results import Results
from skerry.gateway.routes import Routes
from skerry.gateway.server import Admission, LinkServer, Receivers
from skerry.gateway.sessions import Sessions
from skerry.gateway.statements import Agent, Statements
from skerry.gateway.subjects import CLUSTERS, MANAGEMENT_CLUSTERS, Subjects, connected, kept
from skerry.gateway.subscription import subscription
from skerry.gateway.troubles import Troubles
from skerry.kinds.common import SYSTEM_NAMESPACE
from skerry.kinds.fullname import of_key, words
from skerry.kinds.managementcluster import BUILTIN, DUPLICATE, OUTDATED, TWIN
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock
from skerry.pki import policy
from skerry.pki.authority import Authority, KeyPair
from skerry.restapi.server import ApiServer
from skerry.runtime.controller import Controller, Source
from skerry.runtime.informer import Informer
from skerry.runtime.shares import Holding, bury_all, work_on_shares
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel import wire
from skerry.tunnel.places import IDENTIFIES
from skerry.tunnel.session import HEARTBEAT_SECONDS, MISSED_BEATS


@dataclass(frozen=True, slots=True)
class Link:
    """The running gateway: who is connected, calls that are passed on to others, the address that agents dial, and counters."""

    routes: Routes
    relays: Relays
    address: str
    holders: Callable[[], dict[str, int]]
    """How many agents each server holds, over all servers, by identity."""
    statistics: Callable[[], dict[str, int]]
    phases: Callable[[], dict[str, int]]
    """How many management clusters with an agent there are, by phase."""
    healths: Callable[[], dict[str, int]]
    """How many clusters with an agent of their own there are, by health."""
    states: Callable[[], dict[str, int]]
    """How many ManifestSets there are, by what became of them."""
    enrolments: Enrolments
    recovering: Recovering
    statement_address: str = ""
    """What agents dial that prove themselves by statements; empty: they may not."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a gateway runs. ``identity`` tells it from others over the same store, restarts included; empty where there are none.

    It listens on ``host`` and ``port`` (0: any), and agents and other gateways reach it as ``known_as``, a host.
    """

    heartbeat_seconds: int = HEARTBEAT_SECONDS
    identity: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    known_as: str = "127.0.0.1"
    gateway_address: str = ""
    """What agents are told to dial, where that is something in between."""
    statement_port: int | None = None
    """Port for agents that prove themselves by signed statements, because what stands between inspects TLS; None: they may not."""
    statement_address: str = ""
    """What those are told to dial, where that is something in between."""
    grace: timedelta = policy.RENEWAL_GRACE
    """How long after its end an agent's certificate may still be renewed."""


@contextlib.asynccontextmanager
async def gateway(
    api: ApiServer,
    client: HttpClient,
    authority: Authority,
    shown: Callable[[], KeyPair],
    proxies: ProxyCalls,
    clock: Clock,
    options: Options | None = None,
    outside: Callable[[], KeyPair] | None = None,
) -> AsyncIterator[Link]:
    """Run a gateway until the block is left; raises OSError if it cannot listen. ``shown`` is the certificate of the moment.

    ``outside`` is the certificate shown on the port for statements, which whoever trusts the front door must trust.

    To other gateways it proves itself by what ``client`` does.
    """

    options = options or Options()
    heartbeat_seconds, routes = options.heartbeat_seconds, proxies.routes
    claims = ClaimTable(api)
    sessions = Sessions(claims, routes, options.identity, clock)
    inventory = Inventory(claims.keep, CachedStock(api), subscription, clock)
    sets = Informer(client, MANIFESTSETS)
    assigned = Assigned(sets)
    subjects = Subjects(Informer(client, MANAGEMENT_CLUSTERS), Informer(client, CLUSTERS, keep=kept))
    results = Results(claims.keep, CachedStock(api), clock)
    desired = Desired(client, routes, sessions, sets, subjects, results, clock)
    presence = Presence(client, options.identity, clock) if options.identity else None
    patience = heartbeat_seconds * MISSED_BEATS
    leaving = Leaving(client, routes, subjects, sets, assigned, clock)
    health = Health(client, routes, sessions, subjects, clock, patience=patience, presence=presence, waits_for=leaving.waits_for)
    enrolments, troubles = Enrolments(client), Troubles(client, routes, subjects, clock)
    statements = Statements(authority, clock)
    wiring = _Wiring(routes, subjects, desired, health, leaving, assigned, enrolments, troubles)
    wiring.listen(sets)
    receivers = Receivers(inventory.take, desired.take_result, wiring.heartbeat, leaving.heard, wiring.admit)
    servicer = LinkServer(
        sessions,
        receivers,
        proxies,
        authority,
        clock,
        subscription=subscription,
        heartbeat_seconds=heartbeat_seconds,
        statements=statements if options.statement_port is not None else None,
    )

    def proof() -> tuple[bytes, bytes, bytes]:
        return authority.bundle, client.connection.certificate or b"", client.connection.key or b""

    relays = Relays(presence, subjects, proof, clock)
    async with _listening(servicer, options, shown, authority, outside or shown) as (address, statement_address):
        places = Places(options.gateway_address or address, (options.statement_address or statement_address) if statement_address else "")
        recovering = Recovering(statements, enrolments, troubles, authority, clock, places, options.grace)
        if presence is not None:
            presence.address = address
        try:
            async with TaskOwner("gateway") as owner:
                parts = [
                    servicer,
                    sets,
                    subjects.managements,
                    subjects.clusters,
                    sessions,
                    wiring.pushing,
                    wiring.judging,
                    wiring.ending,
                    wiring.telling,
                    health.recorder,
                    Sweeper(client, inventory, subjects, clock),
                    ResultSweeper(client, results, sets, clock),
                ]
                for part in (*parts, *((presence,) if presence else ())):
                    owner.spawn(part.run(), f"gateway/{type(part).__name__}")
                yield Link(
                    routes,
                    relays,
                    address,
                    health.holders,
                    lambda: {**servicer.statistics(), **relays.statistics()},
                    lambda: _phases(subjects.managements),
                    lambda: _healths(subjects.clusters),
                    lambda: _states(sets),
                    enrolments,
                    recovering,
                    places.statements,
                )
        finally:
            routes.end_all()
            await relays.close()


class _Wiring:
    """Who is woken by what: the controllers of a gateway, and what they hear of agents."""

    def __init__(
        self,
        routes: Routes,
        subjects: Subjects,
        desired: Desired,
        health: Health,
        leaving: Leaving,
        assigned: Assigned,
        enrolments: Enrolments,
        troubles: Troubles,
    ) -> None:
        self._routes, self._subjects, self._desired, self._health, self._leaving = routes, subjects, desired, health, leaving
        self._assigned = assigned
        self._enrolments, self._troubles = enrolments, troubles
        self.telling: Controller
        self.pushing: Controller
        self.judging: Controller
        self.ending: Controller

    def listen(self, sets: Informer) -> None:
        """Make the controllers, and let them be woken; ``sets`` follows the ManifestSets."""
        clusters = Source(self._subjects.clusters, lambda key: (str(of_key(key)),), reconciled=True)
        self.pushing = Controller("desired", [Source(sets)], self._desired.reconcile)
        self.judging = Controller("health", [Source(self._subjects.managements), clusters], self._health.reconcile)
        sources = [clusters, Source(self._subjects.managements), Source(sets, self._leaving.concerned)]
        self.ending = Controller("detachment", sources, self._leaving.reconcile)
        self.telling = Controller("troubles", [Source(self._subjects.managements), clusters], self._troubles.reconcile)
        self._troubles.listen(self.telling.queue.add)
        self._routes.listen(self._came_or_went)
        self._leaving.listen(self._left)
        self._desired.listen(self.pushing.queue.add)
        self._subjects.listen(self._changed)

    async def admit(self, agent: Agent, hello: pb.Hello) -> Admission:
        """Whether an agent is let in; a second cluster or process that comes under its name is told of."""
        await self._subjects.synced()
        obj = self._subjects.get(agent.name)
        if obj is None:
            return Admission(f"there is no {words(agent.name)} here")
        came = Came(agent.registration, str(obj["metadata"].get("uid", "")), hello.cluster_uid, agent.began)
        record, refusal = await self._enrolments.admit(agent.name, came)
        if refusal is not None:
            if refusal.second:
                self._troubles.tell(agent.name, DUPLICATE, refusal.reason)
            elif not connected(obj.get("status") or {}):
                self._troubles.tell(agent.name, OUTDATED, refusal.reason)
            return Admission(refusal.reason, identity=True)
        if twin := await self._health.refuse_twin(agent.name, hello):
            self._troubles.tell(agent.name, TWIN, twin)
            return Admission(twin, identity=True)
        mute = not hello.cluster_uid and not hello.kubernetes_version and IDENTIFIES in hello.features
        return Admission(held=mute and bool(record.cluster))

    def heartbeat(self, name: str, beat: pb.Heartbeat) -> None:
        """An agent lives."""
        if self._health.heartbeat(name, beat):
            self.judging.queue.add(name)

    def _came_or_went(self, name: str) -> None:
        self._left(name)
        self._push(name)

    def _left(self, name: str) -> None:
        self.judging.queue.add(name)
        self.telling.queue.add(name)
        self.ending.queue.add(name)

    def _changed(self, name: str) -> None:
        if self._subjects.get(name) is None:
            self._routes.dismiss(name, f"{words(name)} was deleted")
            self._push(name)  # what is for it waits for nobody any more

    def _push(self, name: str) -> None:
        for key in self._assigned.keys(name):
            self.pushing.queue.add(key)


@contextlib.asynccontextmanager
async def _listening(
    servicer: LinkServer, options: Options, shown: Callable[[], KeyPair], authority: Authority, outside: Callable[[], KeyPair]
) -> AsyncIterator[tuple[str, str]]:
    """Accept agents and gateways until the block is left; gives the addresses that they dial: with certificates, and with statements.

    Raises OSError if it cannot listen.
    """

    def pair(of: Callable[[], KeyPair]) -> wire.Pair:
        return lambda: ((now := of()).certificate, now.key)

    server, port = wire.server(servicer, f"{options.host}:{options.port}", pair(shown), lambda: authority.bundle)
    servers, second = [server], ""
    if options.statement_port is not None:
        other, other_port = wire.server(servicer, f"{options.host}:{options.statement_port}", pair(outside), None)
        servers.append(other)
        second = f"{options.known_as}:{other_port}"
    for each in servers:
        await each.start()
    try:
        yield f"{options.known_as}:{port}", second
    finally:
        await asyncio.gather(*(each.stop(grace=1) for each in servers))


PHASES = ("Connected", "Deleting", "Disconnected", "Pending")
HEALTHS = ("DISCONNECTED", "HEALTHY", "UNHEALTHY", "WARNING")


def _phases(managements: Informer) -> dict[str, int]:
    found = Counter(
        str((each.get("status") or {}).get("phase") or "Pending") for each in managements.all() if each["metadata"]["name"] not in BUILTIN
    )
    return {**dict.fromkeys(PHASES, 0), **found}


def _healths(clusters: Informer) -> dict[str, int]:
    there = (each["status"] for each in clusters.all() if not each["metadata"].get("deletionTimestamp"))
    found = Counter(str(status.get("health") or "") for status in there if status.get("agent"))
    return {each: found[each] for each in HEALTHS}


def _states(sets: Informer) -> dict[str, int]:
    found = Counter(state_of(each) for each in sets.all())
    return {each: found[each] for each in STATES}


async def free_shares(client: HttpClient) -> None:
    """Take the controllers' shares from holders that are known to be gone."""
    await bury_all(client, SYSTEM_NAMESPACE)


async def controllers(client: HttpClient, clock: Clock, shares: set[int]) -> None:
    """Run the controllers for the management clusters that fall to this process, until cancelled; ``shares`` are those of the moment."""

    async def run(holding: Holding) -> None:
        shares.update(holding.epochs)
        try:
            async with TaskOwner("controllers") as owner:
                owner.spawn(PlacesController(client, holding=holding, clock=clock).run(), "places")
                owner.spawn(MirrorController(client, holding=holding, clock=clock).run(), "mirror")
                await ClusterController(client, holding=holding, clock=clock).run()
        finally:
            shares.clear()

    await work_on_shares(client, SYSTEM_NAMESPACE, clock, run)
