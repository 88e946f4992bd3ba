"""Paths that are no resource: the installation's own, and the APIs of management clusters."""

from __future__ import annotations

import pytest

from tests.access.people import ADMIN, People, cluster, obj, path

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


CALLS = ("get", "post", "put", "patch", "delete")


@pytest.mark.parametrize(
    ("role", "scope", "allowed"),
    [
        ("cluster.view", ("Cluster", "p.a", "sv-1"), {"get": "p.a"}),
        ("cluster.edit", ("Cluster", "p.a", "sv-1"), dict.fromkeys(CALLS, "p.a")),
        ("clustergroup.admin", ("ClusterGroup", "red"), dict.fromkeys(CALLS, "p.a")),
        ("clustergroup.view", ("ClusterGroup", "blue"), {"get": "p.b"}),
        ("managementcluster.view", ("ManagementCluster", "sv-1"), {"get": "p.a p.b"}),
        ("workspace.admin", ("Workspace", "w"), {}),
    ],
)
async def test_a_clusters_api_opens_to_who_may_use_its_proxy_and_follows_the_cluster_into_another_group(
    server: People, role: str, scope: tuple[str, ...], allowed: dict[str, str]
) -> None:
    for name, group in (("p.a", "red"), ("p.b", "blue")):
        await server.make(cluster(name, group))
    await server.grant(role, "ann", *scope)
    for verb in CALLS:
        for name in ("p.a", "p.b"):
            assert await may(server, "ann", verb, f"/k8s/sv-1.{name}/api/v1/pods") == (name in allowed.get(verb, "")), (verb, name)
        assert not await may(server, "ann", verb, "/k8s/sv-2.p.a/api/v1/pods")
        assert not await may(server, "ann", verb, "/k8s/sv-1.p/api/v1/pods")
    moved = {"spec": {"clusterGroup": "blue"}}
    await server(ADMIN, "PATCH", path("clusters", "sv-1", "p.a"), moved, headers={"content-type": "application/merge-patch+json"})
    now = {"ClusterGroup": "red" not in scope and "get" in allowed}.get(scope[0], "p.a" in allowed.get("get", ""))
    assert await may(server, "ann", "get", "/k8s/sv-1.p.a/api/v1/pods") == now


SHOP = ("Cluster", "attached.shop", "attached")


@pytest.mark.parametrize(
    ("role", "scope", "allowed"),
    [
        ("cluster.edit", SHOP, "attached.attached.shop"),
        ("cluster.admin", SHOP, "attached.attached.shop"),
        ("cluster.view", SHOP, ""),
        ("clustergroup.edit", ("ClusterGroup", "red"), "attached.attached.shop"),
        ("clustergroup.edit", ("ClusterGroup", "blue"), "attached.attached.bank"),
        ("managementcluster.edit", ("ManagementCluster", "attached"), "attached.attached.shop attached.attached.bank attached"),
        ("managementcluster.edit", ("ManagementCluster", "sv-1"), "sv-1"),
        ("managementcluster.view", ("ManagementCluster", "sv-1"), ""),
        ("organization.edit", ("Organization",), "attached.attached.shop attached.attached.bank sv-1 sv-2 attached"),
        ("organization.view", ("Organization",), ""),
        ("workspace.admin", ("Workspace", "w"), ""),
    ],
)
async def test_a_cluster_is_attached_by_whoever_may_change_it_and_nobody_else(
    server: People, role: str, scope: tuple[str, ...], allowed: str
) -> None:
    await server(ADMIN, "POST", "/api/v1/namespaces", {"metadata": {"name": "attached"}})
    for name, group in (("attached.shop", "red"), ("attached.bank", "blue")):
        made = await server.make(cluster(name, group, namespace="attached"))
        assert made.code == 201, made.json
    await server.grant(role, "ann", *scope)
    for name in ("attached.attached.shop", "attached.attached.bank", "sv-1", "sv-2", "attached"):
        assert await may(server, "ann", "post", f"/attach/{name}") == (name in allowed.split()), name
        assert await may(server, ADMIN, "post", f"/attach/{name}")
        assert not await may(server, "dan", "post", f"/attach/{name}")


async def test_attaching_is_a_right_of_its_own_which_a_token_may_be_cut_down_to(server: People) -> None:
    rule = {"apiGroups": ["fleet.skerry.dev"], "resources": ["clusters/attach"], "verbs": ["create"]}
    cut = await token(server, ADMIN, "t", rules=[rule], scope={"kind": "ManagementCluster", "name": "attached"})
    assert await may(server, cut, "post", "/attach/attached.attached.shop")
    for at in ("/attach/attached", "/attach/sv-1", "/attach/sv-1.p.a", "/attach/", "/attach", "/k8s/attached.attached.shop/api"):
        assert not await may(server, cut, "post", at), at


METRICS = {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}


