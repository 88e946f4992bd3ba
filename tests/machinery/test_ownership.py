"""Creates, updates and classic patches: who owns what afterwards."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from skerry.machinery import ownership
from skerry.machinery.ownership import Writer
from skerry.machinery.schema import Schema
from skerry.machinery.types import FieldType
from tests.machinery.histories import GROUP, THING, Json, thing

MAIN, STATUS = THING.type.beside_status, THING.type.status_alone


def writer(manager: str, second: int = 0, version: str = "v1", subresource: str = "") -> Writer:
    return Writer(manager, f"{GROUP}/{version}", f"2026-01-01T00:00:{second:02}Z", subresource)


def written(old: Json | None, new: Json, by: Writer, kind: FieldType = MAIN, **more: Any) -> Json:
    """The new object after a write."""
    new = copy.deepcopy(new)
    new["metadata"].setdefault("uid", "u")
    before = copy.deepcopy(old)
    ownership.on_write(old, new, kind, by, **more)
    assert old == before
    return new


def changed(old: Json, **spec: Any) -> Json:
    """A copy with other fields in its spec; None removes one."""
    new = copy.deepcopy(old)
    new["spec"] = {name: value for name, value in {**new["spec"], **spec}.items() if value is not None}
    return new


def managers(obj: Json) -> list[str]:
    return [entry["manager"] for entry in obj["metadata"].get("managedFields", [])]


def fields(obj: Json, manager: str, operation: str = "Update") -> Json:
    """The fields of one manager below spec."""
    found = [each for each in obj["metadata"]["managedFields"] if (each["manager"], each["operation"]) == (manager, operation)]
    assert len(found) == 1
    spec: Json = found[0]["fieldsV1"].get("f:spec", {})
    return spec


MADE = written(None, thing({"color": "red", "size": 1, "tags": ["a"]}), writer("maker"))


def test_a_creator_owns_every_field_that_he_sent_and_nothing_that_the_server_keeps() -> None:
    made = written(None, thing({"owner": {"name": "x"}}, metadata={"labels": {"a": "b"}, "generateName": "g-"}), writer("maker"))
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "maker",
            "operation": "Update",
            "apiVersion": f"{GROUP}/v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:a": {}}},
                "f:spec": {".": {}, "f:owner": {".": {}, "f:name": {}}},
            },
        }
    ]


def test_what_an_object_holds_from_the_start_is_added_by_nobody() -> None:
    made = written(None, thing({"color": "red"}), writer("maker"), zero={"spec": {}})
    assert fields(made, "maker") == {"f:color": {}}


def test_an_update_takes_what_it_modifies_from_the_others() -> None:
    new = written(MADE, changed(MADE, color="blue"), writer("second", 1))
    assert fields(new, "second") == {"f:color": {}}
    assert "f:color" not in fields(new, "maker")


def test_an_update_that_changes_nothing_leaves_managers_and_times_as_they_are() -> None:
    new = written(MADE, MADE, writer("second", 1))
    assert new == MADE


def test_one_and_true_are_two_values_wherever_the_schema_is_open() -> None:
    made = written(None, thing({"free": {"a": {"b": 1}}, "loose": {"x": [1]}}), writer("maker"))
    new = written(made, changed(made, free={"a": {"b": True}}, loose={"x": [True]}), writer("second", 1))
    assert fields(new, "second") == {"f:free": {"f:a": {"f:b": {}}}, "f:loose": {"f:x": {}}}


def test_removing_a_field_takes_it_from_everybody_and_gives_it_to_nobody() -> None:
    new = written(MADE, changed(MADE, size=None), writer("second", 1))
    assert managers(new) == ["maker"]
    assert "f:size" not in fields(new, "maker")
    assert new["metadata"]["managedFields"][0]["time"] == "2026-01-01T00:00:00Z"


def test_a_manager_who_has_lost_everything_is_gone() -> None:
    two = written(MADE, changed(MADE, note="n"), writer("second", 1))
    three = written(two, changed(two, note="m"), writer("third", 2))
    assert managers(three) == ["maker", "third"]


def test_a_manager_has_one_entry_per_version_and_subresource() -> None:
    obj = written(MADE, changed(MADE, note="n"), writer("maker", 1, "v1beta1"))
    obj = written(obj, obj | {"status": {"phase": "Ready"}}, writer("maker", 2, subresource="status"), STATUS)
    assert [(each["apiVersion"], each.get("subresource")) for each in obj["metadata"]["managedFields"]] == [
        (f"{GROUP}/v1", None),
        (f"{GROUP}/v1beta1", None),
        (f"{GROUP}/v1", "status"),
    ]


def test_entries_stand_by_operation_then_time_then_name() -> None:
    obj = written(MADE, changed(MADE, note="n"), writer("zoe", 1))
    obj = written(obj, changed(obj, port=1), writer("amy", 1))
    obj = written(obj, changed(obj, color="green"), writer("maker", 5))
    obj = ownership.apply(obj, thing({"size": 1}), MAIN, writer("zz", 9), force=True)
    assert managers(obj) == ["zz", "amy", "zoe", "maker"]


def test_a_status_update_owns_nothing_but_status() -> None:
    new = changed(MADE, color="blue") | {"status": {"phase": "Ready"}}
    new = written(MADE, new, writer("controller", 1, subresource="status"), STATUS)
    assert new["metadata"]["managedFields"][-1]["fieldsV1"] == {"f:status": {".": {}, "f:phase": {}}}
    assert "f:color" in fields(new, "maker")


def test_a_status_sent_to_the_main_resource_changes_no_owner() -> None:
    obj = written(MADE, MADE | {"status": {"phase": "Ready"}}, writer("controller", 1, subresource="status"), STATUS)
    new = written(obj, obj | {"status": {"phase": "Other"}}, writer("second", 2))
    assert new["metadata"]["managedFields"] == obj["metadata"]["managedFields"]


class TestLists:
    def test_a_set_is_owned_value_by_value(self) -> None:
        new = written(MADE, changed(MADE, tags=["a", "b"]), writer("second", 1))
        assert fields(new, "second") == {"f:tags": {'v:"b"': {}}}

    def test_a_list_map_is_owned_item_by_item_and_field_by_field(self) -> None:
        obj = written(MADE, changed(MADE, ports=[{"name": "a", "port": 1}]), writer("second", 1))
        obj = written(obj, changed(obj, ports=[{"name": "b"}, {"name": "a", "port": 2}]), writer("third", 2))
        assert fields(obj, "second") == {"f:ports": {".": {}, 'k:{"name":"a","protocol":"TCP"}': {".": {}, "f:name": {}}}}
        assert fields(obj, "third") == {
            "f:ports": {
                'k:{"name":"a","protocol":"TCP"}': {"f:port": {}},
                'k:{"name":"b","protocol":"TCP"}': {".": {}, "f:name": {}},
            }
        }

    def test_another_order_changes_no_owner(self) -> None:
        obj = written(MADE, changed(MADE, ports=[{"name": "a"}, {"name": "b"}], tags=["a", "b"]), writer("second", 1))
        new = written(obj, changed(obj, ports=[{"name": "b"}, {"name": "a"}], tags=["b", "a"]), writer("third", 2))
        assert managers(new) == managers(obj)

    def test_atomic_values_are_owned_whole(self) -> None:
        obj = written(MADE, changed(MADE, numbers=[1], frozen={"a": "1"}), writer("second", 1))
        obj = written(obj, changed(obj, numbers=[1, 2], frozen={"a": "1", "b": "2"}), writer("third", 2))
        assert managers(obj) == ["maker", "third"]
        assert fields(obj, "third") == {"f:numbers": {}, "f:frozen": {}}

    def test_an_element_that_stands_twice_is_owned_whole(self) -> None:
        once = {"finalizers": ["x/a", "x/b"]}
        made = written(None, thing(metadata=once), writer("maker"))
        twice = copy.deepcopy(made)
        twice["metadata"]["finalizers"] = ["x/a", "x/b", "x/a"]
        new = written(made, twice, writer("second", 1))
        assert new["metadata"]["managedFields"][-1]["fieldsV1"] == {"f:metadata": {"f:finalizers": {'v:"x/a"': {}}}}
        back = written(new, made | {"metadata": {**new["metadata"], **once}}, writer("third", 2))
        assert back["metadata"]["managedFields"][-1]["fieldsV1"] == {"f:metadata": {"f:finalizers": {'v:"x/a"': {}}}}

    def test_keys_are_written_as_go_writes_them(self) -> None:
        new = written(MADE, changed(MADE, tags=["a", "<ü>\u2028"]), writer("second", 1))
        assert fields(new, "second") == {"f:tags": {'v:"\\u003cü\\u003e\\u2028"': {}}}


class TestNullsAndNatures:
    @pytest.mark.parametrize(
        ("old", "new", "taken", "left"),
        [
            ({"a": {"b": 1}}, {"a": 1}, {"f:a": {}}, {}),
            ({"a": 1}, {"a": {"b": 1}}, {"f:a": {".": {}, "f:b": {}}}, {}),
            ({"a": {}}, {"a": {"b": 1}}, {"f:a": {"f:b": {}}}, {"f:a": {}}),
            ({"a": {}}, {"a": None}, {"f:a": {}}, {}),
            ({"a": {"b": 1}}, {"a": None}, None, {"f:a": {}}),
            ({"a": None}, {"a": {"b": 1}}, {"f:a": {"f:b": {}}}, {"f:a": {}}),
            ({"a": [1]}, {"a": {"b": 1}}, {"f:a": {".": {}, "f:b": {}}}, {}),
            ({"a": {"b": 1}}, {"a": []}, {"f:a": {}}, {}),
            ({"a": None}, {"a": 1}, {"f:a": {}}, {}),
        ],
    )
    def test_a_value_of_another_nature_is_modified_and_null_is_an_empty_map(self, old: Json, new: Json, taken: Json, left: Json) -> None:
        made = written(None, thing({"free": old, "size": 1}), writer("maker"))
        after = written(made, changed(made, free=new), writer("second", 1))
        assert fields(after, "maker")["f:free"] == ({".": {}, **left} if left else {})
        assert managers(after) == (["maker", "second"] if taken else ["maker"])
        if taken:
            assert fields(after, "second") == {"f:free": taken}


class TestManagedFieldsOfTheClient:
    def sent(self, entries: Any, by: Writer | None = None, **spec: Any) -> Json:
        new = changed(MADE, **spec)
        new["metadata"]["managedFields"] = entries
        return written(MADE, new, by or writer("second", 1))

    @pytest.mark.parametrize("entries", [[], None, [{"manager": "x"}], [{**MADE["metadata"]["managedFields"][0], "operation": "Eat"}]])
    def test_a_list_that_is_empty_or_cannot_be_read_is_ignored(self, entries: Any) -> None:
        assert managers(self.sent(entries)) == ["maker"]
        assert managers(self.sent(entries, note="n")) == ["maker", "second"]

    @pytest.mark.parametrize(
        "element", ["x", "f", "k:{", "k:[]", "v:", "i:a", "x:y", "v:\x00"], ids=["bare", "short", "k1", "k2", "v", "i", "kind", "nul"]
    )
    def test_a_path_element_that_cannot_be_read_spoils_the_list(self, element: str) -> None:
        entry = {**MADE["metadata"]["managedFields"][0], "manager": "other", "fieldsV1": {"f:spec": {element: {}}}}
        assert managers(self.sent([entry])) == ["maker"]

    def test_a_list_that_can_be_read_counts_for_what_it_says(self) -> None:
        entry = {**MADE["metadata"]["managedFields"][0], "manager": "renamed", "surplus": 1}
        found = self.sent([entry, entry])
        assert managers(found) == ["renamed"]
        assert "surplus" not in found["metadata"]["managedFields"][0]

    def test_one_empty_entry_forgets_everybody_until_somebody_applies(self) -> None:
        forgotten = self.sent([{}])
        assert managers(forgotten) == []
        again = written(forgotten, changed(forgotten, color="green"), writer("third", 2))
        assert managers(again) == []
        applied = ownership.apply(again, thing({"note": "n"}), MAIN, writer("applier", 3), force=False)
        assert managers(applied) == ["applier", "before-first-apply"]

    def test_a_subresource_takes_no_managed_fields(self) -> None:
        new = copy.deepcopy(MADE) | {"status": {"phase": "x"}}
        new["metadata"]["managedFields"] = [{}]
        new = written(MADE, new, writer("controller", 1, subresource="status"), STATUS)
        assert managers(new) == ["maker", "controller"]

    def test_an_entry_without_fields_is_dropped_at_the_next_update(self) -> None:
        empty = {"manager": "e", "operation": "Update", "apiVersion": f"{GROUP}/v1", "fieldsType": "FieldsV1"}
        assert managers(self.sent([empty, *MADE["metadata"]["managedFields"]])) == ["maker"]


class TestAncientChanges:
    def object_of(self, *versions: str) -> Json:
        """One label, one second and one manager per version."""
        obj = written(None, thing(metadata={"labels": {"l0": "x"}}), writer("m00", 0, versions[0]))
        for number, version in enumerate(versions[1:], 1):
            new = copy.deepcopy(obj)
            new["metadata"]["labels"][f"l{number}"] = "x"
            obj = written(obj, new, writer(f"m{number:02}", number, version))
        return obj

    def test_the_two_oldest_of_eleven_updaters_become_one(self) -> None:
        obj = self.object_of(*["v1"] * 11)
        assert managers(obj) == ["ancient-changes", *(f"m{number:02}" for number in range(2, 11))]
        ancient = obj["metadata"]["managedFields"][0]
        assert ancient["time"] == "2026-01-01T00:00:01Z"
        assert set(ancient["fieldsV1"]["f:metadata"]["f:labels"]) == {".", "f:l0", "f:l1"}

    def test_the_bucket_takes_in_one_after_the_other(self) -> None:
        obj = self.object_of(*["v1"] * 14)
        assert managers(obj) == ["ancient-changes", *(f"m{number:02}" for number in range(5, 14))]
        assert len(obj["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"]["f:labels"]) == 6

    def test_only_updaters_of_one_version_are_merged(self) -> None:
        obj = self.object_of("v1beta1", *["v1"] * 10)
        assert managers(obj) == ["m00", "ancient-changes", *(f"m{number:02}" for number in range(3, 11))]

    def test_nobody_is_merged_while_all_versions_differ(self) -> None:
        assert len(managers(self.object_of(*(f"v{number}" for number in range(1, 13))))) == 12


class TestVersions:
    OTHER = Schema(
        {
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {"numbers": {"type": "array", "x-kubernetes-list-type": "set"}}}},
        }
    )

    def kinds(self, api_version: str) -> FieldType | None:
        return {f"{GROUP}/v1": MAIN, f"{GROUP}/v1beta1": self.OTHER.type}.get(api_version)

    def test_a_manager_is_judged_by_the_type_of_its_own_version(self) -> None:
        obj = written(None, thing({"numbers": [1, 2]}), writer("set", version="v1beta1"), self.OTHER.type, versions=self.kinds)
        new = written(obj, changed(obj, numbers=[1, 3]), writer("whole", 1), versions=self.kinds)
        assert fields(new, "set") == {".": {}, "f:numbers": {".": {}, "v:1": {}}}
        assert fields(new, "whole") == {"f:numbers": {}}

    def test_a_manager_of_a_version_that_is_served_no_more_is_gone(self) -> None:
        obj = written(None, thing({"size": 1}), writer("old", version="v0"), versions=lambda _: MAIN)
        new = written(obj, changed(obj, color="red"), writer("new", 1), versions=self.kinds)
        assert managers(new) == ["new"]

    def test_what_became_atomic_is_owned_whole_when_it_is_touched(self) -> None:
        obj = written(None, thing({"numbers": [1, 2]}), writer("old"), self.OTHER.type)
        assert fields(obj, "old")["f:numbers"] == {".": {}, "v:1": {}, "v:2": {}}
        new = written(obj, changed(obj, numbers=[3]), writer("new", 1))
        assert new["metadata"]["managedFields"][0]["fieldsV1"] == {"f:spec": {}}
        assert fields(new, "new") == {"f:numbers": {}}


def test_times_that_alone_have_changed_are_put_back() -> None:
    later = copy.deepcopy(MADE)
    later["metadata"]["managedFields"][0]["time"] = "2026-02-02T00:00:00Z"
    new = copy.deepcopy(later)
    ownership.settle_times(MADE, new)
    assert new == MADE
    other = changed(later, color="blue")
    ownership.settle_times(MADE, other)
    assert other["metadata"] == later["metadata"]
