"""The agent's identity: a key that never leaves the machine, and the certificate for it.

The first one is had at the front door by a one-time token, every later one over the link
itself. Both are kept in the agent's folder with mode 0600.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from skerry.client.connection import Connection
from skerry.client.http import HttpClient
from skerry.machinery.document import dumps, loads
from skerry.machinery.errors import ApiError
from skerry.pki import policy
from skerry.pki.authority import key_pem, lifetime, make_csr, new_key
from skerry.pki.files import write_secret

FILE = "identity.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the agent is (the full name of what it speaks for), what it trusts, and where it dials. PEM throughout."""

    name: str
    certificate: bytes
    key: bytes
    bundle: bytes
    gateway: str

    def renewal_due(self, now: datetime) -> bool:
        """Whether it is time for a new certificate."""
        return now >= policy.renewal_time(policy.AGENT, *lifetime(self.certificate))

    def expired(self, now: datetime) -> bool:
        """Whether the certificate is of no use any more."""
        return now >= lifetime(self.certificate)[1]


def load(folder: Path) -> Identity | None:
    """The stored identity; None if there is none yet."""
    path = folder / FILE
    if not path.exists():
        return None
    found = loads(path.read_bytes())
    name = found.get("name") or found["managementCluster"]  # as the first release calls it
    return Identity(name, found["certificate"].encode(), found["key"].encode(), found["bundle"].encode(), found["gateway"])


def moved(identity: Identity, gateway: str) -> Identity:
    """The same agent, dialling another address."""
    return replace(identity, gateway=gateway)


def store(folder: Path, identity: Identity) -> None:
    """Keep an identity."""
    body = {
        "name": identity.name,
        "certificate": identity.certificate.decode(),
        "key": identity.key.decode(),
        "bundle": identity.bundle.decode(),
        "gateway": identity.gateway,
    }
    write_secret(folder / FILE, dumps(body))


def renewed(identity: Identity, certificate: bytes, key: bytes, bundle: bytes) -> Identity:
    """The same agent with another certificate, its key, and the roots that came with it."""
    return replace(identity, certificate=certificate, key=key, bundle=bundle)


def trusting(identity: Identity, bundle: bytes) -> Identity:
    """The same agent, trusting other roots."""
    return replace(identity, bundle=bundle)


async def register(server: str, ca: bytes, token: str, folder: Path) -> Identity:
    """Register at the front door and keep the identity; raises ApiError."""
    key = new_key()
    csr = make_csr(key).decode()
    async with HttpClient(Connection(server, ca=ca), user_agent="skerry-agent") as client:
        answer = await client.raw("POST", "/register/v1/agents", {"token": token, "csr": csr, "agentVersion": version("skerry")})
    if "certificate" not in answer:
        raise ApiError(f"{server} did not answer the registration as a Skerry front door does")
    name = answer.get("name") or answer["managementCluster"]  # as the first release answers
    identity = Identity(name, answer["certificate"].encode(), key_pem(key), answer["bundle"].encode(), answer["gateway"])
    store(folder, identity)
    return identity
