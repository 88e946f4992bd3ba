"""What agents report of their clusters, as ObservedObjects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from skerry.gateway.inventory import OBSERVED as OBSERVED_KEY
from skerry.gateway.inventory import Inventory, Place, object_name
from skerry.gateway.routes import Route
from skerry.gateway.subscription import subscription
from skerry.machinery.document import Gapped
from skerry.testing.clock import VirtualClock
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import KindName, Names
from tests.gateway.fleet import OBSERVED, Fleet, eventually
from tests.gateway.stranger import dialled, stranger

Json = dict[str, Any]
CLUSTERS: KindName = ("cluster.x-k8s.io", "clusters")
ROUTE, OTHER = (Route(name, pb.Hello(management_cluster=name)) for name in ("sv-1", "sv-2"))
KIND = pb.ResourceKind(group=CLUSTERS[0], plural=CLUSTERS[1])


def item(name: str, namespace: str = "team-a", obj: Json | None = None, *, gone: bool = False) -> pb.InventoryItem:
    made = obj or {"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": name, "namespace": namespace}}
    return pb.InventoryItem(kind=KIND, namespace=namespace, name=name, object=b"" if gone else json.dumps(made).encode())


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.values: dict[Place, Json] = {}
        self.batches = 0

    async def put(self, values: Mapping[Place, Gapped | None], route: Route | None) -> None:
        assert route is None or {place.namespace for place in values} == {route.name.partition(".")[0]}
        self.batches += 1
        for place, value in values.items():
            if value is None:
                self.values.pop(place, None)
            else:
                self.values[place] = json.loads(value.at("1"))

    def names(self, key: str, namespace: str, begin: str) -> list[str]:
        return [place.name for place in self.values if place[:2] == (key, namespace) and place.name.startswith(begin)]

    def places(self, key: str) -> list[tuple[str, str]]:
        return [place[1:] for place in self.values if place.key == key]

    def observed(self, namespace: str) -> list[Json]:
        return [obj for place, obj in self.values.items() if place[:2] == (OBSERVED_KEY, namespace)]

    @property
    def held(self) -> set[Place]:
        return set(self.values)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def inventory(kept: Kept) -> Inventory:
    return Inventory(kept.put, kept, subscription, VirtualClock())


def place(name: str, management_cluster: str = "sv-1", namespace: str = "team-a") -> Place:
    return Place(OBSERVED_KEY, management_cluster, object_name(CLUSTERS, namespace, name))


def listing(*names: str, namespace: str = "team-a") -> dict[KindName, Names]:
    return {CLUSTERS: frozenset((namespace, name) for name in names)}


async def test_a_delta_is_one_batch(inventory: Inventory, kept: Kept) -> None:
    await inventory.take(ROUTE, pb.InventoryDelta(items=[item(name) for name in "abc"]), {})
    assert (kept.held, kept.batches) == ({place("a"), place("b"), place("c")}, 1)
    await inventory.take(ROUTE, pb.InventoryDelta(items=[item("b", gone=True), item("d")]), {})
    assert kept.held == {place("a"), place("c"), place("d")}


async def test_a_complete_listing_takes_away_what_it_did_not_name_in_its_own_kind_and_cluster(inventory: Inventory, kept: Kept) -> None:
    machine = pb.InventoryItem(kind=pb.ResourceKind(group=CLUSTERS[0], plural="machines"), namespace="team-a", name="m", object=b"{}")
    await inventory.take(ROUTE, pb.InventoryDelta(items=[item("a"), item("b"), machine]), {})
    await inventory.take(OTHER, pb.InventoryDelta(items=[item("a")]), {})
    await inventory.take(ROUTE, pb.InventoryDelta(items=[item("b"), item("c")]), listing("b", "c"))
    machines = Place(OBSERVED_KEY, "sv-1", object_name((CLUSTERS[0], "machines"), "team-a", "m"))
    assert kept.held == {place("b"), place("c"), machines, place("a", "sv-2")}
    await inventory.take(ROUTE, pb.InventoryDelta(), listing())
    assert kept.held == {machines, place("a", "sv-2")}


async def test_what_is_named_in_an_earlier_delta_of_a_listing_stays(inventory: Inventory, kept: Kept) -> None:
    await inventory.take(ROUTE, pb.InventoryDelta(items=[item("a")]), {})
    await inventory.take(ROUTE, pb.InventoryDelta(items=[item("b")]), listing("a", "b"))
    assert kept.held == {place("a"), place("b")}


async def test_an_empty_delta_writes_nothing(inventory: Inventory, kept: Kept) -> None:
    await inventory.take(ROUTE, pb.InventoryDelta(), {})
    assert kept.batches == 0


async def test_an_observed_object_says_where_it_comes_from(inventory: Inventory, kept: Kept) -> None:
    metadata = {"name": "a", "namespace": "team-a", "uid": "u1", "resourceVersion": "7", "labels": {"cluster.x-k8s.io/cluster-name": "a"}}
    obj = {"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": metadata, "spec": {"paused": True}}
    await inventory.take(ROUTE, pb.InventoryDelta(items=[item("a", obj=obj)]), {})
    found = kept.values[place("a")]
    assert found["object"] == obj
    assert found["metadata"]["namespace"] == "sv-1"
    assert found["metadata"]["labels"] == {
        "fleet.skerry.dev/source-group": "cluster.x-k8s.io",
        "fleet.skerry.dev/source-plural": "clusters",
        "fleet.skerry.dev/cluster": "a",
    }
    assert {key: found["source"][key] for key in ("kind", "namespace", "name", "uid", "resourceVersion")} == {
        "kind": "Cluster", "namespace": "team-a", "name": "a", "uid": "u1", "resourceVersion": "7"
    }  # fmt: skip


async def test_the_same_object_keeps_its_uid_and_one_made_anew_gets_another(inventory: Inventory, kept: Kept) -> None:
    uids = []
    for uid in ("u1", "u1", "u2"):
        obj = {"metadata": {"name": "a", "namespace": "team-a", "uid": uid}}
        await inventory.take(ROUTE, pb.InventoryDelta(items=[item("a", obj=obj)]), {})
        uids.append(kept.values[place("a")]["metadata"]["uid"])
    assert uids[0] == uids[1] != uids[2]


def test_a_name_is_readable_where_it_can_be_and_always_legal_and_its_own() -> None:
    assert object_name(CLUSTERS, "team-a", "shop") == "clusters.cluster.x-k8s.io.team-a.shop"
    assert object_name(("", "nodes"), "", "n1").startswith("nodes.")
    odd = {object_name(CLUSTERS, "team-a", name) for name in ("x" * 253, "system:thing", "system:thing2", "UPPER")}
    assert len(odd) == 4
    assert all(name.startswith("clusters.") and len(name) <= 253 for name in odd)


# through a gateway, told by an agent that says whatever the test wants


async def test_an_agent_writes_into_its_own_management_cluster_whatever_it_says(fleet: Fleet) -> None:
    await fleet.management_cluster("sv-2")
    identity = await fleet.register()
    async with dialled(identity, fleet.link.address) as liar:
        liar.says(hello=pb.Hello(management_cluster="sv-2"))
        liar.says(inventory=pb.InventoryDelta(sequence=1, items=[item("a")]))
        assert await liar.ended() == grpc.StatusCode.PERMISSION_DENIED
    async with stranger(fleet, identity=identity) as agent:
        foreign = {"apiVersion": "v1", "kind": "Cluster", "metadata": {"name": "a", "namespace": "sv-2", "labels": {"x": "y"}}}
        agent.says(inventory=pb.InventoryDelta(sequence=1, items=[item("a", "sv-2", foreign)]))

        async def stored() -> bool:
            return "a" in await fleet.observed("clusters")

        await eventually(stored)
    found = await fleet.client.list(OBSERVED, "")
    assert {each["metadata"]["namespace"] for each in found["items"]} == {"sv-1"}


async def test_a_gap_asks_for_everything_and_what_follows_it_is_not_believed(fleet: Fleet) -> None:
    async with stranger(fleet) as agent:
        agent.says(inventory=pb.InventoryDelta(sequence=1, items=[item("a")], begins=[KIND], complete=[KIND]))
        agent.says(inventory=pb.InventoryDelta(sequence=3, items=[item("lost")]))
        await agent.hears("resync")
        agent.says(inventory=pb.InventoryDelta(sequence=4, items=[item("lost")]))
        agent.says(inventory=pb.InventoryDelta(sequence=1, items=[item("b")], begins=[KIND], complete=[KIND]))

        async def settled() -> bool:
            return set(await fleet.observed("clusters")) == {"b"}

        await eventually(settled)


async def test_what_cannot_be_kept_ends_the_session_and_nobody_elses(fleet: Fleet) -> None:
    await fleet.management_cluster("sv-2")
    async with stranger(fleet) as agent, stranger(fleet, "sv-2") as other:
        agent.says(inventory=pb.InventoryDelta(sequence=1, items=[pb.InventoryItem(kind=KIND, name="a", object=b"no JSON")]))
        await agent.ended()
        other.says(heartbeat=pb.Heartbeat(api_reachable=True))
        await other.hears("heartbeat_ack")
