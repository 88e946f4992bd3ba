"""Who sends a request, and in whose name: himself, or somebody else as ``kubectl --as`` asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

from skerry.kit.clock import Clock
from skerry.machinery.errors import BadRequest
from skerry.machinery.identity import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, Attributes, Decision, User
from skerry.restapi.bearer import bearer
from skerry.restapi.contract import Authenticator, Authorizer, Peer
from skerry.restapi.request import Request

USER, UID, GROUP, EXTRA = b"impersonate-user", b"impersonate-uid", b"impersonate-group", b"impersonate-extra-"


StandIn = Callable[[User, User], User]
"""Says whom a caller (the first) is let be who wants to be somebody else; raises Forbidden."""


class Callers:
    """Finds out who callers are."""

    def __init__(self, authenticator: Authenticator, fresh: Callable[[], Awaitable[object]]) -> None:
        """``fresh`` returns once everything that was acknowledged is known."""
        self._authenticator = authenticator
        self._fresh = fresh
        self.stand_in: StandIn | None = None
        """None: whom a caller wants to be counts for nothing."""

    async def identify(self, request: Request, asked: list[Attributes]) -> None:
        """Put the user that a request is made as into ``asked``, as far as he is known; raises Unauthorized or Forbidden."""
        user = await self._authenticator.authenticate(peer_of(request), bearer(request))
        if user is None:
            user = User(ANONYMOUS, groups=(UNAUTHENTICATED,))
        else:
            user = User(user.name, user.uid, (*user.groups, AUTHENTICATED), user.extra, user.limit)
        asked[0] = asked[0]._replace(user=user)
        wanted = named(request)
        if wanted is not None and self.stand_in is not None:
            await self._fresh()
            asked[0] = asked[0]._replace(user=self.stand_in(user, wanted))


@dataclass(frozen=True, slots=True)
class Admitted:
    """A caller who was let in at a path that others serve, for as long as that holds."""

    attributes: Attributes
    decision: Decision
    authorizer: Authorizer
    clock: Clock

    @contextmanager
    def until_revoked(self, end: Callable[[], None]) -> Iterator[None]:
        """Call ``end`` if he may no longer do what he was let in for, or his credential expires, before the block is left."""
        sight, limit = self.decision.sight, self.attributes.user.limit
        if sight is None:
            yield
            return

        def changed(_: str = "") -> None:
            if not self.authorizer.authorize(self.attributes).allowed:
                end()

        left = (limit.expires - self.clock.now()).total_seconds() if limit is not None else None
        expiry = asyncio.get_running_loop().call_later(max(left, 0), end) if left is not None else None
        unfollow = sight.follow(changed)
        try:
            changed()  # since he was let in
            yield
        finally:
            unfollow()
            if expiry is not None:
                expiry.cancel()


def unknown(request: Request) -> Attributes:
    """What is known of a request before anybody looked who sends it."""
    return Attributes(User(ANONYMOUS), request.method.lower(), path=request.path)


def peer_of(request: Request) -> Peer:
    """The far end of a request's connection."""
    client = request.scope.get("client") or ("", 0)
    extension = (request.scope.get("extensions") or {}).get("tls") or {}
    return Peer(str(client[0]), extension.get("client_cert_der"))


def named(request: Request) -> User | None:
    """Whom a request wants to be made as, as it says; None if it says nothing. Raises BadRequest for half of it."""
    if not any(name.startswith(b"impersonate-") for name, _ in request.scope["headers"]):
        return None
    groups: list[str] = []
    extra: dict[str, tuple[str, ...]] = {}
    for name, value in request.scope["headers"]:
        if name == GROUP:
            groups.append(value.decode("latin-1"))
        elif name.startswith(EXTRA):
            key = unquote(name.removeprefix(EXTRA).decode("latin-1")).lower()
            extra[key] = (*extra.get(key, ()), value.decode("latin-1"))
    user = request.header(USER)
    if not user:
        raise BadRequest("groups, a uid or extra values can only be impersonated together with a user")
    return User(user, request.header(UID), tuple(groups), extra)
