"""The rule about missing programs, and that the harness leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from peers.kubectl import Kubectl
from peers.kubernetes import Kubernetes
from peers.processes import PeerFailed, Processes
from tests.peers import missing

ROOT = Path(__file__).resolve().parent.parent
NEEDY = """
import pytest

@pytest.mark.peer("kubernetes")
def test_needs_it():
    pass

def test_needs_nothing():
    pass
"""


def run_needy(tmp_path: Path, **settings: str) -> str:
    """Run a small suite in which one test needs a peer, with an empty cache folder, and return what pytest printed."""
    (tmp_path / "test_needy.py").write_text(NEEDY)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), **settings}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(ROOT),
        str(tmp_path),
    ]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stdout


def test_a_missing_peer_skips_its_tests_by_name_and_is_counted(tmp_path: Path) -> None:
    printed = run_needy(tmp_path, SKERRY_REQUIRE_PEERS="0")
    assert "peer kubernetes is missing: run `make peers`" in printed
    assert "1 tests were skipped for missing peers" in printed
    assert "1 passed, 1 skipped" in printed


def test_a_missing_peer_fails_its_tests_where_peers_are_required(tmp_path: Path) -> None:
    printed = run_needy(tmp_path, SKERRY_REQUIRE_PEERS="1")
    assert "peer kubernetes is missing: run `make peers` (SKERRY_REQUIRE_PEERS=1)" in printed
    assert "1 passed, 1 error" in printed


def test_an_unknown_peer_is_an_error_of_the_test() -> None:
    with pytest.raises(ValueError, match="no peer is called 'minikube'"):
        missing(["minikube"])


def test_a_program_that_dies_is_reported_with_the_tail_of_its_log(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        processes.start("shouter", ["/bin/sh", "-c", "echo it broke; exit 3"])
        with pytest.raises(PeerFailed, match=r"(?s)shouter ended with 3.*it broke"):
            processes.wait_until("an answer that never comes", lambda: False, seconds=10)


def test_stopping_ends_the_children_of_a_program_that_ignores_the_signal(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        program = processes.start("stubborn", ["/bin/sh", "-c", "trap '' TERM; sleep 60 & echo $!; wait; wait"])
        processes.wait_until("the child", lambda: program.log.read_text().strip().isdigit())
        processes.stop(grace=0.2)
        child = Path("/proc", program.log.read_text().strip(), "stat")

        def gone() -> bool:
            return not child.exists() or child.read_text().rsplit(")", 1)[1].split()[0] == "Z"

        processes.wait_until("the end of the child", gone, seconds=30)  # it was told, and ends when it gets its turn


@pytest.mark.peer("kubernetes", "kubectl-older")
def test_both_kubectls_reach_the_real_server(kubernetes: Kubernetes, tmp_path: Path) -> None:
    for group in ("kubernetes", "kubectl-older"):
        ran = Kubectl(kubernetes.kubeconfig, tmp_path / group, group=group)("get", "namespace", "default", "-o", "name")
        assert (ran.code, ran.out) == (0, "namespace/default\n"), ran.err
