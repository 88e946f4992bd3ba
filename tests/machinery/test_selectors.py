"""Label and field selectors: what they match, and what they refuse."""

from __future__ import annotations

import pytest

from skerry.machinery.errors import BadRequest
from skerry.machinery.selectors import EVERYTHING, MOST_REQUIREMENTS, parse_fields, parse_labels

LABELS = {"app": "web", "tier": "front", "size": "12"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("  ", True),
        ("app", True),
        ("!app", False),
        ("none", False),
        ("! none", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app = api", False),
        ("app!=api", True),
        ("none!=api", True),
        ("app in (web, api)", True),
        ("app in (api)", False),
        ("app notin (api)", True),
        ("none notin (api)", True),
        ("app in ()", False),
        ("none=", False),
        ("size>11", True),
        ("size > 12", False),
        ("size<13", True),
        ("app>1", False),
    ],
)
def test_a_label_selector_matches(text: str, matches: bool) -> None:
    assert parse_labels(text).matches(LABELS) is matches


def test_numbers_of_labels_are_those_of_go() -> None:
    assert not parse_labels("n>1").matches({"n": "1_000"})


@pytest.mark.parametrize(
    "text", ["app=web tier", ",", "app,", "=web", "app in web", "a b", "(app)", "app=a=b", "x/y/z", "app=-x-", "n>x", "app in (a", "~"]
)
def test_a_label_selector_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_labels(text)


def test_a_long_label_selector_is_read_in_one_go() -> None:
    text = "k in (" + ",".join(f"v{number}" for number in range(5000)) + ")" + " " * 1000
    assert len(parse_labels(text).requirements[0].values) == 5000


def test_the_conditions_of_a_selector_are_bounded() -> None:
    for parse in (parse_labels, lambda text: parse_fields(text, lambda _: True)):
        parse(",".join(f"k{number}!=v" for number in range(MOST_REQUIREMENTS)))
        with pytest.raises(BadRequest):
            parse(",".join(f"k{number}!=v" for number in range(MOST_REQUIREMENTS + 1)))


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name==a,spec.x!=z", True),
        ("metadata.name!=a", False),
        (r"spec.x=y\,z", True),
        ("spec.none=", True),
    ],
)
def test_a_field_selector_matches(text: str, matches: bool) -> None:
    values = {"metadata.name": "a", "spec.x": "y,z", "spec.none": ""}
    assert parse_fields(text, values.__contains__).matches(values) is matches


def test_a_field_selector_speaks_of_supported_fields_only() -> None:
    with pytest.raises(BadRequest, match=r"field label not supported: spec\.secret"):
        parse_fields("spec.secret=x", {"metadata.name"}.__contains__)
    with pytest.raises(BadRequest, match="can't understand"):
        parse_fields("metadata.name", {"metadata.name"}.__contains__)


def test_a_selector_without_requirements_is_everything() -> None:
    assert parse_labels("") is EVERYTHING
    assert not EVERYTHING
