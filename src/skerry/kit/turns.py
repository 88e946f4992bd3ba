"""Long work of many, cut into slices: one slice in each turn of the event loop, one work after the other.

A task for each would not do: thousands of them would all have their slice in the same turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator


class Turns:
    """The works that wait."""

    def __init__(self) -> None:
        """Nothing is to be done."""
        self._works: deque[Iterator[object]] = deque()

    def add(self, work: Iterator[object]) -> None:
        """Do a work soon: each step of the iterator is a slice."""
        if not self._works:
            asyncio.get_running_loop().call_soon(self._step)
        self._works.append(work)

    def _step(self) -> None:
        over = True
        try:
            next(self._works[0])
            over = False
        except StopIteration:
            pass
        finally:
            if over:
                self._works.popleft()
            if self._works:
                asyncio.get_running_loop().call_soon(self._step)
