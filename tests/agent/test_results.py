"""Results of sets from a cluster to our door: agent and gateway together, in front of each kind of cluster."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from skerry.client.contract import PatchKind
from skerry.machinery.errors import RequestEntityTooLarge
from tests.agent.targets import Target, definition
from tests.gateway.fleet import MAPS, SETS, Fleet, config_map, eventually, namespace_of
from tests.gateway.test_clusters import SHOP, attached
from tests.gateway.test_results import RESULTS

Json = dict[str, Any]


@pytest.fixture
def shop() -> str:
    """The name of a set that no other test has used: a cluster remembers what it was asked for."""
    return f"shop-{secrets.token_hex(4)}"


async def rows(fleet: Fleet, name: str, namespace: str = "sv-1") -> dict[str, Json]:
    found = await fleet.client.list(RESULTS, namespace, fields=f"spec.manifestSet={name}")
    return {each["spec"]["name"]: each["status"] for each in found["items"]}


async def results(fleet: Fleet, name: str, namespace: str = "sv-1", **outcomes: str) -> dict[str, Json]:
    """Wait for the outcomes of a set's objects, by their names; more than one may do."""

    async def there() -> bool:
        found = await rows(fleet, name, namespace)
        assert found.keys() == outcomes.keys(), found
        assert all(found[each]["outcome"] in outcome.split("|") for each, outcome in outcomes.items()), found
        return True

    await eventually(there)
    return await rows(fleet, name, namespace)


async def test_a_set_for_an_attached_cluster_is_enforced_there_and_told_by_object(fleet: Fleet, target: Target, shop: str) -> None:
    space = await target.namespace()
    await attached(fleet, "shop")
    await target.client.apply(MAPS, config_map("theirs", space, v="1"), manager="them")
    manifests = [config_map("theirs", space, v="2"), config_map("ours", space, v="2")]
    body: Json = {"metadata": {"name": shop, "namespace": "attached"}, "spec": {"cluster": "attached.shop", "manifests": manifests}}
    async with fleet.agent(target.connection, SHOP):
        await fleet.client.create(SETS, {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "ManifestSet", **body})
        found = await results(fleet, shop, "attached", theirs="Conflict", ours="Applied")
        assert found["theirs"]["owners"] == [{"manager": "them", "fields": [".data.v"]}]
        assert found["ours"]["lastEnforcedTime"] >= found["ours"]["lastChangedTime"]

        await fleet.client.patch(SETS, shop, "attached", PatchKind.MERGE, {"spec": {"conflicts": "Take"}})
        await results(fleet, shop, "attached", theirs="Applied|Unchanged", ours="Applied|Unchanged")
        assert (await target.client.get(MAPS, "theirs", space))["data"] == {"v": "2"}

        await target.client.patch(MAPS, "theirs", space, PatchKind.MERGE, {"data": {"v": "3"}}, manager="kubectl-edit")
        await target.client.delete(MAPS, "ours", space)

        async def counted() -> bool:
            told = (await fleet.set(shop, "attached"))["status"]
            assert told["drift"]["count"] >= 1
            assert told["drift"]["lastObject"].startswith(f"ConfigMap {space}/")
            return (await rows(fleet, shop, "attached"))["ours"].get("drift") == 1

        await eventually(counted)
        await fleet.client.delete(SETS, shop, "attached")
        await fleet.gone(shop, "attached")
        await results(fleet, shop, "attached")


async def test_a_set_with_its_own_kind_is_never_told_as_failed(fleet: Fleet, target: Target, shop: str) -> None:
    if target.api is not None:
        pytest.skip("our machinery serves a kind when it is told to, not when its definition appears")
    space, group = await target.namespace(), f"{shop}.skerry.dev"
    own = f"{space}-own"
    things = [{"apiVersion": f"{group}/v1beta2", "kind": "Thing", "metadata": {"name": f"t{n}", "namespace": own}} for n in range(3)]
    crd = definition("Thing", "things", group)
    async with fleet.agent(target.connection):
        await fleet.ask(shop, [*things, crd, namespace_of(own)])
        told = await results(fleet, shop, **dict.fromkeys((own, crd["metadata"]["name"], "t0", "t1", "t2"), "Applied"))
        assert {each["generation"] for each in told.values()} == {1}
        assert (await fleet.set(shop))["status"]["conditions"][0]["reason"] == "Applied"
        await fleet.client.delete(SETS, shop, "sv-1")
        await fleet.gone(shop)


async def test_hundreds_of_objects_are_told_and_a_set_that_is_too_large_is_refused_at_the_door(
    fleet: Fleet, target: Target, shop: str
) -> None:
    space = await target.namespace()
    async with fleet.agent(target.connection):
        await fleet.ask(shop, [config_map(f"m{number}", space, v="x" * 1000) for number in range(400)])
        await fleet.settled(shop, applied=400)
        assert len(await rows(fleet, shop)) == 400
        with pytest.raises(RequestEntityTooLarge, match="split it into several"):
            await fleet.ask(f"{shop}-huge", [config_map(f"m{number}", space, v="x" * 1000) for number in range(2000)])
        await fleet.ask(shop, [config_map("m0", space, v="1")])
        await fleet.settled(shop, applied=1)
