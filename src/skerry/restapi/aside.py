"""Work beside the event loop: what takes a time that grows with a large document.

Decoding, merging and validating are Python and cost microseconds for each value. For nearly all
objects that is a millisecond and done at once; for one of a megabyte it is a second, in which no
heartbeat would be answered. Such work goes to one thread: the interpreter gives the loop its
turn every few milliseconds. One, because threads of Python do not run side by side: more would
make each slower and the loop later.

Who waits for the thread is bounded; beyond that callers are asked to come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

from skerry.machinery.errors import TooManyRequests

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

LARGE = 16 * 1024
"""Bytes from which on a document is worked on beside the loop: below, the worst takes some ten milliseconds."""

MOST_WAITING = 32
"""So many pieces of work may be under way or wait: at the worst, a second each."""


class Aside:
    """One thread, and a bounded queue in front of it."""

    def __init__(self) -> None:
        """No thread runs before there is work."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self.here = 0
        """How many pieces of work are under way or wait."""
        self._done = 0
        self._refused = 0

    async def run(self, do: Callable[[*Arguments], T], *args: *Arguments) -> T:
        """Do something on the thread; raises TooManyRequests if too many wait."""
        if self.here >= MOST_WAITING:
            self._refused += 1
            raise TooManyRequests("too many large objects are being worked on; try again later", retry_after=2)
        self.here += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, do, *args)
        finally:
            self.here -= 1
            self._done += 1

    def statistics(self) -> dict[str, int]:
        """How many pieces of work are here, were done, and were refused."""
        return {"here": self.here, "done": self._done, "refused": self._refused}
