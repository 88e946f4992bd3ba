"""What a schema drops, fills in and forgives; the words for what it refuses are in ``test_causes.py``."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.machinery.errors import BadRequest
from skerry.machinery.schema import Schema
from tests.machinery.judging import defaulted, fields, judged, kind, pruned, thing, told, warm

Json = dict[str, Any]
STRING: Json = {"type": "string"}
NULLABLE: Json = {"type": "string", "nullable": True}
OPEN: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
EMBEDDED: Json = {**OPEN, "x-kubernetes-embedded-resource": True}
PORTS: Json = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name", "protocol"],
    "items": fields(name=STRING, protocol={"type": "string", "default": "TCP"}, port={"type": "integer", "maximum": 99}),
}
TAGS: Json = {"type": "array", "x-kubernetes-list-type": "set", "items": STRING}


@pytest.mark.parametrize(
    ("schema", "value", "left", "paths"),
    [
        (fields(a=STRING), {"a": "x"}, {"a": "x"}, []),
        (fields(a=STRING), {"a": "x", "b": 1, "c": {}}, {"a": "x"}, ["spec.b", "spec.c"]),
        (fields(a=fields(b=STRING)), {"a": {"b": "x", "c": 1}}, {"a": {"b": "x"}}, ["spec.a.c"]),
        (fields(a={"type": "array", "items": fields(b=STRING)}), {"a": [{"b": ""}, {"c": 1}]}, {"a": [{"b": ""}, {}]}, ["spec.a[1].c"]),
        (fields(a={"type": "object", "additionalProperties": fields(b=STRING)}), {"a": {"x": {"c": 1}}}, {"a": {"x": {}}}, ["spec.a.x.c"]),
        (fields(a={"type": "object"}), {"a": {"b": 1}}, {"a": {}}, ["spec.a.b"]),
        (fields(a=OPEN), {"a": {"b": {"c": [1, None]}}}, {"a": {"b": {"c": [1, None]}}}, []),
        ({**OPEN, **fields(a=fields(b=STRING))}, {"x": {"y": 1}, "a": {"c": 1}}, {"x": {"y": 1}, "a": {}}, ["spec.a.c"]),
        (fields(a=STRING), {"a": {"b": 1}}, {"a": {}}, ["spec.a.b"]),
        (fields(a={"type": "array", "items": STRING}), {"a": [{"b": 1}]}, {"a": [{}]}, ["spec.a[0].b"]),
        (fields(a={"x-kubernetes-int-or-string": True}), {"a": "80%"}, {"a": "80%"}, []),
        (STRING, {"a": 1}, {}, ["spec.a"]),
    ],
)
def test_fields_that_the_schema_does_not_know_go(schema: Json, value: Json, left: Json, paths: list[str]) -> None:
    assert pruned(schema, value) == (left, paths)


@pytest.mark.parametrize(
    ("schema", "value", "left"),
    [
        (fields(a=STRING), {"a": None}, {}),
        (fields(a=NULLABLE), {"a": None}, {"a": None}),
        (fields(a=fields(b=STRING)), {"a": {"b": None}}, {"a": {}}),
        (fields(a={"type": "object", "additionalProperties": STRING}), {"a": {"x": None, "y": ""}}, {"a": {"y": ""}}),
        (fields(a={"type": "object", "additionalProperties": NULLABLE}), {"a": {"x": None}}, {"a": {"x": None}}),
        (fields(a={"type": "array", "items": STRING}), {"a": [None]}, {"a": [None]}),
        (fields(a={"x-kubernetes-preserve-unknown-fields": True}), {"a": None}, {}),
        (fields(a=EMBEDDED), {"a": None}, {}),
        (OPEN, {"a": None}, {"a": None}),
    ],
)
def test_null_counts_as_absent_where_it_is_not_allowed(schema: Json, value: Json, left: Json) -> None:
    assert pruned(schema, value) == (left, [])


@pytest.mark.parametrize(
    ("schema", "value", "filled"),
    [
        (fields(a={"type": "string", "default": "x"}), {}, {"a": "x"}),
        (fields(a={"type": "string", "default": "x"}), {"a": ""}, {"a": ""}),
        (fields(a={"type": "string", "default": "x"}), {"a": None}, {"a": "x"}),
        (fields(a={"type": "string", "default": "x", "nullable": True}), {"a": None}, {"a": None}),
        (fields(a=fields(b={"type": "integer", "default": 3})), {}, {}),
        (fields(a=fields(b={"type": "integer", "default": 3})), {"a": {}}, {"a": {"b": 3}}),
        (fields(a={**fields(b={"type": "integer", "default": 3}), "default": {}}), {}, {"a": {"b": 3}}),
        (fields(a={"type": "array", "items": fields(b={"type": "boolean", "default": False})}), {"a": [{}]}, {"a": [{"b": False}]}),
        (
            fields(a={"type": "object", "additionalProperties": fields(b={"type": "integer", "default": 1})}),
            {"a": {"x": {}}},
            {"a": {"x": {"b": 1}}},
        ),
        (fields(a={"type": "array", "items": {"type": "string", "default": "x"}}), {"a": [None, "y"]}, {"a": ["x", "y"]}),
        (fields(a={"type": "object", "additionalProperties": {"type": "string", "default": "x"}}), {"a": {"k": None}}, {"a": {"k": "x"}}),
    ],
)
def test_defaults_are_filled_in_wherever_their_parent_is(schema: Json, value: Json, filled: Json) -> None:
    assert defaulted(schema, value) == filled


def test_a_default_is_not_shared_between_objects() -> None:
    schema = Schema(kind(fields(a={"type": "array", "items": STRING, "default": ["x"]})))
    one, other = thing({}), thing({})
    schema.default(one)
    schema.default(other)
    one["spec"]["a"].append("y")
    assert other["spec"]["a"] == ["x"]


def test_an_object_inside_an_object_keeps_what_every_object_has() -> None:
    inner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "t", "labels": {"a": "b"}}, "data": {"k": "v"}}
    assert pruned(fields(a=EMBEDDED), {"a": inner}) == ({"a": inner}, [])
    strict = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": OPEN}}
    assert pruned(fields(a=strict), {"a": inner}) == (
        {"a": {name: inner[name] for name in ("apiVersion", "kind", "metadata")}},
        ["spec.a.data"],
    )
    odd = {**inner, "metadata": {"name": "t", "colour": "red"}}
    assert pruned(fields(a=EMBEDDED), {"a": odd})[1] == ["spec.a.metadata.colour"]


def test_embedded_metadata_of_a_wrong_type_cannot_be_understood() -> None:
    for schema in (Schema(kind(fields(a=EMBEDDED))), warm(kind(fields(a=EMBEDDED)))):
        with pytest.raises(BadRequest, match=r"spec\.a\.metadata"):
            schema.prune(thing({"a": {"apiVersion": "v1", "kind": "X", "metadata": {"name": 3}}}))


@pytest.mark.parametrize(
    ("inner", "where", "why"),
    [
        ({"kind": "X"}, "spec.a.apiVersion", "Required value"),
        ({"apiVersion": "v1"}, "spec.a.kind", "Required value"),
        ({"apiVersion": "", "kind": "X"}, "spec.a.apiVersion", 'Invalid value: "": must not be empty'),
        ({"apiVersion": "a/b/c", "kind": "X"}, "spec.a.apiVersion", 'Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'),
        (
            {"apiVersion": "v1", "kind": "X", "metadata": {"name": "a/b"}},
            "spec.a.metadata.name",
            "Invalid value: \"a/b\": may not contain '/'",
        ),
    ],
)
def test_an_object_inside_an_object_says_what_it_is(inner: Json, where: str, why: str) -> None:
    assert told(fields(a=EMBEDDED), {"a": inner}) == [(where, why)]


def test_a_name_inside_an_object_only_has_to_fit_into_a_path() -> None:
    assert judged(fields(a=EMBEDDED), {"a": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "Any Name!"}}}) == []


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        (TAGS, ["a", "b"], []),
        (TAGS, ["a", "b", "a", "a"], [("spec.a[2]", 'Duplicate value: "a"')]),
        ({**TAGS, "items": {}}, [1, 1.5, "1", True, [1], {"a": 1}], []),
        ({**TAGS, "items": OPEN}, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], [("spec.a[1]", 'Duplicate value: {"a":1,"b":2}')]),
        (PORTS, [{"name": "a", "protocol": "TCP"}, {"name": "a", "protocol": "UDP"}], []),
        (
            PORTS,
            [{"name": "a", "protocol": "TCP"}, {"name": "a", "protocol": "TCP"}],
            [("spec.a[1]", 'Duplicate value: {"name":"a","protocol":"TCP"}')],
        ),
        (PORTS, [{"port": 1}, {"port": 2}], [("spec.a[1]", "Duplicate value: {}")]),
        ({"type": "array", "items": STRING}, ["a", "a"], []),
    ],
)
def test_items_of_sets_and_list_maps_stand_once(schema: Json, value: list[Any], found: list[tuple[str, str]]) -> None:
    assert told(fields(a=schema), {"a": value}) == found


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        ({"a": "long"}, {"a": "long", "b": 1}, []),
        ({"a": "long"}, {"a": "longer", "b": 1}, ["spec.a"]),
        ({"b": 1}, {"a": "long"}, ["spec.a"]),
        ({"m": {"x": "long"}}, {"m": {"x": "long", "y": "no"}}, []),
        (
            {"ports": [{"name": "a", "protocol": "TCP", "port": 100}]},
            {"ports": [{"name": "b"}, {"name": "a", "protocol": "TCP", "port": 100}]},
            [],
        ),
        (
            {"ports": [{"name": "a", "protocol": "TCP", "port": 100}]},
            {"ports": [{"name": "a", "protocol": "TCP", "port": 101}]},
            ["spec.ports[0].port"],
        ),
        ({"list": ["long"]}, {"list": ["long"], "b": 1}, []),
        ({"list": ["long"]}, {"list": ["x", "long"]}, ["spec.list[1]"]),
        ({"tags": ["a", "a"]}, {"tags": ["b", "b"]}, []),
    ],
)
def test_an_update_is_forgiven_what_was_broken_before(old: Json, new: Json, broken: list[str]) -> None:
    short = {"type": "string", "maxLength": 2}
    schema = fields(
        a=short,
        b={"type": "integer"},
        m={"type": "object", "additionalProperties": short},
        list={"type": "array", "items": short},
        ports=PORTS,
        tags=TAGS,
    )
    assert [cause.field for cause in judged(schema, new, old)] == broken


def test_a_write_of_the_status_is_held_to_the_status_alone() -> None:
    document = kind(fields(a={"type": "string", "maxLength": 2}), status=fields(phase={"type": "string", "enum": ["Up"]}))
    old = thing({"a": "ok"}, status={})
    for schema in (Schema(document), warm(document)):
        assert schema.validate(thing({"a": "long"}, status={"phase": "Up"}), old, status=True) == []
        found = schema.validate(thing({"a": "long"}, status={"phase": "Down"}), old, status=True)
        assert [cause.field for cause in found] == ["status.phase"]


def test_rules_in_cel_are_kept_in_the_schema_and_not_evaluated() -> None:
    rule = {"rule": "self.a == 'never'", "message": "never"}
    assert judged({**fields(a=STRING), "x-kubernetes-validations": [rule]}, {"a": "x"}) == []
