"""Where the real programs are that tests talk to, and what happens where one is missing.

A test that needs one says ``@pytest.mark.peer("kubernetes")``. Without it the test is skipped
by name, with the command that would bring it; with SKERRY_REQUIRE_PEERS=1 it fails.
"""

from __future__ import annotations

import os
from pathlib import Path

from peers.build import GROUPS, folder

HOW = "run `make peers`"


def where(name: str) -> Path | None:
    """The folder of a peer's programs, None if it is not built."""
    group = next(each for each in GROUPS if each.name == name)
    found = folder(group)
    return found if found.exists() else None


def required() -> bool:
    """Whether a missing peer is a failure."""
    return os.environ.get("SKERRY_REQUIRE_PEERS") == "1"


def program(group: str, name: str) -> Path:
    """A built program; the marker guarantees that it is there."""
    found = where(group)
    assert found is not None, f"peer {group} is missing: {HOW}"
    return found / "bin" / name
