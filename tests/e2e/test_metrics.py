"""Metrics as an operator meets them: a real server and a real agent, scraped by a real Prometheus with what is shipped for it."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from peers.processes import free_port
from peers.prometheus import Prometheus, promtool
from skerry.agent import metrics as agent_metrics
from skerry.client import kubeconfig
from skerry.client.connection import Connection
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.compose import metrics
from skerry.compose.embedded import embedded
from skerry.compose.settings import ServerSettings
from skerry.kinds import catalogue
from skerry.kit.metrics import Metric
from skerry.kit.page import OPENMETRICS, TEXT
from skerry.machinery.errors import ApiError
from tests.e2e.agents import Agent, front_root
from tests.e2e.server import Server, clients
from tests.e2e.test_lines import API, SITES, simulated
from tests.gateway.fleet import eventually
from tests.test_monitoring import ROOT, SHIPPED, why_not

PLURALS = {resource.kind: Ref(resource.group, resource.version, resource.plural, namespaced=False) for resource in catalogue.FLEET}
NAME = "sv-1"


async def text(at: Connection, accept: str = "") -> tuple[str, str]:
    """The page of a server, and its content type."""
    headers = {"Accept": accept, "Authorization": f"Bearer {at.bearer()}"}
    async with aiohttp.ClientSession() as session, session.get(at.server + metrics.PATH, ssl=at.tls() or True, headers=headers) as answer:
        return await answer.text(), answer.headers["Content-Type"]


def families(page: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE))


def own(found: set[str]) -> set[str]:
    return {name for name in found if not name.startswith(("process_", "python_"))}


def declared(of: tuple[Metric, ...]) -> set[str]:
    return {metric.name for metric in of}


async def test_two_servers_in_one_process_count_apart_and_show_what_is_declared(tmp_path: Path) -> None:
    pages = []
    async with AsyncExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            settings = ServerSettings(tmp_path / name, port=0, gateway_port=0)
            servers.append(await stack.enter_async_context(embedded(settings)))
        async with HttpClient(servers[0].admin) as client:
            for number in range(3):
                body = {"apiVersion": API, "kind": "ClusterGroup", "metadata": {"name": f"g-{number}"}}
                await client.create(PLURALS["ClusterGroup"], body)
        for server in servers:
            async with HttpClient(server.admin) as client, client.open("GET", metrics.PATH) as answer:
                assert answer.headers["Content-Type"] == TEXT
                pages.append((await answer.read()).decode())
    for page in pages:
        assert own(families(page)) == declared(metrics.METRICS)
        named = set(re.findall(r'skerry_certificate_expiration_timestamp_seconds\{name="([^"]+)"\}', page))
        assert named == {"admin", "controllers", "external", "front-door", "gateway", "internal"}
        assert 'leader_election_master_status{name="share-15"}' in page
        assert "skerry_store_writable 1.0" in page
        assert re.search(r'workqueue_adds_total\{name="namespaces"\} [1-9]', page)
    made = 'code="201",group="fleet.skerry.dev",resource="clustergroups",scope="resource"'
    first, second = (re.search(rf"apiserver_request_total\{{{made}.* (\S+)", page) for page in pages)
    assert first is not None
    assert second is not None
    assert float(first[1]) == float(second[1]) + 3  # one is there from the beginning
    objects = [re.search(r'apiserver_storage_objects\{resource="clustergroups.fleet.skerry.dev"\} (\S+)', page) for page in pages]
    assert [float(each[1]) for each in objects if each] == [4, 1]


@dataclass
class Watched:
    """A server, an agent with a port of its own, and Prometheus, which scrapes both every second."""

    server: Server
    agent: Agent
    prometheus: Prometheus
    robot: Connection
    folder: Path
    agent_port: int


async def made(client: HttpClient, example: str) -> list[dict[str, Any]]:
    """Make what an example holds."""
    found = [each for each in yaml.safe_load_all((ROOT / "examples" / example).read_text()) if each]
    return [await client.create(PLURALS[each["kind"]], each) for each in found]


def configured(folder: Path, server: Server, agent_port: int) -> Path:
    """What is shipped, with this test's addresses, and with a second in the place of every half minute."""
    shutil.copytree(SHIPPED, folder)
    config, rules = folder / "prometheus.yaml", folder / "skerry.rules.yaml"
    changed = config.read_text().replace("localhost:8443", f"localhost:{server.port}").replace("localhost:9464", f"127.0.0.1:{agent_port}")
    config.write_text(changed.replace("interval: 30s", "interval: 1s"))
    rules.write_text(re.sub(r"for: \d+[mh]", "for: 1s", rules.read_text()))
    (folder / "front.crt").write_bytes(front_root(server))
    return config


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    if why := why_not():
        pytest.skip(why)
    server, agent_port, folder = Server(tmp_path), free_port(), tmp_path / "monitoring"
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(server.start)
        stack.callback(server.stop)
        target = await stack.enter_async_context(simulated())
        (tmp_path / "target").write_bytes(kubeconfig.render(target))
        (client,) = await stack.enter_async_context(clients([server]))
        await client.create(SITES, {"apiVersion": API, "kind": "ManagementCluster", "metadata": {"name": NAME}})
        more = ("--metrics-address", f"127.0.0.1:{agent_port}")
        agent = await asyncio.to_thread(lambda: Agent(server, NAME, tmp_path / "target", tmp_path, more=more))
        agent.start()
        stack.callback(lambda: agent.process and agent.process.poll() is None and agent.stop())
        await made(client, "metrics-access.yaml")
        (token,) = await made(client, "metrics-token.yaml")
        config = configured(folder, server, agent_port)
        (folder / "prometheus.token").write_text(token["status"]["token"])
        robot = replace(Connection(client.connection.server, ca=client.connection.ca), token=token["status"]["token"])
        prometheus = stack.enter_context(Prometheus(config, tmp_path))
        yield Watched(server, agent, prometheus, robot, folder, agent_port)


