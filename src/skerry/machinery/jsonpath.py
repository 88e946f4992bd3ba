"""The subset of JSONPath that printer columns use, compiled once: ``.a.b``, ``.a[0]``, ``['a.b']``, ``[?(@.type=="Ready")].status``.

A path yields the first value it finds, or None. That is what a column shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

_STEP = re.compile(
    r"""\.(?P<name>(?:\\.|[^.\[\]\\])+)"""
    r"""|\[(?P<index>-?\d+|\*)\]"""
    r"""|\[['"](?P<quoted>[^'"]+)['"]\]"""
    r"""|\[\?\(\s*@\.(?P<key>[\w.\\-]+)\s*==\s*['"](?P<value>[^'"]*)['"]\s*\)\]"""
)

Finder = Callable[[Any], Any]


@cache
def finder(path: str) -> Finder:
    """Compile a path; raises ValueError for what the subset does not know."""
    steps: list[Callable[[Any], Any]] = []
    text = path.strip("{}")
    text = text.removeprefix("$")
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise ValueError(f"JSONPath {path!r} is not understood from {text[position:]!r} on")
        steps.append(_step(match))
        position = match.end()

    def find(value: Any) -> Any:
        for step in steps:
            if value is None:
                return None
            value = step(value)
        return value

    return find


def _step(match: re.Match[str]) -> Finder:
    name = match["name"] or match["quoted"]
    if name is not None:
        plain = name.replace("\\", "")
        return lambda value: value.get(plain) if isinstance(value, dict) else None
    if match["index"] is not None:
        index = 0 if match["index"] == "*" else int(match["index"])
        return lambda value: value[index] if isinstance(value, list) and -len(value) <= index < len(value) else None
    key, wanted = match["key"], match["value"]

    def choose(value: Any) -> Any:
        if not isinstance(value, list):
            return None
        return next((item for item in value if isinstance(item, dict) and item.get(key) == wanted), None)

    return choose
