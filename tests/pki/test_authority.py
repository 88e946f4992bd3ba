from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given
from hypothesis import strategies as st

from skerry.pki import policy
from skerry.pki.authority import Authority, KeyPair, PkiError, RequestRefused, make_csr, make_root, new_key
from skerry.pki.identity import identity

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROOT = Authority(make_root("test root", NOW))
AGENT = policy.agent("sv-1")


def loaded(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def der(pem: bytes) -> bytes:
    return loaded(pem).public_bytes(serialization.Encoding.DER)


def test_a_strict_verifier_takes_a_server_certificate_for_its_names_and_no_others() -> None:
    leaf = loaded(ROOT.issue(policy.SERVER, "skerry", NOW, hosts=("localhost", "127.0.0.1")).certificate)
    builder = PolicyBuilder().store(Store([ROOT.certificate])).time(NOW + timedelta(days=1))
    assert builder.build_server_verifier(x509.DNSName("localhost")).verify(leaf, [])
    with pytest.raises(x509.verification.VerificationError):
        builder.build_server_verifier(x509.DNSName("elsewhere.example")).verify(leaf, [])


def test_a_root_may_sign_leaves_and_nothing_else() -> None:
    constraints = ROOT.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = ROOT.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)


def test_a_leaf_has_the_uses_of_its_profile() -> None:
    for profile, uses in (
        (policy.SERVER, {ExtendedKeyUsageOID.SERVER_AUTH}),
        (policy.AGENT, {ExtendedKeyUsageOID.CLIENT_AUTH}),
    ):
        leaf = loaded(ROOT.issue(profile, "x", NOW).certificate)
        assert set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == uses
        assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_the_holder_is_read_back_as_it_was_written() -> None:
    leaf = ROOT.issue(policy.CLIENT, "admin", NOW, groups=("a", "b"), hosts=("localhost", "::1"))
    holder = identity(der(leaf.certificate))
    assert (holder.common_name, holder.organizations) == ("admin", ("a", "b"))
    assert holder.names == ("DNS:localhost", "IP:::1")
    assert holder.valid_at(NOW)
    assert not holder.valid_at(NOW + policy.CLIENT.lifetime)


def test_a_root_that_has_ended_signs_nothing() -> None:
    with pytest.raises(PkiError, match="rotate"):
        ROOT.issue(policy.CLIENT, "late", NOW + policy.ROOT.lifetime)


def test_a_leaf_is_no_authority() -> None:
    with pytest.raises(PkiError, match="not a certificate authority"):
        Authority(ROOT.issue(policy.CLIENT, "leaf", NOW))


def test_a_key_beside_another_certificate_is_refused() -> None:
    one, other = ROOT.issue(policy.CLIENT, "a", NOW), ROOT.issue(policy.CLIENT, "b", NOW)
    assert KeyPair.split(one.pem) == one
    with pytest.raises(PkiError, match="does not belong"):
        KeyPair.split(one.key + other.certificate)


@pytest.mark.parametrize("text", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_key_pair_is_refused(text: bytes) -> None:
    with pytest.raises(PkiError):
        KeyPair.split(text)


def test_a_private_key_is_not_shown_where_the_pair_is_printed() -> None:
    assert "PRIVATE" not in repr(ROOT.issue(policy.CLIENT, "a", NOW))


def test_a_request_gets_the_name_that_the_issuer_chose_for_the_key_that_it_carries() -> None:
    key = new_key()
    leaf = loaded(ROOT.answer(make_csr(key), policy.AGENT, AGENT, NOW, groups=(policy.AGENTS,)))
    assert leaf.public_key() == key.public_key()
    assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == AGENT
    leaf.verify_directly_issued_by(ROOT.certificate)


@pytest.mark.parametrize("name", ["sv-1", "a" * 63])
def test_an_agent_is_known_by_its_certificate_however_long_its_name(name: str) -> None:
    holder = identity(der(ROOT.answer_agent(make_csr(new_key()), name, NOW)))
    assert policy.agent_of(holder.common_name, holder.organizations, holder.names) == name


def test_a_request_for_somebody_else_is_refused() -> None:
    with pytest.raises(RequestRefused, match="only"):
        ROOT.answer(make_csr(new_key(), "admin", (policy.ADMINISTRATORS,)), policy.AGENT, AGENT, NOW, groups=(policy.AGENTS,))


def test_a_request_for_the_right_to_sign_is_refused() -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("skerry.example")]), critical=False)
    csr = builder.sign(new_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(RequestRefused) as refused:
        ROOT.answer(csr, policy.AGENT, AGENT, NOW, groups=(policy.AGENTS,))
    assert [finding.reason for finding in refused.value.findings] == ["NamesAsked", "AuthorityAsked"]


def test_a_request_that_was_tampered_with_is_refused() -> None:
    csr = x509.load_pem_x509_csr(make_csr(new_key(), AGENT, (policy.AGENTS,))).public_bytes(serialization.Encoding.DER)
    changed = x509.load_der_x509_csr(csr.replace(b"sv-1", b"sv-2")).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(RequestRefused, match="not signed by the key"):
        ROOT.answer(changed, policy.AGENT, policy.agent("sv-2"), NOW, groups=(policy.AGENTS,))


def test_a_weak_key_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library says so too
        weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(weak, hashes.SHA256())
    with pytest.raises(RequestRefused, match="1024 bits"):
        ROOT.answer(csr.public_bytes(serialization.Encoding.PEM), policy.AGENT, AGENT, NOW)


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda data: make_csr(new_key())[:60] + data))
def test_whatever_a_stranger_sends_is_answered_with_a_reason(data: bytes) -> None:
    with pytest.raises(PkiError):
        ROOT.answer(data, policy.AGENT, AGENT, NOW)


def test_a_host_that_is_no_name_is_refused() -> None:
    with pytest.raises(PkiError, match="neither a host name nor an IP address"):
        ROOT.issue(policy.SERVER, "skerry", NOW, hosts=("schärfe.example",))
