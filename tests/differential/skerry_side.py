"""Skerry's side of the comparison, as a process: the kinds of Kubernetes and the subject's, over TLS.

Run by ``sides.py`` as ``python -m tests.differential.skerry_side FOLDER PORT``. FOLDER holds the
certificates that the harness made. It is the API machinery with its two controllers
(namespaces, garbage) over the memory store; who may do what is kept as simple as on the
other side: ``admin`` everything, ``outsider`` nothing but what anybody may.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import uvloop
import yaml

from peers.kubernetes import ADMIN_TOKEN, OUTSIDER_TOKEN
from skerry.access import tokens
from skerry.access.audit import NoAudit
from skerry.access.authentication import Certificates, Chain, Tokens
from skerry.access.authorization import Authorization
from skerry.apiserver.http import Door
from skerry.client.connection import Connection
from skerry.client.contract import PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.kinds import catalogue
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock
from skerry.machinery.crd import resources
from skerry.machinery.identity import User
from skerry.pki.policy import ADMINISTRATORS
from skerry.pki.tls import server_context
from skerry.restapi.registry import Registry
from skerry.restapi.reviews import REVIEWS
from skerry.restapi.server import ApiServer
from skerry.runtime.garbage import GarbageCollector
from skerry.runtime.namespaces import NamespaceController
from skerry.store.memory import MemoryStore
from tests.machinery import histories

SUBJECTS = Path(__file__).with_name("widget.yaml")
NAMESPACES = Ref("", "v1", "namespaces", namespaced=False)
REVISIONS_BEFORE = 1000


def definitions() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions that both sides serve: of the scenarios, and of the histories of writes."""
    return [*yaml.safe_load_all(SUBJECTS.read_text()), histories.definition()]


async def serve(folder: Path, port: int) -> None:
    """Serve until SIGTERM."""
    subjects = [resource for crd in definitions() for resource in resources(crd)]
    clock = SystemClock()
    admin, outsider = User("admin", "admin", (ADMINISTRATORS,)), User("outsider", "outsider")
    known = folder / "skerry-tokens.json"
    tokens.write(known, (tokens.entry(ADMIN_TOKEN, admin), tokens.entry(OUTSIDER_TOKEN, outsider)))
    api = ApiServer(
        MemoryStore(),
        Registry((*catalogue.CORE, *REVIEWS, *subjects)),
        authenticator=Chain((Certificates(clock), Tokens(known))),
        authorizer=Authorization(frozenset(), {}),
        audit=NoAudit(),
        clock=clock,
        version="v1.37.2",
    )
    authority = folder / "ca.crt"
    tls = server_context((folder / "front.key").read_bytes() + (folder / "front.crt").read_bytes(), authority.read_bytes())
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    connection = Connection(f"https://127.0.0.1:{port}", ca=authority.read_bytes(), token=ADMIN_TOKEN)
    door = Door(api, host="127.0.0.1", port=port, tls=tls, clock=clock, on_stop=api.end_watches)
    async with api.running(), door.open(), HttpClient(connection, user_agent="controllers") as client, TaskOwner("side") as owner:
        await _age(client)
        owner.spawn(NamespaceController(client).run(), "namespaces")
        owner.spawn(GarbageCollector(client).run(), "garbage")
        await ended.wait()


async def _age(client: HttpClient) -> None:
    """Make the server as old as a real one is when it is ready: no small number is then taken for a revision."""
    for name in ("default", "kube-system"):
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for number in range(REVISIONS_BEFORE):
        body = {"metadata": {"annotations": {"age": str(number) if number < REVISIONS_BEFORE - 1 else None}}}
        await client.patch(NAMESPACES, "kube-system", "", PatchKind.MERGE, body)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
