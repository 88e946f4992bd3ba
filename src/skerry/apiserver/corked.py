"""A transport on which the head of a response leaves together with the beginning of its body.

uvicorn writes head and body one after the other; over TLS that is two records and two system
calls for an answer of a kilobyte. Here a head waits for what is written next, but never longer
than the present turn of the event loop.
"""

from __future__ import annotations

import asyncio
from typing import Any

HEAD = b"HTTP/1.1 "
LARGE = 64 * 1024
"""From this size on a body is not copied to put the head before it."""


class Corked:
    """Wraps a transport; everything but writing is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing waits yet."""
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        """Write, or keep a head for a moment."""
        if self._head:
            head, self._head = self._head, b""
            if len(data) < LARGE:
                self._transport.write(head + data)
                return
            self._transport.write(head)
        elif data.startswith(HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        """Write what waits, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        """Everything else."""
        return getattr(self._transport, name)
