"""What happens where a real program that a test needs is missing.

A test that needs one says ``@pytest.mark.peer("kubernetes")`` (several names are allowed). Where
one is missing the test is skipped by name, with the command that brings it; with
SKERRY_REQUIRE_PEERS=1 it fails, so that a machine that ought to have everything cannot be
green by skipping.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from peers import programs

HOW = "run `make peers`"


def where(name: str) -> Path | None:
    """Return the folder of a peer's programs, None if it is not built."""
    try:
        return programs.home(name)
    except programs.PeerMissing:
        return None


def required() -> bool:
    """Tell whether a missing peer is a failure."""
    return os.environ.get("SKERRY_REQUIRE_PEERS") == "1"


def missing(names: Iterable[str]) -> str:
    """Return why a test that needs these peers cannot run, empty if it can; an unknown name raises ValueError."""
    return "; ".join(f"peer {name} is missing: {HOW}" for name in names if where(name) is None)


def program(group: str, name: str) -> Path:
    """Return a built program; the marker guarantees that it is there."""
    return programs.program(group, name)
