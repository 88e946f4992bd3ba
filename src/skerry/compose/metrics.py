"""``/metrics`` of a server: what its parts counted, under the names that people know from Kubernetes where there are any.

Parts count for themselves and say so in their ``statistics()``; here that is read when somebody asks, and given names. What
a caller chooses (names, users, paths) is never a label, so the number of series is bounded by what is served.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version

from skerry.access.audit import AuditFile
from skerry.compose.settings import ServerSettings
from skerry.kit.lag import LoopLag
from skerry.kit.metrics import Value, counter, gauge, histogram
from skerry.kit.page import Page
from skerry.pki import expiry
from skerry.restapi.cache import ResourceCache
from skerry.restapi.server import ApiServer
from skerry.restapi.tally import Series
from skerry.runtime import meters
from skerry.runtime.meters import Meters
from skerry.runtime.shares import SHARES

PATH = "/metrics"

BUILD = gauge("skerry_build_info", "1; the labels say which release runs, and on what.", "version", "kubernetes", "python")
REQUESTS = counter("apiserver_request_total", "Requests that were answered, watches when they end.", *Series._fields, "code")
DURATIONS = histogram(
    "apiserver_request_duration_seconds", "How long requests took, from their head to the last byte of the answer.", *Series._fields
)
INFLIGHT = gauge("apiserver_current_inflight_requests", "Requests that are being answered, streams apart.", "request_kind")
LONG = gauge("apiserver_longrunning_requests", "Watches that are open.", "verb", "group", "version", "resource")
SENT = counter("apiserver_watch_events_total", "Events that were sent to watchers, bookmarks too.", "group", "version", "resource")
OBJECTS = gauge("apiserver_storage_objects", "Objects that there are, by resource and group.", "resource")
CROWD = {
    "refused": counter(
        "apiserver_flowcontrol_rejected_requests_total", "Requests and watches that were refused with 429, for there were too many."
    ),
    "seated": gauge("apiserver_flowcontrol_current_executing_requests", "Requests of people and robots that hold a seat."),
    "waiting": gauge("apiserver_flowcontrol_current_inqueue_requests", "Requests of people and robots that wait for a seat."),
    "body_bytes": gauge("skerry_request_body_bytes", "Bytes of request bodies that are in memory."),
}
ASIDE = {
    "here": gauge("skerry_aside_running", "Pieces of work on large documents that are here."),
    "done": counter("skerry_aside_done_total", "Pieces of work on large documents that were done."),
    "refused": counter("skerry_aside_refused_total", "Pieces of work on large documents that were refused, for there were too many."),
}
DOOR = {
    "connections": gauge("skerry_door_connections", "Connections to the front door."),
    "refused": counter("skerry_door_refused_total", "Requests that never reached the API: no HTTP, too large, too slow."),
    "failed_handshakes": counter("apiserver_tls_handshake_errors_total", "TLS handshakes that failed or were given up."),
}
AUDIT = {
    "written": counter("skerry_audit_written_total", "Records that were written to the audit log."),
    "waiting": gauge("skerry_audit_waiting", "Records that wait to be written to the audit log."),
    "lost": counter("skerry_audit_lost_total", "Records that were lost: the disk refused, and too many waited."),
}
AUDIT_FAILING = gauge("skerry_audit_failing", "1 while the audit log cannot be written.")
LINK = {
    "connected": gauge("skerry_agents_connected", "Agents that are connected to this server."),
    "queued": gauge("skerry_gateway_messages_waiting", "Messages that wait to be sent to agents."),
    "sessions": counter("skerry_agent_sessions_total", "Sessions that agents began."),
    "refused": counter("skerry_agent_sessions_refused_total", "Sessions that were refused."),
    "heartbeats": counter("skerry_gateway_heartbeats_total", "Heartbeats of agents."),
    "deltas": counter("skerry_gateway_deltas_total", "Deltas of inventory that agents sent."),
    "results": counter("skerry_gateway_results_total", "Reports of agents on what became of a ManifestSet."),
    "relayed": counter("skerry_relayed_calls_total", "Calls to clusters that were passed on to another server."),
}
PHASES = gauge("skerry_management_clusters", "Management clusters that have an agent, by phase; every server tells of all.", "phase")
HEALTHS = gauge("skerry_clusters", "Clusters that have an agent of their own, by health; every server tells of all.", "health")
STATES = gauge("skerry_manifest_sets", "ManifestSets, by what became of them; every server tells of all.", "state")
CALLS_OPENED = counter("skerry_proxied_calls_opened_total", "Calls to clusters for which an agent opened a stream.")
CALLS_WAITING = gauge("skerry_proxied_calls_waiting", "Calls to clusters that wait for the agent's stream.")
CALLS = counter("skerry_proxied_calls_total", "Calls to clusters that were answered at this door, by the class of their code.", "code")
CALLS_RUNNING = gauge("skerry_proxied_calls_running", "Calls to clusters that are under way at this door.")
STORE = {
    "revision": gauge("skerry_store_revision", "The newest revision."),
    "oldest": gauge("skerry_store_compacted_revision", "Up to which revision the log was compacted."),
    "objects": gauge("skerry_store_objects", "Objects in the store."),
    "commits": counter("skerry_store_commits_total", "Transactions that this server committed."),
    "writes": counter("skerry_store_writes_total", "Writes in them."),
}
STORE_WAITING = gauge("skerry_store_writes_waiting", "Writes that wait for a transaction.")
STORE_WRITABLE = gauge("skerry_store_writable", "0 while the store refuses every write until somebody does something about it.")
POSITION = gauge("skerry_store_followed_revision", "Up to which revision this server's caches have followed the log.")
LAG = histogram("skerry_event_loop_lag_seconds", "How late a tick came that is due every 20 ms: how long something held the event loop.")
SHARE = gauge("leader_election_master_status", "1 where this server's controllers work on a share of the management clusters.", "name")
CLIENT = counter("rest_client_requests_total", "Requests of this server's own controllers that the API answered.", "code", "method")

METRICS = (
    *(BUILD, REQUESTS, DURATIONS, INFLIGHT, LONG, SENT, OBJECTS, *CROWD.values(), *ASIDE.values(), *DOOR.values()),
    *(*AUDIT.values(), AUDIT_FAILING, *LINK.values(), PHASES, HEALTHS, STATES, CALLS, CALLS_OPENED, CALLS_RUNNING, CALLS_WAITING),
    *(*STORE.values(), STORE_WAITING, STORE_WRITABLE, POSITION, LAG, SHARE, CLIENT, *meters.METRICS, expiry.EXPIRY),
)
"""Every metric of a server, but those of its process."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a server shows beside its API."""

    audit: AuditFile
    door: Callable[[], Mapping[str, int]]
    link: Callable[[], Mapping[str, int]]
    proxies: Callable[[], Mapping[str, int]]
    phases: Callable[[], Mapping[str, int]]
    healths: Callable[[], Mapping[str, int]]
    states: Callable[[], Mapping[str, int]]
    calls: Calls
    lag: LoopLag
    shares: set[int]
    answered: Mapping[tuple[str, int], int]
    meters: Meters


