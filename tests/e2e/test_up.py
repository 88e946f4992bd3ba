"""`make up` as a newcomer meets it: the server, the simulated site, the example, a real kubectl."""

from __future__ import annotations

import shlex
import signal
import stat
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.server import SKERRY, Server, eventually, running

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = str(ROOT / "examples" / "first-cluster.yaml")
EXAMPLE_TEXT = Path(EXAMPLE).read_text()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("up"), "--sim") as server:
        yield server


@pytest.mark.peer("kubernetes")
def test_the_example_becomes_ready_and_goes_without_a_trace(up: Server) -> None:
    up.kubectl("apply", "-f", EXAMPLE)
    up.kubectl("wait", "--for=condition=Ready", "-n", "demo", "cluster/team-a.first", "--timeout=120s")
    line = up.kubectl("get", "cluster", "-n", "demo", "team-a.first", "--no-headers").split()
    assert line[1:6] == ["Ready", "True", "v1.34.2", "1/1", "2/2"]
    assert "NotFound" in up.kubectl("get", "--raw", "/k8s/demo/api/v1/namespaces/nothing", ok=False)
    told = up.kubectl("events", "-n", "demo", "--for=cluster/team-a.first", "--watch=false")
    assert "Provisioning" in told
    machines = up.kubectl("get", "--raw", "/k8s/demo/apis/cluster.x-k8s.io/v1beta2/namespaces/team-a/machines")
    assert machines.count('"cluster.x-k8s.io/cluster-name":"first"') == 3
    up.kubectl("delete", "-f", EXAMPLE, "--timeout=120s")
    assert "first" not in up.kubectl("get", "--raw", "/k8s/demo/apis/cluster.x-k8s.io/v1beta2/namespaces/team-a/machines")


@pytest.mark.peer("kubernetes")
def test_the_phases_that_a_watch_shows_tell_one_story(up: Server) -> None:
    manifest = EXAMPLE_TEXT.replace("team-a.first", "team-a.story").replace("cluster: first", "cluster: story")
    with up.watching("clusters", "-n", "demo", "-o", r'jsonpath={.metadata.name} {.status.phase}{"\n"}') as seen:
        up.kubectl("apply", "-f", "-", stdin=manifest)
        up.kubectl("wait", "--for=condition=Ready", "-n", "demo", "cluster/team-a.story", "--timeout=120s")
        up.kubectl("patch", "nodepool", "-n", "demo", "team-a.story.md-0", "--type=merge", "-p", '{"spec":{"replicas":3}}')
        up.kubectl("wait", "--for=jsonpath={.status.workers.summary}=3/3", "-n", "demo", "cluster/team-a.story", "--timeout=120s")
        up.kubectl("wait", "--for=condition=Ready", "-n", "demo", "cluster/team-a.story", "--timeout=120s")
        up.kubectl("patch", "cluster", "-n", "demo", "team-a.story", "--type=merge", "-p", '{"spec":{"version":"v1.35.1"}}')
        up.kubectl("wait", "--for=jsonpath={.status.version}=v1.35.1", "-n", "demo", "cluster/team-a.story", "--timeout=120s")
        up.kubectl("wait", "--for=condition=Ready", "-n", "demo", "cluster/team-a.story", "--timeout=120s")
        up.kubectl("delete", "-f", "-", "--timeout=120s", stdin=manifest)
        told = [line.split() for line in seen()]
    phases = [each[1] for each in told if each[0] == "team-a.story" and len(each) == 2]
    story = [phase for number, phase in enumerate(phases) if number == 0 or phases[number - 1] != phase]
    once = story.index("Ready")
    assert set(story[:once]) <= {"Pending", "Provisioning"}, story
    assert set(story[once:]) == {"Ready", "Scaling", "Upgrading", "Deleting"}, story
    assert story[-1] == "Deleting", story
    assert set(pairwise(story[once:])) <= {
        ("Ready", "Scaling"), ("Scaling", "Ready"), ("Ready", "Upgrading"), ("Upgrading", "Ready"), ("Ready", "Deleting")
    }, story  # fmt: skip


@pytest.mark.peer("kubernetes")
def test_kubectl_tells_where_the_api_is(up: Server) -> None:
    assert "is running at" in up.kubectl("cluster-info")
    assert up.kubectl("get", "services", "-A", "-o", "name") == ""


@pytest.mark.peer("kubernetes")
def test_the_simulated_fleet_is_there_from_the_start(up: Server) -> None:
    for name in ("team-a.web", "team-a.batch", "team-b.edge"):
        up.kubectl("wait", "--for=condition=Ready", "-n", "demo", f"cluster/{name}", "--timeout=120s")
    shown = dict(line.split()[:2] for line in up.kubectl("get", "managementclusters", "--no-headers").splitlines())
    assert shown == {"demo": "Connected", "attached": "BuiltIn", "eks": "BuiltIn", "aks": "BuiltIn"}


