"""What people may write of clusters that are only observed, and who may have one managed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.access.people import ADMIN, CONTROLLERS, People, cluster, obj, path, people

Json = dict[str, Any]
MERGE = {"media": "application/merge-patch+json"}
SHOP, POOL = path("clusters", "sv-1", "team-a.shop"), path("nodepools", "sv-1", "team-a.shop.md-0")


@pytest.fixture
async def server() -> AsyncIterator[People]:
    """A server on which a cluster with one pool was found, in group red."""
    async with people() as made:
        found = cluster("team-a.shop", "red")
        found["spec"]["managementPolicy"] = "Observe"
        assert (await made.make(found, CONTROLLERS)).code == 201
        assert (await made.make(obj("nodepools", "team-a.shop.md-0", {"replicas": 2}, "sv-1"), CONTROLLERS)).code == 201
        yield made


async def patched(server: People, spec: Json, who: str = ADMIN, at: str = SHOP, **metadata: Any) -> Any:
    return await server(who, "PATCH", at, {"spec": spec, "metadata": metadata}, **MERGE)


async def test_only_the_group_labels_and_annotations_of_an_observed_cluster_change(server: People) -> None:
    assert (await patched(server, {"clusterGroup": "blue"}, labels={"a": "b"}, annotations={"c": "d"})).code == 200
    refused = await patched(server, {"version": "v1.35.0", "controlPlane": {"replicas": 3}})
    assert refused.code == 422
    assert {each["field"] for each in refused.json["details"]["causes"]} == {"spec.version", "spec.controlPlane"}
    assert "set spec.managementPolicy to Manage" in refused.json["message"]
    assert (await patched(server, {"version": "v1.35.0"}, CONTROLLERS)).code == 200


async def test_the_pools_of_an_observed_cluster_follow_it_and_people_follow_them(server: People) -> None:
    assert (await patched(server, {"replicas": 3}, at=POOL)).code == 422
    scaled = await server(ADMIN, "PATCH", f"{POOL}/scale", {"spec": {"replicas": 3}}, **MERGE)
    assert (scaled.code, "spec.replicas" in scaled.json["message"]) == (422, True)
    made = await server.make(obj("nodepools", "team-a.shop.md-1", {"replicas": 1}, "sv-1"))
    assert (made.code, "only observed" in made.json["message"]) == (422, True)
    assert (await patched(server, {}, at=POOL, labels={"a": "b"})).code == 200
    assert (await patched(server, {"managementPolicy": "Manage"})).code == 200
    assert (await patched(server, {"replicas": 3}, at=POOL)).code == 200
    assert (await server.make(obj("nodepools", "team-a.shop.md-1", {"replicas": 1}, "sv-1"))).code == 201


async def test_it_is_managed_in_one_write_with_whatever_is_wanted_and_left_alone_by_one_that_says_nothing_else(server: People) -> None:
    assert (await patched(server, {"managementPolicy": "Manage", "version": "v1.35.0"})).code == 200
    refused = await patched(server, {"managementPolicy": "Observe", "version": "v1.36.0"})
    assert (refused.code, "write the policy alone" in refused.json["message"]) == (422, True)
    assert (await patched(server, {"managementPolicy": "Observe"})).code == 200
    assert (await patched(server, {"version": "v1.36.0"})).code == 422


async def test_an_observed_cluster_is_found_and_not_made(server: People) -> None:
    body = cluster("team-a.other", "red")
    body["spec"]["managementPolicy"] = "Observe"
    answer = await server.make(body)
    assert (answer.code, "found in its management cluster" in answer.json["message"]) == (422, True)


async def test_whoever_may_update_a_cluster_may_have_it_managed_and_nobody_else(server: People) -> None:
    await server.grant("clustergroup.edit", "ann", "ClusterGroup", "red")
    await server.grant("clustergroup.view", "bob", "ClusterGroup", "red")
    await server.grant("clustergroup.edit", "eve", "ClusterGroup", "blue")
    assert (await patched(server, {"managementPolicy": "Manage"}, "bob")).code == 403
    assert (await patched(server, {"managementPolicy": "Manage"}, "eve")).code == 404
    assert (await patched(server, {"managementPolicy": "Manage", "clusterGroup": "blue"}, "ann")).code == 403
    assert (await patched(server, {"managementPolicy": "Manage"}, "ann")).code == 200


async def test_a_deletion_of_an_observed_cluster_is_warned_of_and_one_of_a_managed_is_not(server: People) -> None:
    dry = await server(ADMIN, "DELETE", SHOP, {"dryRun": ["All"]})
    assert dry.code == 200
    assert "only observed" in dry.headers["warning"]
    assert (await patched(server, {"managementPolicy": "Manage"})).code == 200
    assert "warning" not in (await server(ADMIN, "DELETE", SHOP, {})).headers
