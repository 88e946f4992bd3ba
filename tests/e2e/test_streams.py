"""Exec, attach, logs, port-forward and cp by a real kubectl, at a real API server behind an agent that only dials out."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from peers.kubectl import Kubectl, Ran
from peers.kubelet import Kubelet
from peers.kubernetes import NAMESPACED, Kubernetes
from peers.postgresql import PostgreSql
from skerry.gateway.spdy import MESSAGE
from tests.e2e.agents import Agent
from tests.e2e.server import Server, eventually, over_one_database, running
from tests.store.databases import why_not
from tests.test_docs import commands_of

pytestmark = pytest.mark.peer("kubernetes", "kubelet", "kubectl-older")

PAGE = os.urandom(3_000_000)
ACCESS = """
{apiVersion: fleet.skerry.dev/v1alpha1, kind: ManagementCluster, metadata: {name: sv-1}}
---
{apiVersion: fleet.skerry.dev/v1alpha1, kind: User, metadata: {name: ann}, spec: {}}
"""
BINDING = """
apiVersion: fleet.skerry.dev/v1alpha1
kind: RoleBinding
metadata: {name: ann}
spec:
  roleRef: {name: managementcluster.edit}
  scope: {kind: ManagementCluster, name: sv-1}
  subjects: [{kind: User, name: ann}]
"""
TOKEN = "{apiVersion: fleet.skerry.dev/v1alpha1, kind: APIToken, metadata: {name: %s}, spec: {owner: ann}}"


class Page(BaseHTTPRequestHandler):
    """What stands behind every forwarded port."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def page() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Site:
    """A cluster with one pod ``web`` in namespace ``shop``, and the server through which Ann uses it."""

    asked: Server
    node: Kubelet
    folder: Path
    kubeconfig: Path

    def kubectl(self, **settings: str) -> Kubectl:
        """Ann's kubectl, in namespace shop of the cluster."""
        return Kubectl(self.kubeconfig, self.folder / "home", **settings)

    def bind(self) -> None:
        self.asked.kubectl("apply", "-f", "-", stdin=BINDING)
        eventually(lambda: self.kubectl()("get", "pods").code == 0, 60)