@pytest.mark.peer("kubernetes")
def test_a_cluster_is_scaled_upgraded_and_left_without_workers(up: Server) -> None:
    def wait(jsonpath: str) -> None:
        up.kubectl("wait", f"--for=jsonpath={jsonpath}", "-n", "demo", "cluster/team-b.life", "--timeout=120s")

    cluster = "apiVersion: fleet.skerry.dev/v1alpha1\nkind: Cluster\nmetadata: {name: team-b.life, namespace: demo}\n"
    cluster += "spec: {version: v1.33.6, class: {name: quick-start}}\n"
    pool = (
        "apiVersion: fleet.skerry.dev/v1alpha1\nkind: NodePool\nmetadata: {name: team-b.life.md-0, namespace: demo}\nspec: {replicas: 1}\n"
    )
    up.kubectl("apply", "-f", "-", stdin=cluster)
    wait("{.status.phase}=Ready")
    assert up.kubectl("get", "cluster", "-n", "demo", "team-b.life", "-o", "jsonpath={.status.workers.desired}") in {"", "0"}
    up.kubectl("apply", "-f", "-", stdin=pool)
    wait("{.status.workers.summary}=1/1")
    assert "scaled" in up.kubectl("scale", "nodepool", "-n", "demo", "team-b.life.md-0", "--current-replicas=1", "--replicas=2")
    assert "Expected replicas" in up.kubectl(
        "scale", "np", "-n", "demo", "team-b.life.md-0", "--current-replicas=5", "--replicas=7", ok=False
    )
    assert "NotFound" in up.kubectl("scale", "cluster", "-n", "demo", "team-b.life", "--replicas=3", ok=False)
    wait("{.status.workers.summary}=2/2")
    up.kubectl("patch", "cluster", "-n", "demo", "team-b.life", "--type=merge", "-p", '{"spec":{"version":"v1.34.2"}}')
    wait("{.status.version}=v1.34.2")
    wait("{.status.phase}=Ready")
    up.kubectl("delete", "nodepool", "-n", "demo", "team-b.life.md-0", "--timeout=120s")
    wait("{.status.phase}=Ready")
    assert "goes with it" in up.kubectl("delete", "cluster", "-n", "demo", "team-b.life", "--cascade=orphan", ok=False)
    assert "in use by" in up.kubectl("delete", "provisioner", "-n", "demo", "team-b", ok=False)
    assert up.kubectl("get", "cluster", "-n", "demo", "team-b.life", "-o", "jsonpath={.metadata.deletionTimestamp}") == ""
    up.kubectl("delete", "cluster", "-n", "demo", "team-b.life", "--timeout=120s")


@pytest.mark.peer("kubernetes", "kubectl-older")
@pytest.mark.parametrize("peer", ["kubernetes", "kubectl-older"])
def test_both_kubectls_explain_and_list(up: Server, peer: str) -> None:
    assert "provisioner" in up.kubectl("explain", "cluster.spec", peer=peer)
    assert "NAMESPACE" in up.kubectl("get", "clusters", "-A", peer=peer)
    assert up.kubectl("auth", "can-i", "create", "clusters", peer=peer).strip() == "yes"
    assert "cluster.fleet.skerry.dev/team-a.web" in up.kubectl("get", "all", "-A", peer=peer)
    assert "skerry:administrators" in up.kubectl("auth", "whoami", peer=peer)


@pytest.mark.peer("kubernetes")
def test_the_example_of_a_site_is_taken_listed_and_explained(up: Server) -> None:
    up.kubectl("apply", "-f", str(ROOT / "examples" / "site.yaml"))
    fleet = up.kubectl("get", "fleet", "-A", "-o", "name").split()
    kinds = ("trustbundle", "proxyconfiguration", "imageregistry")
    assert {f"{kind}.fleet.skerry.dev/site" for kind in kinds} <= set(fleet)
    assert "managednamespace.fleet.skerry.dev/team-a.web.frontend" in fleet
    assert "nodepool.fleet.skerry.dev/team-a.web.md-0" in fleet
    assert up.kubectl("get", "tb", "site", "--no-headers").split()[:3] == ["site", "1", "2099-12-31"]
    assert "change-me" not in up.kubectl("get", "fleet", "-A", "-o", "yaml")
    assert "What is reached directly" in up.kubectl("explain", "proxy.spec.noProxy")
    assert "organization.fleet.skerry.dev" in up.kubectl("get", "access", "-o", "name")


