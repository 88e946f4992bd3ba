"""The agent takes away what its manifest put there, and says so until it is heard; on each kind of cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from skerry.agent import main
from skerry.agent.keeping import ClusterSecret, Folder
from skerry.agent.leaving import CLUSTER_BINDINGS, CLUSTER_ROLES, leave
from skerry.agent.main import Agent, AgentSettings
from skerry.agent.memory import NAMESPACES
from skerry.client.connection import Connection
from skerry.client.http import HttpClient
from skerry.compose.attachment import applied, cleaned
from skerry.gateway.manifest import Installation, documents
from skerry.kinds.common import API_VERSION
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock
from skerry.machinery.errors import NotFound
from skerry.machinery.resource import Resource
from skerry.machinery.schema import Schema
from skerry.runtime.garbage import GarbageCollector
from skerry.tunnel.places import BINDINGS, FEATURES, IDENTITY, NAMESPACE, ROLES
from tests.agent.targets import Target
from tests.gateway.fleet import SECRETS, SETS, Fleet, config_map, eventually
from tests.gateway.test_clusters import SHOP, attached
from tests.gateway.test_leaving import delete, found, gone, held, says, there

Json = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
KINDS = (
    ("ServiceAccount", "serviceaccounts", "", True),
    ("Deployment", "deployments", "apps", True),
    ("Role", "roles", RBAC, True),
    ("RoleBinding", "rolebindings", RBAC, True),
    ("ClusterRole", "clusterroles", RBAC, False),
    ("ClusterRoleBinding", "clusterrolebindings", RBAC, False),
)
WIDE = ((CLUSTER_ROLES, ROLES), (CLUSTER_BINDINGS, BINDINGS))


def quiet(_: str) -> None:
    """Tell nobody."""


@pytest.fixture
async def place(target: Target) -> AsyncIterator[Target]:
    """A cluster to which the manifest was applied; what it made is removed afterwards."""
    async with TaskOwner("place") as owner:
        if target.api is not None:
            await target.api.serve_kinds([resource(each) for each in KINDS])
            owner.spawn(GarbageCollector(target.client).run(), "garbage")
        await applied(target.client, manifest(), quiet)
        yield target
        await cleaned(target.client, 60, quiet, SystemClock())
        await away(target)


def resource(kind: tuple[str, str, str, bool]) -> Resource:
    """A kind that our own machinery does not have, with anything in it."""
    anything = Schema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    return Resource(group=kind[2], version="v1", kind=kind[0], plural=kind[1], namespaced=kind[3], schema=anything)


def manifest() -> list[Json]:
    return documents(Installation(SHOP, "https://skerry.example", b"root", "token", "skerry:1", FEATURES))


async def stays(target: Target) -> list[str]:
    """What of the manifest is outside every namespace, and the namespace itself."""
    left = []
    for ref, names in (*WIDE, (NAMESPACES, (NAMESPACE,))):
        for name in names:
            with contextlib.suppress(NotFound):
                await target.client.get(ref, name)
                left.append(f"{ref.plural}/{name}")
    return left


async def away(target: Target) -> None:
    async def state() -> bool:
        assert await stays(target) == []
        return True

    await eventually(state)


@asynccontextmanager
async def running(fleet: Fleet, target: Connection, folder: str = "shop") -> AsyncIterator[tuple[Agent, asyncio.Task[None]]]:
    """An agent of the cluster that is connected, and its task."""
    identity = await fleet.register(SHOP)
    await Folder(fleet.folder / folder).store(identity)
    async with HttpClient(target) as client, TaskOwner("agent") as owner:
        agent = Agent(identity, AgentSettings(target, fleet.folder / folder), client, fleet.clock)
        task = owner.spawn(agent.run(), "agent")
        async with asyncio.timeout(60):
            await agent.connected.wait()
        await fleet.joined(SHOP, None)
        await there(fleet)
        yield agent, task


async def test_nothing_is_left_and_it_may_be_done_again(place: Target) -> None:
    assert len(await stays(place)) == len(ROLES) + len(BINDINGS) + 1
    assert await leave(place.client) == ""
    assert await leave(place.client) == ""
    await away(place)
    assert await leave(place.client) == ""


async def test_what_others_made_stays(place: Target) -> None:
    theirs = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": "skerry-agent-theirs"}, "rules": []}
    await place.client.create(CLUSTER_ROLES, theirs)
    await leave(place.client)
    await away(place)
    assert await place.client.get(CLUSTER_ROLES, "skerry-agent-theirs")
    await place.client.delete(CLUSTER_ROLES, "skerry-agent-theirs")


async def test_an_agent_of_fewer_features_leaves_as_well(place: Target) -> None:
    for ref, names in WIDE:
        await place.client.delete(ref, names[1])
    assert await leave(place.client) == ""
    await away(place)


async def test_a_cluster_that_does_not_answer_is_a_problem_that_is_told() -> None:
    async with HttpClient(Connection("http://127.0.0.1:1")) as nobody:
        assert "127.0.0.1" in await leave(nobody)


async def test_a_deleted_cluster_is_cleaned_by_its_agent_which_then_ends(fleet: Fleet, place: Target) -> None:
    await attached(fleet, "shop")
    await held(fleet)
    async with running(fleet, place.connection) as (_, task):
        await delete(fleet)
        await gone(fleet)
        async with asyncio.timeout(30):
            await task
    await away(place)
    assert await Folder(fleet.folder / "shop").load() is None


def cut_when_left(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the line to the gateway as soon as the agent has taken everything away."""

    async def and_cut(client: Any) -> str:
        problem = await leave(client)
        fleet.wire.cut()
        return problem

    monkeypatch.setattr(main, "leave", and_cut)