async def test_a_rule_about_paths_opens_them_and_nothing_else(server: People) -> None:
    async def page(accept: str) -> tuple[bytes, str]:
        return accept.encode(), "text/plain"

    server.app.offer_page("/metrics", page)
    await server.make(obj("roles", "metrics", {"rules": [METRICS]}))
    await server.make(obj("roles", "own", {"rules": [{"nonResourceURLs": ["/skerry/*"], "verbs": ["*"]}]}))
    await server.grant("metrics", "ann")
    await server.grant("metrics", "eve", "ManagementCluster", "sv-1")
    await server.grant("own", "bob")
    for who, code in ((ADMIN, 200), ("ann", 200), ("bob", 403), ("eve", 403), ("dan", 403)):
        assert (await server(who, "GET", "/metrics")).code == code, who
        assert await may(server, who, "get", "/metrics") == (code == 200), who
    assert (await server.app_call("GET", "/metrics")).code == 403
    assert (await server("ann", "GET", "/metrics", headers={"accept": "x"})).body == b"x"
    for verb, at in (("post", "/metrics"), ("get", "/metrics/x"), ("get", OWN), ("get", "/k8s/sv-1/api")):
        assert not await may(server, "ann", verb, at), (verb, at)
    for plural in ("clusters", "roles", "secrets"):
        assert (await server("ann", "GET", path(plural))).code == 403
    assert await may(server, "bob", "post", OWN)
    assert not await may(server, "bob", "get", "/k8s/sv-1/api")
    await server.revoke("metrics", "ann")
    assert (await server("ann", "GET", "/metrics")).code == 403


async def test_what_somebody_may_do_with_paths_is_told_to_him(server: People) -> None:
    await server.make(obj("roles", "metrics", {"rules": [METRICS]}))
    await server.grant("metrics", "ann")
    await server.grant("metrics", "eve", "ManagementCluster", "sv-1")
    for who, there in (("ann", True), ("eve", False)):
        told = (await server(who, "POST", path("selfsubjectrulesreviews"), {"spec": {"namespace": "sv-1"}})).json["status"]
        assert (METRICS in told["nonResourceRules"]) is there
        assert not told["incomplete"]


async def test_a_token_is_cut_down_to_paths_and_from_them(server: People) -> None:
    async def page(_: str) -> tuple[bytes, str]:
        return b"", "text/plain"

    server.app.offer_page("/metrics", page)
    await server.make(obj("roles", "metrics", {"rules": [METRICS]}))
    await server.grant("metrics", "ann")
    cut = await token(server, ADMIN, "t-1", rules=[METRICS])
    assert (await server(cut, "GET", "/metrics")).code == 200
    assert (await server(cut, "GET", path("clusters"))).code == 403
    whole = await token(server, "ann", "t-2")
    assert (await server(whole, "GET", "/metrics")).code == 200
    other = await token(server, "ann", "t-3", rules=[{"nonResourceURLs": ["/skerry/*"], "verbs": ["get"]}])
    assert (await server(other, "GET", "/metrics")).code == 403
    narrow = await token(server, "ann", "t-4", rules=[METRICS], scope={"kind": "ManagementCluster", "name": "sv-1"})
    assert (await server(narrow, "GET", "/metrics")).code == 403


async def test_nobody_grants_paths_that_are_not_his(server: People) -> None:
    own = {"nonResourceURLs": ["/skerry/v1/*"], "verbs": ["get"]}
    roles = {"apiGroups": ["fleet.skerry.dev"], "resources": ["roles"], "verbs": ["create", "get"]}
    await server.make(obj("roles", "maker", {"rules": [own, roles]}))
    await server.grant("maker", "ann")
    for name, rule, code in (
        ("a", own, 201),
        ("b", {**own, "nonResourceURLs": ["/skerry/v1/keys"]}, 201),
        ("c", {**own, "verbs": ["get", "post"]}, 403),
        ("d", {**own, "nonResourceURLs": ["/skerry/*"]}, 403),
        ("e", {**own, "nonResourceURLs": ["/skerry/v1*"]}, 403),
        ("f", {**own, "nonResourceURLs": ["*"]}, 403),
        ("g", METRICS, 403),
    ):
        assert (await server.make(obj("roles", name, {"rules": [rule]}), "ann")).code == code, name
    await server.grant("organization.admin", "bob")
    assert (await server.make(obj("roles", "h", {"rules": [METRICS]}), "bob")).code == 201


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"verbs": ["get"]}, "spec.rules[0].apiGroups"),
        ({"verbs": ["get"], "apiGroups": [""]}, "spec.rules[0].resources"),
        ({**METRICS, "resources": ["pods"]}, "spec.rules[0].nonResourceURLs"),
        ({**METRICS, "verbs": ["list"]}, "spec.rules[0].verbs[0]"),
        ({**METRICS, "nonResourceURLs": ["metrics"]}, "spec.rules[0].nonResourceURLs[0]"),
        ({**METRICS, "nonResourceURLs": ["/a*b"]}, "spec.rules[0].nonResourceURLs[0]"),
    ],
)
async def test_a_rule_is_about_resources_or_about_paths(server: People, rule: dict[str, object], field: str) -> None:
    answer = await server.make(obj("roles", "r", {"rules": [rule]}))
    assert answer.code == 422
    assert field in {each["field"] for each in answer.json["details"]["causes"]}, answer.json
