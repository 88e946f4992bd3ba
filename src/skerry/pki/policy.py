"""The rules of certificates, without I/O.

* A name says what its holder is: components are ``skerry:component:NAME`` in the group
  ``skerry:components``, agents ``skerry:agent:MANAGEMENTCLUSTER`` in ``skerry:agents``, the
  administrator ``admin`` in ``skerry:administrators``. Groups are the certificate's O, names its CN.
* A certificate is renewed when the last third of its life begins.
* A CSR gets nothing it asks for but its key: the issuer decides the name and the usages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

ADMINISTRATORS = "skerry:administrators"
COMPONENTS = "skerry:components"
AGENTS = "skerry:agents"
_COMPONENT = "skerry:component:"
_AGENT = "skerry:agent:"


@dataclass(frozen=True, slots=True)
class Profile:
    """What kind of certificate: how long it lives, what it may prove."""

    name: str
    lifetime: timedelta
    server: bool = False
    client: bool = False


SERVER = Profile("server", timedelta(days=90), server=True)
CLIENT = Profile("client", timedelta(days=90), client=True)
ADMIN = Profile("admin", timedelta(days=365), client=True)
AGENT = Profile("agent", timedelta(days=30), client=True)
ROOT_LIFETIME = timedelta(days=3650)


def component(name: str) -> str:
    """The certificate name of a component of this installation."""
    return _COMPONENT + name


def agent(management_cluster: str) -> str:
    """The certificate name of an agent."""
    return _AGENT + management_cluster


def agent_of(name: str, groups: tuple[str, ...]) -> str | None:
    """The management cluster that an identity speaks for; None if it is no agent's."""
    return name.removeprefix(_AGENT) if AGENTS in groups and name.startswith(_AGENT) else None


def renewal_due(not_before: datetime, not_after: datetime, now: datetime) -> bool:
    """Whether the last third of a certificate's life has begun."""
    return now >= not_after - (not_after - not_before) / 3
