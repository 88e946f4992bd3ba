"""Objects in the form that was asked for: as they are stored, metadata alone, or rows of a table."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from skerry.machinery.document import dumps
from skerry.machinery.errors import BadRequest
from skerry.machinery.resource import Resource
from skerry.machinery.table import definitions, row_maker
from skerry.restapi.cache import Item
from skerry.restapi.negotiate import Form

Json = dict[str, Any]

ROWS_AT_A_TIME = 250
"""How many rows are made before other requests get their turn."""


def served(item: Item, resource: Resource) -> bytes:
    """The bytes of an object in the version it is served as."""
    if not resource.hub or resource.hub == resource.version:
        return item.value
    return item.value.replace(
        f'"apiVersion":"{resource.group}/{resource.hub}"'.encode(), f'"apiVersion":"{resource.api_version}"'.encode(), 1
    )


def metadata_only(obj: Json, version: str) -> Json:
    """The PartialObjectMetadata of an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def table(resource: Resource, form: Form, rows: Sequence[Json], metadata: Json, *, with_columns: bool = True) -> Json:
    """A Table around rows."""
    result: Json = {"kind": "Table", "apiVersion": f"meta.k8s.io/{form.version}", "metadata": metadata}
    result["columnDefinitions"] = definitions(resource) if with_columns else None
    result["rows"] = list(rows)
    return result


class RowMaker:
    """Makes table rows of one kind."""

    def __init__(self, resource: Resource, form: Form, include: str) -> None:
        """``include`` is the includeObject parameter: None, Metadata (default) or Object."""
        self._cells = row_maker(resource)
        self._version = form.version
        self._include = include or "Metadata"
        if self._include not in {"None", "Metadata", "Object"}:
            text = f"Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
            raise BadRequest(f"Unable to convert to Table as requested: includeObject: {text}")

    def row(self, item: Item, now: datetime) -> Json:
        """One row."""
        obj = item.decode()
        row: Json = {"cells": self._cells(obj, now)}
        if self._include == "Object":
            row["object"] = obj
        elif self._include == "Metadata":
            row["object"] = metadata_only(obj, self._version)
        else:
            row["object"] = None
        return row


async def list_body(resource: Resource, form: Form, items: Sequence[Item], metadata: Json, now: datetime, include: str) -> list[bytes]:
    """The body of a list, in pieces; lets others run in between."""
    head = dumps(metadata)
    if form.kind == "Table":
        maker = RowMaker(resource, form, include)
        start, end = dumps(table(resource, form, [], metadata))[:-2], b"]}"
        return [start, *await _pieces(items, lambda item: dumps(maker.row(item, now))), end]
    if form.kind:
        start = b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/%s","metadata":%s,"items":[' % (form.version.encode(), head)
        return [start, *await _pieces(items, lambda item: dumps(metadata_only(item.decode(), form.version))), b"]}"]
    start = b'{"apiVersion":"%s","kind":"%s","metadata":%s,"items":[' % (resource.api_version.encode(), resource.list_kind.encode(), head)
    return [start, b",".join([served(item, resource) for item in items]), b"]}"]


async def _pieces(items: Sequence[Item], make: Any) -> list[bytes]:
    pieces = []
    for begin in range(0, len(items), ROWS_AT_A_TIME):
        made = b",".join([make(item) for item in items[begin : begin + ROWS_AT_A_TIME]])
        pieces.append(b"," + made if begin else made)
        await asyncio.sleep(0)
    return pieces


def one(item: Item, resource: Resource, form: Form, now: datetime, include: str) -> bytes:
    """The body of a single object."""
    if form.kind == "Table":
        metadata = {"resourceVersion": str(item.revision)}
        return dumps(table(resource, form, [RowMaker(resource, form, include).row(item, now)], metadata))
    if form.kind:
        return dumps(metadata_only(item.decode(), form.version))
    return served(item, resource)
