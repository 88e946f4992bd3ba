from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from peers.kubernetes import Kubernetes
from skerry.client import kubeconfig
from skerry.client.connection import Connection
from skerry.client.contract import Event, PatchKind, Ref
from skerry.client.discovery import discover, ref_of
from skerry.client.http import HttpClient, Times
from skerry.machinery import errors
from skerry.machinery.resource import Json

pytestmark = pytest.mark.peer("kubernetes")

MAPS = Ref("", "v1", "configmaps")
SPACES = Ref("", "v1", "namespaces", namespaced=False)


@pytest.fixture(scope="module")
def peer() -> Iterator[Kubernetes]:
    with Kubernetes() as made:
        yield made


@pytest.fixture
def admin(peer: Kubernetes) -> Connection:
    return kubeconfig.read(peer.kubeconfig)


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


async def test_an_object_lives_its_life_through_the_client(admin: Connection) -> None:
    async with HttpClient(admin) as client:
        made = await client.create(MAPS, config_map("life", a="1"), manager="tests")
        assert made["metadata"]["managedFields"][0]["manager"] == "tests"
        with pytest.raises(errors.AlreadyExists):
            await client.create(MAPS, config_map("life"))
        patched = await client.patch(MAPS, "life", "default", PatchKind.MERGE, {"data": {"b": "2"}})
        with pytest.raises(errors.Conflict):
            await client.replace(MAPS, made)
        applied = await client.apply(MAPS, config_map("life", c="3"), manager="other")
        assert applied["data"] == {**patched["data"], "c": "3"}
        with pytest.raises(errors.Conflict) as conflict:
            await client.apply(MAPS, config_map("life", a="9"), manager="other")
        assert conflict.value.causes[0].kind == "FieldManagerConflict"
        dry = await client.apply(MAPS, config_map("life", a="9"), manager="other", force=True, dry_run=True)
        assert dry["data"]["a"] == "9"
        assert (await client.get(MAPS, "life", "default"))["data"]["a"] == "1"
        with pytest.raises(errors.Conflict):
            await client.delete(MAPS, "life", "default", uid="another")
        await client.delete(MAPS, "life", "default", uid=made["metadata"]["uid"])
        with pytest.raises(errors.NotFound) as gone:
            await client.get(MAPS, "life", "default")
        assert gone.value.subject.name == "life"
        with pytest.raises(errors.Invalid) as bad:
            await client.create(MAPS, config_map("Not A Name"))
        assert bad.value.causes[0].field == "metadata.name"


async def test_a_list_is_whole_over_many_pages(admin: Connection) -> None:
    async with HttpClient(admin) as client:
        for number in range(7):
            await client.apply(MAPS, {**config_map(f"page-{number}"), "data": {}}, manager="tests")
        pages = await client.list(MAPS, "default", page=2)
        whole = await client.list(MAPS, "default", page=0)
        assert [each["metadata"]["name"] for each in pages["items"]] == [each["metadata"]["name"] for each in whole["items"]]
        assert "continue" not in pages["metadata"]
        one = await client.list(MAPS, fields="metadata.name=page-3")
        assert [each["metadata"]["name"] for each in one["items"]] == ["page-3"]


async def test_a_watch_follows_from_a_revision_and_ends_where_the_server_was_asked_to_end_it(admin: Connection) -> None:
    events: list[Event] = []
    async with HttpClient(admin, times=Times(watch=2)) as client:
        start = (await client.list(MAPS, "default"))["metadata"]["resourceVersion"]

        async def follow() -> None:
            events.extend([event async for event in client.watch(MAPS, "default", resource_version=start)])

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(follow())
            await client.create(MAPS, config_map("big", a="x" * 900_000))
            await client.delete(MAPS, "big", "default")
    seen = [(event.type, event.object["metadata"]["name"]) for event in events if event.type != "BOOKMARK"]
    assert seen == [("ADDED", "big"), ("DELETED", "big")]
    assert len(events[0].object["data"]["a"]) == 900_000


async def test_a_watch_from_an_impossible_revision_is_an_api_error(admin: Connection) -> None:
    async with HttpClient(admin) as client:
        with pytest.raises(errors.ApiError):
            _ = [event async for event in client.watch(MAPS, resource_version="nonsense")]


async def test_discovery_finds_every_kind_that_a_manifest_may_name(admin: Connection) -> None:
    async with HttpClient(admin) as client:
        served = await discover(client)
    assert ref_of(served, {"apiVersion": "v1", "kind": "Namespace"}) == SPACES
    assert ref_of(served, {"apiVersion": "apps/v1", "kind": "Deployment"}) == Ref("apps", "v1", "deployments")
    assert ref_of(served, {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}).namespaced is False


async def test_a_caller_who_may_not_and_one_who_is_unknown_are_told_apart(peer: Kubernetes) -> None:
    ca = peer.authority.pem
    async with HttpClient(Connection(peer.url, ca=ca, token="outsider-token")) as outsider:
        with pytest.raises(errors.Forbidden, match="outsider"):
            await outsider.list(SPACES)
    async with HttpClient(Connection(peer.url, ca=ca, token="unknown")) as unknown:
        with pytest.raises(errors.Unauthorized):
            await unknown.list(SPACES)


async def test_a_kubeconfig_that_we_wrote_opens_a_real_cluster(peer: Kubernetes, admin: Connection) -> None:
    path = peer.folder / "rendered"
    kubeconfig.write(path, admin, namespace="default")
    async with HttpClient(kubeconfig.read(path)) as client:
        assert (await client.raw("GET", "/version"))["major"] == "1"
