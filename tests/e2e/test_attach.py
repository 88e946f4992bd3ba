"""A real kube-apiserver joins the fleet by one command or one link, and leaves it without a trace, whatever breaks in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from peers.kubectl import Kubectl
from peers.kubernetes import NAMESPACED, Kubernetes
from skerry.tunnel.places import BINDINGS, IDENTITY, NAMESPACE, ROLES
from tests.e2e.agents import front_root
from tests.e2e.server import SKERRY, Server, eventually, running

pytestmark = pytest.mark.peer("kubernetes")

Json = dict[str, Any]
EVERYTHING = 1 + len(ROLES) + len(BINDINGS)
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{NAMESPACE}"
SET = """
apiVersion: fleet.skerry.dev/v1alpha1
kind: ManifestSet
metadata: {name: %s, namespace: attached}
spec:
  ownerEpoch: 1
  cluster: attached.%s
  manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {name: sent, namespace: default}, data: {v: "1"}}]
"""


@dataclass
class Site:
    """A server, and a real cluster that is attached to it and detached again and again."""

    server: Server
    peer: Kubernetes
    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def skerry(self, *arguments: str, code: int = 0, timeout: float = 120) -> str:
        """Run a verb to its end; returns what it wrote."""
        done = subprocess.run(
            self._command(arguments), env=self._environment(), capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.server.log.read_text()[-2000:]}"
        return done.stdout + done.stderr

    @contextmanager
    def background(self, *arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
        """Run a verb until the block is left; its output goes to ``Popen.args[-1]``'s neighbour, see :meth:`said`."""
        with (self.folder / "said.txt").open("w") as said:
            process = subprocess.Popen(
                self._command(arguments), env=self._environment(**more), stdout=said, stderr=subprocess.STDOUT, text=True
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def says(self, words: str, seconds: float = 60) -> None:
        eventually(lambda: words in self.said(), seconds, self.folder / "said.txt")

    @contextmanager
    def attached(self, name: str, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Attach the cluster by one command, its agent running there."""
        with self.background("attach", name, "--kubeconfig", str(self.peer.kubeconfig), "--local", *options) as process:
            self.says("Ctrl-C stops it")
            yield process

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [str(SKERRY), *arguments]

    def _environment(self, **more: str) -> dict[str, str]:
        kubeconfig = str(self.server.kubeconfig)
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "SKERRY_KUBECONFIG": kubeconfig, "PYTHONUNBUFFERED": "1", **more}

    def far(self, *arguments: str, ok: bool = True, stdin: str = "") -> str:
        """The cluster's administrator's kubectl, at the cluster itself."""
        ran = Kubectl(self.peer.kubeconfig, self.folder / "far")(*arguments, stdin=stdin)
        assert not ok or ran.code == 0, ran.err
        return ran.out + ran.err

    def through(self, name: str, token: str = "") -> Kubectl:
        """kubectl at the cluster through Skerry; as the administrator without a token."""
        config = yaml.safe_load(self.server.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] += f"/k8s/{name}"
        if token:
            config["users"][0]["user"] = {"token": token}
        path = self.folder / f"through-{'token' if token else 'admin'}"
        path.write_text(yaml.safe_dump(config))
        return Kubectl(path, self.folder / "through")

    def left(self) -> list[str]:
        """What of an attachment is in the cluster."""
        kinds = "namespaces,clusterroles,clusterrolebindings"
        return [each for each in self.far("get", kinds, "-o", "name").split() if "skerry" in each]

    def clean(self) -> None:
        eventually(lambda: self.left() == [], 60)

    def account(self) -> Path:
        """A kubeconfig with the token of the account that the manifest made, as a pod has it."""
        token = self.far("create", "token", NAMESPACE, "-n", NAMESPACE).strip()
        config = yaml.safe_load(self.peer.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        path = self.folder / "account.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    def gone(self, name: str) -> bool:
        return "NotFound" in self.server.kubectl("get", "cluster", "-n", "attached", f"attached.{name}", ok=False)

    def ready(self, name: str, phase: str = "Ready") -> None:
        def state() -> bool:
            found = self.server.kubectl("get", "cluster", "-n", "attached", f"attached.{name}", "-o", "jsonpath={.status.phase}", ok=False)
            return found == phase

        eventually(state, 120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("attach")
    controllers = (*NAMESPACED, "clusterrole-aggregation-controller")
    with running(folder, verb="server") as server, Kubernetes(controllers=controllers) as peer:
        yield Site(server, peer, folder)


def names() -> Callable[[], str]:
    numbers = iter(range(1000))
    return lambda: f"c-{next(numbers)}"


name_of = names()


@pytest.fixture
def name(site: Site) -> Iterator[str]:
    """The name of a cluster that no other test has used; whatever the test left is removed."""
    made = name_of()
    yield made
    if site.left() or not site.gone(made):
        site.skerry("detach", made, "--kubeconfig", str(site.peer.kubeconfig))
    site.clean()


def test_one_command_attaches_a_cluster_and_one_detaches_it_without_a_trace(site: Site, name: str) -> None:
    before = site.left()
    began = time.monotonic()
    with site.attached(name) as process:
        took = time.monotonic() - began
        print(f"attached in {took:.1f} s")
        assert took < 30
        said = site.said()
        for line in (f"cluster attached/attached.{name} created", f"namespace/{NAMESPACE} applied", "is connected: Kubernetes v1."):
            assert line in said
        assert "token" not in said
        site.ready(name)
        kubectl = site.through(f"attached.attached.{name}")
        assert "kube-system" in kubectl("get", "namespaces").out
        assert kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").out == "admin"
        site.server.kubectl("apply", "-f", "-", stdin=SET % (name, name))
        eventually(lambda: "sent" in site.far("get", "configmaps", "-o", "name"), 60)
        assert "detached" in site.skerry("detach", name)
        assert process.wait(60) == 0
        assert "has nothing more to do" in site.said()
    site.clean()
    assert before == []
    assert "sent" not in site.far("get", "configmaps", "-o", "name")
    assert site.gone(name)


LIMITED = """
{apiVersion: fleet.skerry.dev/v1alpha1, kind: User, metadata: {name: %(user)s}, spec: {}}
---
apiVersion: fleet.skerry.dev/v1alpha1
kind: RoleBinding
metadata: {name: %(user)s}
spec:
  roleRef: {name: cluster.edit}
  scope: {kind: Cluster, name: attached.%(name)s, namespace: attached}
  subjects: [{kind: User, name: %(user)s}]
"""
TOKEN = "{apiVersion: fleet.skerry.dev/v1alpha1, kind: APIToken, metadata: {name: %s}, spec: {owner: %s}}"


def test_who_logs_in_to_the_cluster_by_a_program_attaches_and_detaches_it_too(site: Site, name: str, tmp_path: Path) -> None:
    (tmp_path / "status").write_text(json.dumps({"kind": "ExecCredential", "status": {"token": site.peer.admin.token}}))
    config = yaml.safe_load(site.peer.kubeconfig.read_text())
    config["users"][0]["user"] = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "cat"}}
    config["users"][0]["user"]["exec"]["args"] = [str(tmp_path / "status")]
    far = tmp_path / "far"
    far.write_text(yaml.safe_dump(config))
    with site.background("attach", name, "--kubeconfig", str(far), "--local") as process:
        site.says("Ctrl-C stops it")
        assert site.through(f"attached.attached.{name}")("get", "namespaces").code == 0
        assert "namespaces/skerry-agent deleted" in site.skerry("detach", name, "--kubeconfig", str(far))
        assert process.wait(60) == 0
    assert site.left() == []


def test_a_limited_user_is_judged_by_the_clusters_own_rules(site: Site, name: str) -> None:
    user = f"ann-{name}"
    with site.attached(name):
        site.server.kubectl("apply", "-f", "-", stdin=LIMITED % {"user": user, "name": name})
        token = site.server.kubectl("create", "-f", "-", "-o", "jsonpath={.status.token}", stdin=TOKEN % (user, user)).strip()
        kubectl = site.through(f"attached.attached.{name}", token)
        eventually(lambda: f'User "{user}" cannot list resource "pods"' in kubectl("get", "pods").err, 60)
        site.far("create", "rolebinding", user, "-n", "default", "--clusterrole=view", f"--user={user}")
        eventually(lambda: kubectl("get", "pods").code == 0, 60)
        assert "forbidden" in kubectl("create", "configmap", "x").err
        assert "forbidden" in kubectl("get", "pods", "-n", "kube-system").err
        site.far("delete", "rolebinding", user, "-n", "default")
        site.skerry("detach", name)
    assert "NotFound" in site.server.kubectl("get", "rolebinding", user, ok=False), "what was granted on it goes with it"


def may(site: Site, verb: str, what: str, *more: str) -> bool:
    """Whether the agent's account may do something, by the cluster's own word."""
    return Kubectl(site.peer.kubeconfig, site.folder / "far")("auth", "can-i", verb, what, *more, f"--as={ACCOUNT}").code == 0


def test_an_agent_that_only_reports_may_do_nothing_else_and_what_it_cannot_is_told_clearly(site: Site, name: str) -> None:
    with site.attached(name, "--feature", "inventory"):
        assert may(site, "list", "deployments.apps", "-A")
        assert may(site, "get", "secrets/skerry-agent-identity", "-n", NAMESPACE)
        for verb, what, *where in (
            ("get", "secrets", "-A"),
            ("list", "secrets", "-n", NAMESPACE),
            ("create", "deployments.apps", "-A"),
            ("delete", "pods", "-A"),
            ("impersonate", "users"),
            ("impersonate", "groups"),
            ("escalate", "clusterroles.rbac.authorization.k8s.io"),
            ("delete", "namespaces/default"),
            ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
            ("*", "*", "-A"),
        ):
            assert not may(site, verb, what, *where), (verb, what)
        site.ready(name)
        refused = site.through(f"attached.attached.{name}")("get", "--raw", "/api/v1/namespaces")
        assert refused.code == 1
        assert f'User "{ACCOUNT}" cannot impersonate' in refused.err
        site.server.kubectl("apply", "-f", "-", stdin=SET % (name, name))

        def told() -> bool:
            found = site.server.kubectl("get", "manifestset", "-n", "attached", name, "-o", "json")
            failures = (json.loads(found).get("status") or {}).get("failures") or [{}]
            return failures[0].get("reason") == "Forbidden" and ACCOUNT in failures[0].get("message", "")

        eventually(told, 60)
        said = site.said()
        assert "API does not answer" not in said
        assert "detached" in site.skerry("detach", name)
    site.clean()


def test_who_is_attached_again_with_fewer_features_loses_the_rights_of_the_others(site: Site, name: str) -> None:
    with site.attached(name):
        assert may(site, "impersonate", "users")
    site.ready(name, "Unknown")
    with site.attached(name, "--feature", "inventory"):
        assert "clusterroles/skerry-agent-manifests deleted" in site.said()
        assert not may(site, "impersonate", "users")
        assert not may(site, "create", "configmaps", "-n", "default")
        assert may(site, "list", "pods", "-A")
        assert len(site.left()) == 5
        site.skerry("detach", name)
    site.clean()


def test_without_a_right_to_report_calls_go_through_all_the_same(site: Site, name: str) -> None:
    with site.attached(name, "--feature", "proxy"):
        assert not may(site, "list", "pods", "-A")
        assert may(site, "impersonate", "users")
        site.far("create", "clusterrolebinding", f"tests-{name}", "--clusterrole=view", "--group=skerry:administrators")
        kubectl = site.through(f"attached.attached.{name}")
        eventually(lambda: kubectl("get", "configmaps", "-A").code == 0, 60)
        assert "forbidden" in kubectl("get", "nodes").err, "the feature administrators would have allowed it"
        assert "API does not answer" not in site.said()
        site.far("delete", "clusterrolebinding", f"tests-{name}")
        site.skerry("detach", name)
    site.clean()


@contextmanager
def linked(site: Site, name: str, *options: str) -> Iterator[list[str]]:
    """Attach by a link and `kubectl apply -f`; gives the command of the agent, which a pod would run, without a token."""
    link = site.skerry("attach", name, "--link", *options).splitlines()
    url = next(line for line in link if line.startswith("https://"))
    root = site.folder / "front.crt"
    root.write_bytes(front_root(site.server))
    fetched = subprocess.run(["curl", "-sSf", "--cacert", str(root), url], capture_output=True, text=True, check=True, timeout=60).stdout
    again = subprocess.run(["curl", "-sS", "--cacert", str(root), url], capture_output=True, text=True, check=True, timeout=60).stdout
    assert json.loads(again)["message"] == "the one-time token is unknown, used up or expired; make a new one"
    site.far("apply", "--validate=strict", "-f", "-", stdin=fetched)
    written = site.server.log.read_text() + (site.server.data / "audit.jsonl").read_text()
    assert f"/attach/attached.attached.{name}" in written
    assert url.rpartition(".")[2] not in written
    assert registration(site).rpartition(".")[2] not in written
    yield ["agent", "--kubeconfig", str(site.account()), "--keep-in-cluster", "--server", f"https://127.0.0.1:{site.server.port}"]


def registration(site: Site) -> str:
    path = "jsonpath={.data.token}"
    found = site.far("get", "secret", "-n", NAMESPACE, "skerry-agent-registration", "-o", path)
    return subprocess.run(["base64", "-d"], input=found, capture_output=True, text=True, check=True).stdout


def test_a_link_brings_an_agent_that_lives_on_without_its_token(site: Site, name: str) -> None:
    root = str(site.folder / "front.crt")
    with linked(site, name) as command:
        with site.background(*command, "--server-ca", root, SKERRY_REGISTRATION_TOKEN=registration(site)) as process:
            site.ready(name)
            assert IDENTITY in site.far("get", "secrets", "-n", NAMESPACE, "-o", "name")
            process.kill()
            process.wait()
        site.ready(name, "Unknown")
        with site.background(*command[:4]) as process:  # neither token nor address: who it is stands in the cluster
            site.ready(name)
            kubectl = site.through(f"attached.attached.{name}")
            eventually(lambda: kubectl("get", "namespaces").code == 0, 60)
            site.skerry("detach", name)
            assert process.wait(60) == 0
    site.clean()


def test_after_the_plug_was_pulled_and_put_back_everything_is_as_it_was(site: Site, name: str) -> None:
    with site.attached(name) as process:
        site.server.kubectl("apply", "-f", "-", stdin=SET % (name, name))
        site.ready(name)
        eventually(lambda: "sent" in site.far("get", "configmaps", "-o", "name"), 60)
        kubectl = site.through(f"attached.attached.{name}")
        before = site.far("get", "configmap", "sent", "-o", "jsonpath={.metadata.uid} {.metadata.resourceVersion}")
        with unplugged(site.peer):
            site.ready(name, "Degraded")
            assert kubectl("get", "namespaces").code == 1
        site.ready(name)
        eventually(lambda: kubectl("get", "namespaces").code == 0, 60)
        assert site.far("get", "configmap", "sent", "-o", "jsonpath={.metadata.uid} {.metadata.resourceVersion}") == before
        site.far("delete", "configmap", "sent")
        eventually(lambda: "sent" in site.far("get", "configmaps", "-o", "name"), 60)
        site.far("create", "namespace", name)

        def seen() -> bool:
            return name in site.server.kubectl("get", "clusternamespaces", "-n", "attached", "-o", "name")

        eventually(seen, 60)
        assert process.poll() is None
        site.far("delete", "namespace", name)
        site.skerry("detach", name)
    site.clean()


@contextmanager
def unplugged(peer: Kubernetes) -> Iterator[None]:
    """The API server is killed; when the block is left it runs again, at the same address and over the same data."""
    [server] = [each for each in peer.processes.programs if each.name == "kube-apiserver"]
    command = Path(f"/proc/{server.process.pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()
    peer.processes.programs.remove(server)
    yield
    peer.processes.start("kube-apiserver", command)
    eventually(lambda: up(peer), 60)


def up(peer: Kubernetes) -> bool:
    try:
        return bool(peer.admin.call("GET", "/readyz").status == 200)
    except OSError:
        return False


def test_a_cluster_that_is_gone_is_let_go_by_force_and_what_it_kept_is_removed_when_it_is_found_again(site: Site, name: str) -> None:
    with site.attached(name) as process:
        site.server.kubectl("apply", "-f", "-", stdin=SET % (name, name))
        eventually(lambda: "sent" in site.far("get", "configmaps", "-o", "name"), 60)
        process.kill()
        process.wait()
    site.ready(name, "Unknown")
    waits = site.skerry("detach", name, "--timeout", "3", code=1)
    assert "its agent, which is away, to remove itself" in waits
    assert "fleet.skerry.dev/force-delete=true" in waits
    assert "detached" in site.skerry("detach", name, "--force")
    assert len(site.left()) == EVERYTHING
    said = site.skerry("detach", name, "--kubeconfig", str(site.peer.kubeconfig))
    assert f"there is no cluster {name} at Skerry any more" in said
    assert "manifest set" in said
    assert site.left() == []
    assert "sent" not in site.far("get", "configmaps", "-o", "name")


def test_a_cluster_whose_agent_is_dead_is_cleaned_from_here(site: Site, name: str) -> None:
    with site.attached(name) as process:
        process.kill()
        process.wait()
    said = site.skerry("detach", name, "--kubeconfig", str(site.peer.kubeconfig))
    assert "namespaces/skerry-agent deleted" in said
    assert site.left() == []
    assert site.gone(name)


def test_a_cluster_whose_agent_runs_here_is_detached_with_a_kubeconfig_as_well(site: Site, name: str) -> None:
    with site.attached(name) as process:
        site.skerry("detach", name, "--kubeconfig", str(site.peer.kubeconfig))
        assert process.wait(60) == 0
    assert site.left() == []


def test_after_half_a_detach_it_is_attached_again(site: Site, name: str) -> None:
    """The agent gave what is in no namespace to its namespace and was killed; somebody deletes that one, which takes a while."""
    with site.attached(name) as process:
        process.kill()
        process.wait()
    uid = site.far("get", "namespace", NAMESPACE, "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": NAMESPACE, "uid": uid}
    patch = json.dumps({"metadata": {"ownerReferences": [owner]}})
    for each in site.left():
        if not each.startswith("namespace"):
            site.far("patch", each, "--type=merge", "-p", patch)
    site.far("create", "configmap", "slow", "-n", NAMESPACE)
    held = json.dumps({"metadata": {"finalizers": ["tests.skerry.dev/slow"]}})
    site.far("patch", "configmap", "slow", "-n", NAMESPACE, "--type=merge", "-p", held)
    site.far("delete", "namespace", NAMESPACE, "--wait=false")
    with site.background("attach", name, "--kubeconfig", str(site.peer.kubeconfig), "--local"):
        site.says("namespace skerry-agent is being emptied")
        site.far("patch", "configmap", "slow", "-n", NAMESPACE, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": None}}))
        site.says("Ctrl-C stops it")
        time.sleep(3)  # the garbage collector would have taken what is still the former namespace's
        assert len(site.left()) == EVERYTHING
        assert site.through(f"attached.attached.{name}")("get", "namespaces").code == 0
        site.skerry("detach", name)
    site.clean()


def test_a_management_cluster_joins_and_leaves_the_same_way(site: Site, name: str) -> None:
    with site.attached(name, "--management") as process:
        site.server.kubectl("wait", "--for=condition=Connected", f"managementcluster/{name}", "--timeout=60s")
        assert f"management cluster {name} is connected" in site.said()
        assert site.server.kubectl("get", "managementcluster", name, "-o", "jsonpath={.spec.provider}") == "ClusterAPI"
        assert may(site, "list", "clusters.cluster.x-k8s.io", "-A")
        assert site.through(name)("get", "namespaces").code == 0
        assert "detached" in site.skerry("detach", name)
        assert process.wait(60) == 0
    site.clean()
    assert "NotFound" in site.server.kubectl("get", "managementcluster", name, ok=False)


# what the command line says


def test_a_cluster_that_cannot_be_reached_is_said_and_nothing_was_made(site: Site, tmp_path: Path) -> None:
    config = yaml.safe_load(site.peer.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "far").write_text(yaml.safe_dump(config))
    for verb in ("attach", "detach"):
        said = site.skerry(verb, "nowhere", "--kubeconfig", str(tmp_path / "far"), code=1)
        assert "127.0.0.1:1" in said
        assert "Traceback" not in said
    assert site.gone("nowhere")


def test_who_may_not_administer_the_cluster_is_told_so(site: Site, name: str, tmp_path: Path) -> None:
    config = yaml.safe_load(site.peer.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": site.peer.outsider.token}
    (tmp_path / "far").write_text(yaml.safe_dump(config))
    said = site.skerry("attach", name, "--kubeconfig", str(tmp_path / "far"), "--local", code=1)
    assert 'User "outsider" cannot' in said
    assert "must administer it" in said


def test_who_may_not_attach_at_skerry_is_told_so(site: Site, tmp_path: Path) -> None:
    site.server.kubectl("apply", "-f", "-", stdin="{apiVersion: fleet.skerry.dev/v1alpha1, kind: User, metadata: {name: eve}, spec: {}}")
    token = site.server.kubectl("create", "-f", "-", "-o", "jsonpath={.status.token}", stdin=TOKEN % ("eve", "eve")).strip()
    config = yaml.safe_load(site.server.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "eve").write_text(yaml.safe_dump(config))
    said = site.skerry("attach", "x", "--link", "--skerry-kubeconfig", str(tmp_path / "eve"), code=1)
    assert "eve" in said
    assert "cannot" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("attach", "Shop", "--link"), "is no name of a cluster"),
        (("attach", "a/b", "--link"), "is no name of a cluster"),
        (("attach", "sv-1/team-a/shop", "--link"), "give it a name without dots and slashes"),
        (("attach", "sv-1/team-a/shop", "--link", "--management"), "is no name of a cluster"),
        (("attach", "attached", "--link", "--management"), "is nothing that has an agent"),
        (("attach", "x", "--link", "--cluster-group", "nowhere"), "nowhere"),
        (("detach", "nobody"), "there is no cluster nobody here"),
        (("attach", "x", "--link", "--skerry-kubeconfig", "missing"), "missing"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(site: Site, arguments: tuple[str, ...], words: str) -> None:
    said = site.skerry(*arguments, code=1)
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("attach", "x"),
        ("attach", "x", "--link", "--local"),
        ("attach", "x", "--link", "--feature", "everything"),
        ("attach", "x", "--link", "--management", "--cluster-group", "prod"),
        ("attach", "x", "--link", "--timeout", "0"),
    ],
)
def test_options_that_contradict_each_other_are_refused(site: Site, arguments: tuple[str, ...]) -> None:
    site.skerry(*arguments, code=2)


def test_a_name_that_is_taken_and_a_cluster_that_is_attached_are_not_pushed_aside(site: Site, name: str, tmp_path: Path) -> None:
    with site.attached(name):
        here = ("--kubeconfig", str(site.peer.kubeconfig))
        assert "is connected already; stop it first" in site.skerry("attach", name, *here, "--local", code=1)
        other = f"{name}-other"
        said = site.skerry("attach", other, *here, "--local", code=1)
        assert f"attached already, as cluster attached/attached.{name}" in said
        assert site.gone(other)
        site.skerry("attach", other, "--link")
        assert f"attached as cluster attached/attached.{name}: detach it under that name" in site.skerry("detach", other, *here, code=1)
        site.skerry("detach", other)
        with Kubernetes() as elsewhere:
            said = site.skerry("attach", name, "--kubeconfig", str(elsewhere.kubeconfig), "--local", code=1)
            assert "its agent is not in this cluster" in said
            assert elsewhere.admin.call("GET", f"/api/v1/namespaces/{NAMESPACE}").status == 404
        site.ready(name)
        site.skerry("detach", name)
    site.clean()


def test_an_agent_that_does_not_come_in_time_is_said_with_where_to_look(site: Site, name: str) -> None:
    """No node runs the pod here."""
    said = site.skerry("attach", name, "--kubeconfig", str(site.peer.kubeconfig), "--timeout", "3", code=1)
    assert "only this machine can" in said
    assert "did not connect within 3 s (its agent has not connected yet)" in said
    assert f"kubectl -n {NAMESPACE} get pods,events" in said
    assert "`skerry detach` takes it back" in said
    deployment = json.loads(site.far("get", "deployment", "-n", NAMESPACE, NAMESPACE, "-o", "json"))
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].startswith("skerry:")
    assert "detached" in site.skerry("detach", name)
    assert len(site.left()) == EVERYTHING, "nobody was there to remove it"


def test_who_is_attached_again_while_connected_is_not_told_that_the_old_agent_is_the_new_one(site: Site, name: str) -> None:
    with site.attached(name):
        said = site.skerry("attach", name, "--kubeconfig", str(site.peer.kubeconfig), "--timeout", "3", code=1)
        assert "did not connect within 3 s (the agent that was there before still holds its session)" in said
        site.skerry("detach", name)
    site.clean()


def test_ctrl_c_in_the_middle_says_how_to_go_on(site: Site, name: str) -> None:
    with site.background("attach", name, "--kubeconfig", str(site.peer.kubeconfig)) as process:
        site.says("waiting: its agent has not connected yet")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert f"`skerry detach {name}`" in site.said()
        assert "Traceback" not in site.said()
    with site.attached(name) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert "the cluster stays attached" in site.said()
    site.ready(name, "Unknown")
    with site.attached(name):
        site.ready(name)
        site.skerry("detach", name)


def test_more_than_one_cluster_group(site: Site, name: str) -> None:
    site.server.kubectl(
        "apply", "-f", "-", stdin="{apiVersion: fleet.skerry.dev/v1alpha1, kind: ClusterGroup, metadata: {name: prod}, spec: {}}"
    )
    site.skerry("attach", name, "--link", "--cluster-group", "prod")
    found = site.server.kubectl("get", "cluster", "-n", "attached", f"attached.{name}", "-o", "jsonpath={.spec.clusterGroup}")
    assert found == "prod"
    assert "is in cluster group prod already" in site.skerry("attach", name, "--link", "--cluster-group", "default", code=1)
    site.skerry("attach", name, "--link", "--cluster-group", "prod")
    site.skerry("detach", name)
