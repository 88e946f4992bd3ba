"""``/metrics`` and ``/healthz`` of an agent, where it was told to serve them.

The agent is dialled by nobody but whoever scrapes it, so this is plain HTTP and off unless it was asked for: bind it to
the loopback device or to a pod's network. Nothing here names an object or holds a credential.
"""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

from aiohttp import web

from skerry.kit.log import get
from skerry.kit.metrics import counter, gauge
from skerry.kit.page import Page
from skerry.pki import expiry
from skerry.runtime import meters
from skerry.runtime.meters import Meters
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import KindName

BUILD = gauge("skerry_agent_build_info", "1; the labels say which release runs, and on what.", "version", "python")
AGENT = {
    "connected": gauge("skerry_agent_connected", "1 while a session with the gateway stands."),
    "sessions": counter("skerry_agent_sessions_begun_total", "Sessions that began."),
    "heartbeats": counter("skerry_agent_heartbeats_total", "Heartbeats that were sent."),
}
ENFORCER = {
    "sets": gauge("skerry_agent_sets", "ManifestSets that are kept enforced."),
    "enforced": counter("skerry_agent_enforcements_total", "How often a ManifestSet was enforced, to its end."),
    "repairs": counter(
        "skerry_agent_drift_repairs_total", "How often a ManifestSet was enforced again because somebody had changed its objects."
    ),
    "drifts": counter("skerry_agent_drifted_objects_total", "Objects of ManifestSets that somebody had changed, and that were put right."),
    "reports": gauge("skerry_agent_reports_waiting", "Reports that wait for the gateway to take them."),
}
OUTCOMES = gauge("skerry_agent_objects", "Objects of ManifestSets, by what became of them when they were last enforced.", "outcome")
INVENTORY = gauge("skerry_agent_inventory_objects", "Objects that are reported as inventory, by kind.", "group", "resource")
WAITING = {"changed": gauge("skerry_agent_inventory_waiting", "Objects that changed and were not reported yet.")}
PROXY = {
    "calls": counter("skerry_agent_proxied_calls_total", "Calls to the cluster's API that were passed on."),
    "running": gauge("skerry_agent_proxied_calls_running", "Calls to the cluster's API that are under way."),
}
REACHABLE = gauge("skerry_agent_api_reachable", "1 while the cluster's own API answers.")
CLIENT = counter("rest_client_requests_total", "Requests that the cluster's own API answered.", "code", "method")

METRICS = (
    *(BUILD, *AGENT.values(), *ENFORCER.values(), OUTCOMES, INVENTORY, *WAITING.values(), *PROXY.values(), REACHABLE, CLIENT),
    *(*meters.METRICS, expiry.EXPIRY),
)
"""Every metric of an agent, but those of its process."""

ALL_OUTCOMES = {value: name.removeprefix("OUTCOME_").lower() for name, value in pb.Outcome.items()}

log = get("agent.metrics")


@dataclass(frozen=True, slots=True)
class Sources:
    """What is read when somebody asks."""

    statistics: Callable[[], Mapping[str, Mapping[str, int]]]
    outcomes: Callable[[], Mapping[int, int]]
    inventory: Callable[[], Mapping[KindName, int]]
    certificates: Callable[[], Mapping[str, bytes]]
    reachable: Callable[[], bool]
    answered: Mapping[tuple[str, int], int]
    meters: Meters


def page(sources: Sources) -> Page:
    """The metrics of one agent."""
    made = Page()
    build = (version("skerry"), platform.python_version())
    made.show(BUILD, lambda: [(build, 1)])
    for name, metrics in {"agent": AGENT, "enforcer": ENFORCER, "inventory": WAITING, "proxy": PROXY}.items():
        made.show_each(metrics, lambda name=name: sources.statistics()[name])  # type: ignore[misc] # binds the name of this turn
    made.show(OUTCOMES, lambda: [((ALL_OUTCOMES[each],), sources.outcomes().get(each, 0)) for each in ALL_OUTCOMES if each])
    made.show(INVENTORY, lambda: [(tuple(kind), count) for kind, count in sorted(sources.inventory().items())])
    made.show_one(REACHABLE, sources.reachable)
    made.show(CLIENT, lambda: [((str(code), method), count) for (method, code), count in sorted(sources.answered.items())])
    made.show_beside(expiry.EXPIRY, lambda: expiry.of(sources.certificates()))
    meters.show(made, sources.meters)
    return made


@asynccontextmanager
async def served(address: str, shown: Page) -> AsyncIterator[int]:
    """Serve a page until the block is left; gives the port. Raises OSError if the address cannot be had."""

    async def metrics(request: web.Request) -> web.Response:
        body, media = await shown.answer(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": media})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application(client_max_size=1)
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz)])
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=75)
    host, _, port = address.rpartition(":")
    await runner.setup()
    try:
        site = web.TCPSite(runner, host.strip("[]") or None, int(port), shutdown_timeout=1)
        await site.start()
        bound = int(runner.addresses[0][1])
        log.info("serving metrics", address=f"{host}:{bound}")
        yield bound
    finally:
        await runner.cleanup()
