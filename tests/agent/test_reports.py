"""What an agent tells of a set: drift by count, and as much as a message holds."""

from __future__ import annotations

import pytest

from skerry.agent.objects import Identity, result
from skerry.agent.reports import Drifted, fitted, said
from skerry.tunnel import link_pb2 as pb

A, B = (Identity("v1", "ConfigMap", "default", name) for name in "ab")
APPLIED, UNCHANGED, WAITING, CONFLICT = pb.OUTCOME_APPLIED, pb.OUTCOME_UNCHANGED, pb.OUTCOME_WAITING, pb.OUTCOME_CONFLICT


def report(**outcomes: pb.Outcome) -> pb.DesiredResult:
    return pb.DesiredResult(set="shop", objects=[result({"a": A, "b": B}[name], outcome) for name, outcome in outcomes.items()])


def counted(*reports: pb.DesiredResult) -> Drifted:
    """What was counted over the reports of one command, a second apart."""
    made = Drifted()
    for number, each in enumerate(reports):
        made.count(each, float(number), first=number == 0)
    return made


def test_what_was_in_order_and_had_to_be_changed_again_is_drift() -> None:
    found = counted(report(a=APPLIED, b=APPLIED), report(a=UNCHANGED, b=APPLIED), report(a=APPLIED, b=APPLIED))
    assert (found.total, found.objects[A.place], found.objects[B.place]) == (3, (1, 2.0), (2, 2.0))
    last = report(a=UNCHANGED, b=UNCHANGED)
    found.show(last, 10.0)
    assert (last.drifts, [(each.drifts, each.drifted_seconds_ago) for each in last.objects]) == (3, [(1, 8), (2, 8)])


def test_what_a_command_applies_first_or_a_conflict_held_back_is_none() -> None:
    assert counted(report(a=CONFLICT, b=WAITING), report(a=APPLIED, b=APPLIED), report(a=UNCHANGED)).total == 0


def test_what_somebody_deletes_slowly_is_drift_once() -> None:
    assert counted(report(a=APPLIED), report(a=WAITING), report(a=WAITING), report(a=APPLIED), report(a=UNCHANGED)).total == 1


def test_a_new_command_keeps_the_count_and_adds_nothing_to_it() -> None:
    found = counted(report(a=APPLIED), report(a=APPLIED))
    found.count(report(a=APPLIED, b=APPLIED), 9.0, first=True)
    assert found.total == 1


def test_a_repair_is_news_and_an_age_is_not() -> None:
    one, two, three = report(a=APPLIED), report(a=UNCHANGED), report(a=APPLIED)
    three.drifts = 1
    two.looked_seconds_ago = 300
    assert said(one) == said(two) != said(three)


@pytest.mark.parametrize("most", [400_000, 60_000, 20_000])
def test_a_report_that_no_message_holds_is_cut_and_tells_the_failures_first(most: int) -> None:
    objects = [result(A._replace(name=f"good-{number}"), UNCHANGED) for number in range(500)]
    objects += [result(A._replace(name=f"bad-{number}"), CONFLICT, "Conflict", "x" * 4000) for number in range(500)]
    whole = pb.DesiredResult(set="shop", objects=objects)
    found = fitted(whole, most)
    assert found.ByteSize() <= most
    assert sum(each.name.startswith("bad") for each in found.objects) >= min(500, len(found.objects))
    assert len(whole.objects) == 1000, "the report itself is left as it is"
    assert fitted(whole, 10_000_000) is whole
