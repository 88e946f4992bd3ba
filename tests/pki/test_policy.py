from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.pki import policy
from skerry.pki.policy import Certificate, Request, Subject, Wanted

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SUBJECT = Subject("skerry")
WANTED = Wanted(policy.SERVER, SUBJECT, frozenset({"localhost"}), "root")
GOOD = Certificate(SUBJECT, frozenset({"localhost", "old.example"}), NOW - DAY, NOW + 89 * DAY, "root")
AGENT = Subject(policy.agent("sv-1"), (policy.AGENTS,))
REQUEST = Request(AGENT, other_attributes=False, names=frozenset(), key="P-256", bits=256, signed=True, client=True)
LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
NAMES = LABELS | st.tuples(LABELS, LABELS, LABELS).map(".".join)
"""Full names: of management clusters, and of clusters."""


@pytest.mark.parametrize(
    ("present", "reason"),
    [
        (None, "Missing"),
        (replace(GOOD, issuer="another"), "OtherIssuer"),
        (replace(GOOD, subject=Subject("somebody")), "OtherSubject"),
        (replace(GOOD, names=frozenset({"127.0.0.1"})), "NamesMissing"),
        (replace(GOOD, not_before=NOW + DAY), "NotYetValid"),
        (replace(GOOD, not_after=NOW), "Expired"),
        (replace(GOOD, not_before=NOW - 61 * DAY, not_after=NOW + 29 * DAY), "Due"),
    ],
)
def test_a_certificate_that_would_not_be_issued_today_is_renewed(present: Certificate | None, reason: str) -> None:
    finding = policy.renewal(present, WANTED, NOW)
    assert finding is not None
    assert finding.reason == reason


def test_a_certificate_that_covers_more_than_it_must_is_left_alone() -> None:
    assert policy.renewal(GOOD, WANTED, NOW) is None


def test_a_life_cut_short_by_the_issuer_is_renewed_in_its_last_third() -> None:
    assert policy.renewal_time(policy.SERVER, NOW, NOW + 9 * DAY) == NOW + 6 * DAY
    assert policy.renewal_time(policy.SERVER, NOW, NOW + 90 * DAY) == NOW + 60 * DAY


def test_no_certificate_outlives_its_issuer() -> None:
    assert policy.validity(policy.ADMIN, NOW + DAY, NOW) == (NOW - policy.BACKDATE, NOW + DAY)
    assert policy.validity(policy.ADMIN, NOW + 9999 * DAY, NOW)[1] == NOW + policy.ADMIN.lifetime


def test_every_profile_is_renewed_while_it_still_lives() -> None:
    for profile in (policy.ROOT, policy.SERVER, policy.CLIENT, policy.AGENT, policy.ADMIN):
        assert timedelta(0) < profile.renew_before < profile.lifetime, profile.name


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (replace(REQUEST, signed=False), "BadSignature"),
        (replace(REQUEST, key="RSA", bits=1024), "WeakKey"),
        (replace(REQUEST, key="Ed25519", bits=0), "WeakKey"),
        (replace(REQUEST, subject=policy.ADMINISTRATOR), "OtherSubject"),
        (replace(REQUEST, subject=AGENT._replace(groups=(policy.AGENTS, policy.ADMINISTRATORS))), "OtherSubject"),
        (replace(REQUEST, other_attributes=True), "OtherSubject"),
        (replace(REQUEST, names=frozenset({"DNS:kubernetes"})), "NamesAsked"),
        (replace(REQUEST, authority=True), "AuthorityAsked"),
        (replace(REQUEST, server=True), "UseAsked"),
        (replace(REQUEST, other_use=True), "UseAsked"),
        (replace(REQUEST, extensions=("1.2.3",)), "ExtensionsAsked"),
    ],
)
def test_a_request_that_asks_for_too_much_is_refused_with_the_reason(asked: Request, reason: str) -> None:
    assert [finding.reason for finding in policy.refusals(asked, policy.AGENT, AGENT)] == [reason]


def test_a_request_that_names_its_holder_or_nobody_is_signed() -> None:
    assert not policy.refusals(REQUEST, policy.AGENT, AGENT)
    assert not policy.refusals(replace(REQUEST, subject=Subject("")), policy.AGENT, AGENT)


def test_every_reason_to_refuse_is_told_at_once() -> None:
    asked = replace(REQUEST, signed=False, authority=True, names=frozenset({"DNS:a"}))
    assert [finding.reason for finding in policy.refusals(asked, policy.AGENT, AGENT)] == ["BadSignature", "NamesAsked", "AuthorityAsked"]


@given(NAMES, NAMES)
def test_two_agents_never_share_a_name_and_every_name_fits_into_a_certificate(one: str, other: str) -> None:
    assert len(policy.agent(one)) <= policy.COMMON_NAME_LIMIT
    assert (policy.agent(one) == policy.agent(other)) == (one == other)
    assert policy.agent_of(policy.agent(one), (policy.AGENTS,), (f"URI:{policy.agent_uri(one)}",)) == one
    assert policy.agent_of(policy.agent(one), (policy.AGENTS,), (f"URI:{policy.agent_uri(other)}",)) in {one, None}


def test_a_name_that_was_cut_is_never_that_of_another_cluster_in_full() -> None:
    long = "m" * 20 + "." + "p" * 20 + "." + "c" * 60
    common = policy.agent(long)
    assert policy.agent_of(common, (policy.AGENTS,), ()) is None
    assert policy.agent_of(common, (policy.AGENTS,), (f"URI:{policy.agent_uri(long)}",)) == long


def test_an_agent_needs_the_group_and_a_name_that_spells_out_the_common_one() -> None:
    assert policy.agent_of("skerry:agent:sv-1", (policy.AGENTS,), ()) == "sv-1"
    assert policy.agent_of("skerry:agent:sv-1", (policy.COMPONENTS,), ("URI:urn:skerry:agent:sv-1",)) is None
    assert policy.agent_of("admin", (policy.AGENTS,), ("URI:urn:skerry:agent:sv-1",)) is None
    assert policy.agent_of(policy.agent("a" * 63), (policy.AGENTS,), ()) is None


@pytest.mark.parametrize("name", ["", "UPPER", "a.b", "a.b.c.d", "a..c", "-a", "a-", "a" * 64, "a\n", "a,O=skerry:administrators"])
def test_a_name_that_is_no_label_holds_no_certificate(name: str) -> None:
    with pytest.raises(ValueError, match="DNS label"):
        policy.agent(name)


@pytest.mark.parametrize(("at", "reason"), [(-1, "NotYetValid"), (0, ""), (2999, ""), (3286, "Due"), (3650, "Expired")])
def test_a_root_says_in_time_that_it_ends(at: int, reason: str) -> None:
    finding = policy.root_finding(NOW, NOW + 3650 * DAY, NOW + at * DAY)
    assert (finding.reason if finding else "") == reason
