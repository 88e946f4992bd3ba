"""What is owned goes with its owners, in the way that was asked for, and nothing else goes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from skerry.client.contract import PatchKind, Ref
from skerry.kit.aio import TaskOwner
from skerry.machinery.crd import resources
from skerry.machinery.resource import Json
from skerry.runtime.garbage import GarbageCollector
from tests.runtime.conftest import BOXES, EVENTS, GROUP, KINDS, SHELVES, Api, definition, owner

ELSEWHERE = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


@pytest.fixture
async def collected(api: Api) -> AsyncIterator[Api]:
    """The API with a collector at work."""
    async with TaskOwner("test") as tasks:
        tasks.spawn(GarbageCollector(api.client).run(), "garbage")
        yield api


async def settled(api: Api) -> None:
    """Wait until the collector has seen everything that was there: it deletes something that came later."""
    await api.make(BOXES, "marker", "b", owners=({"apiVersion": f"{GROUP}/v1", "kind": "Box", "name": "never", "uid": ELSEWHERE},))
    await api.gone(BOXES, "marker", "b")


async def test_what_is_owned_goes_when_its_owner_is_gone_and_so_does_what_that_owned(collected: Api) -> None:
    top = await collected.make(BOXES, "top", "a")
    middle = await collected.make(BOXES, "middle", "a", owners=(owner(top),))
    await collected.make(BOXES, "bottom", "a", owners=(owner(middle),))
    await collected.client.delete(BOXES, "top", "a", propagation="Background")
    await collected.gone(BOXES, "bottom", "a")
    await collected.gone(BOXES, "middle", "a")


async def test_what_names_an_owner_that_never_was_goes(collected: Api) -> None:
    await collected.make(BOXES, "child", "a", owners=({"apiVersion": f"{GROUP}/v1", "kind": "Box", "name": "no", "uid": ELSEWHERE},))
    await collected.gone(BOXES, "child", "a")


async def test_an_owner_that_was_made_anew_under_its_name_owns_nothing(collected: Api) -> None:
    first = await collected.make(BOXES, "top", "a")
    await collected.make(BOXES, "child", "a", owners=(owner(first),))
    await collected.client.delete(BOXES, "top", "a")
    await collected.make(BOXES, "top", "a")
    await collected.gone(BOXES, "child", "a")


async def test_what_was_left_over_while_nobody_collected_goes_later(api: Api) -> None:
    top = await api.make(BOXES, "top", "a")
    await api.make(BOXES, "child", "a", owners=(owner(top),))
    await api.client.delete(BOXES, "top", "a")
    async with TaskOwner("test") as tasks:
        tasks.spawn(GarbageCollector(api.client).run(), "garbage")
        await api.gone(BOXES, "child", "a")


async def test_one_owner_that_is_left_keeps_the_object_and_the_other_reference_is_taken_out(collected: Api) -> None:
    one, two = await collected.make(BOXES, "one", "a"), await collected.make(BOXES, "two", "a")
    await collected.make(BOXES, "child", "a", owners=(owner(one), owner(two)))
    await collected.client.delete(BOXES, "one", "a")
    child = await collected.until(
        lambda: collected.client.get(BOXES, "child", "a"), lambda found: len(found["metadata"]["ownerReferences"]) == 1
    )
    assert child["metadata"]["ownerReferences"] == [owner(two)]
    await collected.client.delete(BOXES, "two", "a")
    await collected.gone(BOXES, "child", "a")


async def test_an_owner_that_goes_last_waits_for_those_that_block_it(collected: Api) -> None:
    top = await collected.make(BOXES, "top", "a")
    await collected.make(BOXES, "child", "a", owners=(owner(top, blockOwnerDeletion=True),), finalizers=["example.com/wait"])
    await collected.make(BOXES, "free", "a", owners=(owner(top),))
    await collected.client.delete(BOXES, "top", "a", propagation="Foreground")
    await collected.until(lambda: collected.client.get(BOXES, "child", "a"), lambda found: found["metadata"].get("deletionTimestamp"))
    waiting = await collected.client.get(BOXES, "top", "a")
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    await collected.release(BOXES, "child", "a")
    await collected.gone(BOXES, "top", "a")
    await collected.gone(BOXES, "free", "a")


async def test_foreground_reaches_down_to_the_last_of_those_that_block(collected: Api) -> None:
    top = await collected.make(BOXES, "top", "a")
    middle = await collected.make(BOXES, "middle", "a", owners=(owner(top, blockOwnerDeletion=True),))
    await collected.make(BOXES, "bottom", "a", owners=(owner(middle, blockOwnerDeletion=True),), finalizers=["example.com/wait"])
    await settled(collected)
    await collected.client.delete(BOXES, "top", "a", propagation="Foreground")
    await collected.until(lambda: collected.client.get(BOXES, "bottom", "a"), lambda found: found["metadata"].get("deletionTimestamp"))
    held = await collected.client.get(BOXES, "middle", "a")
    assert held["metadata"]["finalizers"] == ["foregroundDeletion"]
    await collected.release(BOXES, "bottom", "a")
    for name in ("middle", "top"):
        await collected.gone(BOXES, name, "a")


async def test_one_that_blocks_and_has_another_owner_is_let_go_instead_of_deleted(collected: Api) -> None:
    one, two = await collected.make(BOXES, "one", "a"), await collected.make(BOXES, "two", "a")
    await collected.make(BOXES, "child", "a", owners=(owner(one, blockOwnerDeletion=True), owner(two)))
    await settled(collected)
    await collected.client.delete(BOXES, "one", "a", propagation="Foreground")
    await collected.gone(BOXES, "one", "a")
    child = await collected.client.get(BOXES, "child", "a")
    assert child["metadata"]["ownerReferences"] == [owner(two)]
    assert "deletionTimestamp" not in child["metadata"]


async def test_two_that_own_and_block_each_other_both_go(collected: Api) -> None:
    one = await collected.make(BOXES, "one", "a")
    two = await collected.make(BOXES, "two", "a", owners=(owner(one, blockOwnerDeletion=True),))
    body = {"metadata": {"ownerReferences": [owner(two, blockOwnerDeletion=True)]}}
    await collected.client.patch(BOXES, "one", "a", PatchKind.MERGE, body)
    await settled(collected)
    await collected.client.delete(BOXES, "one", "a", propagation="Foreground")
    await collected.gone(BOXES, "one", "a")
    await collected.gone(BOXES, "two", "a")


async def test_orphans_stay_and_name_their_owner_no_more(collected: Api) -> None:
    top = await collected.make(BOXES, "top", "a")
    await collected.make(BOXES, "child", "a", owners=(owner(top),))
    await settled(collected)
    await collected.client.delete(BOXES, "top", "a", propagation="Orphan")
    await collected.gone(BOXES, "top", "a")
    child = await collected.client.get(BOXES, "child", "a")
    assert "ownerReferences" not in child["metadata"]


async def test_an_owner_in_another_namespace_is_none_and_an_event_says_so(collected: Api) -> None:
    top = await collected.make(BOXES, "top", "b")
    await settled(collected)
    child = await collected.make(BOXES, "child", "a", owners=(owner(top),))
    await collected.gone(BOXES, "child", "a")
    assert await collected.get(BOXES, "top", "b")
    event = (await event_about(collected, "a", child))[0]
    assert (event["type"], event["reason"]) == ("Warning", "OwnerRefInvalidNamespace")
    assert event["message"].endswith('does not exist in namespace "a"')
    assert "namespace: b" in event["message"]


async def test_what_is_in_no_namespace_cannot_be_owned_from_one_and_is_kept(collected: Api) -> None:
    top = await collected.make(BOXES, "top", "a")
    shelf = await collected.make(SHELVES, "child", owners=(owner(top),))
    (event,) = await event_about(collected, "default", shelf)
    assert event["reason"] == "OwnerRefInvalidNamespace"
    await collected.client.delete(BOXES, "top", "a")
    await settled(collected)
    assert await collected.get(SHELVES, "child")


async def event_about(api: Api, namespace: str, obj: Json) -> list[Json]:
    """The Events about an object, once there are any."""
    if namespace == "default" and await api.get(Ref("", "v1", "namespaces", namespaced=False), "default") is None:
        await api.make(Ref("", "v1", "namespaces", namespaced=False), "default")

    async def look() -> list[Json]:
        fields = f"involvedObject.uid={obj['metadata']['uid']}"
        found: list[Json] = (await api.client.list(EVENTS, namespace, fields=fields))["items"]
        return found

    return list(await api.until(look, bool))


async def test_an_owner_outside_of_namespaces_owns_what_is_in_them(collected: Api) -> None:
    shelf = await collected.make(SHELVES, "top")
    await collected.make(BOXES, "child", "a", owners=(owner(shelf),))
    await collected.client.delete(SHELVES, "top")
    await collected.gone(BOXES, "child", "a")


async def test_an_owner_may_be_named_in_another_version_than_the_preferred_one(collected: Api) -> None:
    top = await collected.make(BOXES, "top", "a")
    await collected.make(BOXES, "child", "a", owners=(owner(top) | {"apiVersion": f"{GROUP}/v1beta1"},))
    await settled(collected)
    assert await collected.get(BOXES, "child", "a")
    await collected.client.delete(BOXES, "top", "a")
    await collected.gone(BOXES, "child", "a")


async def test_an_owner_of_a_kind_that_nobody_serves_may_well_be_there(collected: Api) -> None:
    reference = {"apiVersion": "nowhere.example.com/v1", "kind": "Thing", "name": "x", "uid": ELSEWHERE}
    await collected.make(BOXES, "child", "a", owners=(reference,))
    await settled(collected)
    assert await collected.get(BOXES, "child", "a")


async def test_a_kind_that_comes_later_is_collected_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skerry.runtime.garbage.NEW_KINDS_EVERY", 0.2)
    crates = Ref(GROUP, "v1", "crates")
    monkeypatch.setitem(KINDS, crates, "Crate")
    reference = {"apiVersion": f"{GROUP}/v1", "kind": "Crate", "name": "top", "uid": ELSEWHERE}
    async with TaskOwner("test") as tasks:
        tasks.spawn(GarbageCollector(api.client).run(), "garbage")
        await api.make(BOXES, "early", "a", owners=(reference,))
        await settled(api)
        assert await api.get(BOXES, "early", "a")
        await api.server.serve_kinds(resources(definition("Crate", "crates", "Namespaced")))
        top = await api.make(crates, "top", "a")
        await api.make(BOXES, "late", "a", owners=(owner(top),))
        await api.gone(BOXES, "early", "a")
        await api.client.delete(crates, "top", "a")
        await api.gone(BOXES, "late", "a")
        api.server.registry.remove(GROUP, "crates")
        await api.make(BOXES, "after", "a", owners=(reference,))
        await settled(api)


async def test_whoever_changed_the_object_meanwhile_is_heard_first(api: Api) -> None:
    collector = GarbageCollector(api.client)
    top = await api.make(BOXES, "top", "a")
    child = await api.make(BOXES, "child", "a", owners=(owner(top),))
    async with TaskOwner("test") as tasks:
        tasks.spawn(collector.run(), "garbage")
        await settled(api)
        released: list[Json] = []
        delete = api.client.delete

        async def late(ref: Ref, name: str, namespace: str = "", **options: str) -> Json:
            if name == "child" and not released:
                body = {"metadata": {"ownerReferences": None}}
                released.append(await api.client.patch(BOXES, "child", "a", PatchKind.MERGE, body))
            return await delete(ref, name, namespace, **options)

        api.client.delete = late  # type: ignore[method-assign]  # somebody is faster than the collector
        await delete(BOXES, "top", "a")
        await api.until(lambda: api.client.get(BOXES, "child", "a"), lambda found: "ownerReferences" not in found["metadata"])
        await settled(api)
        kept = await api.get(BOXES, "child", "a")
        assert kept is not None
        assert kept["metadata"]["uid"] == child["metadata"]["uid"]
