"""From a path to what it is about. No patterns: a split and a few looks.

``/api/v1/…`` is the core group, ``/apis/GROUP/VERSION/…`` every other. Behind it stand
``namespaces/NS/`` for objects that live in one, the plural, a name and a subresource.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote


class Target(NamedTuple):
    """What a path names."""

    group: str
    version: str
    plural: str
    namespace: str
    name: str
    subresource: str


def target(path: str) -> Target | None:
    """Read the path of a resource; None for any other path."""
    parts = path.split("/")
    if parts[1:2] == ["api"] and len(parts) >= 4:
        group, version, rest = "", parts[2], parts[3:]
    elif parts[1:2] == ["apis"] and len(parts) >= 5:
        group, version, rest = parts[2], parts[3], parts[4:]
    else:
        return None
    if "%" in path:
        rest = [unquote(part) for part in rest]
    if rest and not rest[-1]:
        rest = rest[:-1]
    if not rest or not all(rest):
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and not (group == "" and len(rest) == 3 and rest[2] in {"status", "finalize"}):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    return Target(group, version, rest[0], namespace, rest[1] if len(rest) > 1 else "", rest[2] if len(rest) > 2 else "")


VERBS = {
    ("GET", True): "get",
    ("HEAD", True): "get",
    ("POST", False): "create",
    ("PUT", True): "update",
    ("PATCH", True): "patch",
    ("DELETE", True): "delete",
    ("DELETE", False): "deletecollection",
}


def verb(method: str, *, named: bool, watches: bool) -> str:
    """The verb of a request; empty if there is none."""
    if method in {"GET", "HEAD"} and not named:
        return "watch" if watches else "list"
    return VERBS.get((method, named), "")
