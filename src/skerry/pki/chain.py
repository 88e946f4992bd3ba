"""Certificates as people ask for them: who, by whom, from when to when. Never a key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from skerry.pki.identity import alternative_names


@dataclass(frozen=True, slots=True)
class Shown:
    """One certificate of a file. ``fingerprint`` is the SHA-256 of its DER; ``root`` one that signed itself."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint: str
    root: bool

    @property
    def due(self) -> datetime:
        """When its last third begins: by then it should have been renewed."""
        return self.not_after - (self.not_after - self.not_before) / 3


def chain(pem: bytes) -> list[Shown]:
    """The certificates of a PEM file, in its order; raises ValueError if there is none, or one that cannot be read."""
    return [_shown(certificate) for certificate in x509.load_pem_x509_certificates(pem)]


def _shown(certificate: x509.Certificate) -> Shown:
    return Shown(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=alternative_names(certificate.extensions),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint=hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        root=certificate.subject == certificate.issuer,
    )
