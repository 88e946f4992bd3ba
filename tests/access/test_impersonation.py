"""Requests in somebody else's name: the administrator alone makes them, and the audit tells whose doing it was."""

from __future__ import annotations

import pytest

from skerry.pki import policy
from tests.access.people import ADMIN, CONTROLLERS, People, obj, path

GROUPS = path("clustergroups")


async def test_the_administrator_sees_what_another_sees_and_may_what_he_may(server: People) -> None:
    await server.make(obj("users", "ann", {"groups": ["team"]}))
    await server.grant("clustergroup.view", "@team", "ClusterGroup", "red")
    ann, bob = {"impersonate-user": "ann"}, {"impersonate-user": "bob", "impersonate-group": "team"}
    for headers in (ann, bob):
        answer = await server(ADMIN, "GET", GROUPS, headers=headers)
        assert [each["metadata"]["name"] for each in answer.json["items"]] == ["red"]
        assert (await server(ADMIN, "DELETE", path("clustergroups", "", "red"), headers=headers)).code == 403
        asked = {"verb": "delete", "group": "fleet.skerry.dev", "resource": "clustergroups", "name": "red"}
        review = await server(ADMIN, "POST", path("selfsubjectaccessreviews"), {"spec": {"resourceAttributes": asked}}, headers=headers)
        assert not review.json["status"]["allowed"]
    who = (await server(ADMIN, "POST", path("selfsubjectreviews"), {}, headers=ann)).json["status"]["userInfo"]
    assert who == {"username": "ann", "groups": ["team", "skerry:users", "system:authenticated"]}
    nobody = {"impersonate-user": "system:anonymous"}
    assert (await server(ADMIN, "GET", "/apis", headers=nobody)).code == 403


async def test_the_audit_says_who_it_was(server: People) -> None:
    await server(ADMIN, "DELETE", path("clustergroups", "", "red"), headers={"impersonate-user": "ann"})
    line = server.audit.lines[-1]
    assert (line.user, line.impersonated_by, line.verb, line.name, line.code) == ("ann", "admin", "delete", "red", 403)


@pytest.mark.parametrize("who", ["ann", CONTROLLERS, "skerry_"])
async def test_nobody_else_does_whatever_he_was_granted(server: People, who: str) -> None:
    everything = {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}
    await server.make(obj("roles", "everything", everything))
    await server.grant("everything", "ann")
    if who == "skerry_":
        made = await server.make(obj("apitokens", "own", {}))
        who = made.json["status"]["token"]
    answer = await server(who, "GET", GROUPS, headers={"impersonate-user": "admin"})
    assert (answer.code, "cannot impersonate" in answer.json["message"]) == (403, True)
    assert server.audit.lines[-1].code == 403
    assert not server.audit.lines[-1].impersonated_by


@pytest.mark.parametrize("group", [policy.COMPONENTS, policy.AGENTS])
async def test_nobody_becomes_one_of_our_own_processes(server: People, group: str) -> None:
    headers = {"impersonate-user": policy.component("controllers"), "impersonate-group": group}
    assert (await server(ADMIN, "GET", GROUPS, headers=headers)).code == 403


@pytest.mark.parametrize("name", ["impersonate-group", "impersonate-uid", "impersonate-extra-scopes"])
async def test_groups_without_a_user_are_refused(server: People, name: str) -> None:
    assert (await server(ADMIN, "GET", GROUPS, headers={name: "x"})).code == 400
