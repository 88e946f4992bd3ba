"""Whom Skerry itself knows: local users, and the API tokens of users.

A token is looked up by its hash. It speaks for its owner: a local user with the groups that
he has now, anybody else with those that he had when he made it. It is worth nothing once it
has expired, was deleted, or its owner is disabled or gone, also if there is another one of the
same name by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from skerry.access.authentication import CREDENTIAL_ID, Peer
from skerry.access.tokens import PREFIX, digest
from skerry.kit.clock import Clock
from skerry.machinery.errors import Unauthorized
from skerry.machinery.identity import Limit, User

LOCAL_USERS = "skerry:users"
"""The group of every local user. A token whose owner was in it dies with him."""


class Account(NamedTuple):
    """A local user."""

    groups: tuple[str, ...]
    disabled: bool
    secret: str
    uid: str


class Token(NamedTuple):
    """An API token: the SHA-256 of its text, and whom it speaks for, with which groups and limits."""

    sha256: str
    owner: str
    groups: tuple[str, ...]
    limit: Limit
    owner_uid: str
    """Of a local user; empty where the token is older than this field, or its owner no local user."""


class Accounts:
    """Local users and API tokens, by name; the bearer authenticator of the latter."""

    def __init__(self, clock: Clock) -> None:
        """``fresh`` is set by whoever feeds this: it returns once everything that was acknowledged is known here."""
        self.users: dict[str, Account] = {}
        self.tokens: dict[str, Token] = {}
        self.fresh: Callable[[], Awaitable[object]] | None = None
        self._by_hash: dict[str, Token] = {}
        self._clock = clock

    def set_user(self, name: str, account: Account | None) -> None:
        """A user was written, or is gone (None)."""
        if account is None:
            self.users.pop(name, None)
        else:
            self.users[name] = account

    def set_token(self, name: str, token: Token | None) -> Token | None:
        """A token was written, or is gone (None); returns what it was before."""
        old = self.tokens.pop(name, None)
        if old is not None:
            self._by_hash.pop(old.sha256, None)
        if token is not None:
            self.tokens[name] = token
            self._by_hash[token.sha256] = token
        return old

    def groups_of(self, name: str) -> tuple[str, ...] | None:
        """The groups of a local user; None if there is none of that name."""
        account = self.users.get(name)
        return None if account is None else (*account.groups, LOCAL_USERS)

    async def authenticate(self, peer: Peer, token: str) -> User | None:  # noqa: ARG002 the certificate is another authenticator's
        """Return the owner of a token, with the token's limits."""
        if not token.startswith(PREFIX):
            return None
        if self.fresh is not None:
            await self.fresh()
        found = self._by_hash.get(digest(token))
        if found is None:
            raise Unauthorized from ValueError("the bearer token is unknown")
        if found.limit.expires <= self._clock.now():
            raise Unauthorized from ValueError(f"the token of {found.owner!r} has expired")
        groups = self.groups_of(found.owner)
        account = self.users.get(found.owner)
        if _is_over(found, account):
            raise Unauthorized from ValueError(f"the owner of the token, {found.owner!r}, is disabled or gone")
        extra: dict[str, tuple[str, ...]] = {CREDENTIAL_ID: (f"APITOKEN={found.limit.credential}",)}
        return User(found.owner, groups=found.groups if groups is None else groups, extra=extra, limit=found.limit)


def _is_over(token: Token, owner: Account | None) -> bool:
    """Whether a token is worth nothing because of what became of its owner."""
    if owner is None:
        return LOCAL_USERS in token.groups
    return owner.disabled or token.owner_uid not in {"", owner.uid}
