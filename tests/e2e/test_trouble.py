"""The link in trouble, on real processes: who is killed in the middle of work goes on, and nothing is lost or done twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from peers.kubernetes import NAMESPACED, Kubernetes
from tests.e2e.agents import Agent
from tests.e2e.server import Server, eventually, running

pytestmark = pytest.mark.peer("kubernetes")

Json = dict[str, Any]
MANY = 300
MINUTES = 125.0
ENOUGH = 20
"""So many objects are there when somebody is killed: work has begun."""


class Site:
    """A server, an agent, and the real cluster that it serves."""

    def __init__(self, peer: Kubernetes, server: Server, agent: Agent) -> None:
        self.peer, self.server, self.agent = peer, server, agent

    def ask(self, name: str, objects: dict[str, str]) -> None:
        """Ask for ConfigMaps in the namespace of the same name as the set."""
        manifests: list[Json] = [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": key, "namespace": name}, "data": {"v": value}}
            for key, value in objects.items()
        ]
        body = {
            "apiVersion": "fleet.skerry.dev/v1alpha1",
            "kind": "ManifestSet",
            "metadata": {"name": name, "namespace": "real"},
            "spec": {"ownerEpoch": 1, "manifests": manifests},
        }
        self.server.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(body))

    def there(self, name: str) -> dict[str, Json]:
        """What the cluster holds of a set."""
        label = "fleet.skerry.dev%2Fmanifest-set"
        found = self.peer.admin.ask("GET", f"/api/v1/namespaces/{name}/configmaps?labelSelector={label}")
        return {each["metadata"]["name"]: each for each in found["items"]}

    def settled(self, name: str, count: int) -> bool:
        found = json.loads(self.server.kubectl("get", "manifestset", name, "-n", "real", "-o", "json"))
        status = found.get("status") or {}
        return (status.get("observedGeneration"), status.get("applied"), status.get("failed"), status.get("pending")) == (
            found["metadata"]["generation"], count, 0, 0
        )  # fmt: skip

    def wait(self, condition: str, status: str) -> None:
        self.server.kubectl("wait", f"--for=condition={condition}={status}", "managementcluster/real", "--timeout=120s")

    def healthy(self) -> None:
        self.wait("Connected", "True")
        self.wait("Healthy", "True")

    def converged(self, name: str, objects: dict[str, str]) -> dict[str, Json]:
        """Wait until both sides say that a set is as asked for, and hold the cluster against it."""
        eventually(lambda: self.settled(name, len(objects)), 120, self.agent.log)
        found = self.there(name)
        assert {key: each["data"]["v"] for key, each in found.items()} == objects
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("trouble")
    with Kubernetes(controllers=NAMESPACED) as peer, running(folder) as server:
        server.kubectl("apply", "-f", "-", stdin="apiVersion: fleet.skerry.dev/v1alpha1\nkind: ManagementCluster\nmetadata: {name: real}\n")
        agent = Agent(server, "real", peer.kubeconfig, folder)
        agent.start()
        made = Site(peer, server, agent)
        try:
            made.healthy()
            yield made
        finally:
            agent.stop()


@pytest.fixture
def name(site: Site, request: pytest.FixtureRequest) -> str:
    """A set, and the namespace for its objects."""
    made = f"set-{abs(hash(request.node.name)) % 10**8}"
    site.peer.admin.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made}})
    return made


def begin(site: Site, name: str) -> dict[str, str]:
    """Ask for many objects, and come back in the middle of the work."""
    objects = {f"m{number}": "1" for number in range(MANY)}
    site.ask(name, objects)
    eventually(lambda: len(site.there(name)) >= ENOUGH, 120, site.agent.log)
    return objects


def test_an_agent_that_is_killed_at_work_is_called_away_and_goes_on_where_it_was(site: Site, name: str) -> None:
    begin(site, name)
    site.agent.stop(signal.SIGKILL)
    before = site.there(name)
    site.wait("Connected", "False")
    site.wait("Healthy", "Unknown")
    wanted = {f"m{number}": "2" if number % 2 else "1" for number in range(10, MANY)} | {"late": "1"}
    site.ask(name, wanted)
    site.agent.start()
    after = site.converged(name, wanted)
    site.healthy()
    kept = before.keys() & after.keys()
    assert {key: after[key]["metadata"]["uid"] for key in kept} == {key: before[key]["metadata"]["uid"] for key in kept}
    unchanged = {key for key in kept if wanted[key] == "1"}
    assert {key: after[key]["metadata"]["resourceVersion"] for key in unchanged} == {
        key: before[key]["metadata"]["resourceVersion"] for key in unchanged
    }


def test_a_server_that_is_killed_at_work_finds_the_cluster_as_it_was_asked_for_and_says_so(site: Site, name: str) -> None:
    objects = begin(site, name)
    site.server.stop(signal.SIGKILL)
    eventually(lambda: len(site.there(name)) == MANY, 120, site.agent.log)
    before = site.there(name)
    site.server.start()
    after = site.converged(name, objects)
    assert after == before, "what was in order was left alone"
    site.healthy()
    site.ask(name, {"m0": "2"})
    site.converged(name, {"m0": "2"})


def test_when_everything_is_killed_at_once_everything_goes_on(site: Site, name: str) -> None:
    begin(site, name)
    site.server.kubectl("delete", "manifestset", name, "-n", "real", "--wait=false")
    site.agent.stop(signal.SIGKILL)
    site.server.stop(signal.SIGKILL)
    site.agent.start()  # it finds nobody, and waits
    site.server.start()
    site.server.kubectl("wait", "--for=delete", "manifestset", name, "-n", "real", "--timeout=120s")
    assert site.there(name) == {}
    site.healthy()


def test_a_cluster_whose_api_hangs_for_minutes_is_unhealthy_and_then_as_asked_for(site: Site, name: str) -> None:
    site.ask(name, {"still": "1", "moves": "1"})
    before, began = site.converged(name, {"still": "1", "moves": "1"}), time.monotonic()
    frozen = next(each.process.pid for each in site.peer.processes.programs if each.name == "kube-apiserver")
    os.kill(frozen, signal.SIGSTOP)
    try:
        site.wait("Healthy", "False")
        said = json.loads(site.server.kubectl("get", "managementcluster", "real", "-o", "json"))["status"]
        assert {each["type"]: each["reason"] for each in said["conditions"]} == {"Connected": "AgentConnected", "Healthy": "ApiUnreachable"}
        wanted = {"still": "1", "moves": "2", "late": "1"}
        site.ask(name, wanted)
        time.sleep(max(0.0, began + MINUTES - time.monotonic()))
        site.wait("Connected", "True")
    finally:
        os.kill(frozen, signal.SIGCONT)
    after = site.converged(name, wanted)
    site.healthy()
    assert after["still"] == before["still"], "what was in order was left alone"
    assert after["moves"]["metadata"]["uid"] == before["moves"]["metadata"]["uid"]
