"""Where decisions are written down: a log of JSON lines that is only ever appended to.

One record per decision: who, what, where from, outcome. Bodies and credentials never get here.
Reads that succeed are not recorded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from skerry.kit.clock import Clock, rfc3339_micro
from skerry.machinery.document import dumps
from skerry.machinery.identity import Attributes

QUIET = frozenset(("get", "list", "watch", "head"))


class Record(Protocol):
    """What the server tells of a decision."""

    @property
    def attributes(self) -> Attributes:
        """Who asked for what."""
        ...

    @property
    def code(self) -> int:
        """The HTTP code of the answer."""
        ...

    @property
    def reason(self) -> str:
        """Why, if it failed."""
        ...

    @property
    def address(self) -> str:
        """Where the request came from."""
        ...

    @property
    def request_id(self) -> str:
        """The request's id, as the caller was told."""
        ...


class AuditFile:
    """Appends to a file of mode 0600; the operating system keeps the lines whole."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open or create the file."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        self._file = path.open("ab", buffering=0)
        self._clock = clock

    def record(self, record: Record) -> None:
        """Write one decision down."""
        attributes = record.attributes
        if attributes.verb in QUIET and record.code < 400:
            return
        entry: dict[str, Any] = {
            "time": rfc3339_micro(self._clock.now()),
            "id": record.request_id,
            "user": attributes.user.name,
            "groups": list(attributes.user.groups),
            "from": record.address,
            "verb": attributes.verb,
            "code": record.code,
        }
        for name in ("group", "resource", "subresource", "namespace", "name", "path"):
            value = getattr(attributes, name)
            if value:
                entry[name] = value
        if record.reason:
            entry["reason"] = record.reason
        self._file.write(dumps(entry) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class NoAudit:
    """For APIs that nobody answers for: simulated clusters."""

    def record(self, record: Record) -> None:
        """Forget it."""
