"""The judge of several servers is itself judged."""

from __future__ import annotations

from math import inf

import pytest

from tests.e2e.history import Seen
from tests.e2e.linear import Operation, untrue

LOG = [Seen(11, "ADDED", "x", "1"), Seen(12, "ADDED", "y", "2"), Seen(14, "MODIFIED", "x", "3"), Seen(15, "MODIFIED", "y", "4")]
TRUE = [
    Operation("write", 0, 1, "x", "1", 11),
    Operation("write", 0, 1.5, "y", "2", 12),
    Operation("read", 1.2, 1.4, "x", "1", 11),
    Operation("write", 2, 4, "x", "3", 14, base=11),
    Operation("read", 3, 3.5, "x", "1", 11),
    Operation("read", 3.6, 3.8, "x", "3", 14),
    Operation("write", 3, inf, "y", "4"),
    Operation("list", 5, 6, revision=15, shown=frozenset({("x", 14), ("y", 15)})),
    Operation("write", 5, inf, "x", "5"),
]


def test_a_history_that_can_be_true_is_believed() -> None:
    assert list(untrue(LOG, TRUE)) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Operation("write", 6, 7, "x", "9", 16), "is lost"),
        (Operation("read", 4.5, 5, "x", "1", 11), "is older than revision 14"),
        (Operation("read", 3.9, 5, "x", "1", 11), "is older than revision 14"),
        (Operation("read", 0, 0.5, "y", "4", 15), "shows a write that began later"),
        (Operation("read", 4, 5, "x", "2", 14), "shows what the log does not"),
        (Operation("list", 5, 6, revision=14, shown=frozenset({("x", 14)})), "is not the state"),
        (Operation("list", 7, 8, revision=14, shown=frozenset({("x", 14), ("y", 12)})), "is older than revision 15"),
    ],
)
def test_what_cannot_have_been_is_found_out(wrong: Operation, says: str) -> None:
    assert any(says in fault for fault in untrue(LOG, [*TRUE, wrong]))


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (LOG[:2], "is lost"),
        ([*LOG, Seen(16, "MODIFIED", "x", "3")], "happened twice"),
        ([*LOG, Seen(16, "MODIFIED", "x", "7")], "nobody asked"),
        ([LOG[1], LOG[0], *LOG[2:]], "rise strictly"),
        ([*LOG[:2], Seen(13, "MODIFIED", "x", "5"), *LOG[2:]], "overwrote revision 13"),
        ([Seen(10, "ADDED", "x", "1"), *LOG[1:]], "was made as"),
    ],
)
def test_a_log_that_does_not_fit_is_found_out(log: list[Seen], says: str) -> None:
    assert any(says in fault for fault in untrue(log, TRUE))


def test_a_write_that_went_back_in_time_is_found_out() -> None:
    for ended, revision in ((4, 14), (inf, 0)):
        late = [*TRUE[:2], Operation("write", 1.7, 1.9, "y", "4", 15), Operation("write", 2, ended, "x", "3", revision)]
        assert any("took effect before revision 15" in fault for fault in untrue(LOG, late))
