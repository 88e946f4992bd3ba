"""Registration: a one-time token and a CSR for a certificate, at the front door.

``POST /register/v1/agents`` with ``{"token", "csr", "agentVersion"}`` answers ``{"certificate",
"bundle", "gateway", "name"}``; the name is that of what the agent speaks for (``kinds/fullname.py``), and
stands there as ``managementCluster`` too, where agents of the first release look for it.

* Of a token only a digest is kept, with the name and its expiry, in a Secret.
* A request that could not be signed costs nobody his token: it is looked at first.
* The Secret is deleted, by its uid and revision, before the certificate is handed out: of two
  who bring the same token one gets it.
* A wrong token, one that was used up and one that has expired are refused in the same words.
  That the store cannot be asked is another matter, and is said: the agent may try again.
* OneTimeTokens are never logged.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from skerry.access.tokens import digest
from skerry.client.contract import Client, Ref
from skerry.gateway.enrolment import Enrolments
from skerry.kinds.common import SYSTEM_NAMESPACE
from skerry.kinds.fullname import parsed
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.document import dumps, loads
from skerry.machinery.errors import ApiError, BadRequest, Conflict, NotFound, RequestEntityTooLarge, Unauthorized
from skerry.machinery.reading import parse
from skerry.machinery.resource import Json
from skerry.pki.authority import Authority, PkiError

SECRETS = Ref("", "v1", "secrets")
TOKEN_TYPE = "fleet.skerry.dev/registration-token"  # noqa: S105 a type's name, not a secret
TOKEN_LIFETIME = timedelta(hours=1)
PREFIX = "/register/"
PATH = "/register/v1/agents"
_SUFFIXES = {"agent": "", "manifest": ".manifest"}

MOST_BYTES = 64 * 1024
"""Of a token and a signing request. Anybody may send them, so no more is looked at."""

log = get("gateway.registration")


Purpose = Literal["agent", "manifest"]
"""What a token is good for: to register an agent, or to fetch the manifest that brings one."""


def _secret_name(name: str) -> str:
    return f"registration.{name}"


def _packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Held(NamedTuple):
    """A token that is still good: whom it is for, and what was kept with it."""

    name: str
    details: Json
    secret: Json


class OneTimeTokens:
    """One-time tokens, at most one of each purpose for each full name."""

    def __init__(self, client: Client, clock: Clock) -> None:
        """They are kept through ``client``."""
        self._client = client
        self._clock = clock

    async def make(self, name: str, purpose: Purpose = "agent", details: Json | None = None) -> tuple[str, datetime]:
        """Make a token, in the place of any before it; returns it and when it expires."""
        token = f"{name}.{secrets.token_urlsafe(32)}"
        expires = self._clock.now() + TOKEN_LIFETIME
        values = {"digest": digest(token), "expires": expires.isoformat(), "name": name, "details": dumps(details or {}).decode()}
        body: Json = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": _secret_name(name) + _SUFFIXES[purpose], "namespace": SYSTEM_NAMESPACE},
            "type": TOKEN_TYPE,
            "data": {key: _packed(value) for key, value in values.items()},
        }
        await self._client.apply(SECRETS, body, manager="skerry-registration", force=True)
        return token, expires

    async def find(self, token: str, purpose: Purpose) -> Held:
        """Look at a token; raises Unauthorized for one that is not good any more, or what the API raises."""
        name = token.rpartition(".")[0]
        if parsed(name) is None:
            raise _refused()
        try:
            secret = await self._client.get(SECRETS, _secret_name(name) + _SUFFIXES[purpose], SYSTEM_NAMESPACE)
        except NotFound as error:
            raise _refused() from error
        data = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        if secret.get("type") != TOKEN_TYPE or not hmac.compare_digest(data.get("digest", ""), digest(token)):
            raise _refused()
        # the first release calls the name managementCluster
        if (data.get("name") or data.get("managementCluster")) != name or self._clock.now() >= datetime.fromisoformat(data["expires"]):
            raise _refused()
        return Held(name, loads((data.get("details") or "{}").encode()), secret)

    async def use_up(self, held: Held) -> None:
        """End a token; raises Unauthorized where somebody else was first."""
        metadata = held.secret["metadata"]
        try:
            await self._client.delete(
                SECRETS, metadata["name"], SYSTEM_NAMESPACE, uid=metadata["uid"], resource_version=metadata["resourceVersion"]
            )
        except (NotFound, Conflict) as error:
            raise _refused() from error

    async def end(self, name: str) -> None:
        """End whatever tokens there are for a full name."""
        for suffix in _SUFFIXES.values():
            with contextlib.suppress(NotFound):
                await self._client.delete(SECRETS, _secret_name(name) + suffix, SYSTEM_NAMESPACE)


class Registration:
    """Turns tokens into certificates."""

    def __init__(self, tokens: OneTimeTokens, authority: Authority, gateway: str, clock: Clock, enrolments: Enrolments) -> None:
        """``gateway`` is the address that agents are told to dial."""
        self._enrolments = enrolments
        self._tokens = tokens
        self._authority = authority
        self._gateway = gateway
        self._clock = clock

    async def register(self, body: bytes) -> Json:
        """Answer one registration; raises BadRequest, RequestEntityTooLarge, Unauthorized, or what the API raises."""
        if len(body) > MOST_BYTES:
            raise RequestEntityTooLarge(f"Request entity too large: limit is {MOST_BYTES}")
        value, _ = parse(body)
        if not isinstance(value, dict) or not isinstance(value.get("token"), str) or not isinstance(value.get("csr"), str):
            raise BadRequest('a registration is {"token": "…", "csr": "…PEM…"}')
        held = await self._tokens.find(value["token"], "agent")
        try:
            self._authority.answer_agent(value["csr"].encode(), held.name, self._clock.now())
        except PkiError as error:
            raise BadRequest(str(error)) from error
        await self._tokens.use_up(held)
        number = await self._number(held.name)
        certificate = self._authority.answer_agent(value["csr"].encode(), held.name, self._clock.now(), number)
        log.info("registered an agent", agent=held.name, version=str(value.get("agentVersion", ""))[:64])
        return {
            "name": held.name,
            "managementCluster": held.name,
            "certificate": certificate.decode(),
            "bundle": self._authority.bundle.decode(),
            "gateway": self._gateway,
        }

    async def _number(self, name: str) -> int:
        """The number of a registration whose token is spent: that it cannot be written down now does not undo it."""
        now = self._clock.now()
        try:
            return await self._enrolments.issue(name, now)
        except ApiError as error:
            log.warning("a registration could not be recorded; it is when its agent comes", agent=name, error=error.message)
            return round(now.timestamp() * 1000)


def _refused() -> Unauthorized:
    return Unauthorized("the one-time token is unknown, used up or expired; make a new one")