@pytest.mark.peer("kubernetes")
def test_describe_tells_why_an_upgrade_was_refused(up: Server) -> None:
    manifest = EXAMPLE_TEXT.replace("team-a.first", "team-a.told")
    up.kubectl("apply", "-f", "-", stdin=manifest)
    up.kubectl("wait", "--for=condition=Ready", "-n", "demo", "cluster/team-a.told", "--timeout=120s")
    up.kubectl("patch", "cluster", "-n", "demo", "team-a.told", "--type=merge", "-p", '{"spec":{"version":"v1.36.0"}}')
    up.kubectl("wait", "--for=condition=Accepted=false", "-n", "demo", "cluster/team-a.told", "--timeout=120s")
    refused = up.kubectl(
        "get", "cluster", "-n", "demo", "team-a.told", "-o", "jsonpath={.status.conditions[?(@.type=='Accepted')].message}"
    )
    eventually(lambda: refused in up.kubectl("describe", "cluster", "-n", "demo", "team-a.told").partition("Events:")[2], 60, up.log)
    up.kubectl("delete", "-f", "-", "--timeout=120s", stdin=manifest)
    told = up.kubectl("events", "-n", "demo", "--for=cluster/team-a.told", "--watch=false")
    assert "Deleting" in told, told


@pytest.mark.peer("kubernetes")
def test_the_plan_and_the_parts_of_a_cluster_can_be_printed(up: Server) -> None:
    def skerry(*arguments: str) -> str:
        command = [str(SKERRY), *arguments, "-n", "demo", "--kubeconfig", str(up.kubeconfig)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout

    up.kubectl("wait", "--for=condition=Ready", "-n", "demo", "cluster/team-a.web", "--timeout=120s")
    assert "nothing to do" in skerry("explain", "cluster", "team-a.web")
    assert '"phase": "Ready"' in skerry("explain", "cluster", "team-a.web", "-o", "json")
    tree = skerry("tree", "cluster", "team-a.web")
    assert tree.count("Machine web-") == 6
    missing = [str(SKERRY), "explain", "cluster", "team-a.nothing", "-n", "demo", "--kubeconfig", str(up.kubeconfig)]
    answer = subprocess.run(missing, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 1
    assert 'clusters.fleet.skerry.dev "team-a.nothing" not found' in answer.stderr


def test_everything_secret_can_be_read_by_its_owner_only(up: Server) -> None:
    loose = [path for path in up.data.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert loose == []


def test_a_second_server_on_the_same_data_is_refused_with_a_clear_message(up: Server) -> None:
    command = [str(SKERRY), "up", "--data", str(up.data), "--port", "0"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode == 1
    assert "in use by process" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.peer("kubernetes")
def test_a_site_whose_api_is_away_is_said_to_be_and_comes_back(up: Server) -> None:
    fault = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"faults"},"data":{"unreachable":"25"}}'
    path = "/k8s/demo/api/v1/namespaces/sim/configmaps"
    up.kubectl("create", "--raw", path, "-f", "-", stdin=fault)
    up.kubectl("wait", "--for=condition=Healthy=false", "managementcluster/demo", "--timeout=120s")
    up.kubectl("wait", "--for=condition=Healthy", "managementcluster/demo", "--timeout=120s")
    up.kubectl("delete", "--raw", f"{path}/faults")
    up.kubectl("wait", "--for=condition=Ready", "-n", "demo", "cluster/team-a.web", "--timeout=120s")


@pytest.mark.peer("kubernetes")
@pytest.mark.parametrize("options", [("--sim",), ()])
def test_the_commands_that_are_proposed_work(options: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    with running(folder, *options) as server:
        eventually(lambda: "Try, in another terminal" in server.log.read_text(), 60, server.log)
        proposed = [shlex.split(line) for line in server.log.read_text().splitlines() if line.startswith("  ")]
        assert proposed[0] == ["export", "KUBECONFIG=data/admin.kubeconfig"]
        assert len(proposed) == 4
        for program, *arguments in proposed[1:]:
            if program == "skerry":
                subprocess.run([str(SKERRY), *arguments], cwd=folder, check=True, capture_output=True, timeout=120)
            elif "-w" not in arguments:
                server.kubectl(*(EXAMPLE if each.startswith("examples/") else each for each in arguments))


def test_it_stops_cleanly_when_it_is_told_to(tmp_path: Path) -> None:
    with running(tmp_path, "--sim") as server:
        assert server.stop(signal.SIGTERM) == 0
    assert "Traceback" not in server.log.read_text()
