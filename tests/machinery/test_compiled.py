"""The compiled check never says yes to what the slow walk finds fault with, and says yes where it matters."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.objects import a_cluster
from skerry.kinds import cluster
from skerry.machinery import prune
from skerry.machinery.compiled import surely_valid
from skerry.machinery.invariants import is_valid
from skerry.machinery.schema import OFTEN, Schema
from skerry.machinery.tidy import surely_tidy

Json = dict[str, Any]
NAMES = ("a", "b", "if", "x y", "'; raise SystemExit #", '"""')

SCALARS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(1, 3),
            "pattern": st.sampled_from(["^a", "b$", "^[a-z]+$"]),
            "enum": st.just(["a", "ab", "date"]),
            "format": st.sampled_from(["date-time", "uuid", "byte", "unknown"]),
            "nullable": st.booleans(),
        },
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={
            "minimum": st.integers(-2, 2),
            "maximum": st.integers(0, 3),
            "exclusiveMinimum": st.booleans(),
            "exclusiveMaximum": st.booleans(),
            "format": st.sampled_from(["int32", "int64"]),
            "multipleOf": st.just(2),
        },
    ),
    st.just({"type": "boolean"}),
    st.just({"x-kubernetes-int-or-string": True}),
    st.just({}),
    st.just({"x-kubernetes-preserve-unknown-fields": True}),
)


def _composite(below: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    objects = st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(st.sampled_from(NAMES), below, max_size=4)},
        optional={
            "required": st.lists(st.sampled_from(NAMES), max_size=2),
            "maxProperties": st.integers(0, 4),
            "minProperties": st.integers(0, 2),
            "nullable": st.booleans(),
            "additionalProperties": below,
            "x-kubernetes-embedded-resource": st.booleans(),
        },
    )
    lists = st.fixed_dictionaries(
        {"type": st.just("array"), "items": below},
        optional={
            "minItems": st.integers(0, 1),
            "maxItems": st.integers(0, 3),
            "x-kubernetes-list-type": st.sampled_from(["set", "atomic"]),
        },
    )
    maps = st.fixed_dictionaries({"type": st.just("array"), "items": objects}).map(
        lambda schema: {**schema, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]}
    )
    combined = st.tuples(objects, st.sampled_from(["anyOf", "oneOf", "allOf"]), below).map(lambda each: {**each[0], each[1]: [each[2], {}]})
    return st.one_of(objects, lists, maps, combined)


SCHEMAS = st.recursive(SCALARS, _composite, max_leaves=8)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 4),
        st.sampled_from([0.5, 1.0, 2**40, -(2**70), "", "a", "ab", "abcd", "date", "2026-01-01T00:00:00Z"]),
    ),
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(st.sampled_from(NAMES), below, max_size=4)),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)


@given(SCHEMAS, st.lists(VALUES, min_size=1, max_size=8))
def test_what_the_compiled_check_lets_through_is_valid(schema: Json, values: list[Any]) -> None:
    check = surely_valid(schema)
    for value in values:
        assert not check(value) or is_valid(schema, value), (schema, value)


@given(st.dictionaries(st.sampled_from(NAMES), SCHEMAS, max_size=4), st.lists(OBJECTS, min_size=1, max_size=8), st.booleans())
def test_what_the_compiled_check_finds_tidy_is_left_alone_by_pruning(properties: Json, values: list[Json], keeps: bool) -> None:
    schema = {"type": "object", "properties": properties, "x-kubernetes-preserve-unknown-fields": keeps}
    check = surely_tidy(schema, root=True)
    for value in values:
        if check(value):
            pruned = copy.deepcopy(value)
            assert prune.prune(schema, pruned) == []
            assert pruned == value


@pytest.mark.parametrize(
    ("schema", "value", "valid"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {"a": "x"}, True),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {}, False),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": None}, False),
        ({"type": "object", "properties": {"a": {"type": "string", "nullable": True}}}, {"a": None}, True),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1, "b": 2}, True),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1, "b": "2"}, False),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, 0, False),
        ({"type": "integer"}, True, False),
        ({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}, ["a", "b"], True),
        ({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}, ["a", "a"], False),
        ({"type": "string", "enum": ["a"]}, "b", False),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, 1, True),
        ({"x-kubernetes-int-or-string": True}, "80%", True),
        ({"x-kubernetes-int-or-string": True}, 1.5, False),
        ({}, {"anything": [None]}, True),
    ],
)
def test_plain_cases_are_decided_without_the_slow_walk(schema: Json, value: Any, valid: bool) -> None:
    assert surely_valid(schema)(value) is valid


def test_nesting_beyond_what_python_can_compile_is_left_to_the_slow_walk() -> None:
    schema: Json = {"type": "string"}
    value: Any = "x"
    for _ in range(40):
        schema, value = {"type": "array", "items": schema}, [value]
    assert surely_valid(schema)(value)
    assert not surely_valid(schema)([[]] * 2 + [1])


def test_an_object_that_breaks_a_rule_is_explained_however_often_the_kind_is_written() -> None:
    schema, good = Schema(cluster.RESOURCE.schema.document), a_cluster()
    bad = {**good, "spec": {**good["spec"], "controlPlane": {"replicas": "three"}}}
    for _ in range(OFTEN + 5):
        assert schema.validate(good) == []
        assert [each.field for each in schema.validate(bad)] == ["spec.controlPlane.replicas"]
