"""Patches that make much out of little, and objects that grow by many small steps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from skerry.kit.bounds import MOST_VALUES
from skerry.machinery.patches import MOST_OPERATIONS
from skerry.restapi.writes import MOST_OBJECT_BYTES
from tests.hostile.caller import CONFIGMAPS, Hostile, Json, config_map


def add(path: str, value: object) -> Json:
    return {"op": "add", "path": path, "value": value}


def move(source: str, path: str) -> Json:
    return {"op": "move", "from": source, "path": path}


DOUBLING = [add("/data", {"a": "x" * 1000}), *({"op": "copy", "from": "/data", "path": f"/data/b{i}"} for i in range(40))]
DEEPENING = [add("/a", {}), *(step for _ in range(3000) for step in (move("/a", "/b"), add("/a", {}), move("/b", "/a/b")))]
UNFIT: dict[str, list[Any]] = {
    "copies of copies": DOUBLING,
    "copies into a list": [add("/l", ["x" * 10_000]), *({"op": "copy", "from": "/l/0", "path": "/l/-"} for _ in range(3000))],
    "moved deeper and deeper": DEEPENING,
    "too many operations": [{"op": "test", "path": "/kind", "value": "ConfigMap"}] * (MOST_OPERATIONS + 1),
    "a huge index": [add("/metadata/finalizers", []), add("/metadata/finalizers/99999999999999999999", "a.b/c")],
    "an index of ten thousand digits": [add("/metadata/finalizers", []), add("/metadata/finalizers/" + "9" * 10_000, "a.b/c")],
    "an index below zero": [add("/metadata/finalizers", []), add("/metadata/finalizers/-5", "a.b/c")],
    "an index of another script": [add("/metadata/finalizers", ["a"]), {"op": "remove", "path": "/metadata/finalizers/\u0660"}],
    "a path of a megabyte": [add("/a" * 500_000, 1)],
    "a pointer without a slash": [add("data", {})],
    "an empty path": [{"op": "remove", "path": ""}],
    "the whole replaced by a number": [{"op": "replace", "path": "", "value": 1}],
    "moved into itself": [add("/data", {"a": "b"}), move("/data", "/data/a/b")],
    "an unknown operation": [{"op": "explode", "path": "/data"}],
    "no operation": [{"path": "/data"}],
    "operations that are numbers": [1, 2, 3],
    "operations in operations": [[[]]],
    "a path that is a list": [{"op": "add", "path": [], "value": 1}],
}


@pytest.mark.parametrize("patch", UNFIT.values(), ids=UNFIT.keys())
def test_a_json_patch_that_does_not_fit_is_refused_and_changes_nothing(hostile: Hostile, patch: list[Any]) -> None:
    path = f"{CONFIGMAPS}/unfit"
    hostile.ask("POST", CONFIGMAPS, config_map("unfit", {"a": "b"}))
    before = hostile.ask("GET", path).json
    answer = hostile.patch(path, patch, "json")
    assert (answer.code, answer.reason) in {(400, "BadRequest"), (413, "RequestEntityTooLarge"), (422, "Invalid")}, answer.body[:300]
    assert len(answer.body) < 64 * 1024
    assert hostile.ask("GET", path).json == before


ENTRY = {"operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1"}
ODD: dict[str, tuple[str, object]] = {
    "a revision that is a list": ("merge", {"metadata": {"resourceVersion": ["1"]}}),
    "a revision that is a map": ("strategic-merge", {"metadata": {"resourceVersion": {}}}),
    "metadata that is text": ("merge", {"metadata": "x"}),
    "data that is a list": ("merge", {"data": [1]}),
    "a list for a patch": ("merge", [{"a": 1}]),
    "text for a patch": ("strategic-merge", "x"),
    "owners without a key": ("strategic-merge", {"metadata": {"ownerReferences": [{"name": "x"}]}}),
    "owners that are numbers": ("strategic-merge", {"metadata": {"ownerReferences": [1]}}),
    "owners whose key is a map": ("strategic-merge", {"metadata": {"ownerReferences": [{"uid": {"a": 1}}]}}),
    "an order that is text": ("strategic-merge", {"metadata": {"$setElementOrder/finalizers": "x", "finalizers": [1, {}, []]}}),
    "removal from what is no list": ("strategic-merge", {"$deleteFromPrimitiveList/data": ["a"]}),
    "owners that hold anything": ("merge", {"metadata": {"ownerReferences": [{"uid": "u", "controller": "yes", "x": {"y": 1}}]}}),
    "managers whose name is a list": (
        "merge",
        {"metadata": {"managedFields": [{**ENTRY, "manager": []}]}},
    ),
    "managers of fields that are no fields": (
        "merge",
        {
            "metadata": {
                "managedFields": [{"operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"k:[": {"": 1}}}]
            }
        },
    ),
    "managed fields that are no fields": ("merge", {"metadata": {"managedFields": [[], 1, {"fieldsV1": 1}, {"manager": []}]}}),
}


@pytest.mark.parametrize(("kind", "patch"), ODD.values(), ids=ODD.keys())
def test_a_patch_of_the_wrong_types_is_refused_or_ignored(hostile: Hostile, kind: str, patch: object) -> None:
    hostile.ask("POST", CONFIGMAPS, config_map("odd", {"a": "b"}))
    answer = hostile.patch(f"{CONFIGMAPS}/odd", patch, kind)
    assert answer.code in {200, 400, 409, 422}, answer.body[:300]


MANY: dict[str, Json] = {
    "labels": {"labels": {f"label{i}": "v" for i in range(10_000)}},
    "annotations": {"annotations": {f"note{i}": "" for i in range(5000)}},
    "finalizers": {"finalizers": [f"example.com/f{i}" for i in range(10_000)]},
    "owners": {"ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": f"u{i}"} for i in range(5000)]},
    "controllers": {
        "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": f"u{i}", "controller": True} for i in range(3000)]
    },
}


@pytest.mark.parametrize("metadata", MANY.values(), ids=MANY.keys())
def test_thousands_of_anything_are_taken_or_refused_in_every_way_of_writing(hostile: Hostile, metadata: Json) -> None:
    name = f"many-{next(iter(metadata)).lower()}"
    many = config_map(name, **metadata)
    path = f"{CONFIGMAPS}/{name}"
    hostile.ask("POST", CONFIGMAPS, config_map(name))
    for kind in ("merge", "strategic-merge", "apply", "apply"):
        answer = hostile.patch(path, many, kind, **({"force": "true"} if kind == "apply" else {}))
        assert answer.code in {200, 413, 422}, answer.body[:300]
    assert hostile.ask("DELETE", path).code == 200
    hostile.patch(path, {"metadata": {"finalizers": None}})


def test_a_write_that_makes_an_object_larger_than_the_bound_is_refused(hostile: Hostile) -> None:
    path = f"{CONFIGMAPS}/grown"
    assert hostile.ask("POST", CONFIGMAPS, config_map("grown", {"a": "x" * 900_000})).code == 201
    notes = {f"n{i}": "x" * 200_000 for i in range(1)}
    assert hostile.patch(path, {"metadata": {"annotations": notes}}).code == 200
    answer = hostile.patch(path, {"metadata": {"labels": {f"l{i}-{'y' * 50}": "v" * 60 for i in range(5000)}}})
    assert (answer.code, answer.reason) == (413, "RequestEntityTooLarge")
    assert str(MOST_OBJECT_BYTES) in answer.message
    assert "labels" not in hostile.ask("GET", path).json["metadata"]
    assert hostile.ask("DELETE", path).code == 200


def test_thousands_of_field_managers_end_at_the_bound_of_an_object(hostile: Hostile) -> None:
    """One update can bring thousands of managers, and each apply one more: what they make is bounded as everything is."""
    path = f"{CONFIGMAPS}/managed"

    def managers(count: int) -> Json:
        entry = {"operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}}
        return {"metadata": {"managedFields": [{**entry, "manager": f"manager-{i}"} for i in range(count)]}}

    hostile.ask("POST", CONFIGMAPS, config_map("managed", {"a": "b"}))
    assert hostile.patch(path, managers(5000)).code == 200
    assert len(hostile.ask("GET", path).json["metadata"]["managedFields"]) >= 5000
    for i in range(5):
        assert hostile.patch(path, config_map("managed", {"a": "b"}), "apply", fieldManager=f"late-{i}", force="true").code == 200
    assert hostile.patch(path, managers(16_000)).code == 413
    assert hostile.patch(path, {"metadata": {"managedFields": [{}]}}).code == 200
    assert hostile.ask("DELETE", path).code == 200


def test_the_most_values_that_are_taken_go_through_every_step(hostile: Hostile) -> None:
    data = {f"k{i}": "" for i in range(40_000)}
    assert hostile.ask("POST", CONFIGMAPS, config_map("widest", data)).code == 201
    path = f"{CONFIGMAPS}/widest"
    assert hostile.patch(path, {"data": {"k1": "changed"}}).code == 200
    assert hostile.patch(path, config_map("widest", data), "apply", force="true").code == 413  # as many fields again, of another manager
    replaced = hostile.ask("GET", path).json
    assert hostile.ask("PUT", path, replaced).code == 200
    assert hostile.ask("DELETE", path).code == 200
    too_many = json.dumps(config_map("wider", {f"k{i}": "" for i in range(MOST_VALUES)})).encode()
    assert hostile.ask("POST", CONFIGMAPS, too_many).code == 413
