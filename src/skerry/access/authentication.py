"""Who a caller is: a chain of authenticators, the first that knows the caller decides.

* A client certificate has been proved by the handshake before a request is read: its chain ends
  in the internal root. Here its holder becomes a user: CN is the name, every O a group.
* Its time is looked at again with every request, because a connection may outlive it.
* A bearer token is looked up by its hash.
* The names that Kubernetes keeps for itself (``system:``) can be claimed by nobody.
* Who shows nothing is anonymous, which the server spells out; who shows something bad, and
  nothing good, is refused. As in Kubernetes, a good certificate makes a bad token harmless.

What is wrong with a credential goes into the log and not to the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from skerry.access import tokens
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.errors import Unauthorized
from skerry.machinery.identity import User
from skerry.pki.identity import identity

RESERVED = "system:"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

log = get("access.authentication")


class Peer(Protocol):
    """The far end of a connection: its address, and the certificate (DER) that the handshake proved."""

    @property
    def address(self) -> str:
        """IP address."""
        ...

    @property
    def certificate(self) -> bytes | None:
        """None if the peer showed no certificate."""
        ...


class Authenticator(Protocol):
    """Tells who a caller is."""

    async def authenticate(self, peer: Peer, token: str) -> User | None:
        """Return the user, None where nothing was shown that this authenticator reads; raises Unauthorized for what is bad."""
        ...


class Chain:
    """Asks one authenticator after the other."""

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        """Certificates belong first: they cost least and have been proved already."""
        self._authenticators = tuple(authenticators)

    async def authenticate(self, peer: Peer, token: str) -> User | None:
        """Return the user whom the first authenticator knows; if none does, the first refusal counts."""
        refusal: Unauthorized | None = None
        for each in self._authenticators:
            try:
                user = await each.authenticate(peer, token)
            except Unauthorized as error:
                refusal = refusal or error
                continue
            if user is not None:
                return user
        if refusal is not None:
            log.info("a credential was refused", address=peer.address, cause=str(refusal.__cause__ or refusal))
            raise refusal
        return None


class Certificates:
    """Users of client certificates."""

    def __init__(self, clock: Clock) -> None:
        """The clock tells whether a certificate is still within its time."""
        self._clock = clock

    async def authenticate(self, peer: Peer, token: str) -> User | None:  # noqa: ARG002 the token is another authenticator's
        """Return the holder of the peer's certificate."""
        if peer.certificate is None:
            return None
        try:
            holder = identity(peer.certificate)
        except ValueError as error:
            raise Unauthorized from error
        if not holder.valid_at(self._clock.now()):
            raise Unauthorized from ValueError(f"the certificate of {holder.common_name!r} is outside its time")
        if not holder.common_name or any(name.startswith(RESERVED) for name in (holder.common_name, *holder.organizations)):
            raise Unauthorized from ValueError(f"a certificate cannot speak for {holder.common_name!r} in {holder.organizations}")
        return User(holder.common_name, groups=holder.organizations, extra={CREDENTIAL_ID: (f"X509SHA256={holder.fingerprint}",)})


class Tokens:
    """Users of bearer tokens that are kept, hashed, in a file."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises TokenFileError."""
        self._path = path
        self._entries = tokens.read(path)

    def knows(self, name: str) -> bool:
        """Whether a user has a token."""
        return any(each.name == name for each in self._entries)

    def mint(self, user: User) -> str:
        """Make a token for a user, in place of any that he has, and return it: it cannot be read again."""
        token = tokens.mint()
        entries = (*(each for each in self._entries if each.name != user.name), tokens.entry(token, user))
        tokens.write(self._path, entries)
        self._entries = entries
        return token

    def reload(self) -> None:
        """Read the file again; raises TokenFileError, and keeps what is known."""
        self._entries = tokens.read(self._path)

    async def authenticate(self, peer: Peer, token: str) -> User | None:  # noqa: ARG002 the certificate is another authenticator's
        """Return the user of a token."""
        if not token:
            return None
        user = tokens.find(self._entries, token)
        if user is None:
            raise Unauthorized from ValueError("the bearer token is unknown")
        return user
