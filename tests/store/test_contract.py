"""What every store must do, whatever it keeps its rows in."""

from __future__ import annotations

import asyncio

import pytest

from skerry.kit.aio import TaskOwner
from skerry.store.contract import (
    Check,
    Compacted,
    FutureRevision,
    Guard,
    Key,
    Outdated,
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

    async with asyncio.timeout(60):
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


async def test_latest_values_are_put_only_while_what_they_depend_on_stands(store: Store) -> None:
    claim, value = key("claim"), key("value")
    first = await store.latest_put({claim: b"mine"}, Guard(claim, 0))
    assert await store.latest_put({value: b"1"}, Guard(claim, first)) == first + 1
    second = await store.latest_put({claim: b"yours"}, Guard(claim, first))
    assert second > first
    for late in (Guard(claim, first), Guard(claim, 0), Guard(key("other"), first)):
        with pytest.raises(Outdated):
            await store.latest_put({value: b"late", claim: None}, late)
    assert {row.key: row.value for row in await store.latest_changes("org", "things")} == {claim: b"yours", value: b"1"}
    await store.latest_put({claim: None}, Guard(claim, second))
    with pytest.raises(Outdated):
        await store.latest_put({value: b"late"}, Guard(claim, second))
    await store.latest_put({value: b"2"}, Guard(claim, 0))
    assert {row.key: row.value for row in await store.latest_changes("org", "things")} == {value: b"2"}


async def test_of_many_that_claim_at_once_one_succeeds(store: Store) -> None:
    claim = key("claim")
    outcomes = await asyncio.gather(
        *(store.latest_put({claim: str(number).encode()}, Guard(claim, 0)) for number in range(20)), return_exceptions=True
    )
    (won,) = [number for number, outcome in enumerate(outcomes) if not isinstance(outcome, Outdated)]
    assert [row.value for row in await store.latest_changes("org", "things")] == [str(won).encode()]


async def test_a_closed_store_refuses_writes(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreClosed):
        await put(store, "a")


async def test_a_page_of_one_namespace_shows_nothing_of_its_neighbours_now_or_then(store: Store) -> None:
    for namespace in ("m", "n", "o"):
        for name in ("a", "b"):
            await put(store, name, namespace=namespace)
    then = await store.head()
    await put(store, "c", namespace="n")
    now = await store.page("org", "things", "n")
    assert [row.key[2:] for row in now.rows] == [("n", "a"), ("n", "b"), ("n", "c")]
    old = await store.page("org", "things", "n", at=then)
    assert [row.key[2:] for row in old.rows] == [("n", "a"), ("n", "b")]
    rest = await store.page("org", "things", "n", at=then, after=old.rows[0].key, limit=5)
    assert [row.key[2:] for row in rest.rows] == [("n", "b")]


async def test_a_list_read_page_by_page_at_one_revision_is_the_list_of_that_revision(store: Store) -> None:
    revisions = {name: await put(store, name) for name in "abcdefgh"}
    then = await store.page("org", "things", limit=3)
    found = list(then.rows)
    await store.write(Write(key("h"), revisions["h"], TEXT, delete=True))
    await put(store, "e", revisions["e"])
    while page := (await store.page("org", "things", at=then.revision, after=found[-1].key, limit=3)).rows:
        found += page
        await put(store, f"d{len(found)}")
    assert {row.key.name: row.revision for row in found} == revisions


async def test_compaction_keeps_whatever_a_readable_revision_needs(store: Store) -> None:
    first = await put(store, "a")
    gone = await put(store, "b")
    second = await put(store, "a", first)
    await store.write(Write(key("b"), gone, TEXT, delete=True))
    again = await put(store, "b")
    for oldest in (gone, second, again):
        before = {at: (await store.page("org", "things", at=at)).rows for at in range(oldest, again + 1)}
        changes = await store.changes(oldest)
        await store.compact(oldest)
        assert {at: (await store.page("org", "things", at=at)).rows for at in range(oldest, again + 1)} == before
        assert await store.changes(oldest) == changes


async def test_following_from_a_revision_that_was_never_given_out_is_refused(store: Store) -> None:
    newest = await put(store, "a")
    assert await store.changes(newest) == []
    with pytest.raises(FutureRevision) as caught:
        await store.changes(newest + 1)
    assert caught.value.current == newest


async def test_a_check_that_fails_in_an_unforeseen_way_fails_its_own_write_only(store: Store) -> None:
    await store.write(Write(Key("org", "namespaces", "", "ns"), 0, TEXT))

    def stumble(_: bytes) -> Exception | None:
        raise ZeroDivisionError("a bug in a check")

    check = Check(Key("org", "namespaces", "", "ns"), accept=stumble)
    writes = [Write(key(name), 0, TEXT, checks=(check,) if name == "c" else ()) for name in "abcdef"]
    outcomes = await asyncio.gather(*map(store.write, writes), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, int, ZeroDivisionError, int, int, int]
    assert [change.revision for change in await store.changes(0)] == list(range(1, 7))


async def test_a_caller_that_goes_away_harms_nobody(store: Store) -> None:
    async with TaskOwner("test") as owner:
        writing = [owner.spawn(put(store, name), name) for name in "abcdef"]
        await asyncio.sleep(0)
        for task in writing[::2]:
            task.cancel()
        await asyncio.wait(writing)
    written = [task.result() for task in writing[1::2]]
    changes = await store.changes(0)
    assert set(written) <= {change.revision for change in changes}
    assert [change.revision for change in changes] == list(range(1, len(changes) + 1))


async def test_who_waits_wakes_for_a_change_and_for_the_end(store: Store) -> None:
    async with TaskOwner("test") as owner, asyncio.timeout(60):
        waiting = owner.spawn(store.wait(0), "waiter")
        sleeping = owner.spawn(store.latest_wait(await store.latest_head()), "latest waiter")
        await asyncio.sleep(0.01)
        assert not waiting.done()
        newest = await put(store, "a")
        await waiting
        assert not sleeping.done()
        await store.latest_put({key("a"): b"1"})
        await sleeping
        ending = asyncio.gather(store.wait(newest), store.latest_wait(await store.latest_head()), return_exceptions=True)
        await asyncio.sleep(0.01)
        await store.close()
        assert [type(outcome) for outcome in await ending] == [StoreClosed, StoreClosed]


async def test_what_was_put_up_to_the_head_of_the_latest_values_is_seen_behind_it(store: Store) -> None:
    before = await store.latest_head()
    await asyncio.gather(*(store.latest_put({key(f"n{number}", resource=f"kind-{number % 2}"): b"v"}) for number in range(20)))
    head = await store.latest_head()
    found = [*await store.latest_changes("org", "kind-0", before), *await store.latest_changes("org", "kind-1", before)]
    assert sorted(row.sequence for row in found) == list(range(before + 1, head + 1))
    assert await store.latest_changes("org", "kind-0", head) == []


async def test_every_value_that_is_kept_can_be_read_and_rewritten_without_a_revision(store: Store) -> None:
    first = await put(store, "a")
    second = await put(store, "a", first)
    await store.write(Write(key("b", resource="others"), 0, TEXT))
    gone = await put(store, "c")
    deleted = await store.write(Write(key("c"), gone, TEXT, delete=True))
    held = await store.held({"things"})
    assert [row.revision for row in held] == [first, second, gone, deleted]
    assert [row.revision for row in await store.held({"things"}, first, 2)] == [second, gone]
    was = {change.revision: change.value for change in await store.changes(0)}
    head = await store.head()
    stale = held[1]._replace(value=b"what was never there")
    assert await store.rewrite([(held[0], b"one"), (stale, b"wrong"), (held[2], b"three")]) == 2
    assert await store.rewrite(()) == 0
    await store.erase()
    assert await store.head() == head
    assert [(change.value, change.previous) for change in await store.changes(0) if change.key.resource == "things"] == [
        (b"one", None), (was[second], b"one"), (b"three", None), (was[deleted], b"three")
    ]  # fmt: skip
    row = await store.get(key("a"))
    assert row is not None
    await store.rewrite([(held[1], b"two")])
    assert [row.value for row in (await store.page("org", "things")).rows] == [b"two"]
    assert [row.value for row in (await store.page("org", "things", at=first)).rows] == [b"one"]


async def test_what_compaction_dropped_is_held_no_longer(store: Store) -> None:
    first = await put(store, "a")
    second = await put(store, "a", first)
    await store.compact(second)
    assert [row.revision for row in await store.held({"things"})] == [second]
