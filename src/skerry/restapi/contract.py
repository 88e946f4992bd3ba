"""What the server needs from elsewhere: who the caller is, what he may do, where decisions are written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from skerry.machinery.identity import Attributes, Decision, Rule, User
from skerry.machinery.resource import Json, Resource


@dataclass(frozen=True, slots=True)
class Peer:
    """The far end of a connection: its address, and the client certificate that it proved to hold (None: none)."""

    address: str = ""
    certificate: bytes | None = None


class Authenticator(Protocol):
    """Tells who a caller is."""

    async def authenticate(self, peer: Peer, token: str) -> User | None:
        """Return the user of a certificate or bearer token; None if neither was presented. Raises Unauthorized for bad ones."""
        ...


class Authorizer(Protocol):
    """Tells what a caller may do."""

    def authorize(self, attributes: Attributes) -> Decision:
        """Decide."""
        ...

    def rules(self, user: User, namespace: str) -> Sequence[Rule]:
        """Return what the user may do in a namespace."""
        ...


class Admission(Protocol):
    """Looks at what is about to be stored, beyond its kind's own rules."""

    @property
    def kinds(self) -> frozenset[str]:
        """Storage keys of the kinds that it wants to be asked about."""
        ...

    @property
    def fresh(self) -> frozenset[str]:
        """Those of them about which it is asked only when it knows everything that was written before."""
        ...

    def __call__(self, user: User, resource: Resource, new: Json, old: Json | None, *, dry_run: bool) -> Json | None:
        """Complete ``new`` with what the server decides; returns what the answer shows beside what is stored, if anything.

        ``old`` is None for a creation. Raises Forbidden or Invalid.
        """
        ...

    def remove(self, user: User, resource: Resource, name: str) -> None:
        """Raises Forbidden for what may not be deleted."""
        ...


class Record(NamedTuple):
    """One audited decision."""

    attributes: Attributes
    code: int
    reason: str
    address: str
    request_id: str


class Audit(Protocol):
    """Where decisions are written down."""

    def record(self, record: Record) -> None:
        """Write one down; must not block."""
        ...
