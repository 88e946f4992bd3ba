"""One identity in two processes: the first goes on, the copy does nothing, and it is told of for as long as it tries.

The clusters write down every request, so that what was done, and how often, is counted where it was done.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from peers.kubernetes import NAMESPACED, Kubernetes
from skerry.gateway.twins import LEAST_SECONDS
from skerry.kinds.common import API_VERSION
from tests.e2e.agents import Agent
from tests.e2e.server import Server, eventually

pytestmark = pytest.mark.peer("kubernetes")

Json = dict[str, Any]
FORGETS_SOON = """
from skerry.cli.main import run
from skerry.gateway import troubles
troubles.KEPT_SECONDS, troubles.AGAIN_SECONDS = 10.0, 2.0
run()
"""
"""A server that forgets a trouble when nobody tells it for ten seconds, instead of three minutes."""
READS = {"get", "list", "watch"}


def written(peer: Kubernetes) -> Counter[str]:
    """How often an agent has written each object of a cluster."""
    whole, _, _ = (peer.folder / "audit.log").read_text().rpartition("\n")
    lines = (json.loads(line) for line in whole.splitlines())
    agents = [each for each in lines if each.get("userAgent") == "skerry-agent" and each["verb"] not in READS]
    return Counter(f"{each['objectRef']['resource']}/{each['objectRef'].get('name', '')}" for each in agents)


@dataclass
class Site:
    """A server, the cluster of management cluster ``real`` and its agent, and another cluster."""

    server: Server
    right: Kubernetes
    wrong: Kubernetes
    agent: Agent

    def condition(self, kind: str) -> Json:
        """A condition, as people see it; empty if there is none."""
        path = f'jsonpath={{.status.conditions[?(@.type=="{kind}")]}}'
        found: Json = json.loads(self.server.kubectl("get", "managementcluster", "real", "-o", path) or "{}")
        return found

    def wait(self, kind: str, status: str | None) -> None:
        eventually(lambda: self.condition(kind).get("status") == status, 120, self.server.log)

    def ask(self, value: str) -> None:
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "told", "namespace": "default"}, "data": {"v": value}}
        body = {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": {"name": "set", "namespace": "real"}}
        self.server.kubectl("apply", "-f", "-", stdin=json.dumps({**body, "spec": {"ownerEpoch": 1, "manifests": [manifest]}}))

    def done(self, value: str) -> None:
        """Wait until both sides say that it is as asked for."""

        def settled() -> bool:
            found = json.loads(self.server.kubectl("get", "manifestset", "set", "-n", "real", "-o", "json"))
            status = found.get("status") or {}
            return (status.get("observedGeneration"), status.get("applied")) == (found["metadata"]["generation"], 1)

        eventually(settled, 120, self.agent.log)
        assert self.right.admin.ask("GET", "/api/v1/namespaces/default/configmaps/told")["data"] == {"v": value}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    server = Server(tmp_path, verb="server", skerry=(sys.executable, "-c", FORGETS_SOON))
    server.start()
    try:
        with Kubernetes(controllers=NAMESPACED, audit=True) as right, Kubernetes(audit=True) as wrong:
            body = {"apiVersion": API_VERSION, "kind": "ManagementCluster", "metadata": {"name": "real"}}
            server.kubectl("apply", "-f", "-", stdin=json.dumps(body))
            agent = Agent(server, "real", right.kubeconfig, tmp_path)
            with agent.running():
                yield Site(server, right, wrong, agent)
    finally:
        server.stop()


def test_a_copied_identity_in_another_cluster_is_told_of_and_neither_does_anything_nor_disturbs_the_first(
    site: Site, tmp_path: Path
) -> None:
    site.wait("Connected", "True")
    site.ask("1")
    site.done("1")
    since = site.server.kubectl("get", "managementcluster", "real", "-o", "jsonpath={.status.agent.connectedSince}")
    (tmp_path / "copy").mkdir()
    second = site.agent.copied(site.wrong.kubeconfig, tmp_path / "copy")
    with second.running():
        site.wait("DuplicateAgent", "True")
        doubled = site.condition("DuplicateAgent")
        uids = [peer.admin.ask("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"] for peer in (site.right, site.wrong)]
        assert all(uid in doubled["message"] for uid in uids), doubled
        eventually(lambda: "each needs a token of its own" in second.log.read_text(), 60, second.log)
        site.ask("2")
        site.done("2")
        assert site.condition("Connected")["status"] == "True"
        assert second.process is not None
        assert second.process.poll() is None, "it goes on asking, and is told of"
    site.wait("DuplicateAgent", None)
    site.ask("3")
    site.done("3")
    assert written(site.right)["configmaps/told"] == 3, "each of three commands was done once"
    assert not written(site.wrong)
    assert site.server.kubectl("get", "managementcluster", "real", "-o", "jsonpath={.status.agent.connectedSince}") == since
    assert site.agent.log.read_text().count('"event": "connected"') == 1, "the first was never interrupted"


def connections(agent: Agent) -> list[str]:
    """The sessions that an agent had, by its own word."""
    lines = (json.loads(line) for line in agent.log.read_text().splitlines() if line.startswith("{"))
    return [line["session"] for line in lines if line["event"] == "connected"]


def test_a_copied_identity_in_the_same_cluster_is_told_of_and_the_first_goes_on_and_does_everything_once(
    site: Site, tmp_path: Path
) -> None:
    site.wait("Connected", "True")
    site.ask("1")
    site.done("1")
    time.sleep(2 * LEAST_SECONDS)  # so much older the first has to be to be known as the first
    (tmp_path / "copy").mkdir()
    second = site.agent.copied(site.right.kubeconfig, tmp_path / "copy")
    with second.running():
        site.wait("DuplicateAgent", "True")
        doubled = site.condition("DuplicateAgent")
        assert doubled["reason"] == "SecondProcess"
        eventually(lambda: "another process with the same identity is connected" in second.log.read_text(), 60, second.log)
        before, sessions, tried = written(site.right)["configmaps/told"], connections(site.agent), connections(second)
        assert len(tried) == 1, "it took the place of the first once, as a process would that was started anew"
        [held] = json.loads(site.server.kubectl("get", "--raw", "/skerry/v1/statistics"))["agents"]
        assert held["session"] == sessions[-1], "the first has it"
        site.ask("2")
        site.done("2")
        eventually(lambda: second.log.read_text().count("another process with the same identity") >= 3, 60, second.log)
        assert site.condition("Connected")["status"] == "True"
    site.wait("DuplicateAgent", None)
    site.ask("3")
    site.done("3")
    assert written(site.right)["configmaps/told"] - before == 2, "each of two commands was done once"
    assert (connections(site.agent), connections(second)) == (sessions, tried)
