"""Which version may follow which."""

from __future__ import annotations

import pytest

from skerry.capi.upgrade import older, oldest, parse, refusal, satisfies

TKG = "v1.26.5+vmware.2-fips.1-tkg.1"


def test_a_tanzu_version_is_read_in_both_spellings() -> None:
    assert parse(TKG) == parse(TKG.replace("+", "---"))
    assert parse(TKG).build == "vmware.2-fips.1-tkg.1"
    assert str(parse(TKG.replace("+", "---"))) == TKG


def test_what_is_no_version_is_refused() -> None:
    with pytest.raises(ValueError, match="no Kubernetes version"):
        parse("1.26")


@pytest.mark.parametrize(
    ("left", "right"),
    [("v1.9.0", "v1.10.0"), ("v1.34.0-rc.1", "v1.34.0"), ("v1.34.0-alpha.2", "v1.34.0-alpha.10"), ("v1.34.0-alpha.1", "v1.34.0-beta.0")],
)
def test_the_order_is_that_of_semver(left: str, right: str) -> None:
    assert older(parse(left), parse(right))
    assert not older(parse(right), parse(left))


def test_a_version_without_a_build_is_satisfied_by_any_build() -> None:
    assert satisfies(TKG, "v1.26.5")
    assert not satisfies(TKG, "v1.26.5+vmware.9")


def test_the_oldest_version_is_found_and_noise_passed_over() -> None:
    assert oldest(["v1.34.2", "what", "v1.33.9"]) == "v1.33.9"
    assert oldest([]) == ""


@pytest.mark.parametrize(
    ("current", "target", "upgrading", "listed", "reason"),
    [
        ("", "v1.34.2", False, (), None),
        ("v1.34.2", "v1.34.2", True, (), None),
        ("v1.33.1", "v1.34.2", False, (), None),
        ("v1.34.2", "v1.34.1", False, (), "DowngradeRefused"),
        ("v1.32.1", "v1.34.2", False, (), "VersionSkipped"),
        ("v1.32.1", "v1.34.2", False, ("v1.33.0", "v1.34.2"), None),
        ("v1.33.1", "v1.34.2", True, (), "UpgradeRunning"),
        ("v1.33.1", "banana", False, (), "VersionInvalid"),
        ("v1.33.1", "v2.0.0", False, (), "VersionSkipped"),
    ],
)
def test_an_upgrade_is_refused_for_its_reason(
    current: str, target: str, upgrading: bool, listed: tuple[str, ...], reason: str | None
) -> None:
    verdict = refusal(current, target, upgrading=upgrading, listed=listed)
    assert (verdict.reason if verdict else None) == reason
