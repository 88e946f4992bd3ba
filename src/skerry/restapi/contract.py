"""What the server needs from elsewhere: who the caller is, what he may do, where decisions are written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from skerry.machinery.identity import Attributes, Decision, Rule, User


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