class Calls:
    """The calls to clusters at one door."""

    def __init__(self) -> None:
        """There was none."""
        self.running = 0
        self.codes: dict[str, int] = {}

    def ended(self, code: int) -> None:
        """Count one; a cluster may answer with any code there is."""
        name = f"{code // 100}xx" if 100 <= code < 600 else "other"
        self.codes[name] = self.codes.get(name, 0) + 1


def offer_metrics(api: ApiServer, settings: ServerSettings, kubernetes: str, sources: Sources) -> Page:
    """Answer :data:`PATH`; ``kubernetes`` is the release whose behaviour is served."""
    page = Page()
    build = (version("skerry"), kubernetes, platform.python_version())
    page.show(BUILD, lambda: [(build, 1)])
    _show_requests(page, api)
    _show_store(page, api)
    page.show_each(DOOR, sources.door)
    page.show_each(AUDIT, sources.audit.statistics)
    page.show_one(AUDIT_FAILING, lambda: sources.audit.failing)
    page.show_each(LINK, sources.link)
    page.show(PHASES, lambda: [((phase,), count) for phase, count in sorted(sources.phases().items())])
    page.show(HEALTHS, lambda: [((health,), count) for health, count in sorted(sources.healths().items())])
    page.show(STATES, lambda: [((state,), count) for state, count in sorted(sources.states().items())])
    page.show_each({"opened": CALLS_OPENED, "waiting": CALLS_WAITING}, sources.proxies)
    page.show(CALLS, lambda: [((code,), count) for code, count in sorted(sources.calls.codes.items())])
    page.show_one(CALLS_RUNNING, lambda: sources.calls.running)
    page.show_one(LAG, lambda: sources.lag.lateness)
    page.show(SHARE, lambda: [((f"share-{each}",), each in sources.shares) for each in range(SHARES)])
    page.show(CLIENT, lambda: [((str(code), method), count) for (method, code), count in sorted(sources.answered.items())])
    meters.show(page, sources.meters)
    page.show_beside(expiry.EXPIRY, lambda: expiry.in_folder(settings.pki))
    api.offer_page(PATH, page.answer)
    return page


def _show_requests(page: Page, api: ApiServer) -> None:
    tally = api.tally

    def codes() -> Iterator[Value]:
        for series, served in tally.series.items():
            yield from (((*series, str(code)), count) for code, count in served.codes.items())

    def durations() -> Iterator[Value]:
        yield from ((series, served.seconds) for series, served in tally.series.items())

    page.show(REQUESTS, codes)
    page.show(DURATIONS, durations)
    page.show(INFLIGHT, lambda: [(("readOnly",), tally.here[True]), (("mutating",), tally.here[False])])
    page.show(LONG, lambda: [(("WATCH", *about), len(cache.watchers)) for about, cache in _kinds(api)])
    page.show(SENT, lambda: [(about, cache.sent) for about, cache in _kinds(api)])
    page.show(OBJECTS, lambda: [((key,), len(cache.rows)) for key, cache in api.parts.feeds.caches.items()])
    page.show_each(CROWD, api.crowd.statistics)
    page.show_each(ASIDE, api.parts.aside.statistics)


def _kinds(api: ApiServer) -> Iterator[tuple[tuple[str, str, str], ResourceCache]]:
    """The cache of every kind, by group, version and plural."""
    for key, resource in api.registry.keys().items():
        if (cache := api.parts.feeds.caches.get(key)) is not None:
            yield (resource.group, resource.version, resource.plural), cache


def _show_store(page: Page, api: ApiServer) -> None:
    store = api.parts.store
    page.show_each(STORE, lambda: asdict(store.statistics()))
    page.show_one(STORE_WAITING, lambda: store.statistics().extra.get("waiting", 0))
    page.show_one(STORE_WRITABLE, lambda: not api.trouble())
    page.show_one(POSITION, lambda: api.parts.feeds.position)
