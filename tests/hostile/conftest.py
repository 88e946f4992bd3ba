from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server import running
from tests.hostile.caller import Hostile


@pytest.fixture(scope="package")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """A caller of one server process that serves all cases of this folder."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    with running(folder, verb="server") as server:
        assert server.process is not None
        yield Hostile(server.kubeconfig, server.process.pid, server.log)
        assert server.process.poll() is None, server.log.read_text()[-3000:]


@pytest.fixture(autouse=True)
def unharmed(hostile: Hostile) -> Iterator[None]:
    """After each case the server still serves, and has met no error of its own."""
    before = len(hostile.complaints())
    yield
    assert hostile.is_well()
    assert hostile.complaints()[before:] == []
