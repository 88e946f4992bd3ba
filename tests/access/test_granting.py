"""Nobody grants what he does not have, and tokens are worth what they say, as long as they last."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from skerry.access import builtin
from skerry.kit.clock import rfc3339
from tests.access.clock import NOON, Standing
from tests.access.people import ADMIN, CONTROLLERS, People, cluster, obj, path, people, watching

READ = {"apiGroups": ["fleet.skerry.dev"], "resources": ["clusters"], "verbs": ["get", "list", "watch"]}
MERGE = {"media": "application/merge-patch+json"}


async def test_an_admin_of_a_scope_shares_what_he_has_there_and_no_more(server: People) -> None:
    await server.grant("clustergroup.admin", "ann", "ClusterGroup", "red")
    assert (await server.grant("clustergroup.edit", "bob", "ClusterGroup", "red", by="ann")).code == 201
    for role, who, kind, name in (
        ("clustergroup.edit", "bob", "ClusterGroup", "blue"),
        ("organization.admin", "ann", "Organization", ""),
        ("managementcluster.admin", "ann", "ClusterGroup", "red"),
    ):
        answer = await server.grant(role, who, kind, name, by="ann")
        assert answer.code == 403, role
    assert "not currently held on ClusterGroup/red" in answer.json["message"]
    assert await server.names("ann", "rolebindings") == [
        "clustergroup.admin.clustergroup.red.ann",
        "clustergroup.edit.clustergroup.red.bob",
    ]
    assert (await server.grant("missing", "bob", "ClusterGroup", "red", by="ann")).code == 403
    assert (await server.grant("clustergroup.view", "bob", "ClusterGroup", "red", by="bob")).code == 403, "an editor binds nobody"


async def test_bind_and_escalate_lift_the_rule_as_in_kubernetes(server: People) -> None:
    write = {"apiGroups": ["fleet.skerry.dev"], "resources": ["roles", "rolebindings"], "verbs": ["*"]}
    await server.make(obj("roles", "lister", {"rules": [{**write, "verbs": ["get", "list", "create", "update", "patch"]}]}))
    await server.grant("lister", "ann")
    assert (await server.make(obj("roles", "r", {"rules": [READ]}), "ann")).code == 403
    assert (await server.grant("organization.view", "ann", by="ann")).code == 403
    await server.make(obj("roles", "lifter", {"rules": [{**write, "resources": ["roles"], "verbs": ["escalate", "bind"]}]}))
    await server.grant("lifter", "ann")
    assert (await server.make(obj("roles", "r", {"rules": [READ]}), "ann")).code == 201
    assert (await server.grant("organization.view", "ann", by="ann")).code == 201


async def test_a_role_in_use_does_not_grow_beyond_its_writer(server: People) -> None:
    await server.make(obj("roles", "r", {"rules": [READ]}))
    write = {"apiGroups": ["fleet.skerry.dev"], "resources": ["roles"], "verbs": ["get", "patch"]}
    await server.make(obj("roles", "writer", {"rules": [write]}))
    await server.grant("writer", "ann")
    grown = {"spec": {"rules": [READ, {**READ, "verbs": ["delete"]}]}}
    assert (await server("ann", "PATCH", path("roles", "", "r"), grown, **MERGE)).code == 403
    assert (await server("ann", "PATCH", path("roles", "", "r"), {"metadata": {"labels": {"a": "b"}}}, **MERGE)).code == 200


async def test_built_in_roles_are_the_servers_and_the_organization_stays(server: People) -> None:
    for name in builtin.ROLES:
        assert (await server(ADMIN, "PATCH", path("roles", "", name), {"spec": {"rules": []}}, **MERGE)).code == 403
        assert (await server(ADMIN, "DELETE", path("roles", "", name))).code == 403
    assert (await server(CONTROLLERS, "PATCH", path("roles", "", "cluster.view"), {"spec": {"description": "x"}}, **MERGE)).code == 200
    assert (await server(ADMIN, "DELETE", path("organizations", "", "default"))).code == 405


async def test_who_may_write_users_makes_nobody_mightier_than_himself(server: People) -> None:
    await server.grant("organization.admin", "@mighty")
    await server.make(obj("roles", "clerk", {"rules": [{"apiGroups": ["fleet.skerry.dev"], "resources": ["users"], "verbs": ["*"]}]}))
    await server.grant("clerk", "ann")
    assert (await server.make(obj("users", "bob", {"groups": ["mighty"]}), "ann")).code == 403
    assert (await server.make(obj("users", "bob", {"groups": ["guests"]}), "ann")).code == 201
    assert (await server("ann", "PATCH", path("users", "", "bob"), {"spec": {"groups": ["mighty"]}}, **MERGE)).code == 403


async def token(server: People, who: str, name: str = "t", **spec: Any) -> str:
    answer = await server.make(obj("apitokens", name, spec), who)
    assert answer.code == 201, answer.body
    text: str = answer.json["status"]["token"]
    return text


async def test_a_token_is_shown_once_and_speaks_for_its_owner(server: People) -> None:
    await server.grant("clustergroup.view", "@team", "ClusterGroup", "red")
    await server.make(cluster("p.a", "red"))
    text = await token(server, "ann|team")
    assert await server.names(text, "clusters") == ["p.a"]
    who = (await server(text, "POST", path("selfsubjectreviews"), {})).json["status"]["userInfo"]
    assert (who["username"], "team" in who["groups"]) == ("ann", True)
    stored = await server("ann|team", "GET", path("apitokens", "", "t"))
    assert "status" not in stored.json
    everything = json.dumps((await server(ADMIN, "GET", path("apitokens"))).json) + repr(server.audit.lines)
    assert text not in everything
    assert text.removeprefix("skerry_") not in everything
    assert (await server.make(obj("apitokens", "u", {}), text)).code == 403, "a token makes no tokens"


async def test_a_token_does_what_both_it_and_its_owner_may(server: People) -> None:
    for name, group in (("p.a", "red"), ("p.b", "blue")):
        await server.make(cluster(name, group))
    await server.grant("organization.edit", "ann")
    reads = await token(server, "ann", "reads", rules=[READ])
    red = await token(server, "ann", "red", scope={"kind": "ClusterGroup", "name": "red"})
    assert await server.names(reads, "clusters") == ["p.a", "p.b"]
    assert (await server(reads, "DELETE", path("clusters", "sv-1", "p.a"))).code == 403
    assert (await server(reads, "GET", path("workspaces"))).code == 403
    assert await server.names(red, "clusters") == ["p.a"]
    assert (await server(red, "DELETE", path("clusters", "sv-1", "p.b"))).code == 404
    assert (await server(red, "DELETE", path("clusters", "sv-1", "p.a"))).code == 200
    limited = await token(server, ADMIN, "admins", rules=[READ], scope={"kind": "ClusterGroup", "name": "blue"})
    assert await server.names(limited, "clusters") == ["p.b"]
    assert (await server(limited, "GET", path("secrets"))).code == 403
    assert not await server.can(limited, "delete", "clusters", "sv-1", "p.b")
    await server.revoke("organization.edit", "ann")
    assert (await server(reads, "GET", path("clusters"))).code == 403


async def test_a_deleted_token_ends_at_once_and_its_watches_with_it(server: People) -> None:
    await server.grant("organization.view", "ann")
    text = await token(server, "ann")
    async with watching(server, text, path("clusters")) as seen:
        assert (await server("ann", "DELETE", path("apitokens", "", "t"))).code == 200
        await seen.until(lambda: seen.ended)
    assert (await server(text, "GET", path("clusters"))).code == 401


async def test_a_disabled_or_deleted_owner_ends_his_tokens(server: People) -> None:
    await server.grant("organization.view", "@robots")
    await server.make(obj("users", "robot", {"groups": ["robots"]}))
    text = await token(server, ADMIN, owner="robot")
    async with watching(server, text, path("clusters")) as seen:
        await server(ADMIN, "PATCH", path("users", "", "robot"), {"spec": {"disabled": True}}, **MERGE)
        await seen.until(lambda: seen.ended)
    assert (await server(text, "GET", path("clusters"))).code == 401
    await server(ADMIN, "PATCH", path("users", "", "robot"), {"spec": {"disabled": False}}, **MERGE)
    assert (await server(text, "GET", path("clusters"))).code == 200
    await server(ADMIN, "PATCH", path("users", "", "robot"), {"spec": {"groups": []}}, **MERGE)
    assert (await server(text, "GET", path("clusters"))).code == 403
    await server(ADMIN, "DELETE", path("users", "", "robot"))
    assert (await server(text, "GET", path("clusters"))).code == 401


async def test_what_grants_ends_when_its_deletion_begins_whatever_finalizers_keep_it(server: People) -> None:
    await server.make(obj("users", "robot", {}))
    bound = {"roleRef": {"name": "organization.view"}, "scope": {"kind": "Organization"}}
    subjects = [{"kind": "User", "name": name} for name in ("ann", "robot")]
    kept = {"finalizers": ["example.com/stays"]}
    binding = obj("rolebindings", "b", {**bound, "subjects": subjects})
    anns, robots = obj("apitokens", "anns", {}), obj("apitokens", "robots", {"owner": "robot"})
    for each in (binding, anns):
        each["metadata"].update(kept)
    await server.make(binding)
    first, second = [(await server.make(each, who)).json["status"]["token"] for each, who in ((anns, "ann"), (robots, ADMIN))]
    await server(ADMIN, "PATCH", path("users", "", "robot"), {"metadata": kept}, **MERGE)
    for text, gone in ((first, path("apitokens", "", "anns")), (second, path("users", "", "robot"))):
        async with watching(server, text, path("clusters")) as seen:
            assert (await server(ADMIN, "DELETE", gone)).code == 200
            await seen.until(lambda: seen.ended)
        assert (await server(text, "GET", path("clusters"))).code == 401
    async with watching(server, "ann", path("clusters")) as seen:
        assert (await server(ADMIN, "DELETE", path("rolebindings", "", "b"))).code == 200
        await seen.until(lambda: seen.ended)
    assert (await server("ann", "GET", path("clusters"))).code == 403
    for gone in (path("apitokens", "", "anns"), path("users", "", "robot"), path("rolebindings", "", "b")):
        assert (await server(ADMIN, "GET", gone)).json["metadata"]["deletionTimestamp"]


async def test_a_token_is_not_good_for_another_user_of_the_same_name(server: People) -> None:
    await server.grant("organization.view", "robot")
    await server.make(obj("users", "robot", {}))
    first = await token(server, ADMIN, "first", owner="robot", ownerUid="made-up")
    await server(ADMIN, "DELETE", path("users", "", "robot"))
    await server.make(obj("users", "robot", {}))
    second = await token(server, ADMIN, "second", owner="robot")
    assert [(await server(text, "GET", path("clusters"))).code for text in (first, second)] == [401, 200]
    moved = await server(ADMIN, "PATCH", path("apitokens", "", "first"), {"spec": {"ownerUid": ""}}, **MERGE)
    assert (moved.code, "spec.ownerUid" in moved.json["message"]) == (422, True)


async def test_tokens_are_seen_and_ended_by_their_owners_only(server: People) -> None:
    await token(server, "ann", "a")
    await token(server, "bob", "b")
    assert await server.names("ann", "apitokens") == ["a"]
    assert (await server("ann", "DELETE", path("apitokens", "", "b"))).code == 404
    assert (await server.make(obj("apitokens", "c", {"owner": "bob"}), "ann")).code == 403
    assert sorted(await server.names(ADMIN, "apitokens")) == ["a", "b"]
    dry = await server("ann", "POST", path("apitokens"), obj("apitokens", "d", {}), dryRun="All")
    assert (dry.code, "status" in dry.json) == (201, False)


async def test_a_token_ends_at_its_time() -> None:
    clock = Standing()
    async with people(clock) as server:
        text = await token(server, ADMIN, expirationTime=rfc3339(NOON + timedelta(hours=1)))
        assert (await server(text, "GET", path("clusters"))).code == 200
        clock.moment = NOON + timedelta(hours=1)
        assert (await server(text, "GET", path("clusters"))).code == 401


@pytest.mark.parametrize("when", [NOON - timedelta(seconds=1), NOON + timedelta(days=400)])
async def test_a_token_ends_in_the_future_and_within_a_year(when: Any) -> None:
    async with people(Standing()) as server:
        answer = await server.make(obj("apitokens", "t", {"expirationTime": rfc3339(when)}))
        assert (answer.code, "spec.expirationTime" in answer.json["message"]) == (422, True)


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
async def test_a_time_that_is_none_in_utc_is_refused(server: People, when: str) -> None:
    answer = await server.make(obj("apitokens", "t", {"expirationTime": when}))
    assert (answer.code, "spec.expirationTime" in answer.json["message"]) == (422, True)


async def test_the_audit_tells_who_wanted_what_where_and_what_became_of_it(server: People) -> None:
    await server.grant("clustergroup.edit", "ann", "ClusterGroup", "red")
    server.audit.lines.clear()
    await server.make(cluster("p.a", "red"), "ann")
    await server.make(cluster("p.b", "blue"), "ann")
    await server("ann", "GET", path("secrets", "sv-1", "s"))
    await server("ann", "GET", path("clusters", "sv-1", "p.a"))
    await server("skerry_unknown", "GET", path("clusters"))
    told = [(line.user, line.verb, line.resource, line.namespace, line.name, line.code, line.address) for line in server.audit.lines]
    assert told == [
        ("ann", "create", "clusters", "sv-1", "p.a", 201, "127.0.0.1"),
        ("ann", "create", "clusters", "sv-1", "p.b", 403, "127.0.0.1"),
        ("ann", "get", "secrets", "sv-1", "s", 403, "127.0.0.1"),
        ("ann", "get", "clusters", "sv-1", "p.a", 200, "127.0.0.1"),
        ("system:anonymous", "get", "", "", "", 401, "127.0.0.1"),
    ]
