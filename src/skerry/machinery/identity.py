"""Who asks, what he asks for, and what was decided: shared by authentication, authorization and the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

ANONYMOUS = "system:anonymous"
UNAUTHENTICATED = "system:unauthenticated"
AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True, slots=True)
class User:
    """A caller: name, stable id, groups, and whatever else the authenticator knows."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Attributes(NamedTuple):
    """What is asked for. ``path`` is set, and the rest empty, for requests that are about no resource."""

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Decision(NamedTuple):
    """Whether it may be done, and why."""

    allowed: bool
    reason: str = ""


class Rule(NamedTuple):
    """What somebody may do, as ``kubectl auth can-i --list`` shows it; ``paths`` for requests about no resource."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
