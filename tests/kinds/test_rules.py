"""Rules that several kinds share."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.kinds.rules import sparse


@pytest.mark.parametrize(
    ("data", "stays"), [({}, False), ({"k": "v"}, True), ([], True), (False, True), ("", True), (0, True), (None, True)]
)
def test_an_empty_map_is_taken_out_and_what_is_no_map_is_left_for_the_schema_to_refuse(data: Any, stays: bool) -> None:
    obj = {"kind": "ConfigMap", "data": data}
    sparse(obj, "data", "binaryData")
    assert ("data" in obj) == stays
