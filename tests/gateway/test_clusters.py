"""Agents of clusters: each speaks for the one cluster that its certificate names, also where others share its namespace."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import pytest

from skerry.client.contract import PatchKind, Ref
from skerry.gateway.standing import Told, next_status
from skerry.gateway.subjects import CLUSTERS
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.kit.aio import TaskOwner
from skerry.tunnel import link_pb2 as pb
from tests.gateway.fleet import MANAGEMENT, SETS, Fleet, config_map, eventually
from tests.gateway.stranger import stranger
from tests.gateway.test_health import HERE, NOW, conditions

Json = dict[str, Any]
SHOP, BANK = "attached.attached.shop", "attached.attached.bank"
WARNING, ERROR = (pb.SEVERITY_WARNING, "NodesNotReady", "1 of 3 nodes"), (pb.SEVERITY_ERROR, "EtcdFailed", "etcd")


async def attached(fleet: Fleet, *names: str) -> None:
    await fleet.management_cluster("attached")
    for name in names:
        metadata = {"name": f"attached.{name}", "namespace": "attached"}
        await fleet.client.create(CLUSTERS, {"apiVersion": API_VERSION, "kind": "Cluster", "metadata": metadata})


async def ask(fleet: Fleet, name: str, cluster: str) -> None:
    spec = {"ownerEpoch": 1, "cluster": cluster, "manifests": [config_map("m", "default")]}
    metadata = {"name": name, "namespace": "attached"}
    await fleet.client.create(SETS, {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": metadata, "spec": spec})


async def status(fleet: Fleet, name: str) -> Json:
    return (await fleet.client.get(CLUSTERS, f"attached.{name}", "attached")).get("status") or {}


async def opened(call: str) -> AsyncIterator[pb.ProxyRequest]:
    yield pb.ProxyRequest(opened=pb.ProxyOpened(call=call))


async def ask_for(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url):
        pass


def applied(name: str) -> pb.DesiredResult:
    good = pb.ObjectResult(api_version="v1", kind="ConfigMap", namespace="default", name="m", outcome=pb.OUTCOME_APPLIED)
    return pb.DesiredResult(set=name, owner_epoch=1, generation=1, objects=[good])


async def test_an_attached_cluster_is_what_its_agent_says(fleet: Fleet) -> None:
    await attached(fleet, "shop")

    async def health(word: str) -> bool:
        return bool((await status(fleet, "shop")).get("health") == word)

    async with stranger(fleet, SHOP) as one:
        await eventually(lambda: health("HEALTHY"))
        found = await status(fleet, "shop")
        assert (found["phase"], conditions(found)["Ready"]) == ("Ready", ("True", "Attached"))
        warned = pb.Finding(severity=pb.SEVERITY_WARNING, reason="NodesNotReady", message="1 of 3 nodes is not ready: a")
        one.says(heartbeat=pb.Heartbeat(api_reachable=True, findings=[warned]))
        await eventually(lambda: health("WARNING"))
        assert conditions(await status(fleet, "shop"))["Healthy"] == ("False", "NodesNotReady")
    await eventually(lambda: health("DISCONNECTED"))
    found = await status(fleet, "shop")
    assert (found["phase"], conditions(found)["Ready"]) == ("Unknown", ("False", "AgentAway"))


async def test_clusters_are_selected_by_how_they_are(fleet: Fleet) -> None:
    await attached(fleet, "shop", "bank")

    async def chosen(fields: str, *names: str) -> bool:
        found = await fleet.client.list(CLUSTERS, fields=fields)
        return {each["metadata"]["name"] for each in found["items"]} == set(names)

    async with stranger(fleet, SHOP):
        await eventually(lambda: chosen("status.health=HEALTHY", "attached.shop"))
        await eventually(lambda: chosen("status.phase=Ready", "attached.shop"))
        await eventually(lambda: chosen("status.health!=HEALTHY", "attached.bank"))
    await eventually(lambda: chosen("status.health=DISCONNECTED", "attached.shop", "attached.bank"))
    for fields in ("status.health=DISCONNECTED", "status.phase=Pending"):
        found = await fleet.client.list(MANAGEMENT, fields=fields)
        assert [each["metadata"]["name"] for each in found["items"]] == ["sv-1"]


async def test_a_set_goes_to_the_agent_of_its_cluster_alone_and_only_that_one_reports_on_it(fleet: Fleet) -> None:
    await attached(fleet, "shop", "bank")
    async with stranger(fleet, SHOP) as shop, stranger(fleet, BANK) as bank, stranger(fleet, "attached") as management:
        await ask(fleet, "of-shop", "attached.shop")
        await ask(fleet, "of-bank", "attached.bank")
        assert (await shop.hears("desired")).set == "of-shop"
        assert (await bank.hears("desired")).set == "of-bank"
        for other in (bank, management):
            other.says(result=applied("of-shop"))  # a lie
        bank.says(result=applied("of-bank"))

        async def told() -> bool:
            return bool((await fleet.set("of-bank", "attached")).get("status", {}).get("applied") == 1)

        await eventually(told)
        assert "status" not in await fleet.set("of-shop", "attached")


async def test_a_set_whose_cluster_is_gone_waits_for_no_agent(fleet: Fleet) -> None:
    await attached(fleet, "shop")
    async with stranger(fleet, SHOP) as one:
        await ask(fleet, "of-shop", "attached.shop")
        await one.hears("desired")
        await fleet.client.delete(SETS, "of-shop", "attached")
        assert (await one.hears("desired")).remove
    assert (await fleet.set("of-shop", "attached"))["metadata"]["deletionTimestamp"]
    forced = {"metadata": {"annotations": {"fleet.skerry.dev/force-delete": "true"}}}
    await fleet.client.patch(CLUSTERS, "attached.shop", "attached", PatchKind.MERGE, forced)
    await fleet.client.delete(CLUSTERS, "attached.shop", "attached")
    await fleet.gone("of-shop", "attached")


async def test_a_set_for_no_cluster_that_could_be_is_refused(fleet: Fleet) -> None:
    await attached(fleet)
    with pytest.raises(Exception, match=r"spec\.cluster"):
        await ask(fleet, "x", "shop")
    await ask(fleet, "y", "attached.shop")
    moved = {
        "apiVersion": API_VERSION,
        "kind": "ManifestSet",
        "metadata": {"name": "y", "namespace": "attached"},
        "spec": {"cluster": "a.b"},
    }
    with pytest.raises(Exception, match="immutable"):
        await fleet.client.apply(SETS, moved, manager="tests", force=True)


async def test_an_agent_sees_a_call_for_its_own_cluster_and_none_for_its_neighbours(fleet: Fleet) -> None:
    await attached(fleet, "shop", "bank")
    async with stranger(fleet, SHOP) as shop, stranger(fleet, BANK) as bank, aiohttp.ClientSession() as session, TaskOwner("c") as owner:
        asking = owner.spawn(ask_for(session, f"{fleet.front}/k8s/{SHOP}/api"), "asking")
        call = (await shop.hears("open_proxy")).call
        with pytest.raises(grpc.aio.AioRpcError, match="no such call"):
            await bank.stub.Proxy(opened(call)).read()
        asking.cancel()


async def test_an_agent_tells_of_its_own_cluster_and_nothing_that_it_was_not_asked_for(fleet: Fleet) -> None:
    await attached(fleet, "shop", "bank")
    nodes, forged = Ref(GROUP, VERSION, "clusternodes"), Ref(GROUP, VERSION, "observedobjects")

    def item(group: str, plural: str, name: str, obj: Json) -> pb.InventoryItem:
        return pb.InventoryItem(kind=pb.ResourceKind(group=group, plural=plural), name=name, object=json.dumps(obj).encode())

    async def named() -> list[str]:
        return [each["metadata"]["name"] for each in (await fleet.client.list(nodes, "attached"))["items"]]

    async with stranger(fleet, SHOP) as one, stranger(fleet, BANK) as other:
        plain = {"metadata": {"name": "n", "namespace": "attached", "labels": {"fleet.skerry.dev/cluster": "bank"}}}
        one.says(
            inventory=pb.InventoryDelta(
                sequence=1,
                items=[
                    item("cluster.x-k8s.io", "clusters", "bank", plain),
                    item("", "nodes", "n", plain),
                    item("", "nodes", "../attached.bank.x", plain),
                    item("", "nodes", "bad", {"status": []}),
                ],
            )
        )
        other.says(inventory=pb.InventoryDelta(sequence=1, items=[item("", "nodes", "n", plain)]))

        async def told() -> bool:
            return len(await named()) == 3

        await eventually(told)
        names = sorted(await named())
        assert names[0] == "attached.bank.n"
        assert [each.rpartition(".")[0] for each in names[1:]] == ["attached.shop"] * 2
        kind = pb.ResourceKind(plural="nodes")
        other.says(inventory=pb.InventoryDelta(sequence=2, begins=[kind], complete=[kind]))  # of its own cluster there are none

        async def taken_away() -> bool:
            return sorted(await named()) == names[1:]

        await eventually(taken_away)
    assert (await fleet.client.list(forged, ""))["items"] == []


async def test_what_was_told_of_a_cluster_is_swept_away_when_that_is_gone(fleet: Fleet) -> None:
    await attached(fleet, "shop", "bank")
    nodes = Ref(GROUP, VERSION, "clusternodes")
    async with stranger(fleet, SHOP) as one, stranger(fleet, BANK) as other:
        for each in (one, other):
            kind = pb.ResourceKind(plural="nodes")
            each.says(inventory=pb.InventoryDelta(sequence=1, items=[pb.InventoryItem(kind=kind, name="n", object=b'{"metadata":{}}')]))

        async def named() -> set[str]:
            return {each["metadata"]["name"] for each in (await fleet.client.list(nodes, ""))["items"]}

        async def both() -> bool:
            return await named() == {"attached.bank.n", "attached.shop.n"}

        async def bank() -> bool:
            return await named() == {"attached.bank.n"}

        await eventually(both)
        forced = {"metadata": {"annotations": {"fleet.skerry.dev/force-delete": "true"}, "finalizers": None}}
        await fleet.client.patch(CLUSTERS, "attached.shop", "attached", PatchKind.MERGE, forced)
        await fleet.client.delete(CLUSTERS, "attached.shop", "attached")
        one.says(detached=pb.Detached())
        await eventually(bank)


def test_a_cluster_that_was_made_here_keeps_its_own_life_beside_what_an_agent_tells() -> None:
    made = {"kind": "Cluster", "metadata": {"generation": 2}, "spec": {"provisioner": "team-a"}}
    life: Json = {"phase": "Scaling", "version": "v1.34.2", "observedGeneration": 1, "conditions": [{"type": "Ready", "status": "False"}]}
    assert next_status({**made, "status": life}, None, Told(), NOW) == life
    here = next_status({**made, "status": life}, HERE, Told("", (ERROR, WARNING)), NOW)
    assert (here["phase"], here["observedGeneration"], here["health"]) == ("Scaling", 1, "UNHEALTHY")
    assert conditions({"conditions": here["conditions"][1:]}) == {
        "Connected": ("True", "AgentConnected"),
        "Healthy": ("False", "EtcdFailed"),
    }
    away = next_status({**made, "status": here}, None, Told(), NOW)
    assert (away["phase"], away["health"], away["conditions"][0]) == ("Scaling", "DISCONNECTED", life["conditions"][0])


@pytest.mark.parametrize(
    ("says", "health", "phase", "ready"),
    [
        (Told(), "HEALTHY", "Ready", ("True", "Attached")),
        (Told("", (WARNING,)), "WARNING", "Ready", ("True", "Attached")),
        (Told("", (ERROR, WARNING)), "UNHEALTHY", "Degraded", ("False", "EtcdFailed")),
        (Told("refused", (WARNING,)), "UNHEALTHY", "Degraded", ("False", "ApiUnreachable")),
    ],
)
def test_the_worst_that_is_known_is_the_health(says: Told, health: str, phase: str, ready: tuple[str, str]) -> None:
    found = next_status({"kind": "Cluster", "metadata": {}, "spec": {"provisioner": "attached"}}, HERE, says, NOW)
    assert (found["health"], found["phase"], conditions(found)["Ready"]) == (health, phase, ready)
    assert all(message in str(found["conditions"]) for _, _, message in says.findings if not says.problem)
