"""What an agent sends of its cluster, held against the rules that the far end goes by."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from skerry.agent import inventory
from skerry.agent.discovery import KindMap
from skerry.agent.inventory import InventoryWatch
from skerry.agent.projection import trimmed
from skerry.client.contract import PatchKind
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import DeltaOrder, KindName, Listings, Verdict
from tests.agent.targets import CLUSTERS, Target, cluster, definition
from tests.gateway.fleet import eventually

Json = dict[str, Any]
KIND: KindName = ("cluster.x-k8s.io", "clusters")


class Far:
    """The far end: it takes deltas as fast as the test lets it."""

    def __init__(self, space: str) -> None:
        self.space = space
        self.deltas: list[pb.InventoryDelta] = []
        self.known: dict[str, Json] = {}
        self.listed = 0
        self.open = asyncio.Event()
        self.open.set()
        self._order, self._listings = DeltaOrder(), Listings()

    async def take(self, delta: pb.InventoryDelta) -> None:
        assert self._order.judge(delta.sequence) is Verdict.TAKE
        self.deltas.append(delta)
        for item in delta.items:
            if item.namespace == self.space and item.object:
                self.known[item.name] = json.loads(item.object)
            elif item.namespace == self.space:
                self.known.pop(item.name, None)
        for names in self._listings.take(delta).values():
            self.listed += 1
            self.known = {name: obj for name, obj in self.known.items() if (self.space, name) in names}
        await self.open.wait()

    def sent(self, name: str) -> int:
        """How often an object was sent."""
        return sum(item.name == name and item.namespace == self.space for delta in self.deltas for item in delta.items)

    async def knows(self, *names: str) -> None:
        async def state() -> bool:
            return self.listed > 0 and set(self.known) == set(names)

        await eventually(state)


@pytest.fixture
async def space(target: Target) -> str:
    await target.install(definition("Cluster", "clusters", "cluster.x-k8s.io"))
    return await target.namespace()


@asynccontextmanager
async def watching(target: Target, *kinds: KindName) -> AsyncIterator[InventoryWatch]:
    watch = InventoryWatch(target.client, KindMap(target.client), SystemClock())
    async with TaskOwner("test") as owner:
        owner.spawn(watch.run(), "watch")
        watch.subscribe(kinds or (KIND,))
        yield watch


@asynccontextmanager
async def streaming(watch: InventoryWatch, far: Far) -> AsyncIterator[Far]:
    """A session with the far end."""
    async with TaskOwner("session") as owner:
        owner.spawn(watch.stream(far.take), "stream")
        yield far


async def make(target: Target, space: str, name: str, **spec: Any) -> None:
    async def made() -> bool:
        return bool(await target.client.apply(CLUSTERS, cluster(name, space, **spec), manager="tests"))

    await eventually(made)


async def test_everything_is_listed_and_then_what_changes(target: Target, space: str) -> None:
    await make(target, space, "before")
    async with watching(target) as watch, streaming(watch, Far(space)) as far:
        await far.knows("before")
        await make(target, space, "during")
        await far.knows("before", "during")
        await target.client.delete(CLUSTERS, "before", space)
        await far.knows("during")
        assert far.listed == 1
        assert far.sent("during") == 1


async def test_every_session_and_every_resync_begins_anew_with_everything(target: Target, space: str) -> None:
    await make(target, space, "a")
    async with watching(target) as watch:
        for _ in range(2):
            async with streaming(watch, Far(space)) as far:
                await far.knows("a")
                assert far.deltas[0].sequence == 1
                watch.restart()

                async def listed_again(far: Far = far) -> bool:
                    return far.listed == 2

                await eventually(listed_again)
                assert far.sent("a") == 2


async def test_many_changes_of_an_object_that_wait_are_sent_as_one(target: Target, space: str) -> None:
    await make(target, space, "a", v=0)
    async with watching(target) as watch, streaming(watch, Far(space)) as far:
        await far.knows("a")
        far.open.clear()
        await make(target, space, "blocks")

        async def blocked() -> bool:
            return "blocks" in far.known

        await eventually(blocked)
        before = far.sent("a")
        for number in range(1, 6):
            await target.client.patch(CLUSTERS, "a", space, PatchKind.MERGE, {"spec": {"v": number}})
        await make(target, space, "last")

        async def seen() -> bool:
            return watch.statistics()["changed"] >= 2

        await eventually(seen)
        far.open.set()
        await far.knows("a", "blocks", "last")

        async def latest() -> bool:
            return bool(far.known["a"]["spec"]["v"] == 5)

        await eventually(latest)
        assert far.sent("a") == before + 1


async def test_a_resync_in_the_middle_of_a_listing_begins_it_anew(target: Target, space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MOST_ITEMS", 2)
    names = [f"c{number}" for number in range(9)]
    for name in names:
        await make(target, space, name)
    far = Far(space)
    far.open.clear()
    async with watching(target) as watch, streaming(watch, far):

        async def begun() -> bool:
            return len(far.deltas) == 1

        await eventually(begun)
        watch.restart()
        far.open.set()
        await far.knows(*names)
        assert far.listed == 1, "the one that was interrupted never counted"
        assert [delta.sequence for delta in far.deltas].count(1) == 2


async def test_a_kind_that_holds_nothing_is_listed_as_such(target: Target, space: str) -> None:
    group = f"{space}.skerry.dev"
    await target.install(definition("Thing", "things", group))
    async with watching(target, (group, "things")) as watch, streaming(watch, Far(space)) as far:

        async def listed() -> bool:
            return far.listed == 1

        await eventually(listed)
        assert [(len(each.begins), len(each.complete), len(each.items)) for each in far.deltas] == [(1, 1, 0)]


async def test_a_kind_that_is_installed_later_is_found(target: Target, space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "LOOK_FOR_KINDS_EVERY", 0.1)
    group = f"{space}.skerry.dev"
    async with watching(target, KIND, (group, "things")) as watch, streaming(watch, Far(space)) as far:
        await far.knows()
        await target.install(definition("Thing", "things", group))

        async def listed() -> bool:
            return far.listed >= 2

        await eventually(listed)


async def test_a_kind_that_nobody_wants_any_more_is_not_sent(target: Target, space: str) -> None:
    group = f"{space}.skerry.dev"
    await target.install(definition("Thing", "things", group))
    async with watching(target, KIND, (group, "things")) as watch, streaming(watch, Far(space)) as far:

        async def listed() -> bool:
            return far.listed >= 2

        await eventually(listed)
        watch.subscribe([(group, "things")])

        async def dropped() -> bool:
            return watch.statistics()["kinds"] == 1

        await eventually(dropped)
        await make(target, space, "late")
        watch.restart()
        before = len(far.deltas)

        async def listed_again() -> bool:
            return len(far.deltas) > before

        await eventually(listed_again)
        assert not far.sent("late")


def test_what_nobody_reads_is_left_out_and_the_rest_is_left_as_it_is() -> None:
    obj: Json = {
        "metadata": {
            "name": "a",
            "managedFields": [{}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{…}", "kept": "1"},
        },
        "spec": {"a": 1},
    }
    assert trimmed(obj) == {"metadata": {"name": "a", "annotations": {"kept": "1"}}, "spec": {"a": 1}}
    assert "managedFields" in obj["metadata"]
