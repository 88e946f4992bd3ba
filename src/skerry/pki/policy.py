"""What certificates there are, when they are renewed, and what a signing request may ask for. Pure.

Two roots. The *internal* one signs what proves an identity inside: components, agents, the
administrator, the gateway. The *external* one signs what the front door shows to browsers,
Terraform and agents. Both sign leaves directly; neither signs another authority.

* A certificate lives as long as its profile says, and never longer than its issuer.
* It begins a day in the past, because the clocks of sites differ, and are often wrong by whole hours.
* An agent's says by which registration it came to be, and so does every one that follows it.
* One of an agent may be renewed for a while after its end, by whoever holds its key.
* It is renewed once ``renew_before`` of its end is reached; a life cut short by its issuer is
  renewed in its last third.
* It is renewed at once when it is not what would be issued today: another issuer, another
  subject, a name missing.
* A root is never renewed by itself: whoever trusts it has to learn of the next one first.
* Who holds a certificate is its subject. The issuer decides it; a request can only agree.
* A request asks for nothing else: no names, no authority, no use beyond the profile's.

Everything here is a function of its arguments; the time is one of them. Reading and writing
X.509 is ``authority.py``'s and ``identity.py``'s, files are ``files.py``'s.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

COMPONENTS = "skerry:components"
ADMINISTRATORS = "skerry:administrators"
AGENTS = "skerry:agents"

COMPONENT_PREFIX = "skerry:component:"
AGENT_PREFIX = "skerry:agent:"
AGENT_URI = "urn:skerry:agent:"
REGISTRATION_URI = "urn:skerry:registration:"

COMMON_NAME_LIMIT = 64
"""Characters that X.509 allows in a common name (``ub-common-name``)."""

BACKDATE = timedelta(days=1)
"""How far a certificate begins in the past."""

RENEWAL_GRACE = timedelta(days=90)
"""How long after its end an agent's certificate can still be renewed, where nobody says otherwise."""

_PART = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_LABEL = re.compile(rf"{_PART}\Z")
_FULL_NAME = re.compile(rf"{_PART}(?:\.{_PART}\.{_PART})?\Z")


@dataclass(frozen=True, slots=True)
class Profile:
    """What a kind of certificate is good for and how long it lives."""

    name: str
    lifetime: timedelta
    renew_before: timedelta
    server: bool = False
    client: bool = False


ROOT = Profile("root", timedelta(days=3650), timedelta(days=365))
SERVER = Profile("server", timedelta(days=90), timedelta(days=30), server=True)
CLIENT = Profile("client", timedelta(days=30), timedelta(days=10), client=True)
AGENT = Profile("agent", timedelta(days=30), timedelta(days=10), client=True)
ADMIN = Profile("admin", timedelta(days=365), timedelta(days=30), client=True)


class Subject(NamedTuple):
    """Who holds a certificate: user name (CN) and groups (O)."""

    common: str
    groups: tuple[str, ...] = ()


ADMINISTRATOR = Subject("admin", (ADMINISTRATORS,))


def component(name: str) -> str:
    """The user name of one of our own processes; raises ValueError unless ``name`` is a DNS label."""
    return _common_name(COMPONENT_PREFIX, name)


def agent(name: str) -> str:
    """The user name of an agent; raises ValueError unless ``name`` is a management cluster's or a cluster's full one.

    One of more than 51 characters is cut and ends in a hash, because a common name is short; the whole name stands in
    :func:`agent_uri`, and :func:`agent_of` reads it back.
    """
    return _common_name(AGENT_PREFIX, name, _FULL_NAME)


def agent_uri(name: str) -> str:
    """The further name of an agent's certificate, which has room for all of the name."""
    return AGENT_URI + name


def agent_of(common: str, groups: Sequence[str], names: Sequence[str]) -> str | None:
    """The full name of what the holder of a certificate speaks for; None if it is no agent's.

    ``names`` are the certificate's, each with its kind (``URI:urn:skerry:agent:sv-1``). They only spell out the common
    name: one that does not belong to it counts for nothing.
    """
    spelt = [name.removeprefix(f"URI:{AGENT_URI}") for name in names if name.startswith(f"URI:{AGENT_URI}")]
    for name in (*spelt, common.removeprefix(AGENT_PREFIX)):
        if AGENTS in groups and _FULL_NAME.match(name) and agent(name) == common:
            return name
    return None


def registration_uri(number: int) -> str:
    """The further name by which an agent's certificate says to which registration it goes back."""
    return f"{REGISTRATION_URI}{number}"


def registration_of(names: Sequence[str]) -> int:
    """The number of the registration that an agent's certificate goes back to; 0: it is of a release that did not number them."""
    told = [name.removeprefix(f"URI:{REGISTRATION_URI}") for name in names if name.startswith(f"URI:{REGISTRATION_URI}")]
    return int(told[0]) if len(told) == 1 and told[0].isascii() and told[0].isdecimal() else 0


def may_follow(not_after: datetime, grace: timedelta, now: datetime) -> bool:
    """Whether a certificate may be renewed by its key alone: it is within its time, or ended less than ``grace`` ago."""
    return now < not_after + grace


