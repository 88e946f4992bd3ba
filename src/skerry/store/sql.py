"""Named queries out of a ``.sql`` file: the program refers to names, people read the file.

A query begins with ``-- name: some_name`` and runs to the next one.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_HEAD = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def queries(file: str) -> dict[str, str]:
    """Read a ``.sql`` file of this package; raises ValueError where a name stands twice."""
    text = resources.files("skerry.store").joinpath(file).read_text()
    parts = _HEAD.split(text)[1:]
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    if len(found) * 2 != len(parts):
        raise ValueError(f"{file}: a query name stands twice")
    return {name: sql.strip() for name, sql in found.items()}
