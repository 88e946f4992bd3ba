"""A real cluster is attached, and what is in it is seen at our door and reached through it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peers.kubernetes import NAMESPACED, Kubernetes
from peers.programs import program
from tests.e2e.server import SKERRY, Server, eventually, running

pytestmark = pytest.mark.peer("kubernetes")

Json = dict[str, Any]
PAGE = Path(__file__).resolve().parents[2] / "docs/explanation/what-is-known-of-a-cluster.md"
READY = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ok"}
ROOM = {"cpu": "4", "memory": "8Gi", "pods": "110"}


class Site:
    """A server, a cluster that is attached to it, and whoever administers both."""

    def __init__(self, server: Server, cluster: Kubernetes) -> None:
        self.server, self.cluster = server, cluster

    def far(self, *arguments: str, stdin: str | None = None) -> str:
        return kubectl(self.cluster.kubeconfig, *arguments, stdin=stdin)

    def make(self, *objects: Json) -> None:
        self.far("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def node(self, name: str, *conditions: Json, labels: Json | None = None) -> None:
        self.make({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels or {}}})
        status = {"capacity": ROOM, "allocatable": ROOM, "conditions": list(conditions)}
        self.far("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))

    def told(self, plural: str, *selectors: str) -> list[Json]:
        found: list[Json] = json.loads(self.server.kubectl("get", plural, "-n", "attached", "-o", "json", *selectors))["items"]
        return found

    def cluster_status(self) -> Json:
        found: Json = json.loads(self.server.kubectl("get", "cluster", "-n", "attached", "attached.shop", "-o", "json"))["status"]
        return found


def kubectl(kubeconfig: Path, *arguments: str, stdin: str | None = None) -> str:
    command = [str(program("kubernetes", "kubectl")), "--kubeconfig", str(kubeconfig), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pod(name: str, node: str, cpu: str) -> Json:
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}
    spec = {"nodeName": node, "automountServiceAccountToken": False, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("inventory")
    with Kubernetes(controllers=NAMESPACED) as cluster, running(folder) as server:
        site = Site(server, cluster)
        site.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        site.make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "shop"}})
        for name in ("n1", "n2"):
            site.node(name, READY, labels={"zone": name, "node-role.kubernetes.io/worker": ""})
        site.make(pod("a", "n1", "250m"), pod("b", "n1", "1"))
        command = [str(SKERRY), "attach", "shop", "--kubeconfig", str(cluster.kubeconfig), "--local"]
        with (folder / "attach.log").open("w") as log:
            agent = subprocess.Popen([*command, "--skerry-kubeconfig", str(server.kubeconfig)], stdout=log, stderr=log)
        try:
            server.kubectl("wait", "--for=create", "-n", "attached", "cluster/attached.shop", "--timeout=60s")
            server.kubectl("wait", "--for=condition=Connected", "-n", "attached", "cluster/attached.shop", "--timeout=60s")
            connected = time.monotonic()
            eventually(lambda: len(site.told("clusternodes")) == 2, 60)
            print(f"nodes were seen {time.monotonic() - connected:.1f} s after the agent was connected")
            yield site
        finally:
            agent.terminate()
            agent.wait(60)


def test_nodes_are_seen_with_what_is_asked_of_them_and_selected_by_their_labels(site: Site) -> None:
    [found] = site.told("clusternodes", "-l", "zone=n1")
    assert found["metadata"]["name"] == "attached.shop.n1"
    assert (found["status"]["ready"], found["status"]["roles"], found["status"]["allocatable"]["memory"]) == ("True", "worker", "8Gi")
    eventually(
        lambda: site.told("clusternodes", "-l", "zone=n1")[0]["status"]["requested"] == {"cpu": "1250m", "memory": "128Mi", "pods": "2"}, 30
    )
    assert [each["spec"]["name"] for each in site.told("clusternodes", "--field-selector", "spec.cluster=shop,spec.name=n2")] == ["n2"]
    table = site.server.kubectl("get", "clusternodes", "-n", "attached", "attached.shop.n1", "--no-headers").split()
    assert table[:8] == ["attached.shop.n1", "shop", "n1", "True", "worker", "4", "8Gi", "2"]


def test_what_changes_in_the_cluster_changes_at_our_door_and_makes_no_revision(site: Site) -> None:
    def pods() -> Json:
        found: Json = site.told("clusternamespaces", "--field-selector", "spec.name=shop")[0]["status"]["pods"]
        return found

    def revision() -> int:
        path = "/apis/fleet.skerry.dev/v1alpha1/clustergroups"
        return int(json.loads(site.server.kubectl("get", "--raw", path))["metadata"]["resourceVersion"])

    eventually(lambda: pods() == {"Pending": 2}, 30)
    before, many = revision(), [f"c{number}" for number in range(100)]
    site.make(*(pod(name, "n2", "10m") for name in many))
    eventually(lambda: pods() == {"Pending": 102}, 30)
    site.far("delete", "pods", "-n", "shop", *many, "--force", "--grace-period=0")
    eventually(lambda: pods() == {"Pending": 2}, 30)
    assert revision() - before < 50, "pods made revisions"  # the leases of our own parts make some


def test_workloads_and_storage_classes_are_seen(site: Site) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    site.make({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
    site.make({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"}, "provisioner": "csi.example"})
    eventually(lambda: [each["status"]["summary"] for each in site.told("clusterworkloads")] == ["0/2"], 30)
    eventually(lambda: [each["spec"]["driver"] for each in site.told("clusterstorageclasses")] == ["csi.example"], 30)
    watch = site.server.kubectl("get", "clusterworkloads", "-n", "attached", "-o", "jsonpath={.items[0].spec.images}")
    assert json.loads(watch) == ["web:1"]
    site.far("delete", "deployment", "-n", "shop", "web")
    eventually(lambda: site.told("clusterworkloads") == [], 30)


def test_a_node_that_is_lost_is_a_warning_with_its_name_and_the_cluster_stays_usable(site: Site) -> None:
    assert site.cluster_status()["health"] == "HEALTHY"
    site.node("n2", {**READY, "status": "Unknown", "reason": "NodeStatusUnknown"}, labels={"zone": "n2"})
    eventually(lambda: site.cluster_status()["health"] == "WARNING", 60)
    conditions = {each["type"]: each for each in site.cluster_status()["conditions"]}
    assert (conditions["Healthy"]["reason"], conditions["Ready"]["status"]) == ("NodesNotReady", "True")
    assert conditions["Healthy"]["message"] == "1 of 2 nodes is not ready: n2"
    assert 'skerry_clusters{health="WARNING"} 1.0' in site.server.kubectl("get", "--raw", "/metrics").splitlines()
    site.node("n2", READY, labels={"zone": "n2"})
    eventually(lambda: site.cluster_status()["health"] == "HEALTHY", 60)


def test_kubectl_reaches_the_cluster_by_a_context_of_its_own(site: Site, tmp_path: Path) -> None:
    into = tmp_path / "config"
    command = [str(SKERRY), "kubeconfig", "get", "shop", "--kubeconfig", str(site.server.kubeconfig)]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    (tmp_path / "printed").write_text(printed)
    assert "n1" in kubectl(tmp_path / "printed", "get", "nodes")
    subprocess.run([*command, "--into", str(into)], check=True, capture_output=True, timeout=60)
    assert kubectl(into, "config", "current-context").strip() == "skerry/attached.attached.shop"
    kubectl(into, "create", "configmap", "made-through", "-n", "shop", "--from-literal=a=1")
    assert site.far("get", "configmap", "-n", "shop", "made-through", "-o", "jsonpath={.data.a}") == "1"
    wrong = subprocess.run([*command[:3], "nowhere", *command[4:]], capture_output=True, text=True, timeout=60, check=False)
    assert (wrong.returncode, "there is no cluster nowhere here" in wrong.stderr) == (1, True)


def test_what_the_page_shows_can_be_asked(site: Site) -> None:
    commands = [line for line in PAGE.read_text().splitlines() if line.startswith("kubectl ")]
    assert len(commands) >= 4
    for command in commands:
        site.server.kubectl(*command.removeprefix("kubectl ").replace(" -w", "").split())


def test_what_was_told_of_a_cluster_goes_with_it(site: Site) -> None:
    command = [str(SKERRY), "detach", "shop", "--skerry-kubeconfig", str(site.server.kubeconfig)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    for plural in ("clusternodes", "clusternamespaces", "clusterworkloads", "clusterstorageclasses"):
        eventually(lambda plural=plural: site.told(plural) == [], 90)
