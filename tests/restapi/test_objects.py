"""Objects at the door: created, read, changed, deleted, and refused in words that help."""

from __future__ import annotations

from typing import Any

import pytest

from tests.restapi.door import Caller

CLUSTERS = "/apis/fleet.skerry.dev/v1alpha1/namespaces/ns/clusters"
GROUPS = "/apis/fleet.skerry.dev/v1alpha1/clustergroups"


def cluster(name: str = "team-a.shop", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "fleet.skerry.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {"version": "v1.34.0", "class": {"name": "quick"}, **spec},
    }


def group(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "ClusterGroup", "metadata": {"name": name, **metadata}, "spec": {}}


async def test_a_created_object_is_complete_and_reads_back_the_same(call: Caller) -> None:
    made = await call("POST", CLUSTERS, cluster())
    assert made.code == 201
    assert made.json["spec"]["clusterGroup"] == "default"
    assert made.json["spec"]["provisioner"] == "team-a"
    assert made.json["metadata"]["generation"] == 1
    assert (await call("GET", f"{CLUSTERS}/team-a.shop")).json == made.json


async def test_generation_counts_changes_of_the_spec_only(call: Caller) -> None:
    await call("POST", CLUSTERS, cluster())
    path = f"{CLUSTERS}/team-a.shop"
    labelled = await call.patch(path, {"metadata": {"labels": {"a": "b"}}})
    status = await call.patch(f"{path}/status", {"status": {"phase": "Ready"}})
    changed = await call.patch(path, {"spec": {"version": "v1.35.0"}})
    assert [answer.json["metadata"]["generation"] for answer in (labelled, status, changed)] == [1, 1, 2]
    assert changed.json["status"]["phase"] == "Ready"


