"""Objects between bytes and dicts: strict decoding, and encoding with a gap for the revision.

Decoding tells bad JSON from good, refuses what is not UTF-8, and finds keys that stand twice,
which a plain decoder silently drops. Encoding puts apiVersion, kind and metadata first and
leaves a gap where ``metadata.resourceVersion`` belongs, so that the store can splice the
revision in without decoding anything.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import msgspec

from skerry.machinery.errors import BadRequest

Json = dict[str, Any]

_GAP = b'"\\u0000"'
_WHOLE = 2**63
_FIRST = ("name", "generateName", "namespace", "uid")

_PLAIN = frozenset((str, int, float, bool, type(None)))

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Gapped(NamedTuple):
    """An encoded object around its revision."""

    head: bytes
    tail: bytes

    def at(self, revision: str) -> bytes:
        """The object at a revision."""
        return self.head + revision.encode() + self.tail


def loads(data: bytes) -> Any:
    """Decode JSON that this program wrote itself."""
    return _decode(data)


def dumps(value: Any) -> bytes:
    """Encode JSON."""
    return _encode(value)


def copied(value: Any) -> Any:
    """A copy of a JSON document that shares nothing with it; a tenth of what ``copy.deepcopy`` costs, which must expect anything."""
    if value.__class__ is dict:
        return {name: each if each.__class__ in _PLAIN else copied(each) for name, each in value.items()}
    if value.__class__ is list:
        return [each if each.__class__ in _PLAIN else copied(each) for each in value]
    return value


def gapped(obj: Json) -> Gapped:
    """Encode an object with a gap for its revision."""
    metadata = obj["metadata"]
    first = {name: metadata[name] for name in _FIRST if name in metadata}
    ordered = {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": {**first, "resourceVersion": "\0", **{k: v for k, v in metadata.items() if k not in first and k != "resourceVersion"}},
    }
    ordered.update((name, value) for name, value in obj.items() if name not in ordered)
    head, _, tail = _encode(ordered).partition(_GAP)
    return Gapped(head + b'"', b'"' + tail)


class _Twice(dict[str, Any]):
    """Marks an object in which a key stood more than once."""


def parse(data: bytes) -> tuple[Any, list[str]]:
    """Decode a caller's JSON; return it with the paths of keys that stand twice. Raises BadRequest."""
    quickly = _parse_plain(data)
    return _parse_with_care(data) if quickly is _ODD else (quickly, [])


def _parse_plain(data: bytes) -> Any:
    """Decode JSON that is as nearly all JSON is; ``_ODD`` for whatever wants a closer look.

    Keys that stand twice are found by counting: in the text a key is what ends in a quote and a colon (within a
    string every quote has a backslash before it), in the value it is a member.
    """
    if _UNUSUAL(data):
        return _ODD
    try:
        value = _decode_plain(data)
    except (ValueError, RecursionError):
        return _ODD
    return value if _members(value) == len(_KEYS(data)) else _ODD


def _members(value: Any) -> int:
    """How many members all objects of a value have."""
    found, rest = 0, [value]
    while rest:
        each = rest.pop()
        if type(each) is dict:
            found += len(each)
            rest += each.values()
        elif type(each) is list:
            rest += each
    return found


def _parse_with_care(data: bytes) -> tuple[Any, list[str]]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not valid UTF-8: {error.reason} at byte {error.start}") from error
    seen_twice = False

    def pairs(items: list[tuple[str, Any]]) -> Json:
        nonlocal seen_twice
        result = dict(items)
        if len(result) != len(items):
            seen_twice = True
        return result

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=_no_constant, parse_float=_number)
        if "\\ud" in text.lower():
            value = _without_lone_surrogates(value)
        doubled = _duplicates(text) if seen_twice else []
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except ValueError as error:
        raise BadRequest(f"the body of the request cannot be decoded: {error}") from error
    return value, doubled


def _number(text: str) -> int | float:
    """A number with a fraction or an exponent; a whole one is an integer, as it is for Kubernetes."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _WHOLE else value


_decode_plain = msgspec.json.Decoder(float_hook=_number).decode
_KEYS = re.compile(rb'(?<!\\)"\s*:').findall
_UNUSUAL = re.compile(rb"\\u|\d{17}").search
"""Escapes may be halves of characters, and long numbers more than 64 bits."""
_ODD = object()


def _without_lone_surrogates(value: Any) -> Any:
    """Replace escaped halves of surrogate pairs, which no UTF-8 can hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_lone_surrogates(key): _without_lone_surrogates(each) for key, each in value.items()}
    return [_without_lone_surrogates(each) for each in value] if isinstance(value, list) else value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _duplicates(text: str) -> list[str]:
    tree = json.loads(text, object_pairs_hook=lambda items: items or ())
    found: list[str] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, list) and value and all(isinstance(each, tuple) for each in value):
            seen = set()
            for name, member in value:
                here = f"{path}.{name}" if path else name
                if name in seen and here not in found:
                    found.append(here)
                seen.add(name)
                walk(member, here)
        elif isinstance(value, list):
            for index, member in enumerate(value):
                walk(member, f"{path}[{index}]")

    walk(tree, "")
    return found
