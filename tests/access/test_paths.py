"""Paths that are no resource: the installation's own, and the APIs of management clusters."""

from __future__ import annotations

import pytest

from tests.access.people import ADMIN, People, obj, path

OWN = "/skerry/v1/things"
EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


async def token(server: People, who: str, name: str, **spec: object) -> str:
    return str((await server.make(obj("apitokens", name, spec), who)).json["status"]["token"])


async def may(server: People, who: str, verb: str, at: str) -> bool:
    spec = {"nonResourceAttributes": {"verb": verb, "path": at}}
    return bool((await server(who, "POST", path("selfsubjectaccessreviews"), {"spec": spec})).json["status"]["allowed"])


async def test_the_installations_own_paths_open_to_who_may_do_everything_and_to_his_whole_tokens(server: People) -> None:
    async def answer() -> dict[str, object]:
        return {"a": 1}

    server.app.offer("GET", OWN, answer)
    await server.make(obj("roles", "all", {"rules": [EVERYTHING]}))
    await server.grant("organization.admin", "ann")
    await server.grant("organization.edit", "bob")
    await server.grant("all", "eve", "ManagementCluster", "sv-1")
    for who, code in ((ADMIN, 200), ("ann", 200), ("bob", 403), ("eve", 403), ("dan", 403)):
        assert (await server(who, "GET", OWN)).code == code, who
        assert await may(server, who, "get", OWN) == (code == 200), who
    for name, who in (("a", ADMIN), ("b", "ann")):
        whole, ruled = await token(server, who, f"{name}-1"), await token(server, who, f"{name}-2", rules=[EVERYTHING])
        cut = await token(server, who, f"{name}-3", scope={"kind": "ManagementCluster", "name": "sv-1"})
        reads = await token(server, who, f"{name}-4", rules=[{**EVERYTHING, "verbs": ["get"]}])
        assert [(await server(text, "GET", OWN)).code for text in (whole, ruled, cut, reads)] == [200, 200, 403, 403]
    await server.revoke("organization.admin", "ann")
    assert (await server("ann", "GET", OWN)).code == 403


@pytest.mark.parametrize(
    ("role", "scope", "allowed"),
    [
        ("managementcluster.view", ("ManagementCluster", "sv-1"), {"get": "sv-1"}),
        ("managementcluster.edit", ("ManagementCluster", "sv-1"), dict.fromkeys(("get", "post", "put", "patch", "delete"), "sv-1")),
        ("managementcluster.admin", ("ManagementCluster", "sv-1"), dict.fromkeys(("get", "post", "put", "patch", "delete"), "sv-1")),
        ("organization.view", ("Organization",), {"get": "sv-1 sv-2"}),
        ("organization.edit", ("Organization",), {"get": "sv-1 sv-2", "delete": "sv-1 sv-2"}),
        ("cluster.admin", ("Cluster", "p.a", "sv-1"), {}),
        ("clustergroup.admin", ("ClusterGroup", "red"), {}),
    ],
)
async def test_a_management_clusters_api_opens_to_who_may_use_its_proxy(
    server: People, role: str, scope: tuple[str, ...], allowed: dict[str, str]
) -> None:
    await server.grant(role, "ann", *scope)
    allowed = {**allowed, "connect": allowed.get("post", "")}  # a shell is no reading, although the request for one is a GET
    for verb in ("get", "post", "connect", "put", "patch", "delete") if role != "organization.edit" else ("get", "delete"):
        for name in ("sv-1", "sv-2"):
            assert await may(server, "ann", verb, f"/k8s/{name}/api/v1/pods") == (name in allowed.get(verb, "")), (verb, name)
    assert not await may(server, "ann", "get", "/k8s/")
    assert not await may(server, "ann", "get", "/k8s")


async def test_a_token_that_was_cut_down_reaches_what_it_names(server: People) -> None:
    proxy = {"apiGroups": ["fleet.skerry.dev"], "resources": ["managementclusters/proxy"], "verbs": ["get"]}
    cut = await token(server, ADMIN, "t", rules=[proxy], scope={"kind": "ManagementCluster", "name": "sv-1"})
    assert await may(server, cut, "get", "/k8s/sv-1/api")
    assert not await may(server, cut, "post", "/k8s/sv-1/api")
    assert not await may(server, cut, "get", "/k8s/sv-2/api")