async def test_a_write_that_changes_nothing_makes_no_revision(call: Caller) -> None:
    made = (await call("POST", CLUSTERS, cluster())).json
    same = await call("PUT", f"{CLUSTERS}/team-a.shop", made)
    assert same.code == 200
    assert same.json["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_status_and_spec_cannot_be_written_through_each_other(call: Caller) -> None:
    made = (await call("POST", CLUSTERS, {**cluster(), "status": {"phase": "Ready"}})).json
    assert "status" not in made
    both = {"spec": {"version": "v1.99.0"}, "status": {"phase": "Failed"}}
    through_status = (await call.patch(f"{CLUSTERS}/team-a.shop/status", both)).json
    assert through_status["spec"]["version"] == "v1.34.0"
    assert through_status["status"]["phase"] == "Failed"
    through_main = (await call.patch(f"{CLUSTERS}/team-a.shop", {"status": {"phase": "Ready"}})).json
    assert through_main["status"]["phase"] == "Failed"


async def test_an_update_of_an_old_revision_is_a_conflict_that_names_the_object(call: Caller) -> None:
    made = (await call("POST", CLUSTERS, cluster())).json
    await call.patch(f"{CLUSTERS}/team-a.shop", {"metadata": {"labels": {"a": "b"}}})
    late = await call("PUT", f"{CLUSTERS}/team-a.shop", made)
    assert late.code == 409
    assert late.json["reason"] == "Conflict"
    assert late.json["message"] == (
        'Operation cannot be fulfilled on clusters.fleet.skerry.dev "team-a.shop": the object has been modified;'
        " please apply your changes to the latest version and try again"
    )


async def test_a_name_that_does_not_say_the_components_is_refused(call: Caller) -> None:
    wrong = await call("POST", CLUSTERS, cluster("team-a.shop", provisioner="team-b"))
    assert wrong.code == 422
    assert wrong.json["details"]["causes"][0]["field"] == "spec.provisioner"
    flat = await call("POST", CLUSTERS, cluster("shop"))
    assert "<provisioner>.<name>" in flat.json["message"]


async def test_what_identifies_a_cluster_cannot_change(call: Caller) -> None:
    await call("POST", CLUSTERS, cluster(network={"pods": ["10.0.0.0/16"]}))
    changed = await call.patch(f"{CLUSTERS}/team-a.shop", {"spec": {"network": {"pods": ["10.1.0.0/16"]}}})
    assert changed.code == 422
    assert changed.json["details"]["causes"][0]["field"] == "spec.network"


async def test_unknown_fields_are_warned_of_or_refused_and_never_stored(call: Caller) -> None:
    warned = await call("POST", CLUSTERS, cluster(bogus=1))
    assert warned.code == 201
    assert warned.warnings == ['299 - "unknown field \\"spec.bogus\\""']
    assert "bogus" not in warned.json["spec"]
    strict = await call("POST", CLUSTERS, cluster("team-a.two", bogus=1), fieldValidation="Strict")
    assert strict.code == 400
    assert 'strict decoding error: unknown field "spec.bogus"' in strict.json["message"]
    assert (await call("GET", f"{CLUSTERS}/team-a.two")).code == 404


async def test_bad_bodies_are_told_apart_and_never_a_server_error(call: Caller) -> None:
    bodies = [b"", b"{", b'{"a":1', b"\xff\xfe", b"[]", b"null", b'"x"', b"{}", b'{"kind":"Cluster"}', b"[" * 5000, b"NaN"]
    for body in bodies:
        answer = await call("POST", CLUSTERS, body)
        assert answer.code == 400, body[:20]
        assert answer.json["kind"] == "Status"
    wrong_types: list[dict[str, Any]] = [
        {"metadata": 1},
        {"metadata": {"name": 1}},
        {"metadata": {"labels": []}},
        {"metadata": {"labels": {"a": 1}}},
    ]
    for broken in wrong_types:
        assert (await call("POST", CLUSTERS, {**cluster(), **broken})).code == 400, broken
    assert (await call("POST", CLUSTERS, {**cluster(), "spec": 1})).code == 422
    assert (await call("GET", CLUSTERS)).json["items"] == []


async def test_a_key_that_stands_twice_is_told_with_its_path(call: Caller) -> None:
    head = b'{"apiVersion":"fleet.skerry.dev/v1alpha1","kind":"ClusterGroup","metadata":{"name":"g"},'
    body = head + b'"spec":{"description":"a","description":"b"}}'
    warned = await call("POST", GROUPS, body)
    assert warned.warnings == ['299 - "duplicate field \\"spec.description\\""']
    strict = await call("POST", GROUPS, body.replace(b'"g"', b'"h"'), fieldValidation="Strict")
    assert 'duplicate field "spec.description"' in strict.json["message"]


async def test_a_dry_run_answers_and_stores_nothing(call: Caller) -> None:
    answer = await call("POST", CLUSTERS, cluster(), dryRun="All")
    assert answer.code == 201
    assert "resourceVersion" not in answer.json["metadata"]
    assert (await call("GET", f"{CLUSTERS}/team-a.shop")).code == 404


async def test_nothing_is_created_in_a_namespace_that_is_missing_or_going(call: Caller) -> None:
    elsewhere = CLUSTERS.replace("/ns/", "/nowhere/")
    missing = await call("POST", elsewhere, cluster())
    assert (missing.code, missing.json["message"]) == (404, 'namespaces "nowhere" not found')
    await call("DELETE", "/api/v1/namespaces/ns")
    going = await call("POST", CLUSTERS, cluster())
    assert going.code == 403
    assert going.json["details"]["causes"][0]["reason"] == "NamespaceTerminating"


async def test_an_object_with_a_finalizer_waits_for_it(call: Caller) -> None:
    await call("POST", GROUPS, group("g", finalizers=["skerry.dev/wait"]))
    marked = await call("DELETE", f"{GROUPS}/g")
    assert marked.json["metadata"]["deletionTimestamp"]
    refused = await call.patch(f"{GROUPS}/g", {"metadata": {"finalizers": ["skerry.dev/wait", "skerry.dev/more"]}})
    assert refused.code == 422
    await call.patch(f"{GROUPS}/g", {"metadata": {"finalizers": None}})
    assert (await call("GET", f"{GROUPS}/g")).code == 404


async def test_preconditions_protect_another_life_of_the_same_name(call: Caller) -> None:
    made = (await call("POST", GROUPS, group("g"))).json
    wrong = await call("DELETE", f"{GROUPS}/g", {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "another"}})
    assert wrong.code == 409
    right = {"preconditions": {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}}
    gone = await call("DELETE", f"{GROUPS}/g", {"kind": "DeleteOptions", "apiVersion": "v1", **right})
    assert gone.json["status"] == "Success"


