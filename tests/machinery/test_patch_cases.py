"""Merge, JSON and strategic merge patches: what they make, what they refuse, and what they may cost."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from skerry.machinery.errors import ApiError, BadRequest, Invalid, RequestEntityTooLarge
from skerry.machinery.patches import MOST_OPERATIONS, json_patch, merge_patch, strategic_patch

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # the examples of RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert merge_patch(target, patch) == result
    assert target == before


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ({"a": [1, 2]}, [{"op": "replace", "path": "/a/-1", "value": 9}], {"a": [1, 9]}),
        ({"a/b": {"c~d": 1}}, [{"op": "replace", "path": "/a~1b/c~0d", "value": 2}], {"a/b": {"c~d": 2}}),
        ({"a": {"x": 1}}, [{"op": "move", "from": "/a", "path": "/b"}], {"b": {"x": 1}}),
        ({"a": {"x": 1}}, [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "remove", "path": "/a/x"}], {"a": {}, "b": {"x": 1}}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"a": None}, [{"op": "add", "path": "/b", "value": None}], {"a": None, "b": None}),
    ],
)
def test_a_json_patch(target: Json, operations: list[Json], result: Any) -> None:
    before = copy.deepcopy(target)
    assert json_patch(target, operations) == result
    assert target == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "/list/one", "value": 1},
        {"op": "add", "path": "/list/1_0", "value": 1},
        {"op": "add", "path": "/list/٣", "value": 1},
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "remove", "path": "/none"},
        {"op": "remove", "path": "/list/-"},
        {"op": "test", "path": "/a", "value": True},
        {"op": "test", "path": "/none", "value": None},
        {"op": "copy", "from": "/none", "path": "/b"},
        {"op": "move", "from": "/object", "path": "/object/x"},
        {"op": "jump", "path": "/a"},
        {"path": "/a"},
        {"op": 3},
        "add",
    ],
)
def test_a_json_patch_that_does_not_fit_is_invalid(operation: Any) -> None:
    with pytest.raises(Invalid):
        json_patch({"a": 1, "list": [1], "object": {}}, [operation])


@pytest.mark.parametrize(
    "operations",
    [
        {},
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "value": 1}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "copy", "path": "/b"}],
        [{"op": "move", "from": 3, "path": "/b"}],
    ],
)
def test_a_json_patch_that_cannot_be_understood_is_a_bad_request(operations: Any) -> None:
    with pytest.raises(BadRequest):
        json_patch({"a": 1}, operations)


def test_copies_cannot_make_a_small_patch_large() -> None:
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"} for _ in range(64)]
    with pytest.raises(RequestEntityTooLarge):
        json_patch({"a": ["x" * 100]}, doubling)


def test_the_number_of_operations_is_bounded() -> None:
    operations = [{"op": "test", "path": "/a", "value": 1}] * (MOST_OPERATIONS + 1)
    with pytest.raises(RequestEntityTooLarge):
        json_patch({"a": 1}, operations)


PODS: Json = {
    "properties": {
        "containers": {
            "x-kubernetes-patch-strategy": "merge",
            "x-kubernetes-patch-merge-key": "name",
            "items": {"properties": {"env": {}}},
        },
        "args": {},
    }
}


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"args": ["a"]}, {"args": ["b"]}, {"args": ["b"]}),
        (
            {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]},
            {"containers": [{"name": "a", "image": "2"}, {"name": "c"}]},
            {"containers": [{"name": "a", "image": "2"}, {"name": "c"}, {"name": "b"}]},
        ),
        (
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {"containers": [{"name": "a", "$patch": "delete"}]},
            {"containers": [{"name": "b"}]},
        ),
        (
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]},
            {"containers": [{"name": "b"}, {"name": "a"}]},
        ),
        ({"x": {"a": 1, "b": 2}}, {"x": {"$patch": "replace", "c": 3}}, {"x": {"c": 3}}),
        ({"x": {"a": 1, "b": 2}}, {"x": {"$retainKeys": ["b", "c"], "c": 3}}, {"x": {"b": 2, "c": 3}}),
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b"]}},
        ),
        ({"metadata": {"finalizers": ["a"]}}, {"metadata": {"finalizers": ["b", "a"]}}, {"metadata": {"finalizers": ["b", "a"]}}),
        ({"a": 1}, {"a": None}, {}),
    ],
)
def test_a_strategic_merge_patch(target: Json, patch: Json, result: Json) -> None:
    before = copy.deepcopy(target)
    assert strategic_patch(target, patch, PODS) == result
    assert target == before


@pytest.mark.parametrize(
    "patch",
    [
        {"containers": [{"image": "2"}]},
        {"containers": ["a"]},
        {"$deleteFromPrimitiveList/args": 3},
        {"$deleteFromPrimitiveList/text": ["a"]},
    ],
)
def test_a_strategic_merge_patch_that_makes_no_sense_is_refused(patch: Json) -> None:
    with pytest.raises(ApiError):
        strategic_patch({"containers": ["odd", {"name": "a"}], "text": "a"}, patch, PODS)
