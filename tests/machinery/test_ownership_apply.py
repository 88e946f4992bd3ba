"""Server-side apply: conflicts, force, shared ownership, removal, and the way over from client-side apply."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from skerry.machinery import ownership
from skerry.machinery.errors import BadRequest, Conflict
from skerry.machinery.schema import Schema
from tests.machinery.histories import GROUP, LAST_APPLIED, Json, thing
from tests.machinery.test_ownership import MAIN, STATUS, changed, fields, managers, writer, written


def applied(live: Json | None, config: Json, manager: str = "one", second: int = 0, *, force: bool = False, **more: Any) -> Json:
    """The object after an apply; neither argument is changed."""
    before = copy.deepcopy((live, config))
    result = copy.deepcopy(ownership.apply(live, config, MAIN, writer(manager, second), force=force, **more))
    assert (live, config) == before
    result["metadata"].setdefault("uid", "u")
    return result


def conflicts(live: Json, config: Json, manager: str = "two") -> list[tuple[str, str]]:
    """Who is in the way, and where."""
    with pytest.raises(Conflict) as caught:
        applied(live, config, manager)
    return [(cause.message, cause.field) for cause in caught.value.causes]


RED = applied(None, thing({"color": "red", "size": 1}))


def test_an_applier_owns_the_leaves_that_he_names() -> None:
    obj = applied(None, thing({"owner": {"name": "x"}, "byName": {"a": {"weight": 1}}, "labels": {}, "tags": [], "ports": [{"name": "p"}]}))
    assert fields(obj, "one", "Apply") == {
        "f:owner": {"f:name": {}},
        "f:byName": {"f:a": {".": {}, "f:weight": {}}},
        "f:labels": {},
        "f:ports": {'k:{"name":"p","protocol":"TCP"}': {".": {}, "f:name": {}}},
    }


def test_null_is_owned_where_it_is_named_and_leaves_a_map_as_it_is() -> None:
    live = written(None, thing({"labels": {"a": "1"}, "tags": ["x"], "note": "n", "free": {"m": {"x": 1}, "l": [1]}}), writer("maker"))
    new = applied(live, thing({"labels": None, "tags": None, "note": None, "free": {"m": None, "l": None}}), force=True)
    assert new["spec"] == {"labels": {"a": "1"}, "tags": ["x"], "note": None, "free": {"m": {"x": 1}, "l": None}}
    assert fields(new, "one", "Apply") == {"f:labels": {}, "f:tags": {}, "f:note": {}, "f:free": {"f:m": {}, "f:l": {}}}


def test_managed_fields_in_a_config_are_refused() -> None:
    with pytest.raises(BadRequest, match=r"metadata\.managedFields must be nil"):
        applied(None, thing({}, metadata={"managedFields": []}))


class TestConflicts:
    def test_a_conflict_names_the_other_manager_and_the_field(self) -> None:
        with pytest.raises(Conflict) as caught:
            applied(RED, thing({"color": "blue"}), "two")
        assert caught.value.message == 'Apply failed with 1 conflict: conflict with "one": .spec.color'

    def test_several_conflicts_are_listed_by_manager(self) -> None:
        live = applied(RED, thing({"note": "n"}), "amy")
        live = written(live, live | {"spec": {**live["spec"], "port": 1}}, writer("edit", 3))
        with pytest.raises(Conflict) as caught:
            applied(live, thing({"color": "blue", "size": 2, "note": "m", "port": 2}), "two")
        assert caught.value.message.splitlines() == [
            'Apply failed with 4 conflicts: conflicts with "amy":',
            "- .spec.note",
            f'conflicts with "edit" using {GROUP}/v1:',
            "- .spec.port",
            'conflicts with "one":',
            "- .spec.color",
            "- .spec.size",
        ]

    def test_paths_of_one_level_come_before_those_below(self) -> None:
        live = applied(None, thing({"byName": {"a": {"weight": 1}}, "color": "red", "ports": [{"name": "p", "port": 1}]}))
        live = changed(live, byName={"a": {"weight": 2}})
        config = thing({"byName": {"a": {"weight": 3}}, "color": "blue", "ports": [{"name": "p", "port": 2}]})
        assert [field for _, field in conflicts(live, config)] == [
            ".spec.color",
            ".spec.byName.a.weight",
            '.spec.ports[name="p",protocol="TCP"].port',
        ]

    def test_who_wrote_through_a_subresource_is_named_with_it(self) -> None:
        live = written(RED, RED | {"status": {"phase": "a"}}, writer("controller", 1, subresource="status"), STATUS)
        with pytest.raises(Conflict, match='"controller" with subresource "status" using'):
            ownership.apply(live, thing(status={"phase": "b"}), STATUS, writer("two", 2, subresource="status"), force=False)

    def test_the_same_value_is_no_conflict_and_is_shared(self) -> None:
        obj = applied(RED, thing({"color": "red"}), "two", 1)
        assert fields(obj, "one", "Apply") == {"f:color": {}, "f:size": {}}
        assert fields(obj, "two", "Apply") == {"f:color": {}}

    def test_force_takes_the_field_over(self) -> None:
        obj = applied(RED, thing({"color": "blue"}), "two", 1, force=True)
        assert obj["spec"] == {"color": "blue", "size": 1}
        assert fields(obj, "one", "Apply") == {"f:size": {}}

    def test_a_new_entry_in_a_map_of_somebody_else_is_no_conflict(self) -> None:
        live = applied(None, thing({"labels": {"a": "1"}, "tags": ["a"], "ports": [{"name": "a"}]}))
        obj = applied(live, thing({"labels": {"b": "1"}, "tags": ["b"], "ports": [{"name": "b"}]}), "two")
        assert obj["spec"] == {"labels": {"a": "1", "b": "1"}, "tags": ["a", "b"], "ports": [{"name": "a"}, {"name": "b"}]}

    def test_an_atomic_value_is_one_conflict(self) -> None:
        live = applied(None, thing({"frozen": {"a": "1"}, "numbers": [1]}))
        found = conflicts(live, thing({"frozen": {"b": "1"}, "numbers": [1, 2]}))
        assert found == [('conflict with "one"', ".spec.frozen"), ('conflict with "one"', ".spec.numbers")]


class TestRemoval:
    def test_what_is_named_no_more_is_removed(self) -> None:
        assert applied(RED, thing({"size": 1}), second=1)["spec"] == {"size": 1}

    def test_what_somebody_else_owns_too_stays(self) -> None:
        shared = applied(RED, thing({"color": "red"}), "two", 1)
        obj = applied(shared, thing({"size": 1}), "one", 2)
        assert obj["spec"] == {"color": "red", "size": 1}
        assert fields(obj, "one", "Apply") == {"f:size": {}}

    def test_what_an_update_has_changed_meanwhile_stays(self) -> None:
        live = written(RED, changed(RED, color="green"), writer("edit", 1))
        assert applied(live, thing({"size": 1}), second=2)["spec"] == {"color": "green", "size": 1}

    def test_a_named_field_in_which_nobody_owns_anything_goes_with_its_defaults(self) -> None:
        live = applied(None, thing({"owner": {"name": "x"}, "size": 1}))
        live["spec"]["owner"]["mail"] = "nobody"
        assert applied(live, thing({"size": 1}), second=1)["spec"] == {"size": 1}

    def test_defaults_beside_an_owned_field_stay(self) -> None:
        live = applied(None, thing({"owner": {"name": "x", "role": "r"}}))
        live["spec"]["owner"]["mail"] = "nobody"
        assert applied(live, thing({"owner": {"name": "x"}}), second=1)["spec"] == {"owner": {"name": "x", "mail": "nobody"}}

    def test_items_are_removed_from_lists_and_maps_and_others_keep_theirs(self) -> None:
        first = applied(None, thing({"labels": {"a": "1"}, "tags": ["a"], "ports": [{"name": "a", "port": 1}]}))
        both = applied(first, thing({"labels": {"b": "1"}, "tags": ["b"], "ports": [{"name": "b"}]}), "two", 1)
        assert applied(both, thing(), second=2)["spec"] == {"labels": {"b": "1"}, "tags": ["b"], "ports": [{"name": "b"}]}

    def test_within_an_item_of_somebody_else_only_the_own_field_goes(self) -> None:
        first = applied(None, thing({"pools": [{"id": 1, "tags": ["a"]}]}))
        both = applied(first, thing({"pools": [{"id": 1, "deep": [{"name": "x"}]}]}), "two", 1)
        assert applied(both, thing(), second=2)["spec"] == {"pools": [{"id": 1, "deep": [{"name": "x"}]}]}

    def test_a_set_keeps_the_order_that_the_config_gives(self) -> None:
        first = applied(None, thing({"tags": ["a", "b"]}))
        two = applied(first, thing({"tags": ["c", "a"]}), "two", 1)
        assert two["spec"]["tags"] == ["c", "a", "b"]
        assert applied(two, thing({"tags": ["b"]}), second=2)["spec"]["tags"] == ["c", "a", "b"]

    def test_an_emptied_container_of_an_updater_becomes_null_for_validation_to_judge(self) -> None:
        made = written(None, thing({"labels": {}, "size": 1}), writer("maker"))
        both = applied(made, thing({"labels": {"a": "1"}}), second=1)
        assert applied(both, thing(), second=2)["spec"] == {"labels": None, "size": 1}

    def test_an_applier_of_nothing_is_gone(self) -> None:
        assert managers(applied(applied(RED, thing({"note": "n"}), "two", 1), thing(), "one", 2)) == ["two"]


class TestNoChange:
    def test_the_same_again_changes_nothing_at_all(self) -> None:
        assert applied(RED, thing({"color": "red", "size": 1}), second=9) == RED

    def test_an_applier_who_changes_no_value_gets_no_time(self) -> None:
        obj = applied(RED, thing({"color": "red"}), "two", 9)
        assert "time" not in obj["metadata"]["managedFields"][0]
        assert obj["metadata"]["managedFields"][0]["manager"] == "two"

    def test_giving_up_a_shared_field_leaves_the_time(self) -> None:
        shared = applied(RED, thing({"color": "red"}), "two", 1)
        obj = applied(shared, thing({"size": 1}), second=9)
        assert [each.get("time") for each in obj["metadata"]["managedFields"] if each["manager"] == "one"] == ["2026-01-01T00:00:00Z"]

    def test_another_order_of_items_is_a_change(self) -> None:
        live = applied(None, thing({"ports": [{"name": "a"}, {"name": "b"}]}))
        obj = applied(live, thing({"ports": [{"name": "b"}, {"name": "a"}]}), second=9)
        assert [port["name"] for port in obj["spec"]["ports"]] == ["b", "a"]
        assert obj["metadata"]["managedFields"][0]["time"] == "2026-01-01T00:00:09Z"


class TestStatus:
    def test_an_apply_to_the_status_reaches_nothing_else(self) -> None:
        config = thing({"color": "blue"}, metadata={"labels": {"a": "b"}}, status={"phase": "x"})
        obj = ownership.apply(RED, config, STATUS, writer("one", 1, subresource="status"), force=False)
        assert obj["spec"] == RED["spec"]
        assert "labels" not in obj["metadata"]
        assert [(each.get("subresource"), each["fieldsV1"]) for each in obj["metadata"]["managedFields"]] == [
            (None, {"f:spec": {"f:color": {}, "f:size": {}}}),
            ("status", {"f:status": {"f:phase": {}}}),
        ]

    def test_a_status_in_a_config_for_the_main_resource_is_ignored(self) -> None:
        obj = applied(None, thing({"size": 1}, status={"phase": "x"}))
        assert "status" not in obj
        assert "f:status" not in obj["metadata"]["managedFields"][0]["fieldsV1"]

    def test_conditions_of_two_appliers_live_side_by_side(self) -> None:
        obj = RED
        for second, name in enumerate(("A", "B"), 1):
            config = thing(status={"conditions": [{"type": name, "status": "True"}]})
            obj = ownership.apply(obj, config, STATUS, writer(name, second, subresource="status"), force=False)
        assert [each["type"] for each in obj["status"]["conditions"]] == ["A", "B"]


def test_an_object_that_nobody_is_known_to_own_belongs_to_those_before_the_first_apply() -> None:
    live = thing({"color": "red"}, metadata={"uid": "u"})
    with pytest.raises(Conflict, match="before-first-apply"):
        applied(live, thing({"color": "blue"}))
    assert managers(applied(live, thing({"color": "blue", "size": 1}), force=True)) == ["one", "before-first-apply"]


def test_an_applier_has_one_entry_whatever_the_version() -> None:
    obj = ownership.apply(RED, thing({"size": 1}), MAIN, writer("one", 1, "v1beta1"), force=False)
    assert [(each["manager"], each["apiVersion"]) for each in obj["metadata"]["managedFields"]] == [("one", f"{GROUP}/v1beta1")]
    assert obj["spec"] == {"size": 1}


class TestKubectl:
    """``kubectl apply --server-side`` on objects of client-side apply."""

    def client_side(self, noted: Json, **spec: Any) -> Json:
        annotations = {LAST_APPLIED: json.dumps(noted), "own": "x"}
        return written(None, thing(spec, metadata={"annotations": annotations}), writer("kubectl-client-side-apply"))

    def test_what_the_annotation_names_is_taken_over_without_a_conflict(self) -> None:
        live = self.client_side(thing({"color": "red"}), color="red", size=1)
        obj = applied(live, thing({"color": "blue"}), "kubectl", 1)
        assert obj["spec"] == {"color": "blue", "size": 1}
        assert fields(obj, "kubectl", "Apply") == {"f:color": {}}

    def test_what_it_does_not_name_or_was_changed_since_is_a_conflict(self) -> None:
        live = self.client_side(thing({"color": "red", "note": "n"}), color="red", size=1, note="m")
        found = conflicts(live, thing({"color": "blue", "size": 2, "note": "k"}), "kubectl")
        assert [field for _, field in found] == [".spec.note", ".spec.size"]

    def test_any_other_applier_is_in_conflict(self) -> None:
        live = self.client_side(thing({"color": "red"}), color="red")
        assert [field for _, field in conflicts(live, thing({"color": "blue"}), "argo")] == [".spec.color"]

    @pytest.mark.parametrize("noted", ["", "no JSON", "[]", "{}", '{"apiVersion":"test.skerry.dev/v9","spec":{"color":"red"}}'])
    def test_an_annotation_that_says_nothing_frees_nothing(self, noted: str) -> None:
        live = self.client_side({}, color="red")
        live["metadata"]["annotations"][LAST_APPLIED] = noted
        assert [field for _, field in conflicts(live, thing({"color": "blue"}), "kubectl")] == [".spec.color"]

    def test_the_annotation_is_kept_true_and_its_owner(self) -> None:
        live = self.client_side(thing({"color": "red"}), color="red")
        config = thing({"color": "red", "note": "<&>"}, metadata={"annotations": {LAST_APPLIED: "old", "b": "c"}})
        del config["metadata"]["annotations"][LAST_APPLIED]
        obj = applied(live, config, "kubectl", 1)
        text = obj["metadata"]["annotations"][LAST_APPLIED]
        assert json.loads(text) == config
        assert "\\u003c\\u0026\\u003e" in text
        assert text.endswith("\n")
        assert obj["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"] == {"f:annotations": {"f:b": {}}}

    def test_an_annotation_that_would_become_too_large_is_dropped(self) -> None:
        live = self.client_side({}, color="red")
        obj = applied(live, thing({"labels": {"a": "x" * 262_144}}), "kubectl", 1)
        assert obj["metadata"]["annotations"] == {"own": "x"}


def test_appliers_of_types_that_differ_by_version_see_their_own() -> None:
    sets: Json = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}}
    old = Schema({"type": "object", "properties": {"spec": {"type": "object", "properties": {"numbers": sets}}}}).type
    kinds = {f"{GROUP}/v1": MAIN, f"{GROUP}/v1beta1": old}
    live = applied(None, thing({"numbers": [1]}), "whole", versions=kinds.get)
    with pytest.raises(Conflict) as caught:
        ownership.apply(live, thing({"numbers": [1, 2]}), old, writer("set", 1, "v1beta1"), force=False, versions=kinds.get)
    assert [cause.field for cause in caught.value.causes] == [".spec.numbers"]
    obj = ownership.apply(live, thing({"numbers": [1, 2]}), old, writer("set", 1, "v1beta1"), force=True, versions=kinds.get)
    assert fields(obj, "set", "Apply") == {"f:numbers": {"v:1": {}, "v:2": {}}}
