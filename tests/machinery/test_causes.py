"""Why a value breaks a schema, in Kubernetes' words. Those of the differential suite's kinds are compared there; these are the rest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.machinery.judging import fields, judged, told

Json = dict[str, Any]
EITHER: Json = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}


def wrong(rule: str, value: str = '""') -> list[tuple[str, str]]:
    """The one cause that the field ``a`` breaks a rule."""
    return [("spec.a", f"Invalid value: {value}: spec.a in body {rule}")]


def without_a_field(text: str) -> tuple[str, str]:
    """A cause that names no field."""
    return ("<nil>", f'Invalid value: "": {text}')


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        ({"type": "string"}, 3, wrong('must be of type string: "integer"', '"integer"')),
        ({"type": "string"}, None, wrong('must be of type string: "null"', '"null"')),
        ({"type": "string", "nullable": True}, None, []),
        ({"type": "boolean"}, "true", wrong('must be of type boolean: "string"', '"string"')),
        ({"type": "object", "properties": {}}, [], wrong('must be of type object: "array"', '"array"')),
        ({"type": "array", "items": {"type": "string"}}, {}, wrong('must be of type array: "object"', '"object"')),
        ({"type": "number"}, 3, []),
        ({"type": "integer"}, 2.0, []),
        ({"type": "integer"}, True, wrong('must be of type integer: "boolean"', '"boolean"')),
        ({"type": "integer", "format": "int32"}, 2**31 - 1, []),
        (
            {"type": "integer", "format": "int32"},
            2**31,
            [without_a_field("Checked value must be of type integer with format int32 in spec.a")],
        ),
        ({"type": "integer"}, -(2**63), []),
        ({"type": "integer", "minimum": 3}, 2, wrong("should be greater than or equal to 3", "2")),
        ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, 3, wrong("should be greater than 3", "3")),
        ({"type": "number", "maximum": 1.5}, 2.5, wrong("should be less than or equal to 1.5", "2.5")),
        ({"type": "number", "maximum": 1e21}, 1e22, wrong("should be less than or equal to 1e+21", "1e+22")),
        ({"type": "number", "maximum": 1, "exclusiveMaximum": True}, 1.0, wrong("should be less than 1", "1")),
        ({"type": "integer", "multipleOf": 5}, 7, wrong("should be a multiple of 5", "7")),
        ({"type": "integer", "multipleOf": 5}, 15, []),
        ({"type": "number", "multipleOf": 0.01}, 0.07, []),
        ({"type": "number", "multipleOf": 0.01}, 0.075, wrong("should be a multiple of 0.01", "0.075")),
        ({"type": "string", "minLength": 2}, "é", wrong("should be at least 2 chars long", '"é"')),
        ({"type": "string", "maxLength": 1}, "éé", [("spec.a", "Too long: may not be more than 1 byte")]),
        ({"type": "string", "pattern": "^a$"}, "a\n", wrong("should match '^a$'", '"a\\n"')),
        ({"type": "string", "minLength": 2, "pattern": "^a+$"}, "b", wrong("should be at least 2 chars long", '"b"')),
        ({"type": "string", "enum": ["a", "b"]}, "c", [("spec.a", 'Unsupported value: "c": supported values: "a", "b"')]),
        ({"type": "integer", "enum": [1, 2]}, 3, [("spec.a", 'Unsupported value: 3: supported values: "1", "2"')]),
        ({"type": "integer", "enum": [1, 2]}, 2, []),
        ({"type": "boolean", "enum": [True]}, True, []),
        ({"type": "array", "minItems": 1}, [], wrong("should have at least 1 items", "0")),
        ({"type": "array", "maxItems": 1}, [1, 2], [("spec.a", "Too many: 2: must have at most 1 item")]),
        ({"type": "array", "uniqueItems": True}, [1, True, "1"], []),
        ({"type": "array", "uniqueItems": True}, [1, 1], wrong("shouldn't contain duplicates")),
        ({"type": "object", "minProperties": 1}, {}, wrong("should have at least 1 properties", "0")),
        ({"type": "object", "maxProperties": 1}, {"x": 1, "y": 2}, [("spec.a", "Too many: 2: must have at most 1 item")]),
        ({"type": "object", "required": ["x"]}, {}, [("spec.a.x", "Required value")]),
        ({"type": "string", "format": "nonsense"}, "anything", []),
        ({"type": "string", "format": "date"}, "2026-02-30", wrong('must be of type date: "2026-02-30"', '"2026-02-30"')),
        (EITHER, "80%", []),
        (EITHER, 80, []),
        (
            EITHER,
            1.5,
            [
                *wrong('must be of type integer,string: "number"', '"number"'),
                without_a_field('"spec.a" must validate at least one schema (anyOf)'),
                *wrong('must be of type integer: "number"', '"number"'),
                without_a_field("Checked value must be of type integer (default format) in spec.a"),
            ],
        ),
        (
            {"type": "array", "items": {"type": "integer"}},
            [1, "2"],
            [("spec.a[1]", 'Invalid value: "string": spec.a[1] in body must be of type integer: "string"')],
        ),
    ],
)
def test_each_rule_has_its_words(schema: Json, value: Any, found: list[tuple[str, str]]) -> None:
    assert told(fields(a=schema), {"a": value}) == found


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        ({"oneOf": [{"required": ["x"]}, {"required": ["y"]}]}, {"x": 1}, []),
        (
            {"oneOf": [{"required": ["x"]}, {"required": ["y"]}]},
            {"x": 1, "y": 1},
            [without_a_field('"spec.a" must validate one and only one schema (oneOf). Found 2 valid alternatives')],
        ),
        (
            {"oneOf": [{"required": ["x"]}, {"required": ["y"]}]},
            {},
            [
                without_a_field('"spec.a" must validate one and only one schema (oneOf). Found none valid'),
                ("spec.a.x", "Required value"),
            ],
        ),
        ({"anyOf": [{"required": ["x"]}, {"required": ["y"]}]}, {"x": 1, "y": 1}, []),
        (
            {"anyOf": [{"required": ["x"]}, {"required": ["y"]}]},
            {},
            [without_a_field('"spec.a" must validate at least one schema (anyOf)'), ("spec.a.x", "Required value")],
        ),
        (
            {"allOf": [{"required": ["x"]}, {"required": ["y"]}]},
            {"x": 1},
            [("spec.a.y", "Required value"), without_a_field('"spec.a" must validate all the schemas (allOf)')],
        ),
        ({"not": {"required": ["x"]}}, {"x": 1}, [without_a_field('"spec.a" must not validate the schema (not)')]),
        ({"not": {"required": ["x"]}}, {"y": 1}, []),
    ],
)
def test_branches_are_weighed_against_each_other(schema: Json, value: Any, found: list[tuple[str, str]]) -> None:
    open_map = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert told(fields(a={**open_map, **schema}), {"a": value}) == found


def test_many_faults_are_told_in_the_order_of_the_schema_and_none_twice() -> None:
    schema = fields(b={"type": "string"}, a={"type": "integer", "allOf": [{"minimum": 5}], "minimum": 5})
    assert [cause.field for cause in judged(schema, {"a": 1, "b": 2})] == ["spec.b", "spec.a", "<nil>"]


def test_a_large_broken_list_is_judged_item_by_item() -> None:
    schema = fields(a={"type": "array", "items": {"type": "integer"}})
    assert len(judged(schema, {"a": ["x"] * 5000})) == 5000
