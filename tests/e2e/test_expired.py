"""An agent that was away until its certificate ended, on real processes: it renews it by itself, or is told of with what to do.

The installation's root is a year old here, so that it can have signed what ended long ago.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from peers.kubernetes import NAMESPACED, Kubernetes
from skerry.kinds.common import API_VERSION
from tests.e2e.agents import Agent, begun_long_ago, registration_of
from tests.e2e.server import Server, eventually

pytestmark = pytest.mark.peer("kubernetes")

Json = dict[str, Any]
CLUSTER = "attached.shop"
NAME = f"attached.{CLUSTER}"
GRACE = 90
MANY = 20
RENEWED = "renewed the certificate of an agent that was away"


@dataclass
class Site:
    """A server, the real cluster of the attached cluster, and its agent's folder."""

    server: Server
    peer: Kubernetes
    folder: Path

    def agent(self) -> Agent:
        """The agent, with a new token beside what it keeps."""
        return Agent(self.server, NAME, self.peer.kubeconfig, self.folder)

    def connected(self) -> Json:
        """The condition, as people see it."""
        path = 'jsonpath={.status.conditions[?(@.type=="Connected")]}'
        found: Json = json.loads(self.server.kubectl("get", "cluster", CLUSTER, "-n", "attached", "-o", path))
        return found

    def wait(self, status: str, reason: str) -> None:
        eventually(lambda: (self.connected()["status"], self.connected()["reason"]) == (status, reason), 120, self.folder / "agent.log")

    def ask(self, name: str, objects: dict[str, str]) -> None:
        """Ask for ConfigMaps in the namespace of the same name as the set."""
        maps = [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": key, "namespace": name}, "data": {"v": value}}
            for key, value in objects.items()
        ]
        spec = {
            "ownerEpoch": 1,
            "cluster": CLUSTER,
            "manifests": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, *maps],
        }
        body = {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": {"name": name, "namespace": "attached"}, "spec": spec}
        self.server.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def there(self, name: str) -> dict[str, Json]:
        """What the cluster holds of a set."""
        found = self.peer.admin.ask("GET", f"/api/v1/namespaces/{name}/configmaps?labelSelector=fleet.skerry.dev%2Fmanifest-set")
        return {each["metadata"]["name"]: each for each in found["items"]}

    def converged(self, name: str, objects: dict[str, str]) -> dict[str, Json]:
        """Wait until both sides say that a set is as asked for; what the cluster holds then."""

        def settled() -> bool:
            found = json.loads(self.server.kubectl("get", "manifestset", name, "-n", "attached", "-o", "json"))
            status = found.get("status") or {}
            return (status.get("observedGeneration"), status.get("applied")) == (found["metadata"]["generation"], len(objects) + 1)

        eventually(settled, 120, self.folder / "agent.log")
        found = self.there(name)
        assert {key: each["data"]["v"] for key, each in found.items()} == objects
        return found

    def renewals(self) -> int:
        """How often the server has renewed a certificate that had ended."""
        return self.server.log.read_text().count(RENEWED)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("expired")
    server = Server(folder, "--agent-grace-days", str(GRACE), verb="server")
    begun_long_ago(server)
    server.start()
    try:
        with Kubernetes(controllers=NAMESPACED) as peer:
            body = {"apiVersion": API_VERSION, "kind": "Cluster", "metadata": {"name": CLUSTER, "namespace": "attached"}}
            server.kubectl("apply", "-f", "-", stdin=json.dumps(body))
            yield Site(server, peer, folder)
    finally:
        server.stop()


def versions(objects: dict[str, Json]) -> dict[str, str]:
    return {name: f"{each['metadata']['uid']} {each['metadata']['resourceVersion']}" for name, each in objects.items()}


def test_an_agent_whose_certificate_ended_while_it_was_away_comes_back_by_itself_and_does_nothing_twice(site: Site) -> None:
    agent, objects = site.agent(), {f"m{number}": "1" for number in range(MANY)}
    with agent.running():
        site.wait("True", "AgentConnected")
        site.ask("renewed", objects)
        before = site.converged("renewed", objects)
    agent.age(site.server, GRACE - 1)
    old = agent.identity
    site.wait("False", "AgentAway")
    changed = objects | {"m0": "2"}
    site.ask("renewed", changed)
    with agent.running():  # with the token of its registration, which is used up, as a pod is started
        site.wait("True", "AgentConnected")
        after = site.converged("renewed", changed)
    assert after.pop("m0")["metadata"]["uid"] == before.pop("m0")["metadata"]["uid"]
    assert versions(after) == versions(before), "what was in order was left alone"
    new = agent.identity
    assert not new.expired(datetime.now(UTC))
    assert (new.key != old.key, registration_of(new)) == (True, registration_of(old))
    site.wait("False", "AgentAway")
    with agent.running():
        site.wait("True", "AgentConnected")
        assert site.renewals() == 1, "it was renewed once, and kept"
        here = json.loads(site.server.kubectl("get", "--raw", "/skerry/v1/statistics"))["agents"]
        assert [each["name"] for each in here] == [NAME]


def test_one_that_was_away_for_too_long_is_told_of_with_what_to_do_and_that_brings_it_back(site: Site) -> None:
    agent, objects = site.agent(), {f"n{number}": "1" for number in range(MANY)}
    with agent.running():
        site.wait("True", "AgentConnected")
        site.ask("late", objects)
        before, renewals = site.converged("late", objects), site.renewals()
    agent.age(site.server, GRACE + 1)
    changed = objects | {"n0": "2"}
    site.ask("late", changed)
    with agent.running():
        site.wait("False", "CertificateExpired")
        assert f"too long ago to be renewed: give the agent a new token (skerry token {NAME})" in site.connected()["message"]
        said = "the agent's certificate has ended and is not renewed; register it with a new token"
        eventually(lambda: said in agent.log.read_text(), 60, agent.log)
        assert versions(site.there("late")) == versions(before), "who is not let in does nothing"
        assert agent.process is not None
        assert agent.process.poll() is None, "it waits for what a person does"
    with site.agent().running():
        site.wait("True", "AgentConnected")
        after = site.converged("late", changed)
        assert after.pop("n0")["metadata"]["uid"] == before.pop("n0")["metadata"]["uid"]
        assert versions(after) == versions(before)
        assert site.renewals() == renewals
        path = "jsonpath={.status.trouble}"
        eventually(lambda: not site.server.kubectl("get", "cluster", CLUSTER, "-n", "attached", "-o", path), 60)
