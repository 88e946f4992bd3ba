"""Kubernetes' protobuf encoding, decoded to the JSON form, for the built-in kinds that clients send that way.

client-go writes built-in kinds as protobuf without asking first (an envelope ``k8s\\0`` +
``runtime.Unknown``), so a server that keeps Secrets or answers access reviews must read it.
Answers are always JSON, which every client takes. The tables below are field numbers of the
published ``generated.proto`` files, nothing more; a field that a table does not name is skipped.

Go writes empty strings and zeros of fields that are no pointers; they mean "absent" and are
dropped. A pointer's type ends in ``?`` and keeps its zero.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from skerry.machinery.document import loads
from skerry.machinery.errors import BadRequest, UnsupportedMediaType

Json = dict[str, Any]
Table = dict[int, tuple[str, str]]

MAGIC = b"k8s\x00"
MEDIA = "application/vnd.kubernetes.protobuf"

TABLES: dict[str, Table] = {
    "Unknown": {1: ("type", "TypeMeta"), 2: ("raw", "raw")},
    "TypeMeta": {1: ("apiVersion", "string"), 2: ("kind", "string")},
    "ObjectMeta": {
        1: ("name", "string"),
        2: ("generateName", "string"),
        3: ("namespace", "string"),
        4: ("selfLink", "string"),
        5: ("uid", "string"),
        6: ("resourceVersion", "string"),
        7: ("generation", "int"),
        8: ("creationTimestamp", "time"),
        9: ("deletionTimestamp", "time"),
        10: ("deletionGracePeriodSeconds", "int?"),
        11: ("labels", "map:string"),
        12: ("annotations", "map:string"),
        13: ("ownerReferences", "list:OwnerReference"),
        14: ("finalizers", "list:string"),
        17: ("managedFields", "list:ManagedFieldsEntry"),
    },
    "OwnerReference": {
        1: ("kind", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
        5: ("apiVersion", "string"),
        6: ("controller", "bool?"),
        7: ("blockOwnerDeletion", "bool?"),
    },
    "ManagedFieldsEntry": {
        1: ("manager", "string"),
        2: ("operation", "string"),
        3: ("apiVersion", "string"),
        4: ("time", "time"),
        6: ("fieldsType", "string"),
        7: ("fieldsV1", "fields"),
        8: ("subresource", "string"),
    },
    "FieldsV1": {1: ("raw", "raw")},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int?"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "bool?"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", "list:string"),
    },
    "Preconditions": {1: ("uid", "string"), 2: ("resourceVersion", "string")},
    "Secret": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "map:bytes"),
        3: ("type", "string"),
        4: ("stringData", "map:string"),
        5: ("immutable", "bool?"),
    },
    "ConfigMap": {1: ("metadata", "ObjectMeta"), 2: ("data", "map:string"), 3: ("binaryData", "map:bytes"), 4: ("immutable", "bool?")},
    "Namespace": {1: ("metadata", "ObjectMeta"), 2: ("spec", "NamespaceSpec"), 3: ("status", "NamespaceStatus")},
    "NamespaceSpec": {1: ("finalizers", "list:string")},
    "NamespaceStatus": {1: ("phase", "string")},
    "Event": {
        1: ("metadata", "ObjectMeta"),
        2: ("involvedObject", "ObjectReference"),
        3: ("reason", "string"),
        4: ("message", "string"),
        5: ("source", "EventSource"),
        6: ("firstTimestamp", "time"),
        7: ("lastTimestamp", "time"),
        8: ("count", "int"),
        9: ("type", "string"),
        10: ("eventTime", "microtime"),
        11: ("series", "EventSeries"),
        12: ("action", "string"),
        13: ("related", "ObjectReference"),
        14: ("reportingComponent", "string"),
        15: ("reportingInstance", "string"),
    },
    "events.k8s.io/v1 Event": {
        1: ("metadata", "ObjectMeta"),
        2: ("eventTime", "microtime"),
        3: ("series", "EventSeries"),
        4: ("reportingController", "string"),
        5: ("reportingInstance", "string"),
        6: ("action", "string"),
        7: ("reason", "string"),
        8: ("regarding", "ObjectReference"),
        9: ("related", "ObjectReference"),
        10: ("note", "string"),
        11: ("type", "string"),
        12: ("deprecatedSource", "EventSource"),
        13: ("deprecatedFirstTimestamp", "time"),
        14: ("deprecatedLastTimestamp", "time"),
        15: ("deprecatedCount", "int"),
    },
    "EventSource": {1: ("component", "string"), 2: ("host", "string")},
    "EventSeries": {1: ("count", "int"), 2: ("lastObservedTime", "microtime")},
    "ObjectReference": {
        1: ("kind", "string"),
        2: ("namespace", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
        5: ("apiVersion", "string"),
        6: ("resourceVersion", "string"),
        7: ("fieldPath", "string"),
    },
    "Lease": {1: ("metadata", "ObjectMeta"), 2: ("spec", "LeaseSpec")},
    "LeaseSpec": {
        1: ("holderIdentity", "string?"),
        2: ("leaseDurationSeconds", "int?"),
        3: ("acquireTime", "microtime"),
        4: ("renewTime", "microtime"),
        5: ("leaseTransitions", "int?"),
        6: ("strategy", "string?"),
        7: ("preferredHolder", "string?"),
    },
    "SelfSubjectAccessReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "SelfSubjectAccessReviewSpec")},
    "SelfSubjectAccessReviewSpec": {1: ("resourceAttributes", "ResourceAttributes"), 2: ("nonResourceAttributes", "NonResourceAttributes")},
    "ResourceAttributes": {
        1: ("namespace", "string"),
        2: ("verb", "string"),
        3: ("group", "string"),
        4: ("version", "string"),
        5: ("resource", "string"),
        6: ("subresource", "string"),
        7: ("name", "string"),
    },
    "NonResourceAttributes": {1: ("path", "string"), 2: ("verb", "string")},
    "SelfSubjectRulesReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "SelfSubjectRulesReviewSpec")},
    "SelfSubjectRulesReviewSpec": {1: ("namespace", "string")},
    "SelfSubjectReview": {1: ("metadata", "ObjectMeta")},
}


def decode(data: bytes) -> Json:
    """Decode an object; raises BadRequest for damaged bytes, UnsupportedMediaType for a kind that has no table."""
    if not data.startswith(MAGIC):
        raise BadRequest("the body is not Kubernetes protobuf: it does not begin with k8s\\0")
    try:
        envelope = _message(data[len(MAGIC) :], TABLES["Unknown"])
        named = envelope.get("type", {})
        kind = named.get("kind", "")
        table = TABLES.get(f"{named.get('apiVersion', '')} {kind}") or TABLES.get(kind)
        if table is None:
            raise UnsupportedMediaType(f"{named.get('kind', 'this kind')} cannot be sent as protobuf; send application/json")
        obj = {**named, **_message(envelope.get("raw", b""), table)}
    except (IndexError, ValueError, OverflowError) as error:
        raise BadRequest(f"the body is not Kubernetes protobuf: {error}") from error
    return obj


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        match tag & 7:
            case 0:
                value: int | bytes
                value, position = _varint(data, position)
            case 2:
                size, position = _varint(data, position)
                if position + size > len(data):
                    raise ValueError("a field is cut off")
                value, position = data[position : position + size], position + size
            case 1 | 5 as wire:
                size = 8 if wire == 1 else 4
                value, position = data[position : position + size], position + size
            case wire:
                raise ValueError(f"wire type {wire} is unknown")
        yield tag >> 3, value


def _message(data: bytes, table: Table) -> Json:
    result: Json = {}
    for number, raw in _fields(data):
        if number not in table:
            continue
        name, kind = table[number]
        shape, _, inner = kind.partition(":")
        if shape == "list":
            result.setdefault(name, []).append(_value(raw, inner))
        elif shape == "map":
            entry = _message(_bytes(raw), {1: ("key", "string"), 2: ("value", f"{inner}?")})
            result.setdefault(name, {})[entry.get("key", "")] = entry.get("value", "")
        else:
            value = _value(raw, kind.removesuffix("?"))
            if kind.endswith("?") or value not in ("", 0, None, {}, False):
                result[name] = value
    return result


def _bytes(raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise ValueError("a number stands where bytes are expected")  # noqa: TRY004 all damage is one kind of error
    return raw


def _value(raw: int | bytes, kind: str) -> Any:
    match kind:
        case "string":
            return _bytes(raw).decode()
        case "bytes":
            return base64.b64encode(_bytes(raw)).decode()
        case "raw":
            return _bytes(raw)
        case "int" | "bool" if isinstance(raw, int):
            return bool(raw) if kind == "bool" else raw - (1 << 64) if raw >> 63 else raw
        case "time" | "microtime":
            return _time(_bytes(raw), micro=kind == "microtime")
        case "fields":
            return loads(_message(_bytes(raw), TABLES["FieldsV1"]).get("raw", b"{}"))
    return _message(_bytes(raw), TABLES[kind])


def _time(data: bytes, *, micro: bool) -> str | None:
    found = _message(data, {1: ("seconds", "int"), 2: ("nanos", "int")})
    if not found:
        return None
    moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=found.get("seconds", 0), microseconds=found.get("nanos", 0) // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")
