"""The shape of the code: every module can be imported without effects, and the sizes stay within budget."""

from __future__ import annotations

import importlib
import pkgutil
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import skerry
from skerry.client.connection import Connection
from skerry.client.kubeconfig import render
from skerry.pki.authority import make_root
from tools.budgets import ROOT, findings, measure

MODULES = sorted(each.name for each in pkgutil.walk_packages(skerry.__path__, "skerry."))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_imported_without_opening_a_socket(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError(f"{name} opens a socket when it is imported")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
    importlib.import_module(name)


def test_every_module_opens_with_an_essay() -> None:
    bare = [name for name in MODULES if not (importlib.import_module(name).__doc__ or hasattr(importlib.import_module(name), "__path__"))]
    assert bare == []


def test_the_sizes_are_within_budget() -> None:
    assert list(findings(measure(ROOT))) == []


def test_the_command_line_answers_quickly_because_it_imports_late() -> None:
    code = "import sys, skerry.cli.main; print(int('grpc' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "0"


NOT_IN_AN_AGENT = (
    *("pydantic", "prometheus_client", "aiohttp.web", "sqlite3", "asyncpg", "uvicorn", "uvloop", "sortedcontainers"),
    *(f"skerry.{room}" for room in ("apiserver", "gateway", "controllers", "sim", "restapi", "access", "capi", "kinds", "store")),
)
"""What an agent has no use for: its memory is that of what it loads."""
AGENT = """
import sys
from skerry.cli.main import app
try:
    app(["agent", *sys.argv[1:]])
finally:
    print(*sys.modules)
"""


def test_an_agent_loads_nothing_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "root.crt").write_bytes(make_root("nobody", datetime.now(UTC)).certificate)
    (tmp_path / "kubeconfig").write_bytes(render(Connection("https://127.0.0.1:1", token="x")))
    where = [f"--kubeconfig={tmp_path}/kubeconfig", f"--data={tmp_path}/agent"]
    door = ["--server=https://127.0.0.1:1", f"--server-ca={tmp_path}/root.crt", "--token=x"]
    command = [sys.executable, "-c", AGENT, *where, *door]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as agent:
        assert agent.stderr is not None
        first = agent.stderr.readline()
        agent.terminate()
        said, more = agent.communicate(timeout=30)
    assert "cannot do it yet" in first, first + more  # it came as far as to dial
    loaded = said.split()
    assert {"grpc", "skerry.agent.session"} <= set(loaded)
    assert [each for each in NOT_IN_AN_AGENT if each in loaded] == []
