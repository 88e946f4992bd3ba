"""A real kube-apiserver over a real etcd, up in seconds and gone without a trace.

    with Kubernetes() as peer:
        peer.admin.ask("GET", "/api/v1/namespaces")
        peer.kubeconfig          # for kubectl and every other client

Each one has its own folder, certificate authority, ports and users, so that any number run
side by side. Users: ``admin`` (a member of ``system:masters``, by token or client certificate)
and ``outsider`` (known to the server, bound to nothing). Authorization is RBAC.

By default etcd skips fsync, which tests do not need; ``durable=True`` is for benchmarks, where
our side pays for fsync too. ``controllers`` names the parts of kube-controller-manager to run
beside it: without them a namespace is never emptied and nothing is garbage-collected. There
are no nodes: nothing here runs a container (``kubelet.py`` makes one that seems to).

``python -m peers.kubernetes`` runs one in the foreground and prints its kubeconfig.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from peers.door import Door
from peers.processes import Processes, free_port
from peers.programs import program
from peers.trust import Authority

ADMIN_TOKEN = "admin-token"  # noqa: S105 - of a server that lives for one test run
OUTSIDER_TOKEN = "outsider-token"  # noqa: S105 - of a server that lives for one test run
NAMESPACED = ("namespace-controller", "garbage-collector-controller", "serviceaccount-controller")


class Kubernetes:
    """etcd, kube-apiserver and, if asked for, controllers; a context manager. Raises PeerMissing or PeerFailed."""

    def __init__(self, *, controllers: Sequence[str] = (), durable: bool = False, unlimited: bool = False, audit: bool = False) -> None:
        """``unlimited`` lifts the limits on requests in flight, as benchmarks need; ``audit`` writes one line a request to a file."""
        self._controllers = tuple(controllers)
        self._durable = durable
        self._unlimited = unlimited
        self._audit = audit
        self._binaries = {name: program("kubernetes", name) for name in ("etcd", "kube-apiserver", "kube-controller-manager")}

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="skerry-kubernetes-"))
        self.processes = Processes(self.folder)
        self.authority = Authority(self.folder)
        self.url = f"https://127.0.0.1:{free_port()}"
        certificate = self.authority.client("admin", ["system:masters"])
        self.admin = Door(self.url, self.authority.file, ADMIN_TOKEN, certificate.certificate, certificate.key)
        self.outsider = self.admin.as_user(OUTSIDER_TOKEN)
        self.kubeconfig = write_kubeconfig(self.folder / "kubeconfig", self.admin)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process and remove the folder."""
        self.processes.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        etcd = self._start_etcd()
        private, public = self.authority.key_pair("service-accounts")
        self._start_apiserver(etcd, private, public)
        self.processes.wait_until("kube-apiserver", self._ready, pause=0.25)
        if self._controllers:
            self._start_controllers(private)

    def _ready(self) -> bool:
        if self.admin.call("GET", "/readyz").status != 200:
            return False
        return self.admin.call("GET", "/api/v1/namespaces/default").status == 200

    def _start_etcd(self) -> str:
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        command: list[str | Path] = [self._binaries["etcd"], "--data-dir", self.folder / "etcd", "--log-level", "warn"]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer]
        command += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
        self.processes.start("etcd", command if self._durable else [*command, "--unsafe-no-fsync"])
        return client

    def _start_apiserver(self, etcd: str, private: Path, public: Path) -> None:
        serving = self.authority.server("kube-apiserver")
        tokens = self.folder / "tokens.csv"
        tokens.write_text(f'{ADMIN_TOKEN},admin,admin,"system:masters"\n{OUTSIDER_TOKEN},outsider,outsider\n')
        flags: dict[str, str | Path] = {
            "etcd-servers": etcd,
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": self.url.rsplit(":", 1)[1],
            "endpoint-reconciler-type": "none",
            "tls-cert-file": serving.certificate,
            "tls-private-key-file": serving.key,
            "client-ca-file": self.authority.file,
            "token-auth-file": tokens,
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": public,
            "service-account-signing-key-file": private,
            "service-cluster-ip-range": "10.0.0.0/24",
            "shutdown-delay-duration": "0s",
            "kubelet-preferred-address-types": "InternalIP",  # where there are nodes (kubelet.py), nobody resolves their names
        }
        if self._unlimited:
            flags |= {"max-requests-inflight": "4000", "max-mutating-requests-inflight": "2000"}
        if self._audit:
            policy = self.folder / "audit-policy.yaml"
            policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n")
            flags |= {"audit-policy-file": policy, "audit-log-path": self.folder / "audit.log"}
        self.processes.start("kube-apiserver", [self._binaries["kube-apiserver"], *(f"--{key}={value}" for key, value in flags.items())])

    def _start_controllers(self, private: Path) -> None:
        flags: dict[str, str | Path] = {
            "kubeconfig": self.kubeconfig,
            "bind-address": "127.0.0.1",
            "secure-port": str(free_port()),
            "service-account-private-key-file": private,
            "root-ca-file": self.authority.file,
            "leader-elect": "false",
            "controllers": ",".join(self._controllers),
        }
        name = "kube-controller-manager"
        self.processes.start(name, [self._binaries[name], *(f"--{key}={value}" for key, value in flags.items())])


def write_kubeconfig(path: Path, door: Door) -> Path:
    """Write a kubeconfig that goes through a door (client certificate if it has one, else its token); return its path."""
    user = {"client-certificate": str(door.certificate), "client-key": str(door.key)} if door.certificate else {"token": door.token}
    cluster = {"server": door.url} | ({"certificate-authority": str(door.ca_file)} if door.ca_file else {})
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "peer",
        "clusters": [{"name": "peer", "cluster": cluster}],
        "users": [{"name": "peer", "user": user}],
        "contexts": [{"name": "peer", "context": {"cluster": "peer", "user": "peer"}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def run_until_interrupted() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()


def main() -> int:
    """Run one in the foreground."""
    parser = argparse.ArgumentParser(description="Run a real kube-apiserver in the foreground.")
    parser.add_argument("--durable", action="store_true", help="let etcd fsync")
    parser.add_argument("--controllers", action="store_true", help="run namespace, garbage collector and service account controllers")
    arguments = parser.parse_args()
    with Kubernetes(controllers=NAMESPACED if arguments.controllers else (), durable=arguments.durable) as peer:
        print(f"export KUBECONFIG={peer.kubeconfig}", flush=True)
        run_until_interrupted()
    return 0


if __name__ == "__main__":
    sys.exit(main())
