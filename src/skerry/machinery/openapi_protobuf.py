"""An OpenAPI v2 document as protobuf, for client-go: it asks for nothing else (Argo CD, kubectl's older explain).

The tables are the fields of gnostic's published ``OpenAPIv2.proto`` that our documents use, as
number and kind. What a message has for any value (defaults, enums, extensions) is YAML text there;
JSON is YAML.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from skerry.machinery.document import dumps

Json = dict[str, Any]
Fields = dict[str, tuple[int, str]]

STRING, BOOL, INT, DOUBLE, ANY = "string", "bool", "int", "double", "any"
EXTENSIONS = "x-*"

MESSAGES: dict[str, Fields] = {
    "Document": {
        "swagger": (1, STRING),
        "info": (2, "Info"),
        "paths": (8, "{2}PathItem"),
        "definitions": (9, "{1}Schema"),
    },
    "Info": {"title": (1, STRING), "version": (2, STRING)},
    "PathItem": {
        "get": (2, "Operation"),
        "put": (3, "Operation"),
        "post": (4, "Operation"),
        "delete": (5, "Operation"),
        "patch": (8, "Operation"),
        "parameters": (9, "*parameter"),
        EXTENSIONS: (10, ANY),
    },
    "Operation": {
        "description": (3, STRING),
        "operationId": (5, STRING),
        "produces": (6, "*string"),
        "consumes": (7, "*string"),
        "parameters": (8, "*parameter"),
        "responses": (9, "{1}response"),
        EXTENSIONS: (13, ANY),
    },
    "body": {"description": (1, STRING), "name": (2, STRING), "in": (3, STRING), "required": (4, BOOL), "schema": (5, "Schema")},
    "query": {
        "required": (1, BOOL),
        "in": (2, STRING),
        "description": (3, STRING),
        "name": (4, STRING),
        "type": (6, STRING),
        "uniqueItems": (20, BOOL),
    },
    "path": {
        "required": (1, BOOL),
        "in": (2, STRING),
        "description": (3, STRING),
        "name": (4, STRING),
        "type": (5, STRING),
        "uniqueItems": (19, BOOL),
    },
    "Response": {"description": (1, STRING), "schema": (2, "choice 1 Schema")},
    "Schema": {
        "$ref": (1, STRING),
        "format": (2, STRING),
        "title": (3, STRING),
        "description": (4, STRING),
        "default": (5, ANY),
        "multipleOf": (6, DOUBLE),
        "maximum": (7, DOUBLE),
        "exclusiveMaximum": (8, BOOL),
        "minimum": (9, DOUBLE),
        "exclusiveMinimum": (10, BOOL),
        "maxLength": (11, INT),
        "minLength": (12, INT),
        "pattern": (13, STRING),
        "maxItems": (14, INT),
        "minItems": (15, INT),
        "uniqueItems": (16, BOOL),
        "maxProperties": (17, INT),
        "minProperties": (18, INT),
        "required": (19, "*string"),
        "enum": (20, "*any"),
        "additionalProperties": (21, "additional"),
        "type": (22, "choice 1 string"),
        "items": (23, "choice 1 Schema"),
        "allOf": (24, "*Schema"),
        "properties": (25, "{1}Schema"),
        "example": (30, ANY),
        EXTENSIONS: (31, ANY),
    },
}
PARAMETERS = {"body": (1,), "query": (2, 3), "path": (2, 4)}
"""Where each sort of parameter stands in the choices that lie around it."""


def encode(document: Json) -> bytes:
    """Encode a document (``machinery.openapi.document_v2``)."""
    return _message("Document", document)


def _message(name: str, value: Json) -> bytes:
    fields, parts = MESSAGES[name], []
    for key, each in value.items():
        if key in fields:
            parts.append(_field(*fields[key], each))
        elif key.startswith("x-") and EXTENSIONS in fields:
            parts.append(_named(fields[EXTENSIONS][0], key, _any(each)))
    return b"".join(parts)


def _field(number: int, kind: str, value: Any) -> bytes:
    if kind.startswith("*"):
        return b"".join(_field(number, kind[1:], each) for each in value)
    if kind.startswith("{"):
        inner = int(kind[1])
        return _bytes(number, b"".join(_named(inner, name, _value(kind[3:], each)) for name, each in value.items()))
    match kind:
        case "bool":
            return _varint(number << 3) + _varint(int(value))
        case "int":
            return _varint(number << 3) + _varint(value)
        case "double":
            return _varint(number << 3 | 1) + struct.pack("<d", value)
    return _bytes(number, _value(kind, value))


def _value(kind: str, value: Any) -> bytes:
    """The bytes of anything that has a length."""
    if kind.startswith("choice "):
        _, number, inner = kind.split()
        return _field(int(number), inner, value)
    match kind:
        case "string":
            return str(value).encode()
        case "any":
            return _any(value)
        case "additional":
            return _field(2, BOOL, value) if isinstance(value, bool) else _field(1, "Schema", value)
        case "parameter":
            return _around((1, *PARAMETERS[value["in"]]), _message(value["in"], value))
        case "response":
            return _around((1,), _message("Response", value))
    return _message(kind, value)


def _around(numbers: Iterable[int], data: bytes) -> bytes:
    for number in reversed(tuple(numbers)):
        data = _bytes(number, data)
    return data


def _named(number: int, name: str, value: bytes) -> bytes:
    return _bytes(number, _bytes(1, name.encode()) + _bytes(2, value))


def _any(value: Any) -> bytes:
    return _bytes(2, dumps(value))


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
