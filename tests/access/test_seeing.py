"""Who sees what: lists, pages, single objects, and watches whose sight changes while they run."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

import pytest

from skerry.kinds.observedobject import CLUSTER_LABEL
from skerry.machinery.document import gapped
from skerry.restapi import sights
from skerry.restapi.cache import ShutItem
from tests.access.people import ADMIN, CONTROLLERS, KINDS, People, Watching, cluster, obj, path, watching

CLUSTERS = path("clusters")


async def fleet(server: People) -> None:
    """Two clusters in each group, and a pool in each of them."""
    for name, group in (("p.a", "red"), ("p.b", "blue"), ("p.c", "red"), ("p.d", "blue")):
        assert (await server.make(cluster(name, group))).code == 201
        assert (await server.make(obj("nodepools", f"{name}.md", {"replicas": 1}, "sv-1"))).code == 201


async def move(server: People, name: str, group: str, who: str = ADMIN) -> int:
    answer = await server(
        who, "PATCH", path("clusters", "sv-1", name), {"spec": {"clusterGroup": group}}, media="application/merge-patch+json"
    )
    return answer.code


async def test_a_list_shows_what_a_binding_lets_one_see_and_nothing_else(server: People) -> None:
    await fleet(server)
    await server.grant("clustergroup.view", "ann", "ClusterGroup", "red")
    assert await server.names("ann", "clusters") == ["p.a", "p.c"]
    assert await server.names("ann", "clusters", "sv-1") == ["p.a", "p.c"]
    assert await server.names("ann", "clusters", "sv-2") == []
    assert await server.names("ann", "nodepools") == ["p.a.md", "p.c.md"]
    assert await server.names("ann", "clustergroups") == ["red"]
    assert await server.names(ADMIN, "clusters") == ["p.a", "p.b", "p.c", "p.d"]


async def test_what_became_of_manifests_is_seen_by_who_sees_their_cluster(server: People) -> None:
    await fleet(server)
    await server.grant("cluster.view", "ann", "Cluster", "p.a", "sv-1")
    await server.grant("managementcluster.view", "bob", "ManagementCluster", "sv-1")
    for name, spec in (("shop.x", {"manifestSet": "shop", "cluster": "p.a"}), ("site.x", {"manifestSet": "site"})):
        await server.app.put_latest({(KINDS["enforcedobjects"].key, "sv-1", name): gapped(obj("enforcedobjects", name, spec, "sv-1"))})
    async with watching(server, "bob", path("enforcedobjects")) as seen:
        await seen.until(lambda: len(seen.told()) == 2)
    assert await server.names("ann", "enforcedobjects") == ["shop.x"]
    assert not await server.can("bob", "update", "enforcedobjects", "sv-1")


@pytest.mark.parametrize(
    ("role", "scope", "seen"),
    [
        ("organization.view", ("Organization",), ["p.a", "p.b", "p.c", "p.d"]),
        ("cluster.view", ("ClusterGroup", "blue"), ["p.b", "p.d"]),
        ("cluster.view", ("Cluster", "p.b", "sv-1"), ["p.b"]),
        ("managementcluster.view", ("ManagementCluster", "sv-1"), ["p.a", "p.b", "p.c", "p.d"]),
        ("managementcluster.view", ("ManagementCluster", "sv-2"), []),
        ("clustergroup.view", ("ClusterGroup", "green"), []),
    ],
)
async def test_access_is_inherited_downwards(server: People, role: str, scope: tuple[str, ...], seen: list[str]) -> None:
    await fleet(server)
    assert (await server.grant(role, "@team", *scope)).code == 201
    assert await server.names("bob|team", "clusters") == seen
    assert await server.names("bob|team", "nodepools") == [f"{name}.md" for name in seen]


async def test_whoever_may_bind_somewhere_sees_the_roles_that_there_are(server: People) -> None:
    await server.grant("clustergroup.admin", "ann", "ClusterGroup", "red")
    assert {"cluster.view", "organization.admin"} <= set(await server.names("ann", "roles"))
    assert (await server("ann", "GET", path("roles", "", "cluster.view"))).code == 200
    assert (await server("ann", "DELETE", path("roles", "", "cluster.view"))).code == 403
    assert (await server("bob", "GET", path("roles"))).code == 403
    rule = {"apiGroups": ["fleet.skerry.dev"], "resources": ["roles"], "verbs": ["get", "list", "delete"], "resourceNames": ["mine"]}
    for name in ("namer", "mine"):
        await server.make(obj("roles", name, {"rules": [rule]}))
    await server.grant("namer", "bob", "ClusterGroup", "red")
    assert await server.names("bob", "roles") == ["mine"]
    assert (await server("bob", "DELETE", path("roles", "", "mine"))).code == 403, "it is not the group's"


async def test_without_any_binding_on_the_kind_a_list_is_refused(server: People) -> None:
    await server.grant("workspace.view", "ann", "Workspace", "w")
    assert (await server("ann", "GET", CLUSTERS)).code == 403
    assert (await server("ann", "GET", CLUSTERS, watch="true")).code == 403
    assert await server.names("ann", "workspaces") == []


async def test_pages_of_a_filtered_list_are_full_and_miss_nothing(server: People) -> None:
    await fleet(server)
    await server.grant("clustergroup.view", "ann", "ClusterGroup", "blue")
    first = await server("ann", "GET", CLUSTERS, limit="1")
    assert [each["metadata"]["name"] for each in first.json["items"]] == ["p.b"]
    assert "remainingItemCount" not in first.json["metadata"]
    assert await server.names("ann", "clusters", limit="1", **{"continue": first.json["metadata"]["continue"]}) == ["p.d"]


async def test_what_is_out_of_sight_is_not_there_and_what_is_seen_only_cannot_be_changed(server: People) -> None:
    await fleet(server)
    await server.grant("clustergroup.view", "ann", "ClusterGroup", "red")
    assert (await server("ann", "GET", path("clusters", "sv-1", "p.a"))).code == 200
    for method, name, code in (
        ("GET", "p.b", 404),
        ("GET", "p.x", 404),
        ("DELETE", "p.a", 403),
    ):
        assert (await server("ann", method, path("clusters", "sv-1", name))).code == code, (method, name)
    await server.grant("clustergroup.edit", "ann", "ClusterGroup", "red")
    assert (await server("ann", "DELETE", path("clusters", "sv-1", "p.b"))).code == 404
    assert await move(server, "p.b", "red", "ann") == 404
    assert (await server("ann", "DELETE", path("clusters", "sv-1", "p.a"))).code == 200


async def test_moving_a_cluster_needs_the_right_in_both_groups(server: People) -> None:
    await fleet(server)
    await server.grant("clustergroup.edit", "ann", "ClusterGroup", "red")
    assert await move(server, "p.a", "blue", "ann") == 403
    await server.grant("clustergroup.edit", "ann", "ClusterGroup", "blue")
    assert await move(server, "p.a", "blue", "ann") == 200


@pytest.mark.parametrize("scope", [("ManagementCluster", "sv-1"), ("Cluster", "p.a", "sv-1")])
async def test_rights_on_the_cluster_alone_do_not_move_it(server: People, scope: tuple[str, ...]) -> None:
    await fleet(server)
    await server.grant("cluster.edit", "ann", *scope)
    at, media = path("clusters", "sv-1", "p.a"), "application/merge-patch+json"
    assert (await server("ann", "PATCH", at, {"metadata": {"labels": {"a": "b"}}}, media=media)).code == 200
    refused = await server("ann", "PATCH", at, {"spec": {"clusterGroup": "blue"}}, media=media)
    assert (refused.code, "needs the right on cluster group blue" in refused.json["message"]) == (403, True)
    await server.grant("clustergroup.edit", "ann", "ClusterGroup", "blue")
    refused = await server("ann", "PATCH", at, {"spec": {"clusterGroup": "blue"}}, media=media)
    assert (refused.code, "needs the right on cluster group red" in refused.json["message"]) == (403, True)
    whole = (await server("ann", "GET", at)).json
    whole["spec"]["clusterGroup"] = "blue"
    assert (await server("ann", "PUT", at, whole)).code == 403
    await server.grant("clustergroup.edit", "ann", "ClusterGroup", "red")
    assert (await server("ann", "PUT", at, whole)).code == 200


async def test_a_managed_namespace_is_made_with_rights_on_its_cluster_and_its_workspace(server: People) -> None:
    await fleet(server)
    await server.grant("cluster.edit", "ann", "Cluster", "p.a", "sv-1")
    for name in ("web", "data"):
        await server.make(obj("workspaces", name, {}))
    await server.grant("workspace.edit", "bob", "Workspace", "web")
    made = obj("managednamespaces", "p.a.shop", {"workspace": "web"}, "sv-1")
    for who, missing in (("ann", "workspace web"), ("bob", "cluster p.a")):
        refused = await server.make(made, who)
        assert (refused.code, f"needs the right on {missing} too" in refused.json["message"]) == (403, True), refused.json
    await server.grant("workspace.edit", "ann", "Workspace", "web")
    assert (await server.make(made, "ann")).code == 201
    at, media = path("managednamespaces", "sv-1", "p.a.shop"), "application/merge-patch+json"
    assert (await server("bob", "PATCH", at, {"spec": {"labels": {"a": "b"}}}, media=media)).code == 200
    refused = await server("ann", "PATCH", at, {"spec": {"workspace": "data"}}, media=media)
    assert (refused.code, "moving it needs the right on workspace data too" in refused.json["message"]) == (403, True)
    await server.grant("workspace.edit", "ann", "Workspace", "data")
    assert (await server("ann", "PATCH", at, {"spec": {"workspace": "data"}}, media=media)).code == 200
    assert (await server("bob", "GET", at)).code == 404
    assert await server.names("bob", "managednamespaces") == []
    await server.grant("clustergroup.view", "eve", "ClusterGroup", "red")
    assert await server.names("eve", "managednamespaces") == ["p.a.shop"]
    assert await move(server, "p.a", "blue") == 200
    assert await server.names("eve", "managednamespaces") == []


async def test_a_new_object_is_judged_by_where_it_will_stand(server: People) -> None:
    await server.grant("clustergroup.edit", "ann", "ClusterGroup", "red")
    assert (await server.make(cluster("p.a", "blue"), "ann")).code == 403
    assert (await server.make(cluster("p.a", "red"), "ann")).code == 201
    apply = {"media": "application/apply-patch+yaml", "fieldManager": "ann"}
    assert (await server("ann", "PATCH", path("clusters", "sv-1", "p.b"), cluster("p.b", "blue"), **apply)).code == 403
    assert (await server("ann", "PATCH", path("clusters", "sv-1", "p.b"), cluster("p.b", "red"), **apply)).code == 201
    assert (await server.make(obj("nodepools", "p.a.md", {}, "sv-1"), "ann")).code == 201
    await server.make(cluster("p.z", "blue"))
    assert (await server.make(obj("nodepools", "p.z.md", {}, "sv-1"), "ann")).code == 403


async def test_a_collection_is_deleted_as_far_as_one_may(server: People) -> None:
    await fleet(server)
    await server.grant("clustergroup.edit", "ann", "ClusterGroup", "red")
    assert (await server("ann", "DELETE", path("nodepools", "sv-1"))).code == 200
    assert await server.names(ADMIN, "nodepools") == ["p.b.md", "p.d.md"]


async def test_a_watch_tells_when_a_cluster_moves_out_of_sight_and_into_it(server: People) -> None:
    await fleet(server)
    await server.grant("clustergroup.view", "ann", "ClusterGroup", "red")
    async with watching(server, "ann", CLUSTERS) as clusters, watching(server, "ann", path("nodepools")) as pools:
        await clusters.until(lambda: len(clusters.told()) == 2)
        await pools.until(lambda: len(pools.told()) == 2)
        assert await move(server, "p.a", "blue") == 200
        assert await move(server, "p.b", "red") == 200
        await clusters.until(lambda: len(clusters.told()) == 4)
        await pools.until(lambda: len(pools.told()) == 4)
        assert clusters.told()[2:] == [("DELETED", "p.a"), ("ADDED", "p.b")]
        assert clusters.events[2]["object"]["spec"]["clusterGroup"] == "red", "what he knew of it, not where it went"
        assert pools.told()[2:] == [("DELETED", "p.a.md"), ("ADDED", "p.b.md")]
        await server(ADMIN, "DELETE", path("clusters", "sv-1", "p.b"))
        await clusters.until(lambda: len(clusters.told()) == 5)
        assert clusters.told()[4] == ("DELETED", "p.b")


async def test_a_new_binding_makes_objects_appear_and_a_lost_one_takes_them_away(server: People) -> None:
    await fleet(server)
    await server.grant("clustergroup.view", "ann", "ClusterGroup", "red")
    async with watching(server, "ann", CLUSTERS) as seen:
        await seen.until(lambda: len(seen.told()) == 2)
        await server.grant("clustergroup.view", "ann", "ClusterGroup", "blue")
        await seen.until(lambda: len(seen.told()) == 4)
        await server.revoke("clustergroup.view", "ann", "ClusterGroup", "red")
        await seen.until(lambda: len(seen.told()) == 6)
        assert seen.told()[2:] == [("ADDED", "p.b"), ("ADDED", "p.d"), ("DELETED", "p.a"), ("DELETED", "p.c")]
        assert not seen.ended
        await server.revoke("clustergroup.view", "ann", "ClusterGroup", "blue")
        await seen.until(lambda: seen.ended)
    assert (await server("ann", "GET", CLUSTERS, watch="true")).code == 403


@pytest.mark.parametrize("left", ["", "clustergroup.view"])
async def test_who_saw_everything_and_does_no_longer_is_cut_off(server: People, left: str) -> None:
    await fleet(server)
    await server.grant("organization.view", "ann")
    if left:
        await server.grant(left, "ann", "ClusterGroup", "red")
    async with watching(server, "ann", CLUSTERS) as seen:
        await seen.until(lambda: len(seen.told()) == 4)
        await server.revoke("organization.view", "ann")
        await seen.until(lambda: seen.ended)


async def test_a_role_that_changes_changes_what_is_seen(server: People) -> None:
    await fleet(server)
    rule = {"apiGroups": ["fleet.skerry.dev"], "resources": ["clusters"], "verbs": ["get", "list", "watch"]}
    await server.make(obj("roles", "looker", {"rules": [{**rule, "resourceNames": ["p.a"]}]}))
    await server.grant("looker", "ann", "ClusterGroup", "red")
    async with watching(server, "ann", CLUSTERS) as seen:
        await seen.until(lambda: seen.told() == [("ADDED", "p.a")])
        answer = await server(
            ADMIN, "PATCH", path("roles", "", "looker"), {"spec": {"rules": [rule]}}, media="application/merge-patch+json"
        )
        assert answer.code == 200
        await seen.until(lambda: seen.told()[1:] == [("ADDED", "p.c")])


async def test_an_object_that_cannot_be_opened_ends_the_watch_that_needs_it_and_nothing_else(server: People) -> None:
    await server.grant("managementcluster.admin", "ann", "ManagementCluster", "sv-1")
    async with watching(server, "ann", path("secrets"), labelSelector="a=b") as choosing, watching(server, "ann", path("secrets")) as seen:
        await server.make(obj("secrets", "s", None, "sv-1", type="Opaque"))
        await seen.until(lambda: seen.told() == [("ADDED", "s")])
        place = ("sv-1", "shut")  # as another server wrote it, with a key that is not here
        server.app.parts.feeds.caches["secrets"].rows[place] = ShutItem(place, 1, "no key")
        assert (await server.grant("managementcluster.admin", "ann", "ManagementCluster", "sv-2")).code == 201
        await choosing.until(lambda: choosing.ended)
        del server.app.parts.feeds.caches["secrets"].rows[place]
    assert await server.names("ann", "secrets") == ["s"]


async def test_a_watch_ends_when_its_user_leaves_a_group_or_is_gone(server: People) -> None:
    await fleet(server)
    await server.grant("clustergroup.view", "@team", "ClusterGroup", "red")
    await server.make(obj("users", "ann", {"groups": ["team"]}))
    ann = (await server.make(obj("apitokens", "t", {"owner": "ann"}))).json["status"]["token"]
    at, media = path("users", "", "ann"), "application/merge-patch+json"
    async with watching(server, ann, CLUSTERS) as seen:
        await seen.until(lambda: len(seen.told()) == 2)
        await server(ADMIN, "PATCH", at, {"spec": {"displayName": "Ann"}}, media=media)
        await server(ADMIN, "PATCH", at, {"spec": {"groups": []}}, media=media)
        await seen.until(lambda: seen.ended)
    assert (await server(ann, "GET", CLUSTERS)).code == 403
    await server.grant("clustergroup.view", "ann", "ClusterGroup", "blue")
    revision = (await server(ann, "GET", CLUSTERS)).json["metadata"]["resourceVersion"]
    await server(ADMIN, "PATCH", at, {"spec": {"groups": ["team"]}}, media=media)
    answer = await server(ann, "GET", CLUSTERS, watch="true", resourceVersion=revision)
    assert [(each["type"], each["object"]["code"]) for each in answer.events] == [("ERROR", 410)], "others are to be seen now"
    async with watching(server, ann, CLUSTERS) as seen:
        await seen.until(lambda: len(seen.told()) == 4)
        await server(ADMIN, "DELETE", at)
        await seen.until(lambda: seen.ended)
    assert (await server(ann, "GET", CLUSTERS)).code == 401


async def test_a_watch_resumes_where_it_was_unless_the_sight_changed_since(server: People) -> None:
    await fleet(server)
    await server.grant("clustergroup.view", "ann", "ClusterGroup", "red")
    revision = (await server("ann", "GET", CLUSTERS)).json["metadata"]["resourceVersion"]
    await move(server, "p.b", "red")
    await move(server, "p.a", "blue")
    async with watching(server, "ann", CLUSTERS, resourceVersion=revision) as seen:
        await seen.until(lambda: seen.told() == [("ADDED", "p.b"), ("DELETED", "p.a")])
    await server.grant("clustergroup.view", "ann", "ClusterGroup", "blue")
    answer = await server("ann", "GET", CLUSTERS, watch="true", resourceVersion=revision)
    assert [(each["type"], each["object"]["code"]) for each in answer.events] == [("ERROR", 410)]


async def test_a_watch_of_observed_objects_is_filtered_too(server: People) -> None:
    await fleet(server)
    await server.grant("clustergroup.view", "ann", "ClusterGroup", "red")
    for name in ("a", "b"):
        seen_there = obj(
            "observedobjects", name, None, "sv-1", source={"namespace": "p", "kind": "Machine", "apiVersion": "v1", "name": name}
        )
        seen_there["metadata"] |= {"labels": {CLUSTER_LABEL: name}}
        await server.app.put_latest({(KINDS["observedobjects"].key, "sv-1", name): gapped(seen_there)})
    watched = path("observedobjects")
    async with watching(server, ADMIN, watched) as everything, watching(server, "ann", watched) as seen:
        await everything.until(lambda: len(everything.told()) == 2)
        await seen.until(lambda: seen.told() == [("ADDED", "a")])
        newest = (await server("ann", "GET", watched)).json["metadata"]["resourceVersion"]
        await move(server, "p.a", "blue")
        await seen.until(lambda: seen.told()[1:] == [("DELETED", "a")])
        assert seen.events[-1]["object"]["metadata"]["resourceVersion"] == newest, "latest values are counted by themselves"
        await move(server, "p.b", "red")
        await seen.until(lambda: seen.told()[2:] == [("ADDED", "b")])
    assert await server.names("ann", "observedobjects") == ["b"]
    assert await server.names(CONTROLLERS, "observedobjects") == ["a", "b"]


async def test_can_i_says_what_the_server_does(server: People) -> None:
    await fleet(server)
    await server.grant("clustergroup.edit", "ann", "ClusterGroup", "red")
    assert await server.can("ann", "list", "clusters", "sv-1")
    assert await server.can("ann", "delete", "clusters", "sv-1", "p.a")
    assert not await server.can("ann", "delete", "clusters", "sv-1", "p.b")
    assert not await server.can("ann", "delete", "clusters", "sv-1"), "not any of them"
    assert not await server.can("ann", "get", "secrets", "sv-1", "x")
    assert await server.can(ADMIN, "delete", "clusters", "sv-1")
    everything = {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}
    await server.make(obj("roles", "everything", everything))
    await server.grant("everything", "eve")
    token = (await server("eve", "POST", path("apitokens"), obj("apitokens", "t", {}))).json["status"]["token"]
    assert await server.can("eve", "create", "apitokens")
    assert await server.can(token, "delete", "apitokens", "", "t")
    assert not await server.can(token, "create", "apitokens"), "a token makes no tokens"
    asked = {"spec": {"resourceAttributes": {"verb": "impersonate", "resource": "users", "name": "ann"}}}
    for who, may in (("eve", False), (token, False), (ADMIN, True)):
        assert (await server(who, "POST", path("selfsubjectaccessreviews"), asked)).json["status"]["allowed"] == may
    rules = (await server("ann", "POST", path("selfsubjectrulesreviews"), {"spec": {"namespace": "sv-1"}})).json["status"]["resourceRules"]
    status = (await server("ann", "POST", path("selfsubjectrulesreviews"), {"spec": {"namespace": "sv-1"}})).json["status"]
    assert (status["incomplete"], "some objects only" in status["evaluationError"]) == (True, True)
    await server.grant("managementcluster.view", "bob", "ManagementCluster", "sv-1")
    for namespace, incomplete in (("sv-1", False), ("sv-2", True)):
        status = (await server("bob", "POST", path("selfsubjectrulesreviews"), {"spec": {"namespace": namespace}})).json["status"]
        assert status["incomplete"] == incomplete, namespace
    status = (await server(ADMIN, "POST", path("selfsubjectrulesreviews"), {"spec": {"namespace": "sv-1"}})).json["status"]
    assert (status["incomplete"], "evaluationError" in status) == (False, False)
    assert any("clusters" in rule["resources"] and "update" in rule["verbs"] for rule in rules)
    assert not any("secrets" in rule["resources"] for rule in rules)


async def test_many_watches_whose_sight_changes_at_once_leave_the_others_their_turn(
    server: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sights, "AT_A_TIME", 1)
    for number in range(20):
        await server.make(cluster(f"p.c{number}", "blue"))
    await server.grant("clustergroup.view", "@team", "ClusterGroup", "red")
    loop, turns, over = asyncio.get_running_loop(), 0, False

    def told(seen: Watching, most: int) -> bool:
        return len(seen.events) >= most

    def tick() -> None:
        nonlocal turns
        turns += 1
        if not over:
            loop.call_soon(tick)

    async with contextlib.AsyncExitStack() as stack:
        watches = [await stack.enter_async_context(watching(server, f"u{number}|team", CLUSTERS)) for number in range(5)]
        tick()
        await server.grant("clustergroup.view", "@team", "ClusterGroup", "blue")
        for seen in watches:
            await seen.until(partial(told, seen, 20))
        assert turns >= 5 * 20
        turns = 0
        await server.revoke("clustergroup.view", "@team", "ClusterGroup", "blue")
        for seen in watches:
            await seen.until(partial(told, seen, 40))
        assert turns >= 5 * 20
        await server.revoke("clustergroup.view", "@team", "ClusterGroup", "red")
        for seen in watches:
            await seen.until(partial(getattr, seen, "ended"))
        over = True
    assert sorted(set(watches[0].told())) == sorted((kind, f"p.c{number}") for kind in ("ADDED", "DELETED") for number in range(20))
