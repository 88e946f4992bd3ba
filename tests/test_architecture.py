"""The shape of the code: every module can be imported without effects, and the sizes stay within budget."""

from __future__ import annotations

import importlib
import pkgutil
import socket
import subprocess
import sys

import pytest

import skerry
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
