"""What is named stays, and some things must be there to be named."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.kinds import catalogue
from tests.kinds.authorities import certificate
from tests.restapi.door import Answer, Caller

API = "/apis/fleet.skerry.dev/v1alpha1"
KINDS = {resource.plural: resource for resource in catalogue.FLEET}
CLUSTER = {"version": "v1.34.2", "class": {"name": "c"}}
NAMESPACES = "/api/v1/namespaces"


def at(plural: str, name: str = "") -> str:
    where = f"{API}/namespaces/ns" if KINDS[plural].namespaced else API
    return f"{where}/{plural}" + (f"/{name}" if name else "")


async def made(call: Caller, plural: str, name: str, spec: dict[str, Any] | None = None, **query: Any) -> Answer:
    body = {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": KINDS[plural].kind, "metadata": {"name": name}, "spec": spec or {}}
    return await call("POST", at(plural), body, **query)


def bound(kind: str, name: str) -> dict[str, Any]:
    return {"roleRef": {"name": "organization.view"}, "scope": {"kind": kind, "name": name}}


@pytest.mark.parametrize(
    ("plural", "name", "holder", "holder_name", "spec", "said"),
    [
        (
            "clustergroups",
            "prod",
            "clusters",
            "p.a",
            {**CLUSTER, "clusterGroup": "prod"},
            "clusters -A --field-selector spec.clusterGroup=prod",
        ),
        ("clustergroups", "prod", "managementclusters", "m", {"defaultClusterGroup": "prod"}, "get managementclusters)"),
        ("managementclusters", "ns", "clusters", "p.a", CLUSTER, "get clusters -n ns)"),
        ("provisioners", "p", "clusters", "p.a", CLUSTER, "get clusters -n ns --field-selector spec.provisioner=p)"),
        ("workspaces", "web", "managednamespaces", "p.a.x", {"workspace": "web"}, "spec.workspace=web)"),
        ("proxyconfigurations", "out", "clusters", "p.a", {**CLUSTER, "proxy": {"configuration": "out"}}, "get clusters -A)"),
        ("imageregistries", "own", "clusters", "p.a", {**CLUSTER, "imageRegistry": {"name": "own"}}, "get clusters -A)"),
        *(
            (f"{kind.lower()}s", "x", "rolebindings", "b", bound(kind, "x"), "spec.scope.name=x)")
            for kind in ("ClusterGroup", "Workspace", "ManagementCluster", "Credential")
        ),
        ("credentials", "key", "imageregistries", "own", {"host": "r.example.org", "credential": "key"}, "spec.credential=key)"),
        ("credentials", "key", "proxyconfigurations", "out", {"http": "http://p", "credential": "key"}, "spec.credential=key)"),
    ],
)
async def test_what_is_named_is_not_deleted(
    call: Caller, plural: str, name: str, holder: str, holder_name: str, spec: dict[str, Any], said: str
) -> None:
    named: dict[str, dict[str, Any]] = {
        "credentials": {"secretRef": {"name": "s"}},
        "proxyconfigurations": {"http": "http://p"},
        "imageregistries": {"host": "r.example.org"},
    }
    assert (await made(call, plural, name, named.get(plural))).code == 201
    assert (await made(call, holder, holder_name, spec)).code == 201
    queries: list[dict[str, Any]] = [{"dryRun": "All"}, {}]
    for query in queries:
        refused = await call("DELETE", at(plural, name), **query)
        assert (refused.code, refused.json["reason"]) == (409, "Conflict")
        assert f"it is in use by 1 {KINDS[holder].singular_name} (kubectl get " in refused.json["message"]
        assert said in refused.json["message"]
    assert (await call("DELETE", at(plural))).code == 409, "not as one of many, either"
    assert (await call("DELETE", at(holder, holder_name))).code == 200
    assert (await call("DELETE", at(plural, name))).code == 200


async def test_a_binding_holds_the_object_of_its_scope_and_no_other_of_its_name(call: Caller) -> None:
    assert (await made(call, "clustergroups", "x")).code == 201
    assert (await made(call, "rolebindings", "b", bound("Workspace", "x"))).code == 201, "the workspace may come later"
    assert (await call("DELETE", at("clustergroups", "x"))).code == 200


async def test_the_namespace_of_a_management_cluster_goes_with_it_and_not_before(call: Caller) -> None:
    held = {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "ManagementCluster"}
    metadata = {"name": "ns", "finalizers": ["example.com/wait"]}
    assert (await call("POST", at("managementclusters"), {**held, "metadata": metadata})).code == 201
    refused = await call("DELETE", f"{NAMESPACES}/ns")
    assert (refused.code, "it is in use by 1 managementcluster (kubectl get " in refused.json["message"]) == (409, True)
    assert (await call("DELETE", at("managementclusters", "ns"))).code == 200
    assert (await call("DELETE", f"{NAMESPACES}/ns")).code == 200, "it is on its way out itself"


async def test_one_of_several_names_holds_a_trust_bundle(call: Caller) -> None:
    body = {**CLUSTER, "trustBundles": ["one", "two"]}
    assert (await made(call, "clusters", "p.a", body)).code == 201, "the bundles may come later"
    for name in ("one", "two", "tw"):
        assert (await made(call, "trustbundles", name, {"pem": certificate()})).code == 201
    assert (await call("DELETE", at("trustbundles", "tw"))).code == 200
    refused = await call("DELETE", at("trustbundles", "two"))
    assert "in use by 1 cluster (kubectl get clusters -A); change or delete them first" in refused.json["message"]
    assert (await call.patch(at("clusters", "p.a"), {"spec": {"trustBundles": ["one"]}})).code == 200
    assert (await call("DELETE", at("trustbundles", "two"))).code == 200


@pytest.mark.parametrize(
    ("plural", "name", "spec", "field"),
    [
        ("clusters", "p.a", CLUSTER, "clusterGroup"),
        ("managementclusters", "m", {}, "defaultClusterGroup"),
        ("managednamespaces", "p.a.x", {}, "workspace"),
    ],
)
async def test_groups_and_workspaces_must_be_there_to_be_named(
    call: Caller, plural: str, name: str, spec: dict[str, Any], field: str
) -> None:
    target = "workspaces" if field == "workspace" else "clustergroups"
    queries: list[dict[str, Any]] = [{"dryRun": "All"}, {}]
    for query in queries:
        refused = await made(call, plural, name, {**spec, field: "prod"}, **query)
        assert (refused.code, refused.json["details"]["causes"][0]["field"]) == (422, f"spec.{field}")
        assert f'spec.{field}: Not found: "prod"' in refused.json["message"]
    assert (await made(call, plural, name, spec)).code == 201, "what is built in need not be there"
    for kind in ("merge", "apply"):
        change = {
            "apiVersion": "fleet.skerry.dev/v1alpha1",
            "kind": KINDS[plural].kind,
            "metadata": {"name": name},
            "spec": {field: "prod"},
        }
        force: dict[str, Any] = {"force": "true"} if kind == "apply" else {}
        assert (await call.patch(at(plural, name), change, kind, **force)).code == 422
    held = {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": KINDS[target].kind}
    assert (await call("POST", at(target), {**held, "metadata": {"name": "prod", "finalizers": ["example.com/wait"]}})).code == 201
    assert (await call.patch(at(plural, name), {"spec": {field: "prod"}})).code == 200
    assert (await call.patch(at(plural, name), {"spec": {field: "default"}})).code == 200
    assert (await call("DELETE", at(target, "prod"))).code == 200
    assert (await call.patch(at(plural, name), {"spec": {field: "prod"}})).code == 422, "it is on its way out"


async def test_what_names_something_that_is_gone_can_still_be_changed(call: Caller) -> None:
    assert (await made(call, "clustergroups", "prod")).code == 201
    assert (await made(call, "clusters", "p.a", {**CLUSTER, "clusterGroup": "prod"})).code == 201
    await call.app.caught_up()
    cache = call.app.parts.feeds.caches["clusters.fleet.skerry.dev"]
    hidden = cache.rows.pop(("ns", "p.a"))  # a write that arrives in the very instant of the deletion
    assert (await call("DELETE", at("clustergroups", "prod"))).code == 200
    cache.rows[hidden.place] = hidden
    assert (await call.patch(at("clusters", "p.a"), {"metadata": {"labels": {"a": "b"}}})).code == 200
    assert (await call.patch(at("clusters", "p.a"), {"spec": {"clusterGroup": "default"}})).code == 200


async def test_what_is_built_in_stays(call: Caller) -> None:
    for plural in ("clustergroups", "workspaces"):
        assert (await made(call, plural, "default")).code == 201
        assert (await made(call, plural, "other")).code == 201
        refused = await call("DELETE", at(plural, "default"))
        assert (refused.code, refused.json["reason"]) == (403, "Forbidden")
        assert "it is built in and may not be deleted" in refused.json["message"]
        assert (await call("DELETE", at(plural))).code == 200, "everything else"
        assert [each["metadata"]["name"] for each in (await call("GET", at(plural))).json["items"]] == ["default"]


async def test_a_namespace_that_ends_takes_everything_with_it(call: Caller) -> None:
    assert (await made(call, "provisioners", "p")).code == 201
    assert (await made(call, "clusters", "p.a", CLUSTER)).code == 201
    assert (await call("DELETE", at("provisioners", "p"))).code == 409
    assert (await call("DELETE", f"{NAMESPACES}/ns")).code == 200
    await call.app.caught_up()
    assert (await call("DELETE", at("provisioners", "p"))).code == 200


async def test_no_cluster_is_deleted_and_leaves_its_machines_behind(call: Caller) -> None:
    assert (await made(call, "clusters", "p.a", CLUSTER)).code == 201
    queries: list[dict[str, Any]] = [{"propagationPolicy": "Orphan"}, {"orphanDependents": "true"}]
    for query in queries:
        for path in (at("clusters", "p.a"), at("clusters")):
            refused = await call("DELETE", path, **query)
            assert (refused.code, refused.json["details"]["causes"][0]["field"]) == (422, "propagationPolicy")
            assert "what was made for a cluster goes with it" in refused.json["message"]
    assert "deletionTimestamp" not in (await call("GET", at("clusters", "p.a"))).json["metadata"]
    assert (await call("DELETE", at("clusters", "p.a"), propagationPolicy="Foreground")).code == 200
