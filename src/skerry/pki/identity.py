"""Who a certificate speaks of: read once, and remembered by its bytes.

A server sees the certificate of a peer only after the handshake has proved it: the chain ends
in an authority that the listener trusts, the time was right, and the peer holds the key. What is
left is to read it. :func:`identity` does so, and keeps the last few hundred answers, because
the same peer asks again with every request and connection.

Whether the certificate is *still* within its time is asked with every request, by whoever has a
clock (``access/authentication.py``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class CertificateIdentity:
    """The holder of a certificate: CN, every O, names (``DNS:…``, ``IP:…``, ``URI:…``), serial number, validity in UTC.

    ``fingerprint`` is the SHA-256 of the DER, in lower-case hexadecimal digits.
    """

    common_name: str
    organizations: tuple[str, ...]
    names: tuple[str, ...]
    serial: int
    not_before: datetime
    not_after: datetime
    fingerprint: str

    def valid_at(self, now: datetime) -> bool:
        """Whether the certificate is within its time."""
        return self.not_before <= now < self.not_after


@lru_cache(maxsize=512)
def identity(der: bytes) -> CertificateIdentity:
    """Read a DER certificate; raises ValueError if it is none, or names its holder in more than one way."""
    certificate = x509.load_der_x509_certificate(der)
    common_names = values(certificate.subject, NameOID.COMMON_NAME)
    if len(common_names) > 1:
        raise ValueError("the certificate has more than one common name")
    return CertificateIdentity(
        common_name=common_names[0] if common_names else "",
        organizations=values(certificate.subject, NameOID.ORGANIZATION_NAME),
        names=alternative_names(certificate.extensions),
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint=hashlib.sha256(der).hexdigest(),
    )


def values(name: x509.Name, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    """Every value of one attribute of a name, in order."""
    return tuple(str(attribute.value) for attribute in name.get_attributes_for_oid(oid))


def alternative_names(extensions: x509.Extensions) -> tuple[str, ...]:
    """The subject alternative names, each with its kind: ``DNS:localhost``, ``IP:127.0.0.1``."""
    try:
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(_named(each) for each in found)


def _named(name: x509.GeneralName) -> str:
    kinds = {x509.DNSName: "DNS", x509.IPAddress: "IP", x509.UniformResourceIdentifier: "URI", x509.RFC822Name: "email"}
    return f"{kinds.get(type(name), 'other')}:{name.value}"
