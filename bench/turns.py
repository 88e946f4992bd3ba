"""Many things to do, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from skerry.kit.aio import TaskOwner


async def crowd(callers: Sequence[Callable[[], Awaitable[Any]]], at_once: int = 16) -> None:
    """Call each, some at a time."""
    rest = iter(callers)

    async def work() -> None:
        for caller in rest:
            await caller()

    async with TaskOwner("crowd") as owner:
        await asyncio.gather(*(owner.spawn(work(), str(number)) for number in range(at_once)))
