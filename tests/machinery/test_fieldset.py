"""The algebra of field sets, held against plain sets of paths."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.machinery.fieldset import (
    SELF,
    difference,
    element_text,
    everything,
    intersection,
    is_sound,
    item_key,
    named,
    owned,
    paths,
    union,
)
from skerry.machinery.types import FieldType, Shape, field_type

Json = dict[str, Any]
Paths = frozenset[tuple[str, ...]]

KEYS = ("f:a", "f:b", 'k:{"n":1}', "v:1")


def tidy(node: Json) -> Json:
    """A node in normal form: nothing below its own mark, no mark alone."""
    node = {key: ({} if key == "." else below) for key, below in node.items()}
    return {} if set(node) == {"."} else node


nodes: st.SearchStrategy[Json] = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(st.sampled_from((*KEYS, ".")), inner, min_size=1, max_size=4).map(tidy),
    max_leaves=12,
)
sets = st.dictionaries(st.sampled_from(KEYS), nodes, max_size=4)


alike = settings(max_examples=60, derandomize=True, deadline=None)


def elements(fields: Json, path: tuple[str, ...] = ()) -> Paths:
    """The paths of a set."""
    found = set()
    for key, node in fields.items():
        if key == ".":
            continue
        if not node or "." in node:
            found.add((*path, key))
        found |= elements(node, (*path, key))
    return frozenset(found)


@given(sets, sets)
@alike
def test_the_operations_are_those_of_sets_of_paths(left: Json, right: Json) -> None:
    kept = copy.deepcopy((left, right))
    assert elements(union(left, right)) == elements(left) | elements(right)
    assert elements(difference(left, right)) == elements(left) - elements(right)
    assert elements(intersection(left, right)) == elements(left) & elements(right)
    assert (left, right) == kept


@given(sets, sets)
@alike
def test_results_are_in_normal_form(left: Json, right: Json) -> None:
    def is_normal(node: Json) -> bool:
        return set(node) != {"."} and all(is_normal(below) for below in node.values())

    for result in (union(left, right), difference(left, right), intersection(left, right)):
        assert is_normal(result)
        assert elements(result) or not result


@given(sets, sets)
@alike
def test_an_operation_that_changes_nothing_returns_its_left_argument(left: Json, right: Json) -> None:
    if elements(right) <= elements(left):
        assert union(left, right) is (left if left else right)
    if not elements(left) & elements(right):
        assert difference(left, right) is left


def test_paths_are_printed_level_by_level() -> None:
    fields: Json = {"f:spec": {"f:x": {"f:deep": {}}, 'k:{"name":"ü","port":1}': {".": {}, "f:b": {}}, "v:1": {}, "f:a": {}}}
    assert list(paths(fields)) == [
        ".spec.a",
        '.spec[name="ü",port=1]',
        ".spec[=1]",
        ".spec.x.deep",
        '.spec[name="ü",port=1].b',
    ]


def test_elements_are_printed_as_people_write_them() -> None:
    assert [element_text(key) for key in ("f:a", 'v:"x"', "i:0")] == [".a", '[="x"]', "[=0]"]


SET = FieldType(Shape.LIST)
PORTS = FieldType(Shape.LIST, keys=("name", "protocol"), key_defaults={"protocol": "TCP"})


@pytest.mark.parametrize(
    ("item", "kind", "key"),
    [
        ("a", SET, 'v:"a"'),
        (1, SET, "v:1"),
        (True, SET, "v:true"),
        (1.5, SET, "v:1.5"),
        ('<&>"\u2028', SET, 'v:"\\u003c\\u0026\\u003e\\"\\u2028"'),
        ({"name": "a"}, PORTS, 'k:{"name":"a","protocol":"TCP"}'),
        ({"protocol": "UDP", "name": "a", "port": 1}, PORTS, 'k:{"name":"a","protocol":"UDP"}'),
        ({"port": 1}, PORTS, 'k:{"protocol":"TCP"}'),
    ],
)
def test_an_item_is_known_by_its_value_or_its_keys(item: Any, kind: FieldType, key: str) -> None:
    assert item_key(item, kind) == key


KIND = field_type(
    {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "known": {"type": "object", "properties": {"a": {"type": "string"}}},
            "open": {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": {"type": "string"}}},
            "items": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["id"],
                "items": {"type": "object", "properties": {"id": {"type": "integer"}}},
            },
            "whole": {"type": "array", "items": {"type": "string"}},
            "any": {"x-kubernetes-preserve-unknown-fields": True},
        },
    }
)


def test_an_applier_claims_leaves_items_and_members_of_open_maps() -> None:
    value = {"text": "t", "known": {"a": "x"}, "open": {"m": {"k": "v"}, "n": {}}, "items": [{"id": 1}], "whole": ["x"], "any": {"b": [1]}}
    assert owned(value, KIND) == {
        "f:text": SELF,
        "f:known": {"f:a": SELF},
        "f:open": {"f:m": {".": SELF, "f:k": SELF}, "f:n": SELF},
        "f:items": {'k:{"id":1}': {".": SELF, "f:id": SELF}},
        "f:whole": SELF,
        "f:any": {"f:b": SELF},
    }


def test_an_applier_claims_what_is_null_or_an_empty_map_and_no_empty_list() -> None:
    value: Json = {"text": None, "known": {}, "open": None, "items": [], "whole": [], "any": None, "unknown": 1}
    assert owned(value, KIND) == {"f:text": SELF, "f:known": SELF, "f:open": SELF, "f:whole": SELF, "f:any": SELF}


def test_a_value_that_appears_brings_every_position_of_it() -> None:
    assert everything({"known": {"a": "x"}, "items": [{"id": 1}, {"id": 1}], "any": {}}, KIND) == {
        ".": SELF,
        "f:known": {".": SELF, "f:a": SELF},
        "f:items": {".": SELF, 'k:{"id":1}': SELF},
        "f:any": SELF,
    }


def test_named_fields_are_elements_as_soon_as_anything_below_is() -> None:
    fields: Json = {"f:known": {"f:a": SELF}, "f:open": {"f:m": {"f:k": SELF}}}
    assert named(fields, KIND) == {"f:known": {".": SELF, "f:a": SELF}, "f:open": {".": SELF, "f:m": {"f:k": SELF}}}


@pytest.mark.parametrize(
    ("fields", "sound"), [({"f:a": {".": {}, "v:1": {}, "i:0": {}, 'k:{"a":1}': {}}}, True), ({"a": {}}, False), ([], False)]
)
def test_a_set_is_sound_if_every_element_can_be_read(fields: Any, sound: bool) -> None:
    assert is_sound(fields) is sound
