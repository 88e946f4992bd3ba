"""Tasks with owners, and wake-ups without loss.

Every background task belongs to a :class:`TaskOwner`: leaving its block cancels what still
runs and awaits its clean-up; even if the leaving itself is cancelled, no task stays behind. A
task that crashes ends the block, and its siblings, with its exception. Nothing else in the
project may start a task (lint says so).

A :class:`Pulse` wakes whoever waits for "something may have changed". It is level-triggered:
a waiter names the count it has seen, so that a change between looking and waiting is not lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
EXPIRING_SECONDS = 0.02
"""How often a task is looked at again that was being cancelled already: by somebody, or by a timeout that it survives."""


class TaskOwner:
    """A block that owns background tasks: an ``asyncio.TaskGroup`` that does not outwait them, but ends them.

    One failure is raised as itself; several at once as an ExceptionGroup. A cancellation from outside always comes
    through, also one that arrives while the block is being left because of a failure: a TaskGroup would forget it
    (before Python 3.13).
    """

    def __init__(self, name: str) -> None:
        """``name`` stands in the names of the tasks."""
        self.name = name
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._leaving = False
        self._cancelled_before = 0

    async def __aenter__(self) -> Self:
        self._cancelled_before = _cancellations()
        await self._group.__aenter__()
        return self

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start a task that lives at most as long as the block; raises RuntimeError once the block is being left."""
        if self._leaving:
            coroutine.close()
            raise RuntimeError(f"{self.name} is closing; {name} cannot start")
        task = self._group.create_task(coroutine, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leaving = True
        told: set[asyncio.Task[Any]] = set()
        while self._tasks:  # until the group has heard of each: so it cancels nobody any more when it is left
            running = [task for task in self._tasks if not task.done()]
            for task in running:
                if task not in told and not task.cancelling():  # a second cancellation would interrupt the clean-up after the first
                    told.add(task)
                    task.cancel()
            again = None if told.issuperset(running) else EXPIRING_SECONDS
            try:
                await (asyncio.wait(running, timeout=again) if running else asyncio.sleep(0))
            except asyncio.CancelledError:  # it is counted, and raised when all have ended
                for task in running:
                    task.cancel()
        try:
            await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as failures:
            if _cancellations() > self._cancelled_before:
                raise asyncio.CancelledError from failures
            if len(failures.exceptions) > 1:
                raise
            only = failures.exceptions[0]
            if only is not error:
                raise only from only.__cause__
        if _cancellations() > self._cancelled_before:
            raise asyncio.CancelledError

    def statistics(self) -> dict[str, int]:
        """Tell how many tasks live."""
        return {"tasks": len(self._tasks)}


def _cancellations() -> int:
    """How often the present task was cancelled, less what was taken back."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


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
