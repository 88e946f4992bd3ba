"""The two servers that are measured, each as processes of its own behind TLS.

Ours is the API as production serves it (bearer tokens, authorization, audit file, encryption
at rest, SQLite with synchronous=FULL or PostgreSQL with fsync) without controllers, for the peer
runs none either. The peer is kube-apiserver over etcd with fsync, RBAC by a role of its own and
an audit file; our Cluster kind is a custom resource there, with the same schema. On both sides
the caller is nobody special: a role that was bound to him lets him in.

``python -m bench.sides FOLDER PORT [DATABASE]`` is our process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from peers.door import Door as Client
from peers.kubernetes import ADMIN_TOKEN, OUTSIDER_TOKEN, Kubernetes
from peers.postgresql import PostgreSql
from peers.processes import Processes, clean_environment, free_port
from peers.trust import Authority
from skerry.access import tokens
from skerry.access.audit import AuditFile
from skerry.access.authentication import Tokens
from skerry.apiserver.http import Door
from skerry.compose.assembly import assembled
from skerry.compose.encryption import encrypted
from skerry.kinds import cluster
from skerry.kinds.common import GROUP, VERSION
from skerry.kit import log
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock
from skerry.kit.collection import collect_in_between
from skerry.machinery.identity import User
from skerry.pki.policy import ADMINISTRATORS
from skerry.pki.tls import server_context
from skerry.store.postgres.server import Address
from skerry.store.postgres.store import PostgresStore
from skerry.store.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = "sv-1"
CALLER = "nobody"
RULE = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
BINDING = {"roleRef": {"name": "bench"}, "scope": {"kind": "Organization"}, "subjects": [{"kind": "User", "name": CALLER}]}
ACCESS = (("roles", "Role", {"rules": [RULE]}), ("rolebindings", "RoleBinding", BINDING))
LAG_PATH, LAG_TICK = "/bench/lag", 0.005
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Side:
    """A server under measurement: how it is reached, and the processes whose CPU time and memory are its own."""

    name: str
    client: Client
    pids: Callable[[], Sequence[int]]
    admin: Client | None = None
    """Ours alone: who may ask how late the event loop was."""

    def cpu_seconds(self) -> float:
        """CPU time of its processes so far, user and system."""
        return sum(_cpu_ticks(pid) for pid in self.pids()) / TICKS

    def memory_mb(self) -> float:
        """Resident memory of its processes now."""
        return sum(_resident_kb(pid) for pid in self.pids()) / 1024

    def worst_stall_ms(self) -> float:
        """The longest that the event loop was held since the last call."""
        return float(self.admin.ask("GET", LAG_PATH)["worst_ms"]) if self.admin else 0.0


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
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        peer.admin.ask("POST", f"{rbac}/clusterroles", {"metadata": {"name": "bench"}, "rules": [RULE]})
        binding = {
            "metadata": {"name": "bench"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bench"},
            "subjects": [{"kind": "User", "name": "outsider", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        peer.admin.ask("POST", f"{rbac}/clusterrolebindings", binding)
        peer.processes.wait_until("rbac", lambda: peer.outsider.call("GET", path).status == 200)
        _prepare(peer.outsider)
        pids = [each.process.pid for each in peer.processes.programs]
        yield Side("kubernetes", peer.outsider, lambda: pids)


@contextlib.contextmanager
def skerry(profile: Path | None = None, postgres: PostgreSql | None = None) -> Iterator[Side]:
    """Run ours, under cProfile if a file for its result is given; raises PeerFailed."""
    folder = Path(tempfile.mkdtemp(prefix="skerry-bench-"))
    try:
        authority, port = Authority(folder), free_port()
        authority.server("front")
        admin = Client(f"https://127.0.0.1:{port}", authority.file, ADMIN_TOKEN)
        environment = clean_environment(folder, PYTHONPATH=f"{ROOT}:{ROOT / 'src'}")
        watched = ["-m", "cProfile", "-o", str(profile.absolute())] if profile else []
        arguments: list[str | Path] = [folder, str(port), *([postgres.dsn()] if postgres else [])]
        with Processes(folder) as processes:
            program = processes.start("skerry", [sys.executable, *watched, "-m", "bench.sides", *arguments], environment)
            processes.wait_until("skerry", lambda: admin.call("GET", "/readyz").status == 200)
            _prepare(admin)
            for plural, kind, spec in ACCESS:
                body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": "bench"}, "spec": spec}
                admin.ask("POST", f"/apis/{GROUP}/{VERSION}/{plural}", body)

            def pids() -> list[int]:
                return [program.process.pid, *(postgres.processes() if postgres else ())]

            yield Side("PostgreSQL" if postgres else "SQLite", admin.as_user(OUTSIDER_TOKEN), pids, admin)
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


class Lag:
    """How late the event loop was at worst since the last question, in milliseconds."""

    def __init__(self) -> None:
        self._worst = 0.0

    async def run(self) -> None:
        """Tick until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_TICK
            await asyncio.sleep(LAG_TICK)
            self._worst = max(self._worst, (loop.time() - due) * 1000)

    async def answer(self) -> dict[str, float]:
        """Tell, and begin anew."""
        worst, self._worst = self._worst, 0.0
        return {"worst_ms": worst}


async def serve(folder: Path, port: int, database: str = "") -> None:
    """Serve the whole catalogue until SIGTERM."""
    log.configure(level="warning")
    clock, known, lag = SystemClock(), folder / "tokens.json", Lag()
    callers = (tokens.entry(ADMIN_TOKEN, User("admin", "admin", (ADMINISTRATORS,))), tokens.entry(OUTSIDER_TOKEN, User(CALLER)))
    tokens.write(known, callers)
    plain = await (PostgresStore.open(Address(database)) if database else SqliteStore.open(folder / "skerry.db"))
    store, _ = await encrypted(plain, folder / "keyring.json", clock)
    audit = AuditFile(folder / "audit.jsonl", clock)
    api = assembled(store, Tokens(known), audit, clock)
    api.offer("GET", LAG_PATH, lag.answer)
    authority = (folder / "ca.crt").read_bytes()
    tls = server_context((folder / "front.key").read_bytes() + (folder / "front.crt").read_bytes(), authority)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    try:
        door = Door(api, host="127.0.0.1", port=port, tls=tls, clock=clock, on_stop=api.end_watches)
        async with api.running(), TaskOwner("bench") as owner, door.open():
            owner.spawn(lag.run(), "lag")
            owner.spawn(collect_in_between(lambda: api.parts.aside.here > 0), "collection")
            await ended.wait()
    finally:
        audit.close()
        await store.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
