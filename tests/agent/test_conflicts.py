"""Who is in the way of a set: the causes are those that a kube-apiserver 1.37 has answered with."""

from __future__ import annotations

from skerry.agent.conflicts import CAUSE, MOST_FIELDS, MOST_OWNERS, owners_of, told
from skerry.machinery.errors import Cause


def cause(words: str, field: str = ".data.a") -> Cause:
    return Cause(CAUSE, words, field)


def words(*causes: Cause) -> str:
    return told(owners_of(causes))


def test_one_manager_is_named_with_his_field() -> None:
    assert words(cause('conflict with "them"')) == '"them" (.data.a)'
    assert words(cause('conflict with "kubectl-create" using v1')) == '"kubectl-create" (.data.a)'
    assert words(cause('conflict with "kubectl-edit" using apps/v1 at 2030-01-01T00:00:00Z')) == '"kubectl-edit" (.data.a)'


def test_several_managers_each_have_their_fields_also_with_odd_names() -> None:
    causes = (cause('conflict with "others \\"q\\" é"', ".data.c"), cause('conflict with "them"'), cause('conflict with "them"', ".data.b"))
    assert words(*causes) == '"others "q" é" (.data.c); "them" (.data.a, .data.b)'
    [odd] = owners_of([cause('conflict with "a\\x00b"')])
    assert odd.manager == "a\\x00b"


def test_a_subresource_and_what_was_there_before_anybody_applied_are_named() -> None:
    scaled = cause('conflict with "scaler" with subresource "scale" using apps/v1', ".spec.replicas")
    assert words(scaled) == '"scaler" through scale (.spec.replicas)'
    assert words(cause('conflict with "before-first-apply" using v1')) == '"before-first-apply" (.data.a)'


def test_a_conflict_of_another_kind_names_nobody() -> None:
    assert owners_of([]) == []
    assert owners_of([Cause("FieldValueInvalid", 'conflict with "them"', ".data.a"), cause("something else")]) == []


def test_what_is_told_is_bounded() -> None:
    causes = [cause(f'conflict with "m{number}"', f".data.f{field}") for number in range(30) for field in range(30)]
    found = owners_of(causes)
    assert len(found) == MOST_OWNERS
    assert all((len(each.fields), each.more) == (MOST_FIELDS, 30 - MOST_FIELDS) for each in found)
    assert told(found[:1]).endswith("and 20 more)")
