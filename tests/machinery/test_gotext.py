"""Values in errors look as Go prints them."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.machinery.gotext import marshalled, number, quoted, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (100000.0, "100000"),
        (1000000.0, "1e+06"),
        (1234567.0, "1.234567e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-07"),
        (3, "3"),
        (1234567, "1234567"),
    ],
)
def test_a_number_is_written_as_percent_v_does(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", '"plain"'),
        ('a"b\\', '"a\\"b\\\\"'),
        ("tab\tline\n", '"tab\\tline\\n"'),
        ("é", '"é"'),
        ("\x00\x7f", '"\\x00\\x7f"'),
        ("\u200b", '"\\u200b"'),
    ],
)
def test_a_string_is_quoted_as_percent_q_does(value: str, text: str) -> None:
    assert quoted(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "null"),
        ("a", '"a"'),
        ({"b": 1, "a": "<&>"}, '{"a":"\\u003c\\u0026\\u003e","b":1}'),
        ([1, None, "é"], '[1,null,"é"]'),
    ],
)
def test_other_values_are_shown_as_json(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_struct_keeps_the_order_of_its_fields() -> None:
    assert marshalled({"b": 1, "a": 2}, in_order=True) == '{"b":1,"a":2}'
