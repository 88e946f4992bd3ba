"""Tasks with owners, and wake-ups without loss.

Every background task belongs to a :class:`TaskOwner`: leaving its block cancels what still
runs and awaits it, and a task that crashes ends the block with its exception. Nothing else in
the project may start a task (lint says so).

A :class:`Pulse` wakes whoever waits for "something may have changed". It is level-triggered:
a waiter names the count it has seen, so that a change between looking and waiting is not lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class TaskOwner:
    """A block that owns background tasks."""

    def __init__(self, name: str) -> None:
        """``name`` stands in the names of the tasks."""
        self.name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._parent: asyncio.Task[Any] | None = None
        self._failure: BaseException | None = None
        self._leaving = False

    async def __aenter__(self) -> Self:
        self._parent = asyncio.current_task()
        return self

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task that lives at most as long as the block."""
        if self._leaving:
            coroutine.close()
            raise RuntimeError(f"{self.name} is closing; {name} cannot start")
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None or self._leaving:
            return
        if self._failure is None:
            self._failure = task.exception()
            if self._parent is not None:
                self._parent.cancel()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leaving = True
        pending = list(self._tasks)
        for task in pending:
            task.cancel()
        results = await asyncio.gather(*pending, return_exceptions=True)
        if self._failure is not None:
            if self._parent is not None and isinstance(error, asyncio.CancelledError):
                self._parent.uncancel()
            raise self._failure
        if error is None:
            for result in results:
                if isinstance(result, Exception):
                    raise result

    def statistics(self) -> dict[str, int]:
        """Tell how many tasks live."""
        return {"tasks": len(self._tasks)}


class Pulse:
    """A counter that can be waited on."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.count = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def beat(self) -> None:
        """Wake everybody who waits."""
        self.count += 1
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def after(self, seen: int) -> int:
        """Return the count as soon as it is above ``seen``."""
        while self.count <= seen:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        return self.count
