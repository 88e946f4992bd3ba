"""Certificate authorities as PEM text: read with ``cryptography``, and judged. Pure; the time is passed in.

A certificate that is no authority, or is expired, is refused when it is written; one that was
there before stays, so that time alone never makes an object unchangeable. What strict
verifiers refuse (Python from 3.13 on) and what ends soon is only warned of.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from skerry.kinds.rules import bad
from skerry.machinery.errors import Cause

SOON = timedelta(days=30)
BEGIN = "-----BEGIN CERTIFICATE-----"
UNREAD = "must be certificates in PEM, each from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"


@lru_cache(maxsize=256)
def certificates(pem: str) -> tuple[x509.Certificate, ...]:
    """Every certificate of a text; raises ValueError where there is none, or one that cannot be read."""
    found = tuple(x509.load_pem_x509_certificates(pem.encode()))
    for each in found:
        _ = each.subject, each.extensions  # both are read late: here, where it is expected to fail
    if len(found) != pem.count(BEGIN):
        raise ValueError("not every certificate could be read")
    return found


def authority_causes(pem: str, field: str, now: datetime | None, before: str = "") -> list[Cause]:
    """Why a text is no bundle of authorities; ``before`` is what stood there until now."""
    if "PRIVATE KEY-----" in pem:
        return [bad(field, "<redacted>", "holds a private key: leave only the certificates, and hold that key for disclosed")]
    try:
        found = certificates(pem)
    except (ValueError, x509.DuplicateExtension) as error:
        return [bad(field, "<certificates>", f"{UNREAD}: {error}")]
    known = _known(before)
    return [
        bad(field, "<certificates>", f"certificate {number} ({_called(each)}) {problem}")
        for number, each in enumerate(found, 1)
        if each.fingerprint(SHA256()) not in known and (problem := _problem(each, now))
    ]


def authority_warnings(pem: str, field: str, now: datetime | None) -> list[str]:
    """What is ill-advised about a bundle that is good enough."""
    try:
        found = certificates(pem)
    except (ValueError, x509.DuplicateExtension):
        return []
    return [
        f"{field}: certificate {number} ({_called(each)}) {text}" for number, each in enumerate(found, 1) for text in _advice(each, now)
    ]


def first_end(pem: str) -> str:
    """The day on which the first certificate of a bundle ends, empty for a text that is none."""
    try:
        return min(each.not_valid_after_utc for each in certificates(pem)).date().isoformat()
    except (ValueError, x509.DuplicateExtension):
        return ""


def count(pem: str) -> int:
    """How many certificates a bundle holds."""
    return pem.count(BEGIN)


def _known(before: str) -> frozenset[bytes]:
    try:
        return frozenset(each.fingerprint(SHA256()) for each in certificates(before)) if before else frozenset()
    except (ValueError, x509.DuplicateExtension):
        return frozenset()


def _called(certificate: x509.Certificate) -> str:
    return ascii(certificate.subject.rfc4514_string())[1:-1][:200] or "without a subject"  # a warning is a header: one line of ASCII


def _problem(certificate: x509.Certificate, now: datetime | None) -> str:
    if now is not None and certificate.not_valid_after_utc <= now:
        return f"expired on {certificate.not_valid_after_utc.date().isoformat()}: replace it with its successor, or leave it out"
    basic, usage = _basic(certificate), _usage(certificate)
    if basic is None or not basic.value.ca:
        return "is no certificate authority (basicConstraints does not say CA:TRUE): give the authority that signed it"
    if usage is not None and not usage.value.key_cert_sign:
        return "may not sign certificates (keyUsage has no keyCertSign): give the authority that does"
    return ""


def _advice(certificate: x509.Certificate, now: datetime | None) -> Iterable[str]:
    end, basic = certificate.not_valid_after_utc, _basic(certificate)
    if now is not None and end <= now:
        yield f"expired on {end.date().isoformat()}"
    elif now is not None and end <= now + SOON:
        yield f"expires on {end.date().isoformat()}: add its successor in time"
    lacks = [] if basic is None or basic.critical else ["its basicConstraints are not critical"]
    lacks += ["it has no keyUsage"] if _usage(certificate) is None else []
    if lacks:
        yield f"is refused by strict verifiers: {' and '.join(lacks)}"


def _basic(certificate: x509.Certificate) -> x509.Extension[x509.BasicConstraints] | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return None


def _usage(certificate: x509.Certificate) -> x509.Extension[x509.KeyUsage] | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound:
        return None
