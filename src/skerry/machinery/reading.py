"""A caller's JSON: strict, bounded, and with the keys that stand twice.

Decoding tells bad JSON from good, refuses what is not UTF-8, no number, too deep or too much,
and finds keys that stand twice, which a plain decoder silently drops. There is a quick way for
what nearly all JSON is and a careful one for the rest; they agree on everything.

A large body may be read on a thread beside the event loop. No single step holds the
interpreter for long: patterns search piece by piece, and the number of values is known to be
bounded before any is made.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from skerry.kit.bounds import MOST_DEPTH, MOST_VALUES
from skerry.machinery.errors import BadRequest, RequestEntityTooLarge

Json = dict[str, Any]

MOST_TOLD = 100
"""So many keys that stand twice are named."""

_PIECE = 128 * 1024
"""Bytes that a pattern searches at a time: a few milliseconds."""

_WHOLE = 2**63
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL).finditer
_KEYS = re.compile(rb'"(?<!\\")\s*+:').findall
_LONG = re.compile(rb"\d{17}").search
_ODD = object()


def parse(data: bytes) -> tuple[Any, list[str]]:
    """Decode a caller's JSON; return it with the paths of keys that stand twice.

    Raises BadRequest for what is not JSON or nested too deeply, RequestEntityTooLarge for too many values.
    """
    if len(data) > MOST_VALUES:
        _check_count(data)
    quickly = _parse_plain(data)
    return _parse_with_care(data) if quickly is _ODD else (quickly, [])


def measured(value: Any) -> int:
    """How many members all objects of a value have; raises BadRequest or RequestEntityTooLarge beyond the bounds."""
    members = values = depth = 0
    level = [value]
    while level:
        values += len(level)
        if values > MOST_VALUES:
            raise too_many()
        below: list[Any] = []
        for each in level:
            if type(each) is dict:
                members += len(each)
                below += each.values()
            elif type(each) is list:
                below += each
        level = below
        depth += 1
        if depth > MOST_DEPTH:
            raise BadRequest(f"the object is nested too deeply: more than {MOST_DEPTH} levels")
    return members


def as_json(value: Any) -> Any:
    """What another notation told, within what JSON can: a new value without parts in common; raises BadRequest or RequestEntityTooLarge."""
    measured(value)
    return _as_json(value)


def _as_json(value: Any) -> Any:
    match value:
        case str() | bool() | None:
            return value
        case int():
            return _integer(str(value))
        case float():
            if value != value or abs(value) == float("inf"):  # noqa: PLR0124 that is how it is told
                raise BadRequest(f"the body of the request cannot be decoded: {value} is no number of JSON")
            return _number(repr(value))
        case list():
            return [_as_json(each) for each in value]
        case dict():
            return {_key(name): _as_json(each) for name, each in value.items()}
    raise BadRequest(f"the body of the request cannot be decoded: it holds a {type(value).__name__}, which JSON does not know")


def _key(name: Any) -> str:
    """A key as text, as Kubernetes turns it."""
    if isinstance(name, str):
        return name
    if isinstance(name, bool | int | float):
        return json.dumps(name)
    raise BadRequest("the body of the request cannot be decoded: a key of a map must be text")


def too_many() -> RequestEntityTooLarge:
    """Say that there are too many values."""
    return RequestEntityTooLarge(f"Request entity too large: it holds more than {MOST_VALUES} values; split it into several objects")


def _check_count(data: bytes) -> None:
    """Refuse far more values than are taken before any is made.

    Each stands behind a comma or the beginning of a list or an object, and has at most one such beginning of its own.
    """
    most = 2 * MOST_VALUES

    def marks(begin: int, end: int) -> int:
        return sum(data.count(mark, begin, end) for mark in (b",", b"[", b"{"))

    if marks(0, len(data)) <= most:
        return
    found = end = 0
    for text in _STRINGS(data):
        found += marks(end, text.start())
        end = text.end()
        if found > most:
            raise too_many()
    if found + marks(end, len(data)) > most:
        raise too_many()


def _parse_plain(data: bytes) -> Any:
    """Decode JSON that is as nearly all JSON is; ``_ODD`` for whatever wants a closer look.

    Escapes may be halves of characters, and long numbers more than 64 bits. Keys that stand twice are found by
    counting: in the text a key is what ends in a quote and a colon (within a string every quote has a backslash
    before it), in the value it is a member.
    """
    if b"\\u" in data or _has_long_number(data):
        return _ODD
    try:
        value = _decode_plain(data)
    except (ValueError, RecursionError):
        return _ODD
    return value if measured(value) == _count_keys(data) else _ODD


def _has_long_number(data: bytes) -> bool:
    return any(_LONG(data, begin, begin + _PIECE + 16) for begin in range(0, len(data), _PIECE))


def _count_keys(data: bytes) -> int:
    """Count what ends a key; pieces begin at a quote, because no match has one but at its beginning."""
    found = begin = 0
    while begin >= 0:
        end = data.find(b'"', begin + _PIECE)
        found += len(_KEYS(data, begin, len(data) if end < 0 else end))
        begin = end
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
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=_no_constant, parse_float=_number, parse_int=_integer)
    except RecursionError:
        raise BadRequest(f"the body is nested too deeply: more than {MOST_DEPTH} levels") from None
    except ValueError as error:
        raise BadRequest(f"the body of the request cannot be decoded: {error}") from error
    measured(value)
    if "\\ud" in text.lower():
        value = _without_lone_surrogates(value)
    return value, _duplicates(text) if seen_twice else []


def _integer(text: str) -> int | float:
    """A whole number; beyond 64 bits it is a float, as it is for Kubernetes."""
    value = int(text) if len(text) <= 20 else _WHOLE
    return value if -_WHOLE <= value < _WHOLE else _finite(text)


def _number(text: str) -> int | float:
    """A number with a fraction or an exponent; a whole one is an integer, as it is for Kubernetes."""
    value = _finite(text)
    return int(value) if value.is_integer() and abs(value) < _WHOLE else value


def _finite(text: str) -> float:
    value = float(text)
    if abs(value) == float("inf"):
        raise ValueError(f"the number {text[:20]} is out of range")
    return value


_decode_plain = msgspec.json.Decoder(float_hook=_number).decode


def _without_lone_surrogates(value: Any) -> Any:
    """Replace escaped halves of surrogate pairs, which no UTF-8 can hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_lone_surrogates(key): _without_lone_surrogates(each) for key, each in value.items()}
    return [_without_lone_surrogates(each) for each in value] if isinstance(value, list) else value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class _Members(list[tuple[str, Any]]):
    """An object with every member that was written."""


def _duplicates(text: str) -> list[str]:
    found: dict[str, None] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, _Members):
            seen = set()
            for name, member in value:
                here = f"{path}.{name}" if path else name
                if name in seen and len(found) < MOST_TOLD:
                    found[here] = None
                seen.add(name)
                walk(member, here)
        elif isinstance(value, list):
            for index, member in enumerate(value):
                walk(member, f"{path}[{index}]")

    walk(json.loads(text, object_pairs_hook=_Members), "")
    return list(found)
