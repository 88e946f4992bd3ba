"""Where the built programs stand, and what to say when they do not.

``peers/build.py`` decides the folder of each group and builds it; this module only asks it. A
missing group is an error of its own kind, because the tests turn it into a skip by name.
"""

from __future__ import annotations

from pathlib import Path

from peers.build import GROUPS, folder


class PeerMissing(RuntimeError):
    """The programs of a group are not built on this machine; the message names the command that builds them."""


def names() -> tuple[str, ...]:
    """Return the names of all groups: ``kubernetes``, ``kubectl-older``, ``kubelet``, ``clusterapi``."""
    return tuple(group.name for group in GROUPS)


def home(name: str) -> Path:
    """Return the folder of a group; raises PeerMissing if it is not built, ValueError if there is no such group."""
    group = next((group for group in GROUPS if group.name == name), None)
    if group is None:
        raise ValueError(f"no peer is called {name!r}; there are {', '.join(names())}")
    found = folder(group)
    if not found.is_dir():
        raise PeerMissing(f"peer {name!r} is not built here: `make peers` builds it (about {group.minutes} minutes, once)")
    return found


def program(group: str, name: str) -> Path:
    """Return the path of one program; raises PeerMissing."""
    return home(group) / "bin" / name
