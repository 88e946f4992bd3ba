"""What fills the caches follows quickly, and sleeps when there is nothing to follow."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from skerry.kinds import observedobject
from skerry.kit.aio import TaskOwner
from skerry.restapi import feeds as feeds_module
from skerry.restapi.cache import BYTES_OF_A_WAKING, BYTES_OF_AN_EVENT, WOKEN_AT_ONCE, Item, ResourceCache, Watcher
from skerry.restapi.feeds import Feeds
from skerry.store.contract import Key, LatestRow, StoreUnavailable, Value, Verb, Write
from skerry.store.memory import MemoryStore


class CountingStore(MemoryStore):
    """Counts how often latest values are asked for."""

    reads = 0

    async def latest_changes(self, organization: str, resource: str, after: int = 0, limit: int = 0) -> Sequence[LatestRow]:
        self.reads += 1
        await asyncio.sleep(0)
        return await super().latest_changes(organization, resource, after, limit)


async def test_a_cache_of_latest_values_follows_its_own_kind_and_sleeps_through_the_idle_time_of_others() -> None:
    kinds = {observedobject.RESOURCE.key: observedobject.RESOURCE}
    (kind,) = kinds
    store = CountingStore(keep=50)
    await store.latest_put({Key("org", "of-another-kind", "", "a"): b"1"})
    feeds = Feeds(store, "org", lambda: kinds)
    async with TaskOwner("test") as owner:
        await feeds.start(owner)
        await store.latest_put({Key("org", "of-another-kind", "", "a"): b"2"})
        for _ in range(200):
            await asyncio.sleep(0)
        assert store.reads < 6
        await store.latest_put({Key("org", kind, "site", "seen"): b'{"v":1}'})
        async with asyncio.timeout(60):
            await feeds.latest_reached(feeds.caches[kind], await store.latest_head())
        assert list(feeds.caches[kind].rows) == [("site", "seen")]


async def test_a_cache_that_was_behind_the_forgotten_removals_is_loaded_anew() -> None:
    kinds = {observedobject.RESOURCE.key: observedobject.RESOURCE}
    (kind,) = kinds
    store = MemoryStore(keep=5)
    gone, kept = Key("org", kind, "site", "gone"), Key("org", kind, "site", "kept")
    await store.latest_put({gone: b'{"v":1}'})
    feeds = Feeds(store, "org", lambda: kinds)
    async with TaskOwner("test") as owner:
        await feeds.start(owner)
        await store.latest_put({gone: None})
        for number in range(30):
            await store.latest_put({kept: b'{"v":%d}' % number})
        for _ in range(50):
            await asyncio.sleep(0)
        assert list(feeds.caches[kind].rows) == [("site", "kept")]


def test_who_begins_to_watch_after_all_watches_were_ended_is_ended_too() -> None:
    cache, before, after = ResourceCache("kind"), Watcher([]), Watcher([])
    cache.join(before)
    cache.drop_all()
    cache.join(after)
    assert (before.dropped, after.dropped) == (True, True)


async def test_whoever_needs_the_newest_is_told_where_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_module, "PATIENCE", 0.01)
    store = MemoryStore()
    feeds = Feeds(store, "org", dict)
    assert not await feeds.caught_up()
    await store.write(Write(Key("org", "kind", "", "a"), 0, Value(b"<", b">")))
    with pytest.raises(StoreUnavailable):  # nobody follows the log
        await feeds.caught_up()


async def test_others_are_heard_between_the_watchers_that_one_event_wakes() -> None:
    loop, turn, woken = asyncio.get_running_loop(), 0, Counter[int]()

    def tick() -> None:
        nonlocal turn
        turn += 1
        if woken.total() < 3 * WOKEN_AT_ONCE:
            loop.call_soon(tick)

    async def watch(watcher: Watcher) -> None:
        await watcher.wait(60)
        woken[turn] += 1
        watcher.quiet()

    cache, watchers = ResourceCache("kind"), [Watcher([]) for _ in range(3 * WOKEN_AT_ONCE)]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for watcher in watchers:
            cache.join(watcher)
            group.create_task(watch(watcher))
        await asyncio.sleep(0)
        tick()
        cache.apply(Verb.CREATE, Item(("", "a"), 1, b"{}"))
    assert woken.total() == 3 * WOKEN_AT_ONCE
    assert max(woken.values()) <= WOKEN_AT_ONCE


@pytest.mark.parametrize(("at_once", "events"), [(1, 40), (100, 100)])
async def test_events_that_come_while_watchers_are_being_woken_wake_no_more_of_them_in_one_turn(at_once: int, events: int) -> None:
    loop, turn, count = asyncio.get_running_loop(), 0, 5 * WOKEN_AT_ONCE
    told, woken, weights = Counter[int](), Counter[int](), Counter[int]()
    cache, revision = ResourceCache("kind"), 0

    def tick() -> None:
        nonlocal turn, revision
        turn += 1
        for _ in range(at_once if revision < events else 0):
            revision += 1
            cache.apply(Verb.CREATE, Item(("", str(revision)), revision, b"{}"))
        if min(told[each] for each in range(count)) < events:
            loop.call_soon(tick)

    async def watch(watcher: Watcher, number: int) -> None:
        while told[number] < events:
            await watcher.wait(60)
            seen = watcher.take()
            assert [each.revision for each in seen] == list(range(told[number] + 1, told[number] + len(seen) + 1))
            told[number] += len(seen)
            woken[turn] += 1
            weights[turn] += 1 + len(seen) * (BYTES_OF_AN_EVENT + 2) // BYTES_OF_A_WAKING
        watcher.quiet()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(count):
            watcher = Watcher([])
            cache.join(watcher)
            group.create_task(watch(watcher, number))
        await asyncio.sleep(0)
        tick()
    assert max(woken.values()) <= WOKEN_AT_ONCE, woken
    assert at_once == 1 or max(weights.values()) <= 1.2 * WOKEN_AT_ONCE, weights
