"""Objects in the form that was asked for: as they are stored, metadata alone, or rows of a table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from skerry.machinery.document import dumps
from skerry.machinery.errors import BadRequest
from skerry.machinery.resource import Resource
from skerry.machinery.table import cells_of, definitions
from skerry.restapi.cache import Item
from skerry.restapi.negotiate import Form

Json = dict[str, Any]

ROWS_AT_A_TIME = 50
"""How many rows are made before other requests get their turn: the first time each costs a tenth of a millisecond and more."""
TABLE_END = b"]}"


def served(item: Item, resource: Resource) -> bytes:
    """The bytes of an object in the version it is served as."""
    if resource.twin is not None:
        return dumps(resource.twin.shown(item.decode(), resource.api_version))
    if not resource.hub or resource.hub == resource.version:
        return item.value
    return item.value.replace(
        f'"apiVersion":"{resource.group}/{resource.hub}"'.encode(), f'"apiVersion":"{resource.api_version}"'.encode(), 1
    )


class _Head(msgspec.Struct):
    metadata: msgspec.Raw


_decode_head = msgspec.json.Decoder(_Head).decode


def metadata_of(item: Item) -> msgspec.Raw:
    """The encoded metadata of an object: a view of the object's own bytes."""
    return _decode_head(item.value).metadata


def metadata_only(item: Item, *, version: str) -> bytes:
    """The PartialObjectMetadata of an object."""
    return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%s","metadata":%s}' % (version.encode(), metadata_of(item))


def table(resource: Resource, form: Form, rows: Sequence[bytes], metadata: Json, *, with_columns: bool = True) -> bytes:
    """A Table around encoded rows."""
    return table_head(resource, form, metadata, with_columns=with_columns) + b",".join(rows) + TABLE_END


def table_head(resource: Resource, form: Form, metadata: Json, *, with_columns: bool = True) -> bytes:
    """A Table up to where its first row begins; ``TABLE_END`` belongs behind the last."""
    columns = definitions(resource) if with_columns else None
    head = {"kind": "Table", "apiVersion": f"meta.k8s.io/{form.version}", "metadata": metadata, "columnDefinitions": columns}
    return dumps(head)[:-1] + b',"rows":['


class RowMaker:
    """Makes table rows of one kind. What does not change with time is made once for each version of an object, and kept with it."""

    def __init__(self, resource: Resource, form: Form, include: str) -> None:
        """``include`` is the includeObject parameter: None, Metadata (default) or Object."""
        self._resource = resource
        self._cells = cells_of(resource)
        self._include = include or "Metadata"
        if self._include not in {"None", "Metadata", "Object"}:
            text = f"Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
            raise BadRequest(f"Unable to convert to Table as requested: includeObject: {text}")
        self._partial = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%s","metadata":' % form.version.encode()

    def row(self, item: Item, now: float) -> bytes:
        """One row, encoded; ``now`` in seconds since the epoch."""
        kept = item.row
        if kept is None or kept[0] is not self._resource:
            item.row = kept = (self._resource, (self._cells(item.decode()), metadata_of(item)))
        cells, metadata = kept[1]
        if self._include == "Metadata":
            return b"".join((b'{"cells":', cells.at(now), b',"object":', self._partial, metadata, b"}}"))
        return b'{"cells":%s,"object":%s}' % (cells.at(now), served(item, self._resource) if self._include == "Object" else b"null")


async def list_body(resource: Resource, form: Form, items: Sequence[Item], metadata: Json, now: datetime, include: str) -> list[bytes]:
    """The body of a list, in pieces; lets others run in between."""
    if form.kind == "Table":
        maker, time = RowMaker(resource, form, include), now.timestamp()
        pieces = await _pieces(items, lambda item: maker.row(item, time))
        return [table_head(resource, form, metadata), *pieces, TABLE_END]
    if form.kind:
        kind, api_version, make = "PartialObjectMetadataList", f"meta.k8s.io/{form.version}", partial(metadata_only, version=form.version)
    else:
        kind, api_version, make = resource.list_kind, resource.api_version, partial(served, resource=resource)
    start = dumps({"apiVersion": api_version, "kind": kind, "metadata": metadata})[:-1] + b',"items":['
    return [start, *await _pieces(items, make), b"]}"]


async def _pieces(items: Sequence[Item], make: Callable[[Item], bytes]) -> list[bytes]:
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
        return table(resource, form, [RowMaker(resource, form, include).row(item, now.timestamp())], metadata)
    if form.kind:
        return metadata_only(item, version=form.version)
    return served(item, resource)