async def test_an_agent_that_was_not_heard_says_it_again_when_it_can(fleet: Fleet, place: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    await attached(fleet, "shop")
    await held(fleet)
    async with running(fleet, place.connection) as (agent, task):
        cut_when_left(fleet, monkeypatch)
        await delete(fleet)
        await away(place)
        assert await found(fleet) is not None
        await says(fleet, "which is away")
        assert not task.done()
        fleet.wire.mend()
        await gone(fleet)
        async with asyncio.timeout(30):
            await task
        assert agent.statistics()["agent"]["sessions"] >= 2


async def test_an_agent_that_is_cut_off_in_the_middle_goes_on_when_it_is_asked_again(
    fleet: Fleet, place: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    await attached(fleet, "shop")
    await held(fleet)
    async with running(fleet, place.connection):
        really, times = leave, 0

        async def half(client: Any) -> str:
            nonlocal times
            times += 1
            if times == 1:
                fleet.wire.cut()
                await asyncio.sleep(60)
            return await really(client)

        monkeypatch.setattr(main, "leave", half)
        await delete(fleet)
        await says(fleet, "which is away")
        assert len(await stays(place)) == len(ROLES) + len(BINDINGS) + 1
        fleet.wire.mend()
        await gone(fleet)
    await away(place)


async def test_an_agent_that_nobody_hears_any_more_ends(fleet: Fleet, place: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "LAST_WORD_SECONDS", 1.0)
    await attached(fleet, "shop")
    await held(fleet)
    async with running(fleet, place.connection) as (_, task):
        cut_when_left(fleet, monkeypatch)
        await delete(fleet)
        async with asyncio.timeout(60):
            await task
    await delete(fleet, force=True)
    await gone(fleet)


async def test_a_problem_is_told_and_once_it_is_solved_the_cluster_goes(
    fleet: Fleet, place: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skerry.gateway import leaving

    monkeypatch.setattr(leaving, "AGAIN_SECONDS", 0.5)
    await attached(fleet, "shop")
    await held(fleet)
    problems = ["namespaces is forbidden", ""]
    really = leave

    async def at_last(client: Any) -> str:
        return problems.pop(0) or await really(client)

    monkeypatch.setattr(main, "leave", at_last)
    async with running(fleet, place.connection):
        await delete(fleet)
        await says(fleet, "namespaces is forbidden")
        await gone(fleet)
    await away(place)


async def test_what_an_agent_was_never_let_make_keeps_no_cluster_from_leaving(fleet: Fleet, place: Target) -> None:
    """With a right to its own namespace alone every object is Forbidden, and so would its removal be."""
    if place.api is not None:
        return  # everybody may do everything there
    await attached(fleet, "shop")
    await held(fleet)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    for ref, names in WIDE:
        for name in names[:3]:
            await place.client.delete(ref, name)
    made = await place.client.raw("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAMESPACE}/token", request)
    weak = replace(place.connection, certificate=None, key=None, token=made["status"]["token"])
    async with running(fleet, weak):
        body = {
            "apiVersion": API_VERSION,
            "kind": "ManifestSet",
            "metadata": {"name": "of-shop", "namespace": "attached"},
            "spec": {"ownerEpoch": 1, "cluster": "attached.shop", "manifests": [config_map("m", "default")]},
        }
        await fleet.client.create(SETS, body)

        async def refused() -> bool:
            [failure] = (await fleet.set("of-shop", "attached"))["status"]["failures"]
            return bool(failure["reason"] == "Forbidden" and NAMESPACE in failure["message"])

        await eventually(refused)
        await delete(fleet)
        await gone(fleet)
    await away(place)


# where the identity is kept


async def test_an_identity_in_the_cluster_is_found_again_and_goes_with_the_namespace(fleet: Fleet, place: Target) -> None:
    keeper = ClusterSecret(place.client)
    assert await keeper.load() is None
    first, second = await fleet.register(), await fleet.register()
    for identity in (first, second, second):
        await keeper.store(identity)
        assert await ClusterSecret(place.client).load() == identity
    kept = await place.client.get(SECRETS, IDENTITY, NAMESPACE)
    assert first.key.decode() not in str(kept["metadata"])
    await leave(place.client)
    await away(place)
    assert await keeper.load() is None
