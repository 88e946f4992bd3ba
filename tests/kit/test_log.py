"""Log lines: JSON for programs, key=value for people."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from skerry.kit.log import configure, get


@pytest.fixture(autouse=True)
def _back_to_defaults() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_line_for_programs_is_one_json_object_with_its_names_bound() -> None:
    out = io.StringIO()
    configure(stream=out)
    get("store.sqlite").bind(path="x.db").warning("the disk is full", free=0)
    line = json.loads(out.getvalue())
    assert (line["room"], line["path"], line["event"], line["level"], line["free"]) == (
        "store.sqlite",
        "x.db",
        "the disk is full",
        "warning",
        0,
    )


def test_a_line_for_people_is_one_line_of_keys_and_values() -> None:
    out = io.StringIO()
    configure(stream=out, json=False)
    get("store").info("opened", revision=7)
    assert out.getvalue().count("\n") == 1
    assert "revision=7" in out.getvalue()


def test_what_is_below_the_level_is_not_written() -> None:
    out = io.StringIO()
    configure(stream=out, level="warning")
    get("store").info("quiet")
    assert out.getvalue() == ""
