"""A bounded pipe between two tasks that either side can close.

Who puts waits while the pipe is full, who takes waits while it is empty. ``close`` lets what is
inside still be taken, and loses nothing; ``abort`` throws it away. Both wake whoever waits, so no
task is left hanging on a far end that is gone, which is what a plain queue cannot promise.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from skerry.kit.aio import Pulse

T = TypeVar("T")


class Pipe(Generic[T]):
    """Items in order, at most ``room`` of them at once."""

    def __init__(self, room: int) -> None:
        """Empty and open."""
        self._room = room
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = Pulse()

    async def put(self, item: T) -> bool:
        """Put an item in as soon as there is room; False, and nothing happens, once the pipe is closed."""
        while len(self._items) >= self._room and not self._closed:
            await self._changed.after(self._changed.count)
        if self._closed:
            return False
        self._items.append(item)
        self._changed.beat()
        return True

    async def take(self) -> T | None:
        """Take the next item; None once the pipe is closed and empty."""
        while not self._items and not self._closed:
            await self._changed.after(self._changed.count)
        if not self._items:
            return None
        item = self._items.popleft()
        self._changed.beat()
        return item

    def close(self) -> None:
        """Nothing more goes in."""
        self._closed = True
        self._changed.beat()

    def abort(self) -> None:
        """Nothing more goes in or comes out."""
        self._items.clear()
        self.close()

    def statistics(self) -> dict[str, int]:
        """Tell how much is inside."""
        return {"items": len(self._items), "closed": int(self._closed)}
