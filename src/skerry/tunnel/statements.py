"""What an agent signs with the key of its certificate where the handshake of TLS cannot prove who it is. Pure.

A *statement* says one thing, for one purpose, to one process of an installation, within a minute:
``base64url(payload).base64url(signature)``, where the payload is JSON and the signature is ECDSA with SHA-256 over a
label and the payload.

* Whoever asks for a statement draws a *challenge* first: a word that no other process has ever said, and how old that process
  was. The agent adds how many seconds it has held the challenge. So freshness is told by two stop-watches: clocks on the
  wall, which may be wrong by hours, are never compared.
* The purpose is part of what is signed; so is a word that is used once. A statement is good for nothing else, and once.
* The label keeps the signature apart from every other that the key makes: certificate requests, handshakes.
* The certificate stands in the statement. Whether it is to be believed is for whoever reads it to say: :func:`read` checks
  that the statement was signed by that certificate's key, and nothing more.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

MOST_BYTES = 16 * 1024
WINDOW_SECONDS = 60.0
"""How old a statement may be."""

AHEAD_SECONDS = 5.0
"""How far a stop-watch may be ahead of the other."""

CONTROL, PROXY, RENEWAL, TROUBLE = "control", "proxy", "renewal", "trouble"
METADATA = "skerry-statement"
"""Where a statement stands among the metadata of a stream."""
CHALLENGE = "skerry-challenge"
"""Where a gateway that wants one answers with a challenge."""

_LABEL = b"skerry agent statement v1\n"


class BadStatement(ValueError):
    """It is no statement, or was not signed by the key of the certificate in it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What was said; ``certificate`` is the one whose key has signed it."""

    purpose: str
    challenge: str
    held_seconds: float
    once: str
    says: dict[str, str]
    certificate: x509.Certificate


def sign(certificate: bytes, key: bytes, purpose: str, challenge: str, held_seconds: float, says: dict[str, str] | None = None) -> str:
    """Make a statement; ``certificate`` and ``key`` are PEM, the challenge was had ``held_seconds`` ago."""
    payload = json.dumps(
        {
            "purpose": purpose,
            "challenge": challenge,
            "held": round(held_seconds, 3),
            "once": secrets.token_urlsafe(16),
            "says": says or {},
            "certificate": base64.b64encode(x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)).decode(),
        }
    ).encode()
    loaded = load_pem_private_key(key, None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise BadStatement("only an ECDSA key signs statements")
    return f"{_packed(payload)}.{_packed(loaded.sign(_LABEL + payload, ec.ECDSA(hashes.SHA256())))}"


def read(text: str) -> Statement:
    """Read a statement; raises BadStatement."""
    if len(text) > MOST_BYTES:
        raise BadStatement("it is too long")
    try:
        payload, signature = (_unpacked(part) for part in text.split("."))
        found: dict[str, Any] = json.loads(payload)
        made = Statement(
            str(found["purpose"]),
            str(found["challenge"]),
            float(found["held"]),
            str(found["once"]),
            {str(name): str(value) for name, value in found["says"].items()},
            x509.load_der_x509_certificate(base64.b64decode(found["certificate"], validate=True)),
        )
        key = made.certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise BadStatement("its certificate has no ECDSA key")
        key.verify(signature, _LABEL + payload, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise BadStatement("it is no statement, or its signature is not right") from error
    return made


def challenge_of(process: str, age_seconds: float) -> str:
    """A challenge of a process of that age."""
    return f"{process}.{age_seconds:.3f}"


def made_at(statement: Statement, process: str) -> float | None:
    """How old the process that drew the challenge was when the statement was made; None if it was another process."""
    drawn_by, _, age = statement.challenge.partition(".")
    if drawn_by != process:
        return None
    try:
        return float(age) + max(0.0, statement.held_seconds)
    except ValueError:
        return None


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unpacked(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
