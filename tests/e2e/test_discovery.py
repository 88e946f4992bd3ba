"""Clusters of the real Cluster API that Skerry has not made: found, adopted without a change, left alone without a loss."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from peers.clusterapi import CLUSTERS, ClusterApi
from peers.kubernetes import NAMESPACED, Kubernetes
from tests.e2e.agents import Agent
from tests.e2e.server import Server, eventually, running

pytestmark = pytest.mark.peer("kubernetes", "clusterapi")
Json = dict[str, Any]


@dataclass
class Found:
    server: Server
    agent: Agent
    peer: Kubernetes
    capi: ClusterApi

    def cluster(self, name: str) -> Json:
        """The Cluster of Cluster API."""
        found: Json = self.peer.admin.ask("GET", f"{CLUSTERS}/namespaces/team-a/clusters/{name}")
        return found

    def machines(self, name: str) -> set[str]:
        found = self.peer.admin.ask("GET", f"{CLUSTERS}/namespaces/team-a/machines?labelSelector=cluster.x-k8s.io/cluster-name={name}")
        return {each["metadata"]["uid"] for each in found["items"]}

    def shown(self, name: str, plural: str = "cluster") -> Json:
        found: Json = json.loads(self.server.kubectl("get", plural, "-n", "real", f"team-a.{name}", "-o", "json"))
        return found

    def wait(self, name: str, what: str, plural: str = "cluster") -> None:
        self.server.kubectl("wait", f"--for={what}", "-n", "real", f"{plural}/{name}", "--timeout=300s")

    def policy(self, name: str, value: str, *, ok: bool = True) -> str:
        body = json.dumps({"spec": {"managementPolicy": value}})
        return self.server.kubectl("patch", "cluster", "-n", "real", f"team-a.{name}", "--type=merge", "-p", body, ok=ok)

    def make(self, name: str, workers: int = 2) -> Json:
        """Have somebody else make a cluster, and wait until it was found and is ready."""
        self.capi.create_cluster("team-a", name, version="v1.34.2", workers=workers)
        self.wait(f"team-a.{name}", "create")
        self.wait(f"team-a.{name}", "condition=Ready")
        return self.cluster(name)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    folder = tmp_path_factory.mktemp("discovery")
    with Kubernetes(controllers=NAMESPACED) as peer, ClusterApi(peer) as capi, running(folder) as server:
        capi.install_class("team-a", machine="300ms", step="100ms")
        server.kubectl("apply", "-f", "-", stdin="apiVersion: fleet.skerry.dev/v1alpha1\nkind: ManagementCluster\nmetadata: {name: real}\n")
        agent = Agent(server, "real", peer.kubeconfig, folder)
        agent.start()
        try:
            server.kubectl("wait", "--for=condition=Connected", "managementcluster/real", "--timeout=120s")
            server.kubectl("wait", "--for=create", "-n", "real", "clusterclass/team-a.in-memory", "--timeout=120s")
            yield Found(server, agent, peer, capi)
        finally:
            agent.stop()


def managers(obj: Json) -> set[str]:
    return {each["manager"] for each in obj["metadata"]["managedFields"]}


def test_a_cluster_is_found_adopted_without_a_change_left_without_a_loss_and_deleted_when_it_is_managed(found: Found) -> None:
    before = found.make("life")
    machines = found.machines("life")
    assert len(machines) == 3
    shown, pool = found.shown("life"), found.shown("life.md-0", "nodepool")
    assert shown["spec"]["managementPolicy"] == "Observe"
    assert shown["spec"]["network"]["pods"] == ["192.168.0.0/16"]
    assert (shown["status"]["workers"]["summary"], pool["spec"]["replicas"]) == ("2/2", 2)
    assert "finalizers" not in shown["metadata"]
    assert "skerry-agent" not in managers(before)

    found.policy("life", "Manage")
    found.wait("team-a.life", "condition=Applied")
    found.wait("team-a.life", "condition=Ready")
    adopted = found.cluster("life")
    assert (adopted["spec"], adopted["metadata"]["generation"]) == (before["spec"], before["metadata"]["generation"])
    assert "skerry-agent" in managers(adopted)

    found.server.kubectl("scale", "nodepool", "-n", "real", "team-a.life.md-0", "--replicas=3")
    found.wait("team-a.life", 'jsonpath={.status.conditions[?(@.type=="Applied")].reason}=Conflict')
    [applied] = [each for each in found.shown("life")["status"]["conditions"] if each["type"] == "Applied"]
    assert any(f'"{name}"' in applied["message"] for name in managers(before)), applied
    new = {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "NodePool", "spec": {"replicas": 1}}
    found.server.kubectl("scale", "nodepool", "-n", "real", "team-a.life.md-0", "--replicas=2")
    body = {**new, "metadata": {"name": "team-a.life.md-1", "namespace": "real"}}
    found.server.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    found.wait("team-a.life", "jsonpath={.status.workers.summary}=3/3")
    found.wait("team-a.life", "condition=Ready")

    managed, machines = found.cluster("life"), found.machines("life")
    found.policy("life", "Observe")
    found.wait("cluster.team-a.life", "delete", "manifestset")
    left = found.cluster("life")
    assert (left["spec"], left["metadata"]["generation"]) == (managed["spec"], managed["metadata"]["generation"])
    assert not any("skerry" in name for name in (*managers(left), *left["metadata"].get("labels", {})))
    assert found.machines("life") == machines  # md-1, which only Skerry had asked for, is there too

    found.wait("team-a.life", "condition=Manageable")
    found.policy("life", "Manage")
    found.wait("team-a.life", "condition=Applied")
    found.server.kubectl("delete", "cluster", "-n", "real", "team-a.life", "--timeout=300s")
    assert found.machines("life") == set()
    listed = found.peer.admin.ask("GET", f"{CLUSTERS}/namespaces/team-a/clusters")
    assert "life" not in {each["metadata"]["name"] for each in listed["items"]}


def test_a_cluster_that_is_left_and_deleted_while_the_agent_is_away_and_the_server_restarts_lives_on(found: Found) -> None:
    found.make("kept", workers=1)
    found.policy("kept", "Manage")
    found.wait("team-a.kept", "condition=Applied")
    found.wait("team-a.kept", "condition=Ready")
    first, machines = found.shown("kept"), found.machines("kept")
    found.agent.stop()
    found.server.kubectl("wait", "--for=condition=Connected=False", "managementcluster/real", "--timeout=120s")
    found.policy("kept", "Observe")
    found.server.kubectl("delete", "cluster", "-n", "real", "team-a.kept", "--wait=false")
    found.server.stop()
    found.server.start()
    found.agent.start()
    eventually(lambda: _again(found, first["metadata"]["uid"]), 120)
    found.wait("team-a.kept", "condition=Ready")
    assert found.machines("kept") == machines
    assert "deletionTimestamp" not in found.cluster("kept")["metadata"]
    found.peer.admin.ask("DELETE", f"{CLUSTERS}/namespaces/team-a/clusters/kept")
    found.wait("team-a.kept", "delete")


def _again(found: Found, uid: str) -> bool:
    text = found.server.kubectl("get", "cluster", "-n", "real", "team-a.kept", "-o", "json", ok=False)
    return text.startswith("{") and json.loads(text)["metadata"]["uid"] != uid


def test_a_cluster_without_a_topology_is_shown_and_cannot_be_managed(found: Found) -> None:
    body = {"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": "hand", "namespace": "team-a"}}
    reference = {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "DevCluster", "name": "hand"}
    endpoint = {"host": "10.9.9.9", "port": 6443}
    spec = {"infrastructureRef": reference, "controlPlaneEndpoint": endpoint}
    found.peer.admin.ask("POST", f"{CLUSTERS}/namespaces/team-a/clusters", {**body, "spec": spec})
    found.wait("team-a.hand", "create")
    found.wait("team-a.hand", "jsonpath={.status.phase}=Provisioning")
    refused = found.policy("hand", "Manage", ok=False)
    assert "was not made from a ClusterClass" in refused
    found.peer.admin.ask("DELETE", f"{CLUSTERS}/namespaces/team-a/clusters/hand")
    found.wait("team-a.hand", "delete")
