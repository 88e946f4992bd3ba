"""The classic patches, against the examples of their RFCs and of strategic merging."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.machinery.errors import BadRequest, Invalid, RequestEntityTooLarge
from skerry.machinery.patches import MOST_OPERATIONS, json_patch, merge_patch, strategic_patch

Json = dict[str, Any]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


alike = settings(max_examples=60, derandomize=True, deadline=None)


class TestMergePatch:
    @pytest.mark.parametrize(
        ("target", "patch", "result"),
        [
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
    def test_the_examples_of_rfc_7386(self, target: Any, patch: Any, result: Any) -> None:
        assert merge_patch(target, patch) == result

    @given(values, values)
    @alike
    def test_no_argument_is_changed_and_twice_is_once(self, target: Any, patch: Any) -> None:
        kept = copy.deepcopy((target, patch))
        once = merge_patch(target, patch)
        assert merge_patch(once, patch) == once
        assert (target, patch) == kept


def op(kind: str, path: str, **more: Any) -> Json:
    return {"op": kind, "path": path, **more}


class TestJsonPatch:
    @pytest.mark.parametrize(
        ("target", "operation", "result"),
        [
            ({"foo": "bar"}, op("add", "/baz", value="qux"), {"foo": "bar", "baz": "qux"}),
            ({"foo": ["bar", "baz"]}, op("add", "/foo/1", value="qux"), {"foo": ["bar", "qux", "baz"]}),
            ({"foo": ["bar"]}, op("add", "/foo/-", value=["abc"]), {"foo": ["bar", ["abc"]]}),
            ({"foo": ["bar"]}, op("add", "/foo/1", value="end"), {"foo": ["bar", "end"]}),
            ({"baz": "qux", "foo": "bar"}, op("remove", "/baz"), {"foo": "bar"}),
            ({"foo": ["bar", "qux", "baz"]}, op("remove", "/foo/1"), {"foo": ["bar", "baz"]}),
            ({"foo": ["bar", "baz"]}, op("remove", "/foo/-1"), {"foo": ["bar"]}),
            ({"baz": "qux"}, op("replace", "/baz", value="boo"), {"baz": "boo"}),
            ({"foo": ["a", "b"]}, op("replace", "/foo/1", value="c"), {"foo": ["a", "c"]}),
            ({"a": {"b": 1}, "c": {}}, op("move", "/c/d", **{"from": "/a/b"}), {"a": {}, "c": {"d": 1}}),
            ({"foo": ["a", "b", "c"]}, op("move", "/foo/2", **{"from": "/foo/0"}), {"foo": ["b", "c", "a"]}),
            ({"a": {"b": [1]}}, op("copy", "/c", **{"from": "/a/b"}), {"a": {"b": [1]}, "c": [1]}),
            ({"a": 1}, op("test", "/a", value=1), {"a": 1}),
            ({"/": 9, "~1": 10}, op("test", "/~01", value=10), {"/": 9, "~1": 10}),
            ({"a": 1}, op("add", "", value={"b": 2}), {"b": 2}),
            ({"": {"": 1}}, op("replace", "//", value=2), {"": {"": 2}}),
        ],
    )
    def test_one_operation(self, target: Json, operation: Json, result: Any) -> None:
        kept = copy.deepcopy((target, operation))
        assert json_patch(target, [operation]) == result
        assert (target, operation) == kept

    @pytest.mark.parametrize(
        ("operation", "says"),
        [
            (op("remove", "/nope"), "missing key: /nope"),
            (op("add", "/a/b/c", value=1), "missing path: /a/b"),
            (op("replace", "/list/7", value=1), "invalid index: 7"),
            (op("add", "/list/x", value=1), "x is no index"),
            (op("remove", "/list/-"), "- is no index"),
            (op("add", "/list/-9", value=1), "invalid index: -9"),
            (op("add", "/a/b", value=1), "missing path"),
            (op("test", "/a", value=2), "test failed"),
            (op("copy", "/x", **{"from": "/nope"}), "missing path: /nope"),
            (op("eat", "/a"), "error in our request"),
            ({"path": "/a"}, "error in our request"),
        ],
    )
    def test_what_does_not_fit_is_invalid_and_says_why(self, operation: Json, says: str) -> None:
        with pytest.raises(Invalid) as caught:
            json_patch({"a": 1, "list": [1]}, [operation])
        assert caught.value.message.startswith("the server rejected our request due to an error in our request")
        assert says in caught.value.message

    @pytest.mark.parametrize("operations", [{}, [op("add", "/a")], [{"op": "add", "value": 1}], [op("add", "a", value=1)]])
    def test_what_cannot_be_understood_is_a_bad_request(self, operations: Any) -> None:
        with pytest.raises(BadRequest):
            json_patch({}, operations)

    def test_all_of_it_or_nothing(self) -> None:
        target = {"a": [1]}
        with pytest.raises(Invalid):
            json_patch(target, [op("add", "/a/-", value=2), op("test", "/a", value=[])])
        assert target == {"a": [1]}

    def test_a_value_is_copied_before_later_operations_change_it(self) -> None:
        operations = [op("add", "/a", value={"x": 1}), op("add", "/a/y", value=2), op("add", "/b", value={"x": 1})]
        kept = copy.deepcopy(operations)
        assert json_patch({}, operations) == {"a": {"x": 1, "y": 2}, "b": {"x": 1}}
        assert operations == kept

    def test_a_small_patch_makes_no_large_object(self) -> None:
        with pytest.raises(RequestEntityTooLarge):
            json_patch({}, [op("add", "/a", value="x" * 100_000), *[op("copy", "/b", **{"from": "/a"})] * 40])
        with pytest.raises(RequestEntityTooLarge):
            json_patch({}, [op("test", "/a", value=None)] * (MOST_OPERATIONS + 1))

    @given(values, values)
    @alike
    def test_replacing_the_whole_gives_the_whole(self, target: Any, value: Any) -> None:
        assert json.dumps(json_patch(target, [op("replace", "", value=value)])) == json.dumps(value)


SCHEMA: Json = {
    "properties": {
        "ports": {
            "type": "array",
            "x-kubernetes-patch-strategy": "merge",
            "x-kubernetes-patch-merge-key": "port",
            "items": {"properties": {"tags": {"type": "array"}}},
        },
        "words": {"type": "array", "x-kubernetes-patch-strategy": "merge"},
        "plain": {"type": "array"},
        "data": {"type": "object", "additionalProperties": {"type": "object"}},
    }
}


def strategic(target: Json, patch: Json) -> Any:
    """The result; the arguments stay as they are."""
    kept = copy.deepcopy((target, patch))
    result = strategic_patch(target, patch, SCHEMA)
    assert (target, patch) == kept
    return result


class TestStrategicPatch:
    def test_lists_merge_by_their_key_and_other_lists_are_replaced(self) -> None:
        target = {"ports": [{"port": 1, "name": "a", "tags": [1]}, {"port": 2}], "plain": [1]}
        patch = {"ports": [{"port": 1, "name": "b", "tags": [2]}], "plain": [2]}
        assert strategic(target, patch) == {"ports": [{"port": 1, "name": "b", "tags": [2]}, {"port": 2}], "plain": [2]}

    def test_an_item_can_be_deleted_and_a_list_replaced(self) -> None:
        target = {"ports": [{"port": 1}, {"port": 2}], "data": {"a": {"x": 1}}}
        assert strategic(target, {"ports": [{"port": 1, "$patch": "delete"}]})["ports"] == [{"port": 2}]
        assert strategic(target, {"data": {"$patch": "replace", "b": {}}})["data"] == {"b": {}}
        assert strategic(target, {"data": {"$patch": "delete"}})["data"] == {}

    def test_new_items_stand_where_the_patch_has_them_and_others_where_they_stood(self) -> None:
        words = ["a", "b", "c"]
        assert strategic({"words": words}, {"words": ["d"]})["words"] == ["d", "a", "b", "c"]
        assert strategic({"words": words}, {"words": ["c", "d"]})["words"] == ["a", "b", "c", "d"]
        assert strategic({"words": words}, {"words": ["b", "b", "d"]})["words"] == ["a", "b", "d", "c"]

    def test_an_order_that_is_asked_for_is_kept(self) -> None:
        target = {"ports": [{"port": 1}, {"port": 2}, {"port": 3}]}
        patch = {"$setElementOrder/ports": [{"port": 3}, {"port": 1}], "ports": [{"port": 1, "name": "x"}]}
        assert [port["port"] for port in strategic(target, patch)["ports"]] == [2, 3, 1]

    def test_values_can_be_taken_out_of_a_list_of_words(self) -> None:
        assert strategic({"words": ["a", "b"]}, {"$deleteFromPrimitiveList/words": ["a"]})["words"] == ["b"]

    def test_only_retained_keys_stay(self) -> None:
        assert strategic({"plain": [1], "data": {"a": {}}}, {"$retainKeys": ["plain"], "plain": [2]}) == {"plain": [2]}

    def test_finalizers_and_owners_merge_for_every_kind(self) -> None:
        target = {"metadata": {"finalizers": ["a"], "ownerReferences": [{"uid": "1", "name": "x"}]}}
        patch = {"metadata": {"finalizers": ["b"], "ownerReferences": [{"uid": "1", "name": "y"}, {"uid": "2"}]}}
        assert strategic(target, patch)["metadata"] == {
            "finalizers": ["b", "a"],
            "ownerReferences": [{"uid": "1", "name": "y"}, {"uid": "2"}],
        }

    def test_an_item_without_its_key_is_a_bad_request(self) -> None:
        with pytest.raises(BadRequest, match="does not contain declared merge key: port"):
            strategic({}, {"ports": [{"name": "a"}]})

    def test_null_removes(self) -> None:
        assert strategic({"plain": [1], "data": {"a": {}}}, {"plain": None, "data": {"a": None}}) == {"data": {}}
