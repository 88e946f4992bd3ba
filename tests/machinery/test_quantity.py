"""Quantities, as k8s.io/apimachinery reads and writes them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.machinery import quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("1", 1), ("1.5", Decimal("1.5")), (".5", Decimal("0.5")), ("1.", 1), ("100m", Decimal("0.1")), ("-1", -1), ("+2k", 2000),
        ("1Ki", 1024), ("2Gi", 2 * 1024**3), ("1Ei", 1024**6), ("1e3", 1000), ("1E3", 1000), ("1E", 10**18), ("12e6", 12 * 10**6),
        ("1n", Decimal("1e-9")), ("1u", Decimal("1e-6")), ("1.5Gi", Decimal("1.5") * 1024**3), ("1e-3", Decimal("0.001")),
    ],
)  # fmt: skip
def test_every_form_is_read(text: str, number: Decimal) -> None:
    assert quantity.parsed(text) == number


@pytest.mark.parametrize("text", ["", "m", "1x", "1 Gi", "1gi", "0x1", "1e", "Ki", "--1", "1_000", "1" * 65, "1e999"])
def test_what_is_none_is_none(text: str) -> None:
    assert quantity.parsed(text) is None


@given(st.integers(0, 1 << 60))
def test_what_is_written_is_read_again(number: int) -> None:
    assert quantity.parsed(quantity.memory(number)) == number
    assert quantity.parsed(quantity.cpu(number)) == Decimal(number) / 1000


def test_units_are_those_that_people_read() -> None:
    assert [quantity.memory(each) for each in (0, 1, 1024, 1536, 3 << 30, 5 << 40)] == ["0", "1", "1Ki", "1536", "3Gi", "5Ti"]
    assert [quantity.cpu(each) for each in (0, 250, 2000)] == ["0", "250m", "2"]
