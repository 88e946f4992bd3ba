"""The kinds of identity and access, as the door validates and prints them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.restapi.door import Caller, door

API = "/apis/fleet.skerry.dev/v1alpha1"
KINDS = {"roles": "Role", "rolebindings": "RoleBinding", "users": "User", "apitokens": "APIToken"}
READS = {"apiGroups": ["fleet.skerry.dev"], "resources": ["clusters"], "verbs": ["get"]}


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    async with door() as caller:
        yield caller


def made(plural: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": KINDS[plural], "metadata": {"name": name}, "spec": spec}


def binding(scope: dict[str, str], *subjects: str) -> dict[str, Any]:
    return {"roleRef": {"name": "r"}, "scope": scope, "subjects": [{"kind": "User", "name": name} for name in subjects]}


@pytest.mark.parametrize(
    ("plural", "name", "spec", "said"),
    [
        ("roles", "r", {"rules": [{**READS, "verbs": ["read"]}]}, 'spec.rules[0].verbs[0]: Unsupported value: "read"'),
        ("roles", "r", {"rules": [{**READS, "resources": []}]}, "spec.rules[0].resources"),
        ("rolebindings", "b", binding({"kind": "ClusterGroup"}, "a"), "spec.scope.name: Required value: say which ClusterGroup"),
        ("rolebindings", "b", binding({"kind": "Cluster", "name": "p.c"}, "a"), "spec.scope.namespace: Required value"),
        ("rolebindings", "b", binding({"kind": "Organization", "name": "x"}, "a"), "there is one organization"),
        ("rolebindings", "b", binding({"kind": "Workspace", "name": "x", "namespace": "y"}, "a"), "a Workspace is in no namespace"),
        ("rolebindings", "b", binding({"kind": "Galaxy", "name": "x"}, "a"), "spec.scope.kind: Unsupported value"),
        ("rolebindings", "b", binding({"kind": "Organization"}, "skerry:component:x"), "must not begin with skerry:"),
        ("users", "u", {"groups": ["skerry:administrators"]}, "spec.groups[0]: Invalid value"),
        ("users", "admin", {}, "is the installation's own administrator"),
        ("apitokens", "t", {"scope": {"kind": "Cluster", "name": "p.c"}}, "spec.scope.namespace: Required value"),
        ("apitokens", "t", {"rules": [{**READS, "verbs": ["reed"]}]}, "spec.rules[0].verbs[0]"),
        ("apitokens", "t", {"expirationTime": "tomorrow"}, "spec.expirationTime"),
    ],
)
async def test_what_would_mean_nothing_is_refused_with_the_field_that_is_wrong(
    call: Caller, plural: str, name: str, spec: dict[str, Any], said: str
) -> None:
    answer = await call("POST", f"{API}/{plural}", made(plural, name, spec))
    assert answer.code == 422
    assert said in answer.json["message"]


async def test_role_and_scope_of_a_binding_never_change(call: Caller) -> None:
    await call("POST", f"{API}/rolebindings", made("rolebindings", "b", binding({"kind": "ClusterGroup", "name": "g"}, "a")))
    for change in ({"scope": {"kind": "ClusterGroup", "name": "h"}}, {"roleRef": {"name": "s"}}):
        answer = await call.patch(f"{API}/rolebindings/b", {"spec": change})
        assert (answer.code, "field is immutable" in answer.json["message"]) == (422, True)
    subjects = [{"kind": "Group", "name": "h"}]
    assert (await call.patch(f"{API}/rolebindings/b", {"spec": {"subjects": subjects}})).code == 200


async def test_tables_say_who_has_which_role_where(call: Caller) -> None:
    scope = {"kind": "Cluster", "namespace": "sv-1", "name": "p.c"}
    await call("POST", f"{API}/rolebindings", made("rolebindings", "b", binding(scope, "ann", "bob")))
    await call("POST", f"{API}/roles", made("roles", "r", {"rules": [READS]}))
    await call("POST", f"{API}/users", made("users", "u", {"groups": ["g", "h"]}))
    rows = {}
    for plural in ("rolebindings", "roles", "users"):
        table = await call("GET", f"{API}/{plural}", headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
        rows[plural] = table.json["rows"][0]["cells"]
    assert rows["rolebindings"][:4] == ["b", "r", "Cluster/sv-1/p.c", "ann,bob"]
    assert rows["roles"][:2] == ["r", 1]
    assert rows["users"][:3] == ["u", None, "g,h"]
