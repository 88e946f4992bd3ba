"""A certificate authority of our own: roots, certificates for servers and clients, answers to CSRs.

Keys are ECDSA on P-256. Everything is PEM on the outside. Time is passed in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from skerry.pki.policy import ROOT_LIFETIME, Profile

SKEW = timedelta(minutes=5)
"""How far back a certificate begins, for clocks that are behind."""


class BadRequestError(ValueError):
    """A CSR that cannot be answered; the message says why."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, PEM encoded."""

    certificate: bytes
    key: bytes


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PEM (PKCS#8, unencrypted: the file's mode protects it)."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _name(common: str, groups: Sequence[str] = ()) -> x509.Name:
    return x509.Name(
        [*(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def make_root(common: str, now: datetime) -> KeyPair:
    """A self-signed root that may sign end-entity certificates only."""
    key = new_key()
    name = _name(common)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + ROOT_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return KeyPair(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), key_pem(key))


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )


class Authority:
    """Signs with a root's key."""

    def __init__(self, root: KeyPair) -> None:
        """Load the root; raises ValueError or TypeError if it is not one."""
        self.bundle = root.certificate
        self._certificate = x509.load_pem_x509_certificate(root.certificate)
        key = serialization.load_pem_private_key(root.key, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the root's key must be an elliptic curve key")
        self._key = key

    def issue(self, profile: Profile, common: str, now: datetime, *, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> KeyPair:
        """A fresh key and a certificate for it."""
        key = new_key()
        return KeyPair(self._sign(key.public_key(), profile, common, now, groups, hosts), key_pem(key))

    def answer(self, csr: bytes, profile: Profile, common: str, now: datetime, *, groups: Sequence[str] = ()) -> bytes:
        """Sign the key of a CSR under a name that the issuer chooses; raises BadRequestError."""
        try:
            request = x509.load_pem_x509_csr(csr)
        except ValueError as error:
            raise BadRequestError(f"the CSR cannot be read: {error}") from error
        key = request.public_key()
        if not request.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
            raise BadRequestError("the CSR must be signed by its own elliptic curve key")
        return self._sign(key, profile, common, now, groups, ())

    def _sign(
        self, key: ec.EllipticCurvePublicKey, profile: Profile, common: str, now: datetime, groups: Sequence[str], hosts: Sequence[str]
    ) -> bytes:
        purposes = [
            *([ExtendedKeyUsageOID.SERVER_AUTH] if profile.server else []),
            *([ExtendedKeyUsageOID.CLIENT_AUTH] if profile.client else []),
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common, groups))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW)
            .not_valid_after(min(now + profile.lifetime, self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def make_csr(key: ec.EllipticCurvePrivateKey, common: str) -> bytes:
    """A CSR for a key, PEM encoded; the name is a wish."""
    request = x509.CertificateSigningRequestBuilder().subject_name(_name(common)).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def lifetime(certificate: bytes) -> tuple[datetime, datetime]:
    """From when to when a PEM certificate is valid."""
    loaded = x509.load_pem_x509_certificate(certificate)
    return loaded.not_valid_before_utc, loaded.not_valid_after_utc


def identity(certificate: bytes) -> tuple[str, tuple[str, ...]]:
    """The name and the groups of a DER certificate whose chain was verified already."""
    subject = x509.load_der_x509_certificate(certificate).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return (str(names[0].value) if names else ""), tuple(str(each.value) for each in groups)
