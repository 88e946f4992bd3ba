"""Cyclic garbage goes, a few objects at a time, and Python's own collector is back afterwards."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from skerry.kit import collection
from skerry.kit.collection import MANY, collect_in_between


class Thing:
    """Something in a cycle with itself."""

    def __init__(self) -> None:
        self.me = self


@asynccontextmanager
async def collecting(busy: Callable[[], bool] = lambda: False) -> AsyncIterator[None]:
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(collect_in_between(busy))
        await asyncio.sleep(0)
        yield
        task.cancel()


async def until(state: Callable[[], bool]) -> None:
    for _ in range(6000):
        if state():
            return
        await asyncio.sleep(0.01)
    raise AssertionError


async def test_garbage_goes_and_what_lives_is_looked_at_once() -> None:
    async with collecting():
        assert not gc.isenabled()
        gone = weakref.ref(Thing())
        kept = Thing()
        await until(lambda: gone() is None)
        assert not any(each is kept for each in gc.get_objects())
    assert gc.isenabled()
    assert any(each is kept for each in gc.get_objects())


async def test_many_young_objects_are_not_left_to_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "YOUNG", 1_000_000)
    async with collecting():
        kept = [Thing() for _ in range(2 * MANY)]
        await until(lambda: gc.get_count()[0] < MANY)
        assert len(kept) == 2 * MANY


@pytest.mark.parametrize("many", [True, False])
async def test_what_was_set_aside_is_looked_at_again_once_it_has_grown(monkeypatch: pytest.MonkeyPatch, *, many: bool) -> None:
    for name, value in (("LOOK_SECONDS", 0.01), ("YOUNG", 1), ("ALL", 20)):
        monkeypatch.setattr(collection, name, value)
    async with collecting():
        aside = gc.get_freeze_count()
        things = [Thing()]
        grown: list[list[int]] = [[] for _ in range(aside)] if many else []
        await until(lambda: gc.get_freeze_count() > aside)
        gone = weakref.ref(things.pop())
        if many:
            await until(lambda: gone() is None)
        else:
            await asyncio.sleep(0.5)
            assert gone() is not None
        assert len(grown) in {0, aside}


async def test_nothing_is_collected_while_documents_are_worked_on_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LOOK_SECONDS", 0.001), ("YOUNG", 1), ("PATIENCE", 20)):
        monkeypatch.setattr(collection, name, value)
    asked = 0

    def busy() -> bool:
        nonlocal asked
        asked += 1
        return True

    async with collecting(busy):
        gone = weakref.ref(Thing())
        await until(lambda: gone() is None)
    assert asked > 20
