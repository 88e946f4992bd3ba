"""The two servers that are measured, each as processes of its own behind TLS.

Ours is the API as production serves it (bearer tokens, authorization, audit file, SQLite with
synchronous=FULL) without controllers, for the peer runs none either. The peer is
kube-apiserver over etcd with fsync, RBAC by a role of its own and an audit file; our Cluster
kind is a custom resource there, with the same schema.

``python -m bench.sides FOLDER PORT`` is our process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from peers.door import Door as Client
from peers.kubernetes import ADMIN_TOKEN, OUTSIDER_TOKEN, Kubernetes
from peers.processes import Processes, clean_environment, free_port
from peers.trust import Authority
from skerry.access import tokens
from skerry.access.audit import AuditFile
from skerry.access.authentication import Certificates, Chain, Tokens
from skerry.access.authorization import Authorization
from skerry.apiserver.http import Door
from skerry.kinds import catalogue, cluster
from skerry.kit import log
from skerry.kit.clock import SystemClock
from skerry.machinery.identity import User
from skerry.pki.policy import ADMINISTRATORS
from skerry.pki.tls import server_context
from skerry.restapi.registry import Registry
from skerry.restapi.reviews import REVIEWS
from skerry.restapi.server import ApiServer
from skerry.store.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = "sv-1"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Side:
    """A server under measurement: how it is reached, and the processes whose CPU time and memory are its own."""

    name: str
    client: Client
    pids: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """CPU time of its processes so far, user and system."""
        return sum(_cpu_ticks(pid) for pid in self.pids) / TICKS

    def memory_mb(self) -> float:
        """Resident memory of its processes now."""
        return sum(_resident_kb(pid) for pid in self.pids) / 1024


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


@contextlib.contextmanager
def kubernetes() -> Iterator[Side]:
    """Run the peer; raises PeerMissing or PeerFailed."""
    with Kubernetes(durable=True, unlimited=True, audit=True) as peer:
        resource = cluster.RESOURCE
        peer.admin.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _definition())
        path = f"/apis/{resource.group}/{resource.version}/{resource.plural}"
        peer.processes.wait_until(path, lambda: peer.admin.call("GET", path).status == 200)
        rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        peer.admin.ask("POST", f"{rbac}/clusterroles", {"metadata": {"name": "bench"}, "rules": rules})
        binding = {
            "metadata": {"name": "bench"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bench"},
            "subjects": [{"kind": "User", "name": "outsider", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        peer.admin.ask("POST", f"{rbac}/clusterrolebindings", binding)
        peer.processes.wait_until("rbac", lambda: peer.outsider.call("GET", path).status == 200)
        _prepare(peer.outsider)
        yield Side("kubernetes", peer.outsider, tuple(each.process.pid for each in peer.processes.programs))


@contextlib.contextmanager
def skerry(profile: Path | None = None) -> Iterator[Side]:
    """Run ours, under cProfile if a file for its result is given; raises PeerFailed."""
    folder = Path(tempfile.mkdtemp(prefix="skerry-bench-"))
    try:
        authority, port = Authority(folder), free_port()
        authority.server("front")
        client = Client(f"https://127.0.0.1:{port}", authority.file, ADMIN_TOKEN)
        environment = clean_environment(folder, PYTHONPATH=f"{ROOT}:{ROOT / 'src'}")
        watched = ["-m", "cProfile", "-o", str(profile.absolute())] if profile else []
        with Processes(folder) as processes:
            program = processes.start("skerry", [sys.executable, *watched, "-m", "bench.sides", folder, str(port)], environment)
            processes.wait_until("skerry", lambda: client.call("GET", "/readyz").status == 200)
            _prepare(client)
            yield Side("skerry", client, (program.process.pid,))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(client: Client) -> None:
    client.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})


def _definition() -> dict[str, object]:
    """Our Cluster kind as a CustomResourceDefinition."""
    resource = cluster.RESOURCE
    columns = [
        {"name": each.name, "jsonPath": each.path, "type": each.type, "priority": each.priority}
        for each in resource.columns
        if each.path != ".metadata.creationTimestamp"
    ]
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": resource.schema.document},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [*columns, {"name": "Age", "jsonPath": ".metadata.creationTimestamp", "type": "date"}],
    }
    names = {"plural": resource.plural, "singular": resource.singular_name, "kind": resource.kind, "listKind": resource.list_kind}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{resource.plural}.{resource.group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a benchmark"},
        },
        "spec": {"group": resource.group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


async def serve(folder: Path, port: int) -> None:
    """Serve the whole catalogue until SIGTERM."""
    log.configure(level="warning")
    clock, known = SystemClock(), folder / "tokens.json"
    tokens.write(
        known, (tokens.entry(ADMIN_TOKEN, User("admin", "admin", (ADMINISTRATORS,))), tokens.entry(OUTSIDER_TOKEN, User("nobody")))
    )
    store, audit = await SqliteStore.open(folder / "skerry.db"), AuditFile(folder / "audit.jsonl", clock)
    api = ApiServer(
        store,
        Registry((*catalogue.ALL, *REVIEWS)),
        authenticator=Chain((Certificates(clock), Tokens(known))),
        authorizer=Authorization(frozenset()),
        audit=audit,
        clock=clock,
        version="v1.37.0",
    )
    authority = (folder / "ca.crt").read_bytes()
    tls = server_context((folder / "front.key").read_bytes() + (folder / "front.crt").read_bytes(), authority)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    try:
        async with api.running(), Door(api, host="127.0.0.1", port=port, tls=tls, clock=clock, on_stop=api.end_watches).open():
            await ended.wait()
    finally:
        audit.close()
        await store.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
