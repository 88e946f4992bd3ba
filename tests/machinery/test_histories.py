"""What must be true of the managers after any history of writes."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.machinery import meta
from skerry.machinery.fieldset import has_self, item_key
from skerry.machinery.types import FieldType
from tests.machinery.histories import THING, Author, Json, Played, identity

any_history = given(seed=st.integers(0, 2**32))
enough = settings(max_examples=60, deadline=None, derandomize=True)


def told(seed: int) -> tuple[list[Json], Played]:
    return Author(Random(seed)).history(12)


def emptied(value: Any) -> set[str]:
    """The fields that a config names as null or as an empty map: as in Kubernetes, they may be owned and not be there."""
    if isinstance(value, dict):
        return {name for name, each in value.items() if each in (None, {})}.union(*map(emptied, value.values()))
    return set().union(*map(emptied, value)) if isinstance(value, list) else set()


def missing(fields: Json, value: Any, kind: FieldType, path: str = "") -> list[str]:
    """The elements of a set that an object does not have."""
    found = []
    for key, node in fields.items():
        if key == ".":
            continue
        here, child = f"{path}/{key}", kind.at(key)
        if key.startswith("f:"):
            is_there, below = isinstance(value, dict) and key[2:] in value, (value or {}).get(key[2:])
        else:
            items = {item_key(each, kind): each for each in value or ()}
            is_there, below = key in items, items.get(key)
        if is_there:
            found += missing(node, below, child, here)
        elif has_self(node):
            found.append(here)
    return found


@any_history
@enough
def test_what_a_manager_owns_exists(seed: int) -> None:
    steps, played = told(seed)
    empty = set(meta.OMITTED_WHEN_EMPTY)
    for step, answer in zip(steps, played.answers, strict=True):
        empty |= emptied(step["object"])
        obj = answer.get("object") or {"metadata": {}}
        for entry in obj["metadata"].get("managedFields", ()):
            gone = [path for path in missing(entry["fieldsV1"], obj, THING.type) if path.rpartition("f:")[2] not in empty]
            assert not gone, identity(entry)


@any_history
@enough
def test_managers_are_told_apart_own_something_and_stand_in_order(seed: int) -> None:
    _, played = told(seed)
    for answer in played.answers:
        entries = answer.get("object", {"metadata": {}})["metadata"].get("managedFields", [])
        assert len({identity(entry) for entry in entries}) == len(entries)
        assert all(entry["fieldsV1"] for entry in entries)
        assert [entry["operation"] for entry in entries] == sorted(entry["operation"] for entry in entries)
        for operation in ("Apply", "Update"):
            times = [entry.get("time", "") for entry in entries if entry["operation"] == operation]
            assert times == sorted(times)


@any_history
@enough
def test_applying_the_same_again_is_no_write(seed: int) -> None:
    steps, played = told(seed)
    again = next((step for step in reversed(steps) if step["op"] == "apply"), None)
    if again is None:
        return
    for minute in (1, 2, 3):
        before = copy.deepcopy(played.live)
        if "error" in played.take(again | {"force": True, "now": again["now"] + 60 * minute}):
            return
        if minute == 2 and played.live != before:  # an empty list that goes with its last item is there again after the next apply
            assert json.dumps(again["object"]).count("[]")
    assert played.live == before


@any_history
@enough
def test_a_forced_apply_gives_every_value_that_it_names(seed: int) -> None:
    steps, played = told(seed)
    for step, answer in zip(steps, played.answers, strict=True):
        if step["op"] != "apply" or "subresource" in step or "error" in answer:
            continue
        got, asked = answer["object"].get("spec", {}), step["object"].get("spec", {})
        scalars = {name: value for name, value in asked.items() if isinstance(value, (str, int))}
        assert {name: got[name] for name in scalars} == scalars


@any_history
@enough
def test_a_refused_write_changes_nothing(seed: int) -> None:
    steps, played = told(seed)
    replayed = Played()
    for step, answer in zip(steps, played.answers, strict=True):
        before = copy.deepcopy(replayed.live)
        assert replayed.take(step) == answer
        if "error" in answer:
            assert replayed.live == before
