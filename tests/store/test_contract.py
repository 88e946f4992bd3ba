"""What every store must do, whatever it keeps its rows in."""

from __future__ import annotations

import asyncio

import pytest

from skerry.store.contract import (
    Check,
    Compacted,
    FutureRevision,
    Key,
    Require,
    RevisionConflict,
    Store,
    StoreClosed,
    Value,
    Verb,
    Write,
)
from skerry.store.feed import feed

TEXT = Value(b'{"v":"', b'"}')


def key(name: str, namespace: str = "ns", resource: str = "things") -> Key:
    return Key("org", resource, namespace, name)


async def put(store: Store, name: str, expect: int = 0, namespace: str = "ns") -> int:
    return await store.write(Write(key(name, namespace), expect, TEXT))


async def test_a_write_gets_the_next_revision_and_it_is_spliced_into_the_bytes(store: Store) -> None:
    first = await put(store, "a")
    second = await put(store, "b")
    row = await store.get(key("b"))
    assert second == first + 1
    assert row is not None
    assert row.value == b'{"v":"%d"}' % second
    assert await store.head() == second


async def test_creating_what_exists_fails_and_says_what_is_there(store: Store) -> None:
    revision = await put(store, "a")
    with pytest.raises(RevisionConflict) as caught:
        await put(store, "a")
    assert caught.value.current is not None
    assert caught.value.current.revision == revision


async def test_an_update_of_an_old_revision_fails_and_changes_nothing(store: Store) -> None:
    first = await put(store, "a")
    second = await put(store, "a", first)
    with pytest.raises(RevisionConflict):
        await put(store, "a", first)
    row = await store.get(key("a"))
    assert row is not None
    assert row.revision == second == await store.head()


async def test_a_deleted_object_is_gone_and_its_last_state_carries_the_revision_of_the_deletion(store: Store) -> None:
    first = await put(store, "a")
    gone = await store.write(Write(key("a"), first, TEXT, delete=True))
    assert await store.get(key("a")) is None
    change = (await store.changes(first))[0]
    assert (change.verb, change.revision, change.value) == (Verb.DELETE, gone, b'{"v":"%d"}' % gone)
    assert change.previous == b'{"v":"%d"}' % first


async def test_writes_that_arrive_together_each_succeed_or_fail_alone(store: Store) -> None:
    taken = await put(store, "taken")
    names = ["a", "taken", "b", "c"]
    outcomes = await asyncio.gather(*(put(store, name) for name in names), return_exceptions=True)
    assert [isinstance(outcome, RevisionConflict) for outcome in outcomes] == [False, True, False, False]
    revisions = sorted(outcome for outcome in outcomes if isinstance(outcome, int))
    assert revisions == [taken + 1, taken + 2, taken + 3]


async def test_one_of_many_racing_creations_wins(store: Store) -> None:
    outcomes = await asyncio.gather(*(put(store, "same") for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, RevisionConflict) for outcome in outcomes) == 19


async def test_changes_are_in_order_without_gap_and_know_what_was_before(store: Store) -> None:
    first = await put(store, "a")
    await put(store, "a", first)
    await put(store, "b")
    changes = await store.changes(0)
    assert [change.revision for change in changes] == [first, first + 1, first + 2]
    assert [change.verb for change in changes] == [Verb.CREATE, Verb.UPDATE, Verb.CREATE]
    assert [change.previous is None for change in changes] == [True, False, True]
    assert [change.revision for change in await store.changes(first, limit=1)] == [first + 1]


async def test_a_check_on_another_object_is_judged_with_the_write(store: Store) -> None:
    missing = ValueError("no such namespace")
    check = Check(Key("org", "namespaces", "", "ns"), otherwise=missing)
    with pytest.raises(ValueError, match="no such namespace"):
        await store.write(Write(key("a"), 0, TEXT, checks=(check,)))
    await store.write(Write(check.key, 0, TEXT))
    await store.write(Write(key("a"), 0, TEXT, checks=(check,)))
    refusing = Check(check.key, accept=lambda _: ValueError("terminating"))
    with pytest.raises(ValueError, match="terminating"):
        await store.write(Write(key("b"), 0, TEXT, checks=(refusing,)))
    assert await store.get(key("b")) is None


