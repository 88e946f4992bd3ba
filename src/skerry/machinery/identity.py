"""Who asks, what he asks for, and what was decided: shared by authentication, authorization and the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

ANONYMOUS = "system:anonymous"
UNAUTHENTICATED = "system:unauthenticated"
AUTHENTICATED = "system:authenticated"


class Rule(NamedTuple):
    """What somebody may do, as ``kubectl auth can-i --list`` shows it; ``paths`` for requests about no resource.

    ``some``: not to every object that there is.
    """

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    some: bool = False


class Limit(NamedTuple):
    """What a credential is good for, of all that its owner may do: ``rules`` (none: anything) on ``scope`` (kind, namespace, name).

    ``credential`` tells it from the owner's others; it ends at ``expires`` (UTC).
    """

    credential: str
    rules: tuple[Rule, ...]
    scope: tuple[str, str, str]
    expires: datetime


@dataclass(frozen=True, slots=True)
class User:
    """A caller: name, stable id, groups, and whatever else the authenticator knows. ``by``: who stands for him, if somebody does."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)
    limit: Limit | None = None
    by: str = ""


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


class Shown(Protocol):
    """An object as a sight judges it: where it is, and its bytes."""

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name."""
        ...

    @property
    def value(self) -> bytes:
        """The encoded object."""
        ...


class Sight(Protocol):
    """On which objects of a kind a caller may do what he asked for. It lives: what is granted or taken away later changes its answers."""

    @property
    def whole(self) -> bool:
        """Whether that is every object that the request is about."""
        ...

    @property
    def any(self) -> bool:
        """Whether there could be any object at all; False too once the caller is no longer let in."""
        ...

    @property
    def since(self) -> int:
        """The revision since which the sight is what it is."""
        ...

    def allows(self, item: Shown) -> bool:
        """Whether he may do it to an object."""
        ...

    def missing_to_place(self, old: Shown | None, new: Shown) -> str:
        """On what else, in words, he would have to be allowed it to make an object (``old`` None) or move it; empty if nothing lacks."""
        ...

    def may(self, verb: str) -> Sight:
        """The same for another verb."""
        ...

    def follow(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call ``changed`` whenever answers may have changed, with the one namespace that it is about, if it is; returns what ends that."""
        ...


class Decision(NamedTuple):
    """Whether it may be done, and why.

    ``sight`` is there where that depends on the object, or may change while the request lasts. ``settled`` is False where newer
    facts could decide otherwise: the server then waits until it has the newest, and asks again.
    """

    allowed: bool
    reason: str = ""
    sight: Sight | None = None
    settled: bool = True
