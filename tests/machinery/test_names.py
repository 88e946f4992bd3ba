"""Names, labels and metadata: what is legal, and every reason why something is not."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.machinery import meta
from skerry.machinery.errors import BadRequest
from skerry.machinery.names import (
    KIND_TEXT,
    LABEL_TEXT,
    SUBDOMAIN_TEXT,
    VALUE_TEXT,
    kind_problems,
    label_problems,
    label_value_problems,
    namespace_name_problems,
    object_name_problems,
    path_segment_problems,
    qualified_name_problems,
    subdomain_problems,
)

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("name", "problems"),
    [
        ("a", []),
        ("a-1", []),
        ("a.b", ["must not contain dots"]),
        ("-a", [LABEL_TEXT]),
        ("A", [LABEL_TEXT]),
        ("", [LABEL_TEXT]),
        ("a\n", [LABEL_TEXT]),
        ("x" * 64, ["must be no more than 63 characters"]),
        ("X" * 64, ["must be no more than 63 characters", LABEL_TEXT]),
    ],
)
def test_a_label(name: str, problems: list[str]) -> None:
    assert label_problems(name) == problems


@pytest.mark.parametrize(
    ("name", "problems"),
    [
        ("a.b-c.1", []),
        ("a..b", [SUBDOMAIN_TEXT]),
        ("a_b", [SUBDOMAIN_TEXT]),
        ("x" * 254, ["must be no more than 253 characters"]),
        ("é" * 127, ["must be no more than 253 characters", SUBDOMAIN_TEXT]),
    ],
)
def test_a_subdomain(name: str, problems: list[str]) -> None:
    assert subdomain_problems(name) == problems


@pytest.mark.parametrize(
    ("key", "beginnings"),
    [
        ("app", []),
        ("example.com/app_1", []),
        ("x/y/z", ["a valid label key must consist of"]),
        ("/a", ["prefix part must be non-empty"]),
        ("a/", ["name part must be non-empty", "name part must consist of"]),
        ("A/b", ["prefix part a lowercase RFC 1123 subdomain"]),
        ("a b", ["name part must consist of"]),
        ("x" * 64, ["name part must be no more than 63 bytes"]),
        ("-" * 64, ["name part must be no more than 63 bytes", "name part must consist of"]),
    ],
)
def test_a_key_of_a_label(key: str, beginnings: list[str]) -> None:
    found = qualified_name_problems(key)
    assert len(found) == len(beginnings)
    assert all(problem.startswith(beginning) for problem, beginning in zip(found, beginnings, strict=True))


def test_a_value_of_a_label() -> None:
    assert label_value_problems("") == label_value_problems("A.b_c-1") == []
    assert label_value_problems("-b-") == [VALUE_TEXT]
    assert label_value_problems("x" * 64) == ["must be no more than 63 bytes"]


def test_a_prefix_may_end_with_a_dash() -> None:
    assert object_name_problems("gen-", prefix=True) == namespace_name_problems("gen-", prefix=True) == []
    assert object_name_problems("gen-") == [SUBDOMAIN_TEXT]
    assert object_name_problems("gen_", prefix=True) == [SUBDOMAIN_TEXT]


def test_a_kind_and_a_path_segment() -> None:
    assert kind_problems("configmap") == []
    assert kind_problems("1x") == [KIND_TEXT]
    assert path_segment_problems("Any Name!") == path_segment_problems("..", prefix=True) == []
    assert path_segment_problems("..") == ["may not be '..'"]
    assert path_segment_problems("a/b%") == ["may not contain '/'", "may not contain '%'"]


OWNER = {"apiVersion": "apps/v1", "kind": "A", "name": "a", "uid": "u"}


@pytest.mark.parametrize(
    ("metadata", "fields"),
    [
        ({"name": "a"}, []),
        ({}, ["metadata.name"]),
        ({"generateName": "Gen-", "name": "Gen-x"}, ["metadata.generateName", "metadata.name"]),
        ({"name": "a", "labels": {"a b": "-"}}, ["metadata.labels", "metadata.labels"]),
        ({"name": "a", "annotations": {"UPPER": "any thing"}}, []),
        ({"name": "a", "annotations": {"x": "y" * 300_000}}, ["metadata.annotations"]),
        ({"name": "a", "finalizers": ["a b", "x/y/z"]}, ["metadata.finalizers"] * 2),
        ({"name": "a", "finalizers": ["orphan", "foregroundDeletion"]}, ["metadata.finalizers"]),
        ({"name": "a", "ownerReferences": [OWNER]}, []),
        ({"name": "a", "ownerReferences": [{**OWNER, "apiVersion": "a/b/c"}]}, ["metadata.ownerReferences[0].apiVersion"]),
        ({"name": "a", "ownerReferences": [{}]}, [f"metadata.ownerReferences[0].{name}" for name in ("apiVersion", "kind", "name", "uid")]),
        ({"name": "a", "ownerReferences": [{**OWNER, "apiVersion": "v1", "kind": "Event"}]}, ["metadata.ownerReferences[0]"]),
        ({"name": "a", "ownerReferences": [{**OWNER, "controller": True}] * 2}, ["metadata.ownerReferences"]),
        ({"name": "a", "namespace": "x"}, ["metadata.namespace"]),
    ],
)
def test_what_is_illegal_in_metadata_is_told_by_its_field(metadata: Json, fields: list[str]) -> None:
    assert [cause.field for cause in meta.validate(metadata, namespaced=False)] == fields


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        ({"name": "a"}, {"name": "a", "labels": {"x": "y"}}, []),
        ({"name": "a", "uid": "1"}, {"name": "b", "uid": "2"}, ["metadata.name", "metadata.uid"]),
        ({"name": "a", "finalizers": ["a b"]}, {"name": "a", "finalizers": ["a b"]}, []),
        ({"name": "a", "deletionTimestamp": "t"}, {"name": "a", "deletionTimestamp": "t", "finalizers": ["x/y"]}, ["metadata.finalizers"]),
    ],
)
def test_what_an_update_may_not_do_to_metadata(old: Json, new: Json, fields: list[str]) -> None:
    assert [cause.field for cause in meta.validate_update(new, old)] == fields


def test_only_what_is_new_is_warned_of() -> None:
    assert meta.warnings({"finalizers": ["x/y", "orphan"]}) == []
    (warning,) = meta.warnings({"finalizers": ["wait"]})
    assert warning.startswith('metadata.finalizers: "wait": prefer a domain-qualified finalizer name to avoid')
    (warning,) = meta.warnings({"finalizers": ["wait.example"]})
    assert "including a path (/)" in warning
    assert meta.warnings({"finalizers": ["wait"]}, {"finalizers": ["wait"]}) == []


@pytest.mark.parametrize(
    "metadata",
    ["a", {"name": 7}, {"labels": ["a"]}, {"labels": {"a": 1}}, {"generation": True}, {"finalizers": [1]}, {"creationTimestamp": "soon"}],
)
def test_metadata_of_a_wrong_type_cannot_be_understood(metadata: Any) -> None:
    with pytest.raises(BadRequest):
        meta.decode(metadata)