async def test_a_check_can_ask_for_an_empty_namespace(store: Store) -> None:
    await store.write(Write(Key("org", "namespaces", "", "ns"), 0, TEXT))
    inside = await put(store, "a")
    empty = Check(Key("org", "namespaces", "", "ns"), Require.NONE_UNDER, otherwise=ValueError("not empty"))
    delete = Write(Key("org", "namespaces", "", "ns"), inside - 1, TEXT, delete=True, checks=(empty,))
    with pytest.raises(ValueError, match="not empty"):
        await store.write(delete)
    await store.write(Write(key("a"), inside, TEXT, delete=True))
    await store.write(delete)


async def test_pages_are_in_order_and_go_on_behind_a_key(store: Store) -> None:
    for name in ("c", "a", "b"):
        await put(store, name)
    await put(store, "z", namespace="an-earlier-one")
    await store.write(Write(key("other", resource="others"), 0, TEXT))
    everything = await store.page("org", "things")
    assert [row.key[2:] for row in everything.rows] == [("an-earlier-one", "z"), ("ns", "a"), ("ns", "b"), ("ns", "c")]
    one = await store.page("org", "things", "ns", limit=2)
    assert [row.key.name for row in one.rows] == ["a", "b"]
    two = await store.page("org", "things", "ns", at=one.revision, after=one.rows[-1].key)
    assert [row.key.name for row in two.rows] == ["c"]


async def test_a_page_of_an_old_revision_shows_what_was_there_then(store: Store) -> None:
    first = await put(store, "a")
    then = await put(store, "b")
    await put(store, "a", first)
    await store.write(Write(key("b"), then, TEXT, delete=True))
    await put(store, "c")
    page = await store.page("org", "things", at=then)
    assert [(row.key.name, row.revision) for row in page.rows] == [("a", first), ("b", then)]
    assert [row.value for row in page.rows] == [b'{"v":"%d"}' % first, b'{"v":"%d"}' % then]


async def test_what_is_compacted_cannot_be_read_and_the_rest_can(store: Store) -> None:
    first = await put(store, "a")
    second = await put(store, "a", first)
    third = await put(store, "b")
    await store.compact(second)
    with pytest.raises(Compacted):
        await store.changes(first)
    with pytest.raises(Compacted):
        await store.page("org", "things", at=first)
    assert [change.revision for change in await store.changes(second)] == [third]
    assert [row.revision for row in (await store.page("org", "things")).rows] == [second, third]
    with pytest.raises(FutureRevision):
        await store.page("org", "things", at=third + 1)


async def test_the_feed_tells_everything_once_and_in_order_while_writes_go_on(store: Store) -> None:
    seen: list[int] = []

    async def follow() -> None:
        async for batch in feed(store, 0, batch=3):
            seen.extend(change.revision for change in batch)
            if len(seen) == 50:
                return

    async with asyncio.timeout(10):
        await asyncio.gather(follow(), *(put(store, f"n{number}") for number in range(50)))
    assert seen == list(range(1, 51))


async def test_latest_values_make_no_revision_and_tell_what_changed(store: Store) -> None:
    before = await store.head()
    one, two = key("one"), key("two")
    first = await store.latest_put({one: b"1", two: b"2"})
    second = await store.latest_put({one: b"11", two: None})
    assert await store.head() == before
    assert second == first + 2
    assert [(row.key, row.value) for row in await store.latest_changes("org", "things")] == [(one, b"11")]
    assert [(row.key, row.value) for row in await store.latest_changes("org", "things", first)] == [(one, b"11"), (two, None)]


async def test_a_closed_store_refuses_writes(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreClosed):
        await put(store, "a")