async def seen(watched: Watched, what: Callable[[Prometheus], object]) -> Any:
    """Wait until Prometheus shows something."""
    return await eventually(lambda: asyncio.to_thread(what, watched.prometheus), 90)


def firing(prometheus: Prometheus) -> set[str]:
    return {each["labels"]["alertname"] for each in prometheus.api("/alerts")["alerts"] if each["state"] == "firing"}


async def test_prometheus_scrapes_a_server_and_its_agent_and_tells_when_the_agent_goes(watched: Watched) -> None:
    for command in (("check", "config", "prometheus.yaml"), ("check", "rules", "skerry.rules.yaml")):
        code, said = await asyncio.to_thread(partial(promtool, *command, folder=watched.folder))
        assert code == 0, said

    def up(prometheus: Prometheus) -> bool:
        targets = prometheus.api("/targets")["activeTargets"]
        assert all(each["health"] == "up" for each in targets), [each["lastError"] for each in targets]
        return {each["labels"]["job"] for each in targets} == {"skerry", "skerry-agent"}

    await seen(watched, up)
    for expression in (
        'skerry_agents_connected{job="skerry"} == 1',
        'skerry_management_clusters{phase="Connected"} == 1',
        'skerry_clusters{health="DISCONNECTED"} == 0',
        'skerry_manifest_sets{state="Failed"} == 0',
        'skerry_agent_connected{job="skerry-agent"} == 1',
        "skerry_agent_heartbeats_total >= 1",
        "skerry_agent_api_reachable == 1",
        'skerry_agent_inventory_objects{group="cluster.x-k8s.io",resource="clusterclasses"} >= 1',
        'sum(leader_election_master_status{job="skerry"}) == 16',
        'count(skerry_certificate_expiration_timestamp_seconds{job="skerry"} > time() + 7 * 86400) == 6',
        'count(skerry_certificate_expiration_timestamp_seconds{job="skerry-agent"} > time() + 7 * 86400) == 2',
        'rate(apiserver_request_total{resource="",subresource="/metrics",code="200"}[30s]) > 0',
        'histogram_quantile(0.99, sum by (le) (rate(apiserver_request_duration_seconds_bucket{job="skerry"}[1m]))) < 10',
        "skerry:request_duration_seconds:p99_5m < 10",
        "skerry:request_errors:ratio_rate5m < 1",
        'rate(workqueue_work_duration_seconds_count{job="skerry",name="cluster"}[1m]) >= 0',
        'process_resident_memory_bytes{job="skerry"} > 1e6',
    ):
        await seen(watched, methodcaller("query", expression))
    rules = await asyncio.to_thread(watched.prometheus.api, "/rules")
    broken = [(each["name"], each.get("lastError")) for group in rules["groups"] for each in group["rules"] if each["health"] != "ok"]
    assert broken == []
    assert await asyncio.to_thread(firing, watched.prometheus) == set()

    await asyncio.to_thread(watched.agent.stop)
    await seen(watched, lambda prometheus: "SkerryAgentAway" in firing(prometheus))
    assert await asyncio.to_thread(watched.prometheus.query, 'skerry_management_clusters{phase="Disconnected"} == 1')


async def test_what_is_served_is_well_formed_and_the_robot_sees_nothing_else(watched: Watched) -> None:
    async with HttpClient(kubeconfig.read(watched.server.kubeconfig)) as admin:
        await eventually(lambda: admin.raw("GET", f"/k8s/{NAME}/version"))
        for path in (f"/k8s/{NAME}/nowhere", "/k8s/no-such/version"):
            with pytest.raises(ApiError):
                await admin.raw("GET", path)
    pages = {"server": await text(watched.robot), "agent": await eventually(lambda: _of_agent(watched, ""))}
    for name, (page, media) in pages.items():
        assert media == TEXT
        code, said = await asyncio.to_thread(partial(promtool, "check", "metrics", folder=watched.folder, stdin=page.encode()))
        assert (code, said) == (0, ""), (name, said)
    assert own(families(pages["server"][0])) == declared(metrics.METRICS)
    assert own(families(pages["agent"][0])) == declared(agent_metrics.METRICS)
    for kind in ("2xx", "4xx", "5xx"):
        assert re.search(rf'skerry_proxied_calls_total\{{code="{kind}"\}} [1-9]', pages["server"][0]), kind
    assert "skerry_proxied_calls_running 0.0" in pages["server"][0]
    assert re.search(r"skerry_agent_proxied_calls_total [2-9]", pages["agent"][0])
    assert "no-such" not in pages["server"][0]
    for page, media in (await text(watched.robot, OPENMETRICS), await _of_agent(watched, OPENMETRICS)):
        assert media == OPENMETRICS
        assert len(list(text_string_to_metric_families(page))) > 30  # type: ignore[no-untyped-call] # the library's
    async with HttpClient(watched.robot) as client:
        for path in ("/skerry/v1/statistics", f"/apis/{API}/clusters", "/api/v1/secrets", f"/k8s/{NAME}/version"):
            with pytest.raises(ApiError) as caught:
                await client.raw("GET", path)
            assert caught.value.reason == "Forbidden", path
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{watched.agent_port}/healthz") as answer:
        assert (answer.status, await answer.text()) == (200, "ok")


async def _of_agent(watched: Watched, accept: str) -> tuple[str, str]:
    at = f"http://127.0.0.1:{watched.agent_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(at, headers={"Accept": accept}) as answer:
        return await answer.text(), answer.headers["Content-Type"]
