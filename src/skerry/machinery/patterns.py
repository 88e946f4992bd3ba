r"""Regular expressions of schemas: RE2's syntax and meaning on Python's engine.

A schema's ``pattern`` is RE2 (Go). Python reads most of it in the same way, with differences
that matter: ``$`` must not match before a trailing newline, ``\d``, ``\w`` and ``\s`` mean
ASCII, POSIX classes and ``\pL`` exist, flags may stand in the middle. :func:`matcher` rewrites
these and compiles the rest. What Python cannot compile even so is not enforced: an object is
never refused for our engine's limits.

RE2 is linear; Python backtracks. Patterns come from definitions that an administrator
installs, and ``maxLength`` is checked before them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_OUTSIDE = re.compile(
    r"""\\Q(?P<literal>.*?)(?:\\E|\Z)"""
    r"""|(?P<letters>\\p(?:L|\{L\}))"""
    r"""|(?P<end>\$|\\z)"""
    r"""|\(\?(?P<flags>[ims]+)\)"""
    r"""|(?P<named>\(\?<(?=[A-Za-z_]))"""
    r"""|(?P<opens>\[\^?\]?)"""
    r"""|\\.|.""",
    re.DOTALL,
)
_INSIDE = re.compile(r"""\[:(?P<posix>[a-z]+):\]|(?P<letters>\\p(?:L|\{L\}))|(?P<closes>\])|(?P<set>[\[&~|])|\\.|.""", re.DOTALL)
_LETTERS = (
    "A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02c1\u0370-\u0373\u0376-\u037d\u0386-\u1fff\u2c00-\ud7ff\uf900-\ufffd"
)

Search = Callable[[str], object]


@lru_cache(maxsize=4096)
def matcher(pattern: str) -> Search:
    """Return a function that tells whether a pattern is found in a text (truthy if so)."""
    try:
        return re.compile(translated(pattern), re.ASCII).search
    except (re.error, RecursionError, OverflowError):
        return _anything


def _anything(text: str) -> object:
    return text is not None


def translated(pattern: str) -> str:
    """Rewrite RE2 in Python's words."""
    parts: list[str] = []
    groups = position = 0
    inside = False
    while match := (_INSIDE if inside else _OUTSIDE).match(pattern, position):
        position = match.end()
        found = match.groupdict()
        parts.append(_inside(match[0], found) if inside else _outside(match[0], found))
        groups += bool(found.get("flags"))
        inside = bool(found.get("opens")) or (inside and not found.get("closes"))
    return "".join(parts) + ")" * groups


def _outside(text: str, found: dict[str, str | None]) -> str:
    if found["literal"] is not None:
        return re.escape(found["literal"])
    if found["letters"]:
        return f"[{_LETTERS}]"
    if found["end"]:
        return r"\Z"
    if found["flags"]:
        return f"(?{found['flags']}:"  # holds to the end of the pattern: RE2's flags in a group of their own are rare
    return "(?P<" if found["named"] else text


def _inside(text: str, found: dict[str, str | None]) -> str:
    if found["posix"]:
        return _POSIX.get(found["posix"], text)
    if found["letters"]:
        return _LETTERS
    return f"\\{text}" if found["set"] else text
