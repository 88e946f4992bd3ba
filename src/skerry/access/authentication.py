"""Who a caller is: by client certificate of our own authority, or by bearer token.

Tokens are kept as SHA-256 digests (they are random 256-bit values, so a plain digest is as
good as a slow one) and compared in constant time. A certificate was verified by TLS before it
gets here; its O are the groups, its CN is the name. Who presents nothing is anonymous; who
presents something wrong is refused, never taken for anonymous.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

from skerry.machinery.errors import Unauthorized
from skerry.machinery.identity import User
from skerry.pki.authority import identity


class Peer(Protocol):
    """The far end of a connection."""

    @property
    def certificate(self) -> bytes | None:
        """The client certificate, DER, verified by TLS."""
        ...


def digest(token: str) -> str:
    """The form in which a token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


@lru_cache(maxsize=4096)
def _certified(certificate: bytes) -> User:
    name, groups = identity(certificate)
    return User(name, groups=groups)


class Authentication:
    """Certificates and tokens."""

    def __init__(self, tokens: Mapping[str, User]) -> None:
        """``tokens`` maps digests to users."""
        self._tokens = dict(tokens)

    async def authenticate(self, peer: Peer, token: str) -> User | None:
        """Return the caller, None for an anonymous one; raises Unauthorized."""
        if token:
            presented = digest(token)
            for kept, user in self._tokens.items():
                if hmac.compare_digest(kept, presented):
                    return user
            raise Unauthorized
        if peer.certificate is not None:
            return _certified(peer.certificate)
        return None
