"""How an agent comes back that the link does not let in: what it asks and tells at the front door.

* ``GET /register/v1/link`` answers ``{"gateway", "statementGateway", "challenge"}``: where agents dial, where those dial that
  prove themselves by statements (empty: nowhere, the site does not allow it), and a challenge.
* ``POST /register/v1/renewals`` with ``{"statement", "csr"}`` answers ``{"certificate", "bundle", "gateway"}``.
* ``POST /register/v1/troubles`` with ``{"statement"}`` answers ``{}``: the statement says ``reason`` and ``message``.

Nobody has to prove himself here by TLS; what stands in a statement is proved by the statement (``statements.py``).

A certificate is renewed for who holds its key, for a while after its end, unless its registration is not the one of now
any more (``enrolment.py``). The request is named in the statement: nobody else's key is certified. Who comes later than that is
told of like a trouble, for only a person can help him.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from skerry.gateway.enrolment import Enrolments
from skerry.gateway.registration import MOST_BYTES
from skerry.gateway.statements import Agent, Statements, TooLate
from skerry.gateway.troubles import Troubles
from skerry.kinds.managementcluster import EXPIRED, TROUBLES
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.errors import BadRequest, Forbidden, RequestEntityTooLarge
from skerry.machinery.reading import parse
from skerry.machinery.resource import Json
from skerry.pki.authority import Authority, PkiError
from skerry.tunnel.statements import RENEWAL, TROUBLE

LINK, RENEWALS, TROUBLES_PATH = "/register/v1/link", "/register/v1/renewals", "/register/v1/troubles"

log = get("gateway.recovering")


@dataclass(frozen=True, slots=True)
class Places:
    """Where agents dial; ``statements`` is empty where they may not prove themselves by them."""

    gateway: str
    statements: str = ""


class Recovering:
    """Answers agents that are outside."""

    def __init__(
        self,
        statements: Statements,
        enrolments: Enrolments,
        troubles: Troubles,
        authority: Authority,
        clock: Clock,
        places: Places,
        grace: timedelta,
    ) -> None:
        """A certificate may have ended ``grace`` ago; none at all: it may not have ended."""
        self._statements = statements
        self._enrolments = enrolments
        self._troubles = troubles
        self._authority = authority
        self._clock = clock
        self._places = places
        self._grace = grace

    def link(self) -> Json:
        """Say where the link is, and draw a challenge."""
        return {
            "gateway": self._places.gateway,
            "statementGateway": self._places.statements,
            "challenge": self._statements.challenge(),
        }

    async def renew(self, body: bytes) -> tuple[str, Json]:
        """Renew a certificate; returns whose, and the answer. Raises BadRequest, Unauthorized, Forbidden, what the API raises."""
        statement, csr = _texts(body, "statement", "csr")
        try:
            heard = self._statements.judge(statement, RENEWAL, self._grace)
        except TooLate as late:
            await self._too_late(late.agent)
            raise
        agent = heard.agent
        if heard.says.get("csr") != hashlib.sha256(csr.encode()).hexdigest():
            raise BadRequest("the statement is about another signing request")
        refusal = await self._enrolments.refuse_renewal(agent.name, agent.registration, agent.began)
        if refusal:
            log.warning("a renewal was refused", agent=agent.name, reason=refusal)
            raise Forbidden(f"the certificate is not renewed: {refusal}; register the agent with a new token")
        try:
            certificate = self._authority.answer_agent(csr.encode(), agent.name, self._clock.now(), agent.registration)
        except PkiError as error:
            raise BadRequest(str(error)) from error
        log.info("renewed the certificate of an agent that was away", agent=agent.name, ended=agent.not_after.isoformat())
        answer = {"certificate": certificate.decode(), "bundle": self._authority.bundle.decode(), "gateway": self._places.gateway}
        return agent.name, answer

    async def _too_late(self, agent: Agent) -> None:
        """Say what it needs that was away for too long, unless a newer registration was given out, or it speaks for nothing any more."""
        if await self._enrolments.refuse_renewal(agent.name, agent.registration, agent.began):
            return
        log.warning("an agent was away for too long", agent=agent.name, ended=agent.not_after.isoformat())
        what = f"its agent's certificate ended at {agent.not_after:%Y-%m-%d %H:%M} UTC, too long ago to be renewed"
        self._troubles.tell(agent.name, EXPIRED, f"{what}: give the agent a new token (skerry token {agent.name}), or attach it again")

    def trouble(self, body: bytes) -> str:
        """Hear what keeps an agent away; returns its full name. Raises BadRequest or Unauthorized."""
        (statement,) = _texts(body, "statement")
        heard = self._statements.judge(statement, TROUBLE, self._grace)
        reason, message = heard.says.get("reason", ""), heard.says.get("message", "")
        if reason not in TROUBLES or not message.isprintable():
            raise BadRequest(f"a trouble is one of {', '.join(TROUBLES)}, with a message of one line")
        log.warning("an agent is kept away", agent=heard.agent.name, reason=reason, message=message)
        self._troubles.tell(heard.agent.name, reason, message)
        return heard.agent.name


def _texts(body: bytes, *names: str) -> list[str]:
    if len(body) > MOST_BYTES:
        raise RequestEntityTooLarge(f"Request entity too large: limit is {MOST_BYTES}")
    value, _ = parse(body)
    if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in names):
        raise BadRequest("what is asked for needs " + " and ".join(f'"{name}": "…"' for name in names))
    return [value[name] for name in names]
