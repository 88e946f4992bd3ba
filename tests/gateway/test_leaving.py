"""An attached cluster leaves: its sets, its agent, what was granted on it, and then the object, also when something is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from skerry.client.contract import PatchKind, Ref
from skerry.gateway import leaving
from skerry.gateway.leaving import FINALIZER
from skerry.gateway.registration import OneTimeTokens
from skerry.gateway.standing import NOTHING, next_status
from skerry.gateway.subjects import CLUSTERS
from skerry.kinds.cluster import FORCE
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.kit.aio import TaskOwner
from skerry.machinery.errors import NotFound
from skerry.tunnel import link_pb2 as pb
from tests.gateway.fleet import MANAGEMENT, SECRETS, SETS, Fleet, beside, eventually
from tests.gateway.fleet import fleet as run_fleet
from tests.gateway.stranger import Stranger, dialled, stranger
from tests.gateway.test_attaching import fetched, link
from tests.gateway.test_clusters import SHOP, applied, ask, attached
from tests.gateway.test_health import HERE, NOW, conditions

Json = dict[str, Any]
BINDINGS = Ref(GROUP, VERSION, "rolebindings", namespaced=False)


@pytest.fixture
async def shop(fleet: Fleet) -> Fleet:
    """An installation with an attached cluster, which is held."""
    await attached(fleet, "shop")
    await held(fleet)
    return fleet


async def found(fleet: Fleet) -> Json | None:
    try:
        return await fleet.client.get(CLUSTERS, "attached.shop", "attached")
    except NotFound:
        return None


async def held(fleet: Fleet) -> None:
    async def state() -> bool:
        return FINALIZER in ((await found(fleet)) or {})["metadata"].get("finalizers", ())

    await eventually(state)


async def gone(fleet: Fleet) -> None:
    async def state() -> bool:
        return await found(fleet) is None

    await eventually(state)


async def delete(fleet: Fleet, *, force: bool = False) -> None:
    if force:
        forced = {"metadata": {"annotations": {FORCE: "true"}}}
        await fleet.client.patch(CLUSTERS, "attached.shop", "attached", PatchKind.MERGE, forced)
    await fleet.client.delete(CLUSTERS, "attached.shop", "attached")


async def says(fleet: Fleet, *words: str) -> None:
    """Wait until the condition Ready says words."""

    async def state() -> bool:
        ready = [each for each in ((await found(fleet)) or {})["status"]["conditions"] if each["type"] == "Ready"]
        assert all(word in ready[0]["message"] for word in words), ready
        return True

    await eventually(state)


async def there(fleet: Fleet) -> None:
    """Wait until the status says that the agent is here: it has something to take away from then on."""

    async def state() -> bool:
        return "agent" in (((await found(fleet)) or {}).get("status") or {})

    await eventually(state)


@asynccontextmanager
async def agent(fleet: Fleet, features: tuple[str, ...] = ("detach",), name: str = SHOP) -> AsyncIterator[Stranger]:
    """One that can leave, and counts."""
    before = fleet.link.routes.get(name)
    async with dialled(await fleet.register(name), fleet.link.address, 3.0) as made:
        made.says(hello=pb.Hello(management_cluster=name, agent_version="1.2", features=features))
        await made.hears("welcome")
        made.says(heartbeat=pb.Heartbeat(api_reachable=True))
        await fleet.joined(name, before)
        if name == SHOP:
            await there(fleet)
        yield made


async def test_sets_go_first_then_the_agent_then_what_was_granted_then_the_object(shop: Fleet) -> None:
    await OneTimeTokens(shop.client, shop.clock).make(SHOP)
    await OneTimeTokens(shop.client, shop.clock).make(SHOP, "manifest")
    role = {"apiVersion": API_VERSION, "kind": "Role", "metadata": {"name": "cluster.view"}, "spec": {"rules": []}}
    await shop.client.create(Ref(GROUP, VERSION, "roles", namespaced=False), role)
    scope = {"kind": "Cluster", "name": "attached.shop", "namespace": "attached"}
    spec = {"roleRef": {"name": "cluster.view"}, "scope": scope, "subjects": [{"kind": "User", "name": "ann"}]}
    await shop.client.create(BINDINGS, {"apiVersion": API_VERSION, "kind": "RoleBinding", "metadata": {"name": "ann"}, "spec": spec})
    async with agent(shop) as one:
        await OneTimeTokens(shop.client, shop.clock).make(SHOP)
        await ask(shop, "of-shop", "attached.shop")
        assert not (await one.hears("desired")).remove
        await delete(shop)
        order = await one.hears("desired")
        assert order.remove
        await says(shop, "a manifest set to be removed, first attached/of-shop")
        assert (await shop.client.get(BINDINGS, "ann"))["metadata"]["name"] == "ann"
        one.says(result=pb.DesiredResult(set="of-shop", owner_epoch=1, generation=order.generation, gone=True))
        await one.hears("detach")
        await says(shop, "its agent to remove itself")
        assert await shop.client.get(BINDINGS, "ann")
        one.says(detached=pb.Detached())
        await gone(shop)
        assert "was deleted" in (await one.hears("goodbye")).reason
    for ref, name, namespace in (
        (BINDINGS, "ann", ""),
        (SETS, "of-shop", "attached"),
        (SECRETS, f"registration.{SHOP}", "skerry-system"),
        (SECRETS, f"registration.{SHOP}.manifest", "skerry-system"),
    ):
        with pytest.raises(NotFound):
            await shop.client.get(ref, name, namespace)


async def test_a_set_that_the_agent_cannot_remove_is_said_with_the_reason(shop: Fleet) -> None:
    async with agent(shop) as one:
        await ask(shop, "of-shop", "attached.shop")
        await one.hears("desired")
        one.says(result=applied("of-shop"))
        await delete(shop)
        order = await one.hears("desired")
        refused = pb.ObjectResult(
            api_version="v1", kind="ConfigMap", name="m", outcome=pb.OUTCOME_FAILED, reason="Forbidden", message="no right"
        )
        one.says(result=pb.DesiredResult(set="of-shop", owner_epoch=1, generation=order.generation, objects=[refused]))
        await says(shop, "attached/of-shop", "no right")


async def test_one_whose_agent_never_came_goes_at_once(shop: Fleet) -> None:
    await delete(shop)
    await gone(shop)


async def test_while_the_agent_is_away_the_deletion_waits_and_says_how_to_let_go(shop: Fleet) -> None:
    async with agent(shop):
        pass
    await delete(shop)
    await says(shop, "its agent, which is away", f"the annotation {FORCE}=true")
    assert ((await found(shop)) or {})["status"]["phase"] == "Deleting"
    async with agent(shop) as one:  # it comes back
        await one.hears("detach")
        one.says(detached=pb.Detached())
        await gone(shop)


async def test_force_lets_go_of_one_whose_agent_is_away_also_afterwards(shop: Fleet) -> None:
    async with agent(shop):
        pass
    await delete(shop)
    await says(shop, "which is away")
    await ask(shop, "late", "attached.shop")
    await delete(shop, force=True)
    await gone(shop)
    await shop.gone("late", "attached")


async def test_force_does_not_pass_over_an_agent_that_is_here(shop: Fleet) -> None:
    async with agent(shop) as one:
        await delete(shop, force=True)
        await one.hears("detach")
        assert await found(shop) is not None
        one.says(detached=pb.Detached())
        await gone(shop)


async def test_force_lets_go_of_one_whose_agent_is_here_and_cannot_leave(shop: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "FORCED_AFTER", timedelta(seconds=1))
    monkeypatch.setattr(leaving, "AGAIN_SECONDS", 0.5)
    async with agent(shop) as one:
        await ask(shop, "of-shop", "attached.shop")
        await delete(shop, force=True)
        await gone(shop)
        assert "was deleted" in (await one.hears("goodbye")).reason


async def test_an_agent_that_cannot_remove_itself_says_why_and_is_asked_again(shop: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "AGAIN_SECONDS", 0.5)
    async with agent(shop) as one:
        await delete(shop)
        await one.hears("detach")
        one.says(detached=pb.Detached(problem="namespaces is forbidden"))
        await says(shop, "could not remove itself: namespaces is forbidden")
        await one.hears("detach")
        one.says(detached=pb.Detached())
        await gone(shop)


async def test_that_an_agent_has_left_is_not_taken_back_by_what_it_could_not_do_afterwards(shop: Fleet) -> None:
    async with agent(shop) as one:
        await delete(shop)
        await one.hears("detach")
        one.says(detached=pb.Detached())
        one.says(detached=pb.Detached(problem="Unauthorized"))
        await gone(shop)


async def test_an_agent_that_says_unasked_that_it_has_left_is_asked_all_the_same(shop: Fleet) -> None:
    async with agent(shop) as one:
        one.says(detached=pb.Detached())
        await asyncio.sleep(0.3)
        await delete(shop)
        await one.hears("detach")
        assert await found(shop) is not None


async def test_an_agent_is_asked_once_however_often_somebody_looks(shop: Fleet) -> None:
    async with agent(shop) as one:
        await delete(shop)
        await one.hears("detach")
        for number in range(5):
            touched = {"metadata": {"annotations": {"tests": str(number)}}}
            await shop.client.patch(CLUSTERS, "attached.shop", "attached", PatchKind.MERGE, touched)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await one.hears("detach")


async def test_an_agent_of_the_first_release_is_not_asked_and_the_way_out_is_said(shop: Fleet) -> None:
    async with agent(shop, features=()):
        await delete(shop)
        await says(shop, "of release 1.2", "`skerry detach --kubeconfig`")
    await delete(shop, force=True)
    await gone(shop)


async def test_a_cluster_of_an_earlier_release_is_held_as_soon_as_a_gateway_runs(tmp_path: Any) -> None:
    async with run_fleet(tmp_path) as fleet:
        await attached(fleet, "shop")
        await held(fleet)
        for without in (None, ["tests.skerry.dev/theirs"]):
            await fleet.client.patch(CLUSTERS, "attached.shop", "attached", PatchKind.MERGE, {"metadata": {"finalizers": without}})
            await held(fleet)
        found_now = await fleet.client.get(CLUSTERS, "attached.shop", "attached")
        assert found_now["metadata"]["finalizers"] == ["tests.skerry.dev/theirs", FINALIZER]


async def test_of_two_gateways_the_one_that_holds_the_agent_asks_it_and_the_other_does_not_let_go(tmp_path: Any) -> None:
    async with run_fleet(tmp_path, identity="a") as first, beside(first, "b") as second:
        await attached(first, "shop")
        await held(first)
        async with agent(second) as one:

            async def known() -> bool:
                return bool((((await found(first)) or {}).get("status") or {}).get("agent", {}).get("gateway") == "b")

            await eventually(known)
            await delete(first, force=True)
            await one.hears("detach")
            await asyncio.sleep(0.5)
            assert await found(first) is not None
            one.says(detached=pb.Detached())
            await gone(first)


async def test_an_agent_that_left_and_comes_to_another_gateway_is_asked_there_and_let_go(tmp_path: Any) -> None:
    async with run_fleet(tmp_path, identity="a") as first, beside(first, "b") as second:
        await attached(first, "shop")
        await held(first)
        async with agent(first) as one:
            await delete(first)
            await one.hears("detach")
        async with agent(second) as again:
            await again.hears("detach")
            again.says(detached=pb.Detached())
            await gone(first)


# management clusters


async def test_a_management_cluster_whose_agent_came_by_our_manifest_is_left_the_same_way(fleet: Fleet) -> None:
    assert (await fetched(await link(fleet, "sv-1")))[0] == 200
    async with agent(fleet, name="sv-1") as one:
        await fleet.client.delete(MANAGEMENT, "sv-1")
        await one.hears("detach")

        async def told() -> bool:
            status = (await fleet.client.get(MANAGEMENT, "sv-1"))["status"]
            return status["phase"] == "Deleting" and "its agent to remove itself" in str(status["conditions"])

        await eventually(told)
        one.says(detached=pb.Detached())
        assert "was deleted" in (await one.hears("goodbye")).reason
    with pytest.raises(NotFound):
        await fleet.client.get(MANAGEMENT, "sv-1")


async def test_the_agent_of_a_management_cluster_stays_until_nothing_else_holds_it(fleet: Fleet) -> None:
    assert (await fetched(await link(fleet, "sv-1")))[0] == 200
    theirs = {"metadata": {"finalizers": [FINALIZER, f"{GROUP}/places"]}}
    await fleet.client.patch(MANAGEMENT, "sv-1", "", PatchKind.MERGE, theirs)
    async with agent(fleet, name="sv-1") as one, TaskOwner("test") as owner:
        asked = owner.spawn(one.hears("detach"), "asked")
        await fleet.client.delete(MANAGEMENT, "sv-1")
        await asyncio.sleep(0.5)
        assert not asked.done()
        await fleet.client.patch(MANAGEMENT, "sv-1", "", PatchKind.MERGE, {"metadata": {"finalizers": [FINALIZER]}})
        await asked


async def test_a_management_cluster_whose_agent_somebody_runs_himself_goes_at_once(fleet: Fleet) -> None:
    async with stranger(fleet, "sv-1"):
        await fleet.client.delete(MANAGEMENT, "sv-1")
        with pytest.raises(NotFound):
            await fleet.client.get(MANAGEMENT, "sv-1")


def test_a_management_cluster_that_goes_says_so_and_ready_is_left_to_others_until_its_agent_is_waited_for() -> None:
    theirs = {"type": "Ready", "status": "False", "reason": "ClustersLeft", "message": "x"}
    obj: Json = {"kind": "ManagementCluster", "metadata": {"name": "sv-1", "deletionTimestamp": "t"}, "status": {"conditions": [theirs]}}
    seen = next_status(obj, HERE, NOTHING, NOW)
    assert seen["phase"] == "Deleting"
    assert theirs in seen["conditions"]
    seen = next_status(obj, HERE, NOTHING, NOW, waits_for="its agent")
    assert conditions(seen)["Ready"] == ("False", "Detaching")
