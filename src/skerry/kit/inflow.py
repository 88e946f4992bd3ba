"""Bytes that came in from a connection and wait to be taken: bounded, and never lost to the end that follows them.

A transport pushes, a task pulls. While too much waits here the transport is paused, and so, by
TCP, is whoever sends. The end of the connection comes after everything that was received before
it, however it ended: asyncio's own StreamReader forgets what it holds when a connection is reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MOST_HELD = 64 * 1024


class Inflow:
    """What one connection received; the transport's side is synchronous."""

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """``pause`` and ``resume`` stop and go on with the reading."""
        self._pause = pause
        self._resume = resume
        self._held = bytearray()
        self._paused = False
        self._ended = False
        self._changed = asyncio.Event()

    def put(self, data: bytes) -> None:
        """Bytes came."""
        self._held += data
        self._changed.set()
        if len(self._held) >= MOST_HELD:
            self._paused = True
            self._pause()  # also again: whoever shares the transport may have gone on reading

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._changed.set()

    async def take(self, most: int) -> bytes:
        """What came, at most so many bytes; empty once the end is reached."""
        while not self._held and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        taken = bytes(self._held[:most])
        del self._held[:most]
        if self._paused and len(self._held) < MOST_HELD:
            self._paused = False
            if not self._ended:
                self._resume()
        return taken

    def statistics(self) -> dict[str, int]:
        """Tell how much waits."""
        return {"bytes": len(self._held), "ended": int(self._ended)}
