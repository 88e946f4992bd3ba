"""Objects as rows: the ``Table`` that kubectl asks for, with the printer columns of the kind.

The first column is the name. A date is shown as the time that has passed, as kubectl writes
it. Columns are compiled once per kind; a row costs a few dict look-ups.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from skerry.machinery.jsonpath import finder
from skerry.machinery.resource import Column, Resource

Json = dict[str, Any]

NAME: Json = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client"
    " to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and"
    " configuration definition. Cannot be updated. More info:"
    " https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    "priority": 0,
}
AGE = Column("Age", ".metadata.creationTimestamp", "date")


def definitions(resource: Resource) -> list[Json]:
    """The ``columnDefinitions`` of a kind."""
    columns = resource.columns or (AGE,)
    return [
        NAME,
        *(
            {
                "name": column.name,
                "type": column.type,
                "format": column.format,
                "description": column.description or f"Custom resource definition column (in JSONPath format): {column.path}",
                "priority": column.priority,
            }
            for column in columns
        ),
    ]


def row_maker(resource: Resource) -> Callable[[Json, datetime], list[Any]]:
    """Compile a kind's columns into one function from object and time to cells."""
    columns = [(column.value or finder(column.path), column.type) for column in resource.columns or (AGE,)]
    no_date = "<unknown>" if resource.strategic else None  # as Kubernetes has it for its own kinds, and for others

    def cells(obj: Json, now: datetime) -> list[Any]:
        found = [(find(obj), kind) for find, kind in columns]
        return [
            obj["metadata"].get("name", ""),
            *(no_date if value is None and kind == "date" else _cell(value, kind, now) for value, kind in found),
        ]

    return cells


def _cell(value: Any, kind: str, now: datetime) -> Any:
    if value is None:
        return None
    if kind == "date":
        return _date(value, now)
    if kind == "string":
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    if kind in {"integer", "number"}:
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return value if isinstance(value, bool) else None


def _date(value: Any, now: datetime) -> str:
    try:
        return age((now - datetime.fromisoformat(value)).total_seconds())
    except (TypeError, ValueError):
        return "<invalid>"


def age(seconds: float) -> str:  # noqa: PLR0911 one return per scale reads best
    """Write a duration as kubectl does: two units while they tell something, one afterwards."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    total = max(total, 0)
    if total < 120:
        return f"{total}s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if minutes < 10:
        return f"{minutes}m" + (f"{total % 60}s" if total % 60 else "")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h" + (f"{minutes % 60}m" if minutes % 60 else "")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d" + (f"{hours % 24}h" if hours % 24 else "")
    if days < 730:
        return f"{days}d"
    years = days // 365
    return f"{years}y" + (f"{days % 365}d" if years < 8 and days % 365 else "")
