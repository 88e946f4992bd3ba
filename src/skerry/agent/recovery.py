"""What the agent does when the link does not let it in: it finds out why, heals what it can, and tells the rest at the front door.

* A certificate that has ended, by the agent's clock or by the server's, is renewed there, with the old key as the proof
  (``gateway/recovering.py``). Who was away too long, or was registered anew meanwhile, is told so and needs a new token.
* What is shown in the gateway's place (``path.py``) and how far the clocks are apart is told, so that the conditions of the
  cluster name the cause.

What is told is signed and holds no secret, so it is told even where the front door cannot be trusted, because something in
between shows a certificate of its own; of such an answer nothing is taken but the challenge, which is good for telling alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from skerry.agent import identity as identities
from skerry.agent import path
from skerry.agent.identity import Identity
from skerry.agent.path import Finding, NoWay
from skerry.client.connection import BadConnection, Connection
from skerry.client.http import HttpClient
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.document import loads
from skerry.machinery.errors import ApiError, Forbidden, ServiceUnavailable, Unauthorized
from skerry.machinery.resource import Json
from skerry.pki.authority import KeyPair, PkiError, key_pem, make_csr, new_key
from skerry.tunnel import statements
from skerry.tunnel.statements import RENEWAL, TROUBLE

LINK, RENEWALS, TROUBLES = "/register/v1/link", "/register/v1/renewals", "/register/v1/troubles"
SKEW = timedelta(minutes=5)
"""How far clocks may be apart before anybody is told."""
EVERY_SECONDS = 60.0
ASK_SECONDS = 20.0

log = get("agent.recovery")


@dataclass(frozen=True, slots=True)
class Link:
    """What the front door says: where to dial, a challenge and when it was had, and how far its clock is ahead of ours."""

    gateway: str
    statement_gateway: str
    challenge: str
    had_at: float
    ahead: timedelta


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """How the front door is reached."""

    server: str
    ca: bytes
    proxy: str = field(default="", repr=False)
    proxy_ca: bytes = b""

    def connection(self, *, insecure: bool = False) -> Connection:
        """How to reach it; ``insecure``: whoever answers."""
        found = Connection(self.server, ca=self.ca + self.proxy_ca, proxy=self.proxy)
        return replace(found, ca=None, insecure=True) if insecure else found

    async def link(self, clock: Clock) -> Link:
        """Ask where the link is; raises ApiError."""
        async with HttpClient(self.connection(), user_agent="skerry-agent") as client:
            return await _link(client, clock)


class Recovery:
    """Brings an agent back."""

    def __init__(self, door: FrontDoor, clock: Clock) -> None:
        """Everything is asked at one front door."""
        self._door = door
        self._clock = clock
        self._told_at = -EVERY_SECONDS
        self._failures = 0
        self.last: Finding | None = None
        """What was found in the way the last time."""

    def welcomed(self) -> None:
        """The link let the agent in."""
        self._failures, self.last = 0, None

    async def after(self, who: Identity, reason: str) -> Identity | None:
        """A session did not come about: see to it, now and then; returns the identity to go on as where that is another one."""
        self._failures += 1
        ended = who.expired(self._clock.now())
        telling = ended or "certificate" in reason.lower() or self._failures >= 3
        if not telling or self._clock.monotonic() < self._told_at + EVERY_SECONDS or not self._door.server:
            return None
        self._told_at = self._clock.monotonic()
        try:
            return await self._see(who)
        except (ApiError, BadConnection) as error:
            log.warning("the front door cannot be asked what is wrong", error=str(error))
            return None

    async def _see(self, who: Identity) -> Identity | None:
        finding = await self._look(who)
        try:
            async with HttpClient(self._door.connection(), user_agent="skerry-agent") as client:
                link = await _link(client, self._clock)
                now = self._clock.now()
                if who.expired(now) or who.expired(now + link.ahead):
                    return await self._renew(client, who, link)
                finding = finding or _apart(link.ahead)
                if finding is not None:
                    await self._tell(client, who, link, finding)
        except ServiceUnavailable:
            if finding is None or not finding.reason:
                raise
            log.info("the front door's certificate cannot be trusted either; telling it what is wrong all the same")
            async with HttpClient(self._door.connection(insecure=True), user_agent="skerry-agent") as client:
                await self._tell(client, who, await _link(client, self._clock), finding)
        return None

    async def _look(self, who: Identity) -> Finding | None:
        try:
            found = path.judged(await path.shown(who.gateway, self._door.proxy), who.gateway, who.bundle, self._clock.now())
        except NoWay as error:
            log.warning("the gateway cannot be reached", error=str(error))
            found = None
        self.last = found
        if found is not None:
            log.error("something is in the way of the link", reason=found.reason, message=found.message)
        return found

    async def _renew(self, client: HttpClient, who: Identity, link: Link) -> Identity | None:
        key = new_key()
        csr = make_csr(key).decode()
        says = {"csr": hashlib.sha256(csr.encode()).hexdigest()}
        statement = statements.sign(who.certificate, who.key, RENEWAL, link.challenge, self._clock.monotonic() - link.had_at, says)
        try:
            answer = await client.raw("POST", RENEWALS, {"statement": statement, "csr": csr})
        except (Unauthorized, Forbidden) as error:
            log.warning("the agent's certificate has ended and is not renewed; register it with a new token", reason=error.message)
            return None
        certificate, private = answer["certificate"].encode(), key_pem(key)
        try:
            KeyPair.split(private + certificate)
        except PkiError as error:
            log.warning("the front door sent a certificate that cannot be used", error=str(error))
            return None
        log.info("the agent's certificate had ended and was renewed at the front door", name=who.name)
        return identities.renewed(who, certificate, private, answer["bundle"].encode())

    async def _tell(self, client: HttpClient, who: Identity, link: Link, finding: Finding) -> None:
        says = {"reason": finding.reason, "message": finding.message}
        statement = statements.sign(who.certificate, who.key, TROUBLE, link.challenge, self._clock.monotonic() - link.had_at, says)
        await client.raw("POST", TROUBLES, {"statement": statement})


async def _link(client: HttpClient, clock: Clock) -> Link:
    async with client.open("GET", LINK, seconds=ASK_SECONDS) as answer:
        body, date = await answer.read(), answer.headers.get("Date")
        if answer.status != 200:
            raise ServiceUnavailable(f"{client.connection.server} does not say where the link is ({answer.status})")
    had_at, now = clock.monotonic(), clock.now()
    found: Json = loads(body)
    return Link(found["gateway"], found["statementGateway"], found["challenge"], had_at, _date(date, now) - now)


def _date(text: str | None, otherwise: datetime) -> datetime:
    try:
        return parsedate_to_datetime(text or "")
    except ValueError:
        return otherwise


def _apart(ahead: timedelta) -> Finding | None:
    if abs(ahead) <= SKEW:
        return None
    span, how = timedelta(seconds=round(abs(ahead).total_seconds())), "behind" if ahead > timedelta(0) else "ahead of"
    return Finding("ClockSkew", f"the agent's clock is {span} {how} the server's: set it, and keep it set with NTP")
