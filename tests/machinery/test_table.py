"""Printer columns: paths, cells and ages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from skerry.machinery.document import loads
from skerry.machinery.jsonpath import finder
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema
from skerry.machinery.table import age, cells_of, definitions

OBJECT = {
    "metadata": {"name": "a", "labels": {"example.com/x": "y"}, "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"list": [{"name": "p"}, {"name": "q"}], "size": 3, "on": True, "text": None},
    "status": {"conditions": [{"type": "Old", "status": "x"}, {"type": "Ready", "status": "True"}]},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".spec.size", 3),
        ("{.spec.size}", 3),
        ("$.spec.size", 3),
        (".spec.none.deeper", None),
        (".spec.size.deeper", None),
        (".spec.list[1].name", "q"),
        (".spec.list[-1].name", "q"),
        (".spec.list[*].name", "p"),
        (".spec.list[7].name", None),
        (".metadata.labels['example.com/x']", "y"),
        (r".metadata.labels.example\.com/x", "y"),
        ('.status.conditions[?(@.type=="Ready")].status', "True"),
        (".status.conditions[?(@.type=='None')].status", None),
    ],
)
def test_a_path_finds_the_first_value(path: str, value: Any) -> None:
    assert finder(path)(OBJECT) == value


@pytest.mark.parametrize("path", [".spec[?(@.a>1)]", "spec", ".spec..size", ".spec[", "[a]"])
def test_a_path_that_is_not_understood_is_an_error(path: str) -> None:
    with pytest.raises(ValueError, match="is not understood"):
        finder(path)


def test_cells_have_the_types_of_their_columns() -> None:
    columns = (
        Column("Size", ".spec.size", "integer"),
        Column("Size as text", ".spec.size"),
        Column("On", ".spec.on", "boolean"),
        Column("On as a number", ".spec.on", "number"),
        Column("List", ".spec.list"),
        Column("None", ".spec.none"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("No age", ".spec.none", "date"),
        Column("Bad age", ".spec.size", "date"),
        Column("Count", "", "integer", value=lambda obj: len(obj["spec"])),
    )
    kind = Resource("x", "v1", "Thing", "things", Schema({}), columns=columns)
    cells = cells_of(kind)(OBJECT)
    assert loads(cells.at(datetime(2026, 1, 3, tzinfo=UTC).timestamp())) == [
        "a",
        3,
        "3",
        True,
        None,
        '[{"name":"p"},{"name":"q"}]',
        None,
        "2d",
        None,
        "<invalid>",
        4,
    ]
    assert [each["name"] for each in definitions(kind)] == ["Name", *(column.name for column in columns)]
    assert loads(cells.at(datetime(2026, 1, 1, 0, 1, tzinfo=UTC).timestamp()))[7] == "60s"


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01", "2026-01-01T00:00:00", 7])
def test_what_is_no_moment_is_shown_as_invalid(text: object) -> None:
    kind = Resource("x", "v1", "Thing", "things", Schema({}), columns=(Column("At", ".spec.at", "date"),))
    assert cells_of(kind)({"metadata": {"name": "a"}, "spec": {"at": text}}).at(0.0) == b'["a","<invalid>"]'


def test_a_kind_without_columns_shows_its_age() -> None:
    assert [each["name"] for each in definitions(Resource("x", "v1", "Thing", "things", Schema({})))] == ["Name", "Age"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (11100, "3h5m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (730 * 86400, "2y"),
        (800 * 86400, "2y70d"),
        (3000 * 86400, "8y"),
    ],
)
def test_an_age_is_written_as_kubectl_does(seconds: float, text: str) -> None:
    assert age(seconds) == text