def _common_name(prefix: str, name: str, allowed: re.Pattern[str] = _LABEL) -> str:
    if not allowed.match(name):
        raise ValueError(f"{name!r} cannot be the name of a certificate's holder: it must be made of DNS labels of at most 63 characters")
    room = COMMON_NAME_LIMIT - len(prefix)
    if len(name) <= room:
        return prefix + name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    mark = ":" if "." in name else "."  # no name of this form holds one, so no short name is ever the same
    return f"{prefix}{name[: room - 13]}{mark}{digest}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the rules need to know of a certificate. ``issuer`` is the identifier of its key; times are UTC."""

    subject: Subject
    names: frozenset[str]
    not_before: datetime
    not_after: datetime
    issuer: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What would be issued today."""

    profile: Profile
    subject: Subject
    names: frozenset[str]
    issuer: str


class Finding(NamedTuple):
    """Why a certificate has to be renewed, or a request is refused: one word for programs, a sentence for people."""

    reason: str
    message: str


def validity(profile: Profile, issuer_ends: datetime, now: datetime) -> tuple[datetime, datetime]:
    """First and last moment of a certificate issued now."""
    return now - BACKDATE, min(now + profile.lifetime, issuer_ends)


def renewal_time(profile: Profile, not_before: datetime, not_after: datetime) -> datetime:
    """When a certificate is due."""
    return not_after - min(profile.renew_before, (not_after - not_before) / 3)


def renewal(present: Certificate | None, wanted: Wanted, now: datetime) -> Finding | None:
    """The first reason to issue a new certificate, None if the present one will do."""
    if present is None:
        return Finding("Missing", "there is no certificate yet")
    return next(_renewal_reasons(present, wanted, now), None)


def _renewal_reasons(present: Certificate, wanted: Wanted, now: datetime) -> Iterator[Finding]:
    if present.issuer != wanted.issuer:
        yield Finding("OtherIssuer", "the certificate was signed by another authority")
    if present.subject != wanted.subject:
        yield Finding("OtherSubject", f"the certificate is for {present.subject.common!r}, not {wanted.subject.common!r}")
    if missing := wanted.names - present.names:
        yield Finding("NamesMissing", f"the certificate does not cover {', '.join(sorted(missing))}")
    if now < present.not_before:
        yield Finding("NotYetValid", f"the certificate begins at {present.not_before:%Y-%m-%d %H:%M} UTC")
    if now >= present.not_after:
        yield Finding("Expired", f"the certificate ended at {present.not_after:%Y-%m-%d %H:%M} UTC")
    due = renewal_time(wanted.profile, present.not_before, present.not_after)
    if now >= due:
        yield Finding("Due", f"the certificate was due for renewal at {due:%Y-%m-%d %H:%M} UTC")


def root_finding(not_before: datetime, not_after: datetime, now: datetime) -> Finding | None:
    """What is wrong, or soon will be, with a root; reasons NotYetValid, Expired and Due."""
    if now < not_before:
        return Finding("NotYetValid", f"the root begins at {not_before:%Y-%m-%d %H:%M} UTC; is the clock right?")
    if now >= not_after:
        return Finding("Expired", f"the root ended at {not_after:%Y-%m-%d %H:%M} UTC; nothing that it signed is trusted any more")
    if now >= renewal_time(ROOT, not_before, not_after):
        return Finding("Due", f"the root ends at {not_after:%Y-%m-%d %H:%M} UTC; rotate it before")
    return None


@dataclass(frozen=True, slots=True)
class Request:
    """What a signing request (PKCS #10) says.

    ``key`` is the algorithm (``P-256``, ``RSA``, …), ``bits`` its size; ``server``, ``client`` and
    ``other_use`` are the extended uses asked for; ``extensions`` names every other extension.
    """

    subject: Subject
    other_attributes: bool
    names: frozenset[str]
    key: str
    bits: int
    signed: bool
    server: bool = False
    client: bool = False
    other_use: bool = False
    authority: bool = False
    extensions: tuple[str, ...] = ()


def refusals(request: Request, profile: Profile, subject: Subject) -> Sequence[Finding]:
    """Every reason not to sign a request for a certificate of ``subject``; empty if it may be signed."""
    return tuple(_refusals(request, profile, subject))


def _refusals(request: Request, profile: Profile, subject: Subject) -> Iterator[Finding]:
    if not request.signed:
        yield Finding("BadSignature", "the request is not signed by the key that it carries")
    if not _good_key(request.key, request.bits):
        yield Finding(
            "WeakKey", f"the key is {request.key} with {request.bits} bits; ECDSA P-256 or P-384, or RSA of 2048 to 4096, is needed"
        )
    if request.other_attributes or request.subject not in (subject, Subject("")):
        yield Finding("OtherSubject", f"the request is for {request.subject.common!r}; only {subject.common!r} may be asked for here")
    if request.names:
        yield Finding("NamesAsked", f"the request asks for the names {', '.join(sorted(request.names))}")
    if request.authority:
        yield Finding("AuthorityAsked", "the request asks for the right to sign certificates")
    if (request.server and not profile.server) or (request.client and not profile.client) or request.other_use:
        yield Finding("UseAsked", f"the request asks for a use that a {profile.name} certificate does not have")
    if request.extensions:
        yield Finding("ExtensionsAsked", f"the request carries extensions that nobody needs: {', '.join(request.extensions)}")


def _good_key(key: str, bits: int) -> bool:
    return key in {"P-256", "P-384"} or (key == "RSA" and 2048 <= bits <= 4096)
