"""Statements at the gateway: whose they are, and whether they are to be believed.

What a statement is, is said in ``tunnel/statements.py``. Here it is held against this process and this installation:

* it answers a challenge that this process drew, within a minute, and was not heard before; the words that are used once are
  remembered for as long as they could be said again, so another server, which never drew that challenge, has nothing to remember;
* its certificate was signed by the internal root, for an agent, and is within its time, or ended less than a grace ago where
  one is allowed.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from skerry.kit.clock import Clock
from skerry.machinery.errors import Unauthorized
from skerry.pki import policy
from skerry.pki.authority import Authority
from skerry.pki.identity import identity
from skerry.tunnel import statements
from skerry.tunnel.statements import AHEAD_SECONDS, WINDOW_SECONDS, BadStatement

MOST_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent that proved itself: its full name, the number of its registration, and the time of its certificate."""

    name: str
    registration: int
    not_before: datetime
    not_after: datetime

    @property
    def began(self) -> int:
        """When the certificate began, in milliseconds."""
        return round(self.not_before.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Heard:
    """A statement that is to be believed."""

    agent: Agent
    says: dict[str, str]


def agent_of(der: bytes) -> Agent | None:
    """The agent that a certificate names; None if it is no agent's. Whether it is genuine was seen to before."""
    holder = identity(der)
    name = policy.agent_of(holder.common_name, holder.organizations, holder.names)
    return Agent(name, policy.registration_of(holder.names), holder.not_before, holder.not_after) if name else None


class TooLate(Unauthorized):
    """The certificate ended too long ago. Whose it is was proved all the same."""

    def __init__(self, agent: Agent) -> None:
        """``agent`` is who came too late."""
        super().__init__(f"the certificate ended at {agent.not_after:%Y-%m-%d %H:%M} UTC, and it is too late to renew it")
        self.agent = agent


class Statements:
    """Draws challenges, and judges what is said in answer."""

    def __init__(self, authority: Authority, clock: Clock) -> None:
        """``authority`` signs agents' certificates."""
        self._authority = authority
        self._clock = clock
        self._process = secrets.token_hex(16)
        self._began = clock.monotonic()
        self._heard: set[str] = set()
        self._order: deque[tuple[float, str]] = deque()

    def challenge(self) -> str:
        """A challenge of this moment."""
        return statements.challenge_of(self._process, self._age())

    def judge(self, text: str, purpose: str, grace: timedelta = timedelta(0)) -> Heard:
        """Believe a statement for a purpose, once, or raise Unauthorized; its certificate may have ended less than ``grace`` ago.

        Raises TooLate where nothing but that is wrong with it.
        """
        try:
            said = statements.read(text)
        except BadStatement as error:
            raise Unauthorized(f"the statement cannot be read: {error}") from error
        made, age = statements.made_at(said, self._process), self._age()
        if made is None:
            raise Unauthorized("the statement answers no challenge of this server; draw a new one")
        if not age - WINDOW_SECONDS <= made <= age + AHEAD_SECONDS:
            raise Unauthorized("the statement is too old; draw a new challenge")
        if said.purpose != purpose:
            raise Unauthorized(f"the statement is good for {said.purpose}, not for {purpose}")
        agent = self._proved(said.certificate, grace)
        self._once(said.once, age)
        return Heard(agent, said.says)

    def _proved(self, certificate: x509.Certificate, grace: timedelta) -> Agent:
        agent = agent_of(certificate.public_bytes(Encoding.DER)) if self._genuine(certificate) else None
        if agent is None:
            raise Unauthorized("the certificate is not one of an agent of this installation")
        now = self._clock.now()
        if now < certificate.not_valid_before_utc:
            raise Unauthorized(f"the certificate begins at {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
        if not policy.may_follow(agent.not_after, grace, now):
            raise TooLate(agent)
        return agent

    def _genuine(self, certificate: x509.Certificate) -> bool:
        if not self._authority.signed(certificate):
            return False
        try:
            uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (x509.ExtensionNotFound, ValueError):
            return False
        return ExtendedKeyUsageOID.CLIENT_AUTH in uses

    def _once(self, word: str, age: float) -> None:
        while self._order and self._order[0][0] < age:
            self._heard.discard(self._order.popleft()[1])
        if word in self._heard:
            raise Unauthorized("the statement was heard before")
        if len(self._heard) >= MOST_REMEMBERED:
            raise Unauthorized("too many statements at once; try again in a minute")
        self._heard.add(word)
        self._order.append((age + WINDOW_SECONDS + AHEAD_SECONDS, word))

    def _age(self) -> float:
        return self._clock.monotonic() - self._began