async def test_a_collection_is_deleted_by_selector(call: Caller) -> None:
    for name, tier in (("a", "x"), ("b", "y"), ("c", "x")):
        await call("POST", GROUPS, group(name, labels={"tier": tier}))
    await call("DELETE", GROUPS, labelSelector="tier=x")
    left = (await call("GET", GROUPS)).json["items"]
    assert [each["metadata"]["name"] for each in left] == ["b"]


async def test_a_generated_name_begins_with_what_was_asked_for(call: Caller) -> None:
    body = {**group("x"), "metadata": {"generateName": "g-"}}
    names = {(await call("POST", GROUPS, body)).json["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("g-") and len(name) == 7 for name in names)


async def test_applying_twice_is_one_change_and_conflicts_name_the_other(call: Caller) -> None:
    path = f"{GROUPS}/g"
    first = await call.patch(path, {**group("g"), "spec": {"description": "one"}}, "apply", fieldManager="alice")
    assert first.code == 201
    second = await call.patch(path, {**group("g"), "spec": {"description": "one"}}, "apply", fieldManager="alice")
    assert second.json["metadata"]["resourceVersion"] == first.json["metadata"]["resourceVersion"]
    other = await call.patch(path, {**group("g"), "spec": {"description": "two"}}, "apply", fieldManager="bob")
    assert other.code == 409
    assert other.json["message"] == 'Apply failed with 1 conflict: conflict with "alice": .spec.description'
    assert other.json["details"]["causes"][0]["reason"] == "FieldManagerConflict"
    forced = await call.patch(path, {**group("g"), "spec": {"description": "two"}}, "apply", fieldManager="bob", force="true")
    assert [entry["manager"] for entry in forced.json["metadata"]["managedFields"]] == ["bob"]


async def test_what_an_applier_names_no_more_is_removed_unless_somebody_else_owns_it(call: Caller) -> None:
    path = f"{GROUPS}/g"
    labels = {"mine": "1", "shared": "1"}
    await call.patch(path, {**group("g", labels=labels)}, "apply", fieldManager="alice")
    await call.patch(path, {**group("g", labels={"shared": "1"})}, "apply", fieldManager="bob")
    after = await call.patch(path, group("g"), "apply", fieldManager="alice")
    assert after.json["metadata"]["labels"] == {"shared": "1"}


async def test_a_namespace_is_gone_once_it_is_finalized(call: Caller) -> None:
    terminating = (await call("DELETE", "/api/v1/namespaces/ns")).json
    assert terminating["status"]["phase"] == "Terminating"
    terminating["spec"]["finalizers"] = []
    await call("PUT", "/api/v1/namespaces/ns/finalize", terminating)
    assert (await call("GET", "/api/v1/namespaces/ns")).code == 404


async def test_nobody_is_told_why_he_may_not(call: Caller) -> None:
    answer = await call("GET", CLUSTERS, headers={"authorization": "Bearer nobody"})
    assert answer.code == 403
    assert answer.json["message"] == (
        'clusters.fleet.skerry.dev is forbidden: User "nobody" cannot list resource "clusters" in API group "fleet.skerry.dev"'
        ' in the namespace "ns": nobody may do nothing'
    )


async def test_secrets_take_plain_text_and_keep_it_encoded(call: Caller) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "pw"}}
    made = (await call("POST", "/api/v1/namespaces/ns/secrets", body)).json
    assert made["data"] == {"password": "cHc="}
    assert "stringData" not in made
    bad = await call.patch("/api/v1/namespaces/ns/secrets/s", {"data": {"password": "not base64!"}})
    assert bad.code == 422
    assert "not base64!" not in bad.body.decode()


async def test_a_generated_name_that_is_taken_is_generated_again_and_at_last_refused(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = iter(["aaaaa", "aaaaa", "bbbbb", *["aaaaa"] * 8])
    monkeypatch.setattr("skerry.restapi.writes.random.choices", lambda *_, **__: next(letters))
    path, body = "/api/v1/namespaces/ns/configmaps", {"metadata": {"generateName": "made-"}}
    assert [(await call("POST", path, body)).json["metadata"]["name"] for _ in range(2)] == ["made-aaaaa", "made-bbbbb"]
    refused = await call("POST", path, body)
    assert refused.code == 409
    assert refused.json["message"] == (
        'configmaps "made-aaaaa" already exists, the server was not able to generate a unique name for the object'
    )
    assert refused.headers["retry-after"] == "1"
