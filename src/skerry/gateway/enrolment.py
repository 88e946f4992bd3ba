"""Which registration of a full name counts, and which cluster came with it: what stands behind an agent's certificate.

Every registration has a number, which its certificate and all that follow it carry. For each full name a Secret keeps the
number that was given out last, the one that an agent came with last, the object that it was for, and the cluster (the uid
of its ``kube-system``).

* The first agent that comes with a registration makes it count; every lower number is worth nothing from then on. (Not the
  registration itself: who breaks off in the middle of one goes on as who he was.)
* A certificate without a number is of a release that gave none. One that began after the registration that counts goes back
  to it: an older server beside this one has renewed it. Any other is older than every number.
* A number higher than the record knows is one that the record has lost, with a backup that was put back: it was signed here,
  so it counts.
* The cluster that comes first with a registration is the registration's. The same certificate in another cluster is refused:
  otherwise two agents would push each other out for ever, and what is for one cluster would be done in the other. A new
  token is how an agent moves.
* An object that was deleted and made anew is another, whatever its name: agents of the one before are not let in, nor may
  they renew.
* A certificate that has ended is renewed only for the registration that was given out last.

The rules are pure functions; the record is never deleted, because it must outlive what it speaks of.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from skerry.client.contract import Client, Ref
from skerry.gateway.subjects import address
from skerry.kinds.common import SYSTEM_NAMESPACE
from skerry.kinds.fullname import words
from skerry.machinery.errors import AlreadyExists, Conflict, NotFound
from skerry.machinery.resource import Json

SECRETS = Ref("", "v1", "secrets")
TYPE = "fleet.skerry.dev/enrolment"
MANAGER = "skerry-gateway"
ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The record of one full name. ``issued_for`` and ``subject`` are uids of the object, ``cluster`` that of the cluster."""

    issued: int = 0
    issued_for: str = ""
    counts: int = -1
    """The registration that counts; -1: no agent came yet."""
    subject: str = ""
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Came:
    """An agent at the door: the number in its certificate, the object that it speaks for, and the cluster that it says it is in."""

    registration: int
    subject: str
    cluster: str
    began: int = 0
    """When its certificate began, in milliseconds, as registrations are numbered."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an agent is not let in; ``second``: it is a second cluster under the name of another."""

    reason: str
    second: bool = False


def issue(record: Enrolment, subject: str, now: datetime) -> Enrolment:
    """The record once another registration was given out: its number is the time, and higher than any before."""
    number = max(round(now.timestamp() * 1000), record.issued + 1, record.counts + 1)
    return replace(record, issued=number, issued_for=subject)


def numbered(record: Enrolment, registration: int, began: int) -> int:
    """The registration that a certificate goes back to, whether it says so or not."""
    return record.counts if not registration and 0 < record.counts < began else registration


def admit(name: str, record: Enrolment, came: Came) -> tuple[Enrolment, Refusal | None]:
    """The record after an agent came, and why it is not let in."""
    came = replace(came, registration=numbered(record, came.registration, came.began))
    if came.registration < record.counts:
        return record, Refusal(f"{words(name)} was registered anew since this agent was; only the newer registration counts")
    given_for = record.issued_for if came.registration == record.issued else ""
    known = record.subject if came.registration == record.counts else given_for
    if known and came.subject and known != came.subject:
        return record, Refusal(f"this agent was registered for a {words(name)} that was deleted since; register it for the one of now")
    if came.registration > record.counts:
        return replace(record, counts=came.registration, subject=came.subject, cluster=came.cluster), None
    if came.cluster and record.cluster and came.cluster != record.cluster:
        reason = f"this agent is in cluster {came.cluster}, but was registered in cluster {record.cluster}: each needs a token of its own"
        return record, Refusal(reason, second=True)
    return replace(record, subject=record.subject or came.subject, cluster=record.cluster or came.cluster), None


def refuse_renewal(name: str, record: Enrolment, registration: int, subject: str, began: int = 0) -> str:
    """Why the certificate of a registration is not renewed; empty if it is."""
    registration = numbered(record, registration, began)
    if not subject:
        return f"there is no {words(name)} here"
    if registration < max(record.counts, record.issued):
        return f"{words(name)} was registered anew since; only the newer registration counts"
    known = record.subject if registration == record.counts else record.issued_for
    if known and known != subject:
        return f"it was registered for a {words(name)} that was deleted since"
    return ""


class Enrolments:
    """Keeps the records."""

    def __init__(self, client: Client) -> None:
        """They are Secrets that ``client`` reaches."""
        self._client = client

    async def issue(self, name: str, now: datetime) -> int:
        """Give out the number of a new registration."""
        subject = await self.subject(name)
        return (await self._change(name, lambda record: issue(record, subject, now))).issued

    async def admit(self, name: str, came: Came) -> tuple[Enrolment, Refusal | None]:
        """Let an agent in, or say why not; the record as it is then."""
        answer: Refusal | None = None

        def decide(record: Enrolment) -> Enrolment:
            nonlocal answer
            after, answer = admit(name, record, came)
            return after

        return await self._change(name, decide), answer

    async def refuse_renewal(self, name: str, registration: int, began: int) -> str:
        """Why the certificate of a registration, that began at a time, is not renewed; empty if it is."""
        subject = await self.subject(name)
        return refuse_renewal(name, (await self._read(name))[0], registration, subject, began)

    async def subject(self, name: str) -> str:
        """The uid of the object of a full name; empty if there is none, or it is being deleted."""
        ref, plain, namespace = address(name)
        try:
            metadata = (await self._client.get(ref, plain, namespace))["metadata"]
        except NotFound:
            return ""
        return "" if metadata.get("deletionTimestamp") else str(metadata["uid"])

    async def _read(self, name: str) -> tuple[Enrolment, Json | None]:
        try:
            secret = await self._client.get(SECRETS, _secret_name(name), SYSTEM_NAMESPACE)
        except NotFound:
            return Enrolment(), None
        found = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        issued, counts = int(found.get("issued", "0")), int(found.get("counts", "-1"))
        return Enrolment(issued, found.get("issued_for", ""), counts, found.get("subject", ""), found.get("cluster", "")), secret

    async def _change(self, name: str, decide: Callable[[Enrolment], Enrolment]) -> Enrolment:
        """Replace a record by what is decided on it, as often as somebody else comes between."""
        for attempt in range(ATTEMPTS):
            before, secret = await self._read(name)
            after = decide(before)
            if after == before:
                return after
            data = {key: base64.b64encode(str(value).encode()).decode() for key, value in asdict(after).items()}
            metadata = secret["metadata"] if secret else {"name": _secret_name(name), "namespace": SYSTEM_NAMESPACE}
            body: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": TYPE, "data": data}
            try:
                if secret is None:
                    await self._client.create(SECRETS, body, manager=MANAGER)
                else:
                    await self._client.replace(SECRETS, body, manager=MANAGER)
            except (AlreadyExists, Conflict, NotFound):
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return after
        raise AssertionError("unreachable")


def _secret_name(name: str) -> str:
    return f"enrolment.{name}"