@pytest.fixture(scope="module", params=["one server", "the other one of two"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("streams")
    with ExitStack() as stack:
        if request.param == "one server":
            asked = holder = stack.enter_context(running(folder, verb="server"))
        else:
            if why := why_not("wheel"):
                pytest.skip(why)
            database = stack.enter_context(PostgreSql("wheel"))
            asked, holder = stack.enter_context(over_one_database(folder, database.dsn(), 2))
        controllers = (*NAMESPACED, "clusterrole-aggregation-controller")
        peer = stack.enter_context(Kubernetes(controllers=controllers))
        node = stack.enter_context(Kubelet(peer, forward_to=stack.enter_context(page())))
        peer.admin.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
        node.run_pod("shop", "web")
        asked.kubectl("apply", "-f", "-", stdin=ACCESS)
        agent = Agent(holder, "sv-1", peer.kubeconfig, folder)
        agent.start()
        stack.callback(agent.stop)
        asked.kubectl("wait", "--for=condition=Connected", "managementcluster/sv-1", "--timeout=120s")
        far = Kubectl(peer.kubeconfig, folder / "far")
        assert far("create", "rolebinding", "ann", "-n", "shop", "--clusterrole=edit", "--user=ann").code == 0
        made = Site(asked, node, folder, through(asked, folder))
        made.bind()
        yield made


def through(asked: Server, folder: Path) -> Path:
    """Ann's kubeconfig for the cluster."""
    token = asked.kubectl("create", "-f", "-", "-o", "jsonpath={.status.token}", stdin=TOKEN % "ann")
    config = yaml.safe_load(asked.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] += "/k8s/sv-1"
    config["users"][0]["user"] = {"token": token.strip()}
    config["contexts"][0]["context"]["namespace"] = "shop"
    path = folder / "ann.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.parametrize("group", ["kubernetes", "kubectl-older"])
def test_a_command_gets_its_input_to_the_end_and_gives_output_and_exit_code(site: Site, group: str) -> None:
    kubectl = site.kubectl(group=group)
    assert kubectl("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7") == Ran(
        7, "out\n", "err\ncommand terminated with exit code 7\n"
    )
    text = secrets.token_hex(1_000_000)
    assert kubectl("exec", "-i", "web", "--", "cat", stdin=text) == Ran(0, text, "")
    assert kubectl("exec", "-i", "web", "--", "wc", "-c", stdin=text).out.strip() == str(len(text))


def test_who_attaches_talks_with_what_runs_until_he_ends_it(site: Site) -> None:
    ran = site.kubectl()("attach", "-i", "web", stdin="hello\n")
    assert ran.code == 0
    assert ran.out.endswith("attached\nhello\n")


def test_a_log_is_followed(site: Site) -> None:
    site.node.say("the first line")
    with site.kubectl().running("logs", "-f", "web") as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "the first line\n"
        site.node.say("and another")
        assert following.stdout.readline() == "and another\n"


def test_a_forwarded_port_carries_http(site: Site) -> None:
    with site.kubectl().running("port-forward", "pod/web", ":80") as forwarding:
        assert forwarding.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", forwarding.stdout.readline())
        assert found

        def get(_: int) -> bytes:
            with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/", timeout=60) as response:
                answer: bytes = response.read()
            return answer

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(get, range(8))) == [PAGE] * 8


def test_files_are_copied_to_a_container_and_back(site: Site, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(PAGE)
    assert site.kubectl()("cp", str(tmp_path / "there"), "web:copied").code == 0
    assert (site.node.work / "copied").read_bytes() == PAGE
    assert site.kubectl()("cp", "web:copied", str(tmp_path / "back")).code == 0
    assert (tmp_path / "back").read_bytes() == PAGE


def test_kubectl_proxy_carries_all_of_it_as_well(site: Site, tmp_path: Path) -> None:
    with site.kubectl().running("proxy", "--port=0", "--append-server-path", "--reject-paths=^$") as proxying:
        assert proxying.stdout is not None
        said = iter(proxying.stdout)
        found = next(port for line in said if (port := re.search(r"127\.0\.0\.1:(\d+)", line)))
        local = Kubectl(tmp_path / "none", tmp_path / "home")
        at = ("--server", f"http://127.0.0.1:{found[1]}", "-n", "shop")
        assert "web" in local(*at, "get", "pods").out
        assert local(*at, "exec", "-i", "web", "--", "cat", stdin="hello").out == "hello"


@pytest.mark.parametrize("command", [("exec", "web", "--", "true"), ("attach", "web"), ("port-forward", "pod/web", ":80")])
def test_a_kubectl_that_speaks_spdy_alone_prints_what_to_use(site: Site, command: tuple[str, ...]) -> None:
    older = site.kubectl(KUBECTL_REMOTE_COMMAND_WEBSOCKETS="false", KUBECTL_PORT_FORWARD_WEBSOCKETS="false")
    ran = older(*command)
    assert ran.code == 1
    assert MESSAGE in ran.err


def test_what_the_cluster_refuses_is_printed_and_not_what_came_of_trying_again(site: Site) -> None:
    kubectl = site.kubectl()
    assert 'pods "nobody" not found' in kubectl("exec", "nobody", "--", "true").err
    assert "container nothing is not valid for pod web" in kubectl("exec", "web", "-c", "nothing", "--", "true").err
    refused = kubectl("exec", "-n", "default", "web", "--", "true").err
    assert 'User "ann" cannot get resource "pods"' in refused


def test_a_kubectl_that_is_killed_ends_the_input_of_what_it_ran(site: Site) -> None:
    over = site.node.work / "over"
    with site.kubectl().running("exec", "-i", "web", "--", "sh", "-c", "echo on; cat; touch over") as running_one:
        assert running_one.stdout is not None
        assert running_one.stdout.readline() == "on\n"
        running_one.kill()
        eventually(over.exists, 60)


def test_every_connection_is_in_the_audit_log_once_with_its_code(site: Site) -> None:
    site.kubectl()("exec", "web", "--", "true")

    def shells() -> list[tuple[str, int]]:
        lines = map(json.loads, (site.asked.data / "audit.jsonl").read_text().splitlines())
        return [(each["user"], each["code"]) for each in lines if each.get("path", "").endswith("/web/exec") and each["verb"] == "connect"]

    before = len(shells())
    with site.kubectl().running("exec", "-i", "web", "--", "sh", "-c", "echo on; cat") as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "on\n"
        eventually(lambda: len(shells()) > before, 60)
    assert site.kubectl()("exec", "nobody", "--", "true").code == 1
    assert shells()[before:] == [("ann", 101)]


def test_a_right_that_is_taken_away_ends_a_shell_that_is_open(site: Site) -> None:
    kubectl = site.kubectl()
    with kubectl.running("exec", "-i", "web", "--", "sh") as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write("echo here\n")
        shell.stdin.flush()
        assert shell.stdout.readline() == "here\n"
        site.asked.kubectl("delete", "rolebinding", "ann")
        assert shell.wait(60) != 0
    try:
        assert "forbidden" in kubectl("exec", "web", "--", "true").err
    finally:
        site.bind()


def test_who_may_only_read_at_skerry_opens_no_shell_whatever_the_cluster_says(site: Site) -> None:
    site.asked.kubectl("delete", "rolebinding", "ann")
    try:
        site.asked.kubectl("apply", "-f", "-", stdin=BINDING.replace("managementcluster.edit", "managementcluster.view"))
        kubectl = site.kubectl()
        eventually(lambda: kubectl("get", "pods").code == 0, 60)
        for command in (("exec", "web", "--", "true"), ("attach", "web"), ("port-forward", "pod/web", ":80")):
            assert 'User "ann" cannot connect path "/k8s/sv-1/' in kubectl(*command).err
    finally:
        site.asked.kubectl("delete", "rolebinding", "ann")
        site.bind()


def test_every_command_of_the_page_works_in_its_order(site: Site, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(site.asked.kubeconfig.read_text())
    token = site.asked.kubectl("create", "-f", "-", "-o", "jsonpath={.status.token}", stdin=TOKEN % "page").strip()
    commands = commands_of("howto/use-a-cluster-through-skerry.md")
    assert len(commands) >= 12
    said = site.asked.shell("\n".join(("set -e", f"export KUBECONFIG={tmp_path}/config TOKEN={token}", *commands)), tmp_path)
    assert "Linux" in said
    assert (site.node.work / "notes.txt").read_text() == "hello\n"


def test_a_server_that_stops_does_not_wait_for_shells_and_after_that_they_open_again(site: Site) -> None:
    kubectl, over = site.kubectl(), site.node.work / "over too"
    with kubectl.running("exec", "-i", "web", "--", "sh", "-c", "echo on; cat; touch 'over too'") as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "on\n"
        began = time.monotonic()
        assert site.asked.stop() == 0
        assert time.monotonic() - began < 8, "less than running requests get to finish"
        assert shell.wait(60) != 0
        eventually(over.exists, 60)
    site.asked.start()
    eventually(lambda: kubectl("exec", "web", "--", "true").code == 0, 120)
