"""Certificate authorities: one self-signed root each, that issues leaves and nothing else.

Keys are ECDSA on P-256: small, quick to sign, and understood by everything that has to trust
them. A root carries ``CA:TRUE, pathlen:0`` and may sign certificates and nothing more; a leaf
carries ``CA:FALSE``, exactly the uses of its profile, and both key identifiers, so that strict
verifiers (Go's, OpenSSL's X509_STRICT) take it.

A leaf comes into being in two ways: :meth:`Authority.issue` makes key and certificate for a
process of ours, :meth:`Authority.answer` certifies the key of somebody else, who keeps it. What
a leaf may say is decided in ``policy.py``. Everything is PEM on the outside; the time is passed in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from skerry.pki import policy
from skerry.pki.identity import alternative_names, values
from skerry.pki.policy import Finding, Profile, Subject

MOST_REQUEST_BYTES = 16 * 1024


class PkiError(Exception):
    """A certificate, a key or an authority is not usable; the message says what to do."""


class RequestRefused(PkiError):
    """A signing request asks for what it may not have."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        """Carry every reason."""
        self.findings = tuple(findings)
        super().__init__("; ".join(finding.message for finding in self.findings))


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both in PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def pem(self) -> bytes:
        """Both in one text, so that they can be replaced together."""
        return self.key + self.certificate

    @classmethod
    def split(cls, pem: bytes) -> KeyPair:
        """Read what :attr:`pem` wrote; raises PkiError unless it is a key with its own certificate."""
        start = pem.find(b"-----BEGIN CERTIFICATE-----")
        pair = cls(pem[start:], pem[:start]) if start >= 0 else cls(b"", pem)
        certificate, key = pair.load()
        if key.public_key() != certificate.public_key():
            raise PkiError("the private key does not belong to the certificate")
        return pair

    def load(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Parse both; raises PkiError."""
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate)
            key = serialization.load_pem_private_key(self.key, None)
        except (ValueError, TypeError) as error:
            raise PkiError(f"not a private key with its certificate: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError("the private key is not an ECDSA key")
        return certificate, key


class Authority:
    """A root that issues."""

    def __init__(self, root: KeyPair) -> None:
        """Load the root; raises PkiError if it is none."""
        self.bundle = root.certificate
        """The root's certificate in PEM: what others have to trust."""
        self.certificate, self._key = root.load()
        if not _is_authority(self.certificate):
            raise PkiError(f"{self.certificate.subject.rfc4514_string()} is not a certificate authority")

    @property
    def fingerprint(self) -> str:
        """What names the issuer in the rules: the identifier of its key, in hexadecimal digits."""
        return self._key_identifier.digest.hex()

    def issue(self, profile: Profile, common: str, now: datetime, *, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> KeyPair:
        """Make a key and a certificate for it; ``hosts`` are names and IP addresses. Raises PkiError if the root has ended."""
        key = new_key()
        certificate = self._leaf(profile, Subject(common, tuple(groups)), now, key.public_key(), hosts)
        return KeyPair(_pem(certificate), key_pem(key))

    def answer_agent(self, csr: bytes, agent: str, now: datetime, registration: int = 0) -> bytes:
        """Certify the key of an agent, by the full name of what it speaks for and the number of its registration; as :meth:`answer`."""
        names = (policy.agent_uri(agent), *((policy.registration_uri(registration),) if registration else ()))
        return self.answer(csr, policy.AGENT, policy.agent(agent), now, groups=(policy.AGENTS,), names=names)

    def signed(self, certificate: x509.Certificate) -> bool:
        """Whether a certificate was signed by this root; its time is another question."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def answer(
        self, csr: bytes, profile: Profile, common: str, now: datetime, *, groups: Sequence[str] = (), names: Sequence[str] = ()
    ) -> bytes:
        """Certify the key of a signing request under names that the issuer chooses; the certificate in PEM.

        Raises RequestRefused for one that asks for too much, PkiError for what is no request.
        """
        if len(csr) > MOST_REQUEST_BYTES:
            raise PkiError(f"a signing request may have {MOST_REQUEST_BYTES} bytes")
        try:
            request = x509.load_pem_x509_csr(csr)
            asked = request_facts(request)
        except Exception as error:  # the parser has many ways to say that a stranger's bytes are no request
            raise PkiError("this is not a certificate signing request in PEM") from error
        subject = Subject(common, tuple(groups))
        if findings := policy.refusals(asked, profile, subject):
            raise RequestRefused(findings)
        return _pem(self._leaf(profile, subject, now, request.public_key(), names))

    @property
    def _key_identifier(self) -> x509.SubjectKeyIdentifier:
        return self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value

    def _leaf(
        self, profile: Profile, subject: Subject, now: datetime, key: CertificatePublicKeyTypes, hosts: Sequence[str]
    ) -> x509.Certificate:
        issuer = self.certificate
        if not issuer.not_valid_before_utc <= now < issuer.not_valid_after_utc:
            raise PkiError(f"the root {issuer.subject.rfc4514_string()} is valid until {issuer.not_valid_after_utc}; rotate it")
        builder = _builder(_name(subject), issuer.subject, key, policy.validity(profile, issuer.not_valid_after_utc, now))
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(sign_certificates=False), critical=True)
        uses = [ExtendedKeyUsageOID.SERVER_AUTH] * profile.server + [ExtendedKeyUsageOID.CLIENT_AUTH] * profile.client
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._key_identifier)
        builder = builder.add_extension(identifier, critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def make_root(common: str, now: datetime) -> KeyPair:
    """A self-signed root that may sign end-entity certificates only."""
    key = new_key()
    name = _name(Subject(common, ("Skerry",)))
    builder = _builder(name, name, key.public_key(), (now - policy.BACKDATE, now + policy.ROOT.lifetime))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(sign_certificates=True), critical=True)
    return KeyPair(_pem(builder.sign(key, hashes.SHA256())), key_pem(key))


def make_csr(key: ec.EllipticCurvePrivateKey, common: str = "", groups: Sequence[str] = ()) -> bytes:
    """Ask for a certificate of ``key``, in PEM. The issuer decides the name: say nothing, or exactly the same."""
    subject = _name(Subject(common, tuple(groups))) if common else x509.Name([])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key in PEM (PKCS #8, unencrypted: the file's mode protects it)."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def host_name(host: str) -> str:
    """A host name or IP address as certificates have it (``::1``); raises PkiError for what is neither."""
    return str(_host(host).value)


def lifetime(certificate: bytes) -> tuple[datetime, datetime]:
    """From when to when a PEM certificate is valid; raises PkiError."""
    try:
        loaded = x509.load_pem_x509_certificate(certificate)
    except ValueError as error:
        raise PkiError(f"not a certificate: {error}") from error
    return loaded.not_valid_before_utc, loaded.not_valid_after_utc


def facts(certificate: x509.Certificate) -> policy.Certificate:
    """What the rules of renewal look at."""
    try:
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    except x509.ExtensionNotFound:
        issuer = b""
    return policy.Certificate(
        subject=_subject(certificate.subject),
        names=frozenset(name.partition(":")[2] for name in alternative_names(certificate.extensions)),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        issuer=issuer.hex(),
    )


def request_facts(request: x509.CertificateSigningRequest) -> policy.Request:
    """What the rules look at in a signing request."""
    uses: set[x509.ObjectIdentifier] = set()
    authority, others = False, []
    for extension in request.extensions:
        match extension.value:
            case x509.ExtendedKeyUsage() as found:
                uses = set(found)
            case x509.BasicConstraints() as constraints:
                authority = constraints.ca
            case x509.KeyUsage() as usage:
                authority = authority or usage.key_cert_sign or usage.crl_sign
            case x509.SubjectAlternativeName():
                pass  # told by ``names``
            case _:
                others.append(extension.oid.dotted_string)
    key, bits = _key_kind(request)
    return policy.Request(
        subject=_subject(request.subject),
        other_attributes=any(each.oid not in {NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME} for each in request.subject),
        names=frozenset(alternative_names(request.extensions)),
        key=key,
        bits=bits,
        signed=_signed(request),
        server=ExtendedKeyUsageOID.SERVER_AUTH in uses,
        client=ExtendedKeyUsageOID.CLIENT_AUTH in uses,
        other_use=bool(uses - {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}),
        authority=authority,
        extensions=tuple(others),
    )


def _signed(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except InvalidSignature:
        return False


def _key_kind(request: x509.CertificateSigningRequest) -> tuple[str, int]:
    key = request.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": "P-256", "secp384r1": "P-384"}.get(key.curve.name, key.curve.name), key.key_size
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA", key.key_size
    return type(key).__name__.removesuffix("PublicKey"), 0


def _builder(
    subject: x509.Name, issuer: x509.Name, key: CertificatePublicKeyTypes, life: tuple[datetime, datetime]
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(life[0]).not_valid_after(life[1])
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(subject: Subject) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in subject.groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, subject.common)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _subject(name: x509.Name) -> Subject:
    return Subject(" ".join(values(name, NameOID.COMMON_NAME)), values(name, NameOID.ORGANIZATION_NAME))


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass  # then it is a name
    try:
        return x509.UniformResourceIdentifier(name) if name.startswith("urn:") else x509.DNSName(name)
    except ValueError as error:
        raise PkiError(f"{name!r} is neither a host name nor an IP address") from error


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
