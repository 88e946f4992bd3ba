"""Random names: the machine's own randomness, read in larger pieces than one name needs (a system call costs more than a name)."""

from __future__ import annotations

import os
import uuid

PIECE = 1024


class _Pool:
    def __init__(self) -> None:
        self._bytes = b""

    def take(self, size: int) -> bytes:
        if len(self._bytes) < size:
            self._bytes = os.urandom(PIECE)
        taken, self._bytes = self._bytes[:size], self._bytes[size:]
        return taken

    def empty(self) -> None:
        self._bytes = b""


_pool = _Pool()
_take = _pool.take
os.register_at_fork(after_in_child=_pool.empty)  # a forked child must not repeat its parent's names


def new_uid() -> str:
    """A random UUID (RFC 9562, version 4)."""
    return str(uuid.UUID(bytes=_take(16), version=4))


def new_id() -> str:
    """Sixteen hexadecimal digits that nobody else has."""
    return _take(8).hex()
