"""The agent's identity: a key that never leaves the machine, and the certificate for it.

The first one is had at the front door by a one-time token, every later one over the link
itself. Where both are kept is ``keeping.py``'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version

from skerry.client.connection import Connection
from skerry.client.http import HttpClient
from skerry.machinery.document import dumps, loads
from skerry.machinery.errors import ApiError
from skerry.pki import policy
from skerry.pki.authority import key_pem, lifetime, make_csr, new_key
from skerry.tunnel.rules import digest_of


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the agent is (the full name of what it speaks for), what it trusts, and where it dials. PEM throughout."""

    name: str
    certificate: bytes
    key: bytes
    bundle: bytes
    gateway: str
    token: str = ""
    """Digest of the one-time token that it was registered with."""
    server: str = ""
    """The front door at which it was registered; empty: by a release that did not keep it."""
    server_ca: bytes = b""
    """What signs that front door."""

    def renewal_due(self, now: datetime) -> bool:
        """Whether it is time for a new certificate."""
        return now >= policy.renewal_time(policy.AGENT, *lifetime(self.certificate))

    def registers_again(self, token: str, now: datetime) -> bool:
        """Whether a token (empty: none) is to be used up: it is another one than before.

        Where the one before is not known, only by who has nothing to lose.
        """
        return bool(token) and (self.token != digest_of(token.encode()) if self.token else self.expired(now))

    def expired(self, now: datetime) -> bool:
        """Whether the certificate is of no use any more."""
        return now >= lifetime(self.certificate)[1]


def decoded(text: bytes) -> Identity:
    """An identity out of the text that :func:`encoded` makes."""
    found = loads(text)
    name = found.get("name") or found["managementCluster"]  # as the first release calls it
    certificate, key, bundle = (found[field].encode() for field in ("certificate", "key", "bundle"))
    door = found.get("server", ""), found.get("serverCA", "").encode()
    return Identity(name, certificate, key, bundle, found["gateway"], found.get("token", ""), *door)


def encoded(identity: Identity) -> bytes:
    """The text by which an identity is kept."""
    body = {
        "name": identity.name,
        "certificate": identity.certificate.decode(),
        "key": identity.key.decode(),
        "bundle": identity.bundle.decode(),
        "gateway": identity.gateway,
        "token": identity.token,
        "server": identity.server,
        "serverCA": identity.server_ca.decode(),
    }
    return dumps(body)


def moved(identity: Identity, gateway: str) -> Identity:
    """The same agent, dialling another address."""
    return replace(identity, gateway=gateway)


def renewed(identity: Identity, certificate: bytes, key: bytes, bundle: bytes) -> Identity:
    """The same agent with another certificate, its key, and the roots that came with it."""
    return replace(identity, certificate=certificate, key=key, bundle=bundle)


def trusting(identity: Identity, bundle: bytes) -> Identity:
    """The same agent, trusting other roots."""
    return replace(identity, bundle=bundle)


async def register(server: str, ca: bytes, token: str, proxy: str = "", proxy_ca: bytes = b"") -> Identity:
    """Register at the front door, through a proxy if one is named, and trusting ``proxy_ca`` too; raises ApiError."""
    key = new_key()
    csr = make_csr(key).decode()
    async with HttpClient(Connection(server, ca=ca + proxy_ca, proxy=proxy), user_agent="skerry-agent") as client:
        answer = await client.raw("POST", "/register/v1/agents", {"token": token, "csr": csr, "agentVersion": version("skerry")})
    if "certificate" not in answer:
        raise ApiError(f"{server} did not answer the registration as a Skerry front door does")
    name = answer.get("name") or answer["managementCluster"]  # as the first release answers
    return Identity(
        name,
        answer["certificate"].encode(),
        key_pem(key),
        answer["bundle"].encode(),
        answer["gateway"],
        digest_of(token.encode()),
        server,
        ca,
    )
