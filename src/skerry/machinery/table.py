"""Objects as rows: the ``Table`` that kubectl asks for, with the printer columns of the kind.

The first column is the name, but for kinds whose columns say otherwise. A date is shown as the
time that has passed, as kubectl writes it. Columns are compiled once per kind, and an object's cells are encoded once: a list of many
rows writes the ages anew and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from skerry.machinery.document import dumps
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
        *((NAME,) if resource.name_first else ()),
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


class Cells:
    """The cells of one object, encoded: only the ages in them change with time."""

    __slots__ = ("_pieces", "_times")

    def __init__(self, pieces: list[bytes], times: list[float]) -> None:
        """``times`` (seconds since the epoch) are shown between the pieces, as what has passed since then."""
        self._pieces = pieces
        self._times = times

    def at(self, now: float) -> bytes:
        """The JSON array of the cells at a time, in seconds since the epoch."""
        text = self._pieces[0]
        for since, piece in zip(self._times, self._pieces[1:], strict=True):
            text += b'"%s"%s' % (age(now - since).encode(), piece)
        return text


def cells_of(resource: Resource) -> Callable[[Json], Cells]:
    """Compile a kind's columns into one function from an object to its cells."""
    columns = [(column.value or finder(column.path), column.type) for column in resource.columns or (AGE,)]
    no_date = b'"<unknown>"' if resource.strategic else b"null"  # as Kubernetes has it for its own kinds, and for others

    def cells(obj: Json) -> Cells:
        pieces: list[bytes] = []
        times: list[float] = []
        text = b"[" + dumps(obj["metadata"].get("name", "")) if resource.name_first else b""
        for find, kind in columns:
            value = find(obj)
            text += b"," if text or times else b"["
            if kind != "date":
                text += dumps(_cell(value, kind))
            elif value is None:
                text += no_date
            elif (time := _seconds(value)) is None:
                text += b'"<invalid>"'
            else:
                pieces.append(text)
                times.append(time)
                text = b""
        return Cells([*pieces, text + b"]"], times)

    return cells


def _cell(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "string":
        return value if isinstance(value, str) else dumps(value).decode()
    if kind in {"integer", "number"}:
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return value if isinstance(value, bool) else None


def _seconds(value: Any) -> float | None:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found.timestamp() if found.tzinfo else None


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
