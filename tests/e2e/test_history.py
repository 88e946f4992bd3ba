"""The judge of the crash test is itself judged: a history that breaks a promise is found out."""

from __future__ import annotations

import pytest

from tests.e2e.history import GONE, Round, Seen, Write, faults, kept, missed, selected, state

X = frozenset({"x"})
LOG = [
    Seen(11, "ADDED", "a", "1", "a1"),
    Seen(12, "ADDED", "b", "2", "b2", X),
    Seen(13, "MODIFIED", "a", "4", "a4", X),
    Seen(15, "MODIFIED", "b", "5", "b5"),
    Seen(16, "DELETED", "a", "4", "a4", X),
]
FIRST = Round(10, [Write("ADDED", "a", "1", 11, "a1"), Write("ADDED", "b", "2", 12, "b2")], {("a", "4"), ("c", "3")})
SECOND = Round(14, [Write("MODIFIED", "b", "5", 15, "b5"), Write("DELETED", "a", GONE)], {("b", "6")})
KNOWN = [FIRST, SECOND]


def test_a_history_that_can_be_true_has_no_fault() -> None:
    assert list(faults(KNOWN, LOG)) == []
    assert [event.type for event in selected(LOG, "x")] == ["ADDED", "ADDED", "DELETED", "DELETED"]
    assert list(missed("w", LOG, LOG)) == []
    assert state(LOG, 15) == {"a": (13, "a4"), "b": (15, "b5")}
    assert list(kept(KNOWN, {"b": LOG[3]})) == []


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (LOG[1:], "is lost"),
        (LOG[:-1], "token='-'"),
        ([*LOG[:2], LOG[3], LOG[2], LOG[4]], "rise strictly"),
        ([LOG[0]._replace(revision=9), *LOG[1:]], "was stored as"),
        ([LOG[0]._replace(body="another"), *LOG[1:]], "was stored as"),
        ([LOG[0]._replace(type="MODIFIED"), *LOG[1:]], "was stored as"),
        ([*LOG, Seen(17, "ADDED", "c", "9")], "nobody asked"),
        ([*LOG, Seen(17, "ADDED", "c", "torn 3")], "nobody asked"),
        ([*LOG, Seen(17, "DELETED", "b", "5")], "nobody asked"),
        ([*LOG, LOG[3]._replace(revision=17)], "happened twice"),
        ([*LOG[:3], LOG[3]._replace(revision=14), LOG[4]], "was stored as"),
    ],
)
def test_a_log_that_breaks_a_promise_is_found_out(log: list[Seen], says: str) -> None:
    assert any(says in fault for fault in faults(KNOWN, log)), list(faults(KNOWN, log))


def test_a_write_in_doubt_may_be_there_or_not() -> None:
    assert list(faults(KNOWN, [*LOG, Seen(17, "ADDED", "c", "3")])) == []
    assert list(kept(KNOWN, {"b": LOG[3], "c": Seen(17, "", "c", "3")})) == []
    assert list(kept(KNOWN, {"b": Seen(17, "", "b", "6", "b6")})) == []
    assert list(kept([FIRST, Round(14, [], {("b", GONE)})], {"a": LOG[2]})) == []


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        ({}, "is lost"),
        ({"b": LOG[1]}, "acknowledged was"),
        ({"b": LOG[3]._replace(body="another")}, "acknowledged was"),
        ({"b": LOG[3], "a": LOG[2]}, "deletion was acknowledged"),
        ({"b": LOG[3], "c": Seen(17, "", "c", "9")}, "nobody asked"),
        ({"b": LOG[3], "c": Seen(17, "", "c", "torn 3")}, "nobody asked"),
    ],
)
def test_a_list_that_breaks_a_promise_is_found_out(listed: dict[str, Seen], says: str) -> None:
    assert any(says in fault for fault in kept(KNOWN, listed)), list(kept(KNOWN, listed))


def test_a_revision_that_is_given_out_twice_is_found_out() -> None:
    again = [FIRST, Round(14, [Write("MODIFIED", "b", "5", 12)])]
    assert any("not above 14" in fault for fault in faults(again, LOG))
    assert any("to 2 writes" in fault for fault in faults(again, LOG))


@pytest.mark.parametrize("sent", [LOG[1:], LOG[:-1], [*LOG, LOG[-1]], [LOG[0], *LOG], [LOG[0]._replace(body="another"), *LOG[1:]]])
def test_a_watcher_that_missed_or_doubled_an_event_is_found_out(sent: list[Seen]) -> None:
    assert list(missed("w", sent, LOG)) != []
