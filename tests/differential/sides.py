"""The two servers that are compared: the real kube-apiserver with the subject's CRDs, and Skerry.

Both are processes of their own behind TLS, with the same users and tokens, so that a scenario
sees nothing of which is which. Skerry's side ages a little before it is ready (see
``skerry_side``).
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from peers.door import Door
from peers.kubernetes import ADMIN_TOKEN, Kubernetes
from peers.processes import Processes, clean_environment, free_port
from peers.trust import Authority
from tests.differential.skerry_side import REVISIONS_BEFORE, definitions

ROOT = Path(__file__).resolve().parents[2]
CONTROLLERS = ("namespace-controller", "garbage-collector-controller")
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@contextlib.contextmanager
def real() -> Iterator[Door]:
    """Run the real one with the subjects served; raises PeerMissing or PeerFailed."""
    with Kubernetes(controllers=CONTROLLERS) as peer:
        served = []
        for crd in definitions():
            peer.admin.ask("POST", DEFINITIONS, crd)
            group, plural = crd["spec"]["group"], crd["spec"]["names"]["plural"]
            served += [f"/apis/{group}/{version['name']}/{plural}" for version in crd["spec"]["versions"]]
        for path in served:
            peer.processes.wait_until(path, lambda path=path: peer.admin.call("GET", path).status == 200)  # type: ignore[misc]  # mypy cannot type a lambda's default
        yield peer.admin


@contextlib.contextmanager
def skerry() -> Iterator[Door]:
    """Run ours; raises PeerFailed."""
    folder = Path(tempfile.mkdtemp(prefix="skerry-side-"))
    try:
        authority, port = Authority(folder), free_port()
        authority.server("front")
        door = Door(f"https://127.0.0.1:{port}", authority.file, ADMIN_TOKEN)
        environment = clean_environment(folder, PYTHONPATH=f"{ROOT}:{ROOT / 'src'}")
        with Processes(folder) as processes:
            processes.start("skerry", [sys.executable, "-m", "tests.differential.skerry_side", folder, str(port)], environment)
            processes.wait_until("skerry", lambda: _aged(door))
            yield door
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _aged(door: Door) -> bool:
    answer = door.call("GET", "/api/v1/namespaces/kube-system")
    found = answer.json().get("metadata", {}) if answer.status == 200 else {}
    return int(found.get("resourceVersion", 0)) > REVISIONS_BEFORE and not found.get("annotations")
