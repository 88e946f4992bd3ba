"""The main job on real input: Cluster API's own controllers behind our agent, a Cluster applied at our door."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.clusterapi import ClusterApi
from peers.kubernetes import NAMESPACED, Kubernetes
from tests.e2e.agents import Agent, front_root, token
from tests.e2e.server import SKERRY, Server, eventually, running

pytestmark = pytest.mark.peer("kubernetes", "clusterapi")

CLUSTER = """
apiVersion: fleet.skerry.dev/v1alpha1
kind: Cluster
metadata: {name: team-a.%(name)s, namespace: real}
spec: {version: v1.34.2, class: {name: in-memory}}
"""
POOL = """
---
apiVersion: fleet.skerry.dev/v1alpha1
kind: NodePool
metadata: {name: team-a.%(name)s.md-0, namespace: real}
spec: {replicas: 1}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("real")
    with Kubernetes(controllers=NAMESPACED) as peer, ClusterApi(peer) as capi, running(folder) as server:
        capi.install_class("team-a", machine="300ms", step="100ms")
        server.kubectl("apply", "-f", "-", stdin="apiVersion: fleet.skerry.dev/v1alpha1\nkind: ManagementCluster\nmetadata: {name: real}\n")
        agent = Agent(server, "real", peer.kubeconfig, folder)
        agent.start()
        try:
            server.kubectl("wait", "--for=condition=Connected", "managementcluster/real", "--timeout=120s")
            server.kubectl("wait", "--for=create", "-n", "real", "clusterclass/team-a.in-memory", "--timeout=120s")
            yield server
        finally:
            agent.stop()


def wait(server: Server, name: str, jsonpath: str, seconds: int = 390) -> None:
    server.kubectl("wait", f"--for=jsonpath={jsonpath}", "-n", "real", f"cluster/team-a.{name}", f"--timeout={seconds}s")


def test_a_cluster_lives_its_whole_life_behind_the_real_controllers(site: Server) -> None:
    site.kubectl("apply", "-f", "-", stdin=CLUSTER % {"name": "life"} + POOL % {"name": "life"})
    wait(site, "life", "{.status.phase}=Ready")
    line = site.kubectl("get", "cluster", "-n", "real", "team-a.life", "--no-headers").split()
    assert line[1:6] == ["Ready", "True", "v1.34.2", "1/1", "1/1"]
    site.kubectl("patch", "nodepool", "-n", "real", "team-a.life.md-0", "--type=merge", "-p", '{"spec":{"replicas":2}}')
    wait(site, "life", "{.status.workers.summary}=2/2")
    site.kubectl("delete", "nodepool", "-n", "real", "team-a.life.md-0", "--timeout=390s")
    wait(site, "life", "{.status.phase}=Ready")
    refused = site.kubectl("patch", "cluster", "-n", "real", "team-a.life", "--type=merge", "-p", '{"spec":{"version":"v1.37.0"}}')
    assert "patched" in refused
    wait(site, "life", '{.status.conditions[?(@.type=="Accepted")].status}=False')
    site.kubectl("patch", "cluster", "-n", "real", "team-a.life", "--type=merge", "-p", '{"spec":{"version":"v1.35.1"}}')
    wait(site, "life", "{.status.version}=v1.35.1")
    wait(site, "life", "{.status.phase}=Ready")
    site.kubectl("delete", "cluster", "-n", "real", "team-a.life", "--timeout=390s")
    eventually(lambda: "Machine " not in site.kubectl("get", "observedobjects", "-n", "real"), 120)


def test_a_proxied_call_is_judged_by_the_clusters_own_rbac_as_the_caller(site: Server) -> None:
    assert "gitVersion" in site.kubectl("get", "--raw", "/k8s/real/version")
    refused = site.kubectl("get", "--raw", "/k8s/real/api/v1/namespaces/team-a/secrets", ok=False)
    assert 'User "admin" cannot list resource "secrets"' in refused


def test_ten_clusters_are_made_side_by_side_with_and_without_workers(site: Server) -> None:
    names = [f"n{number}" for number in range(10)]
    site.kubectl(
        "apply", "-f", "-", stdin="\n---\n".join(CLUSTER % {"name": name} + (POOL % {"name": name}) * (name < "n5") for name in names)
    )
    for name in names:
        wait(site, name, "{.status.phase}=Ready")
    site.kubectl("delete", "clusters", "-n", "real", "--all", "--timeout=390s")


def test_a_token_is_good_for_one_registration(site: Server, tmp_path: Path) -> None:
    site.kubectl("create", "-f", "-", stdin="apiVersion: fleet.skerry.dev/v1alpha1\nkind: ManagementCluster\nmetadata: {name: other}\n")
    root = tmp_path / "root.crt"
    root.write_bytes(front_root(site))
    command = [
        str(SKERRY),
        "agent",
        "--kubeconfig",
        str(site.kubeconfig),
        "--data",
        str(tmp_path / "a"),
        "--token",
        token(site, "other") + "x",
    ]
    command += ["--server", f"https://127.0.0.1:{site.port}", "--server-ca", str(root)]
    wrong = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert wrong.returncode == 1
    assert "unknown, used up or expired" in wrong.stderr
