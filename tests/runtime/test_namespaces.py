"""A namespace that is deleted is emptied, waits for what takes its time, and says for whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from skerry.client.contract import Ref
from skerry.kit.aio import TaskOwner
from skerry.machinery.errors import Forbidden, InternalError
from skerry.machinery.resource import Json
from skerry.runtime.namespaces import NamespaceController
from tests.runtime.conftest import BOXES, NAMESPACES, SHELVES, Api

WAITED_FOR = ("example.com/more", "example.com/wait")
CONFIGMAPS = Ref("", "v1", "configmaps")


@pytest.fixture
async def ended(api: Api) -> AsyncIterator[Api]:
    """The API with a controller that ends namespaces."""
    async with TaskOwner("test") as tasks:
        tasks.spawn(NamespaceController(api.client).run(), "namespaces")
        yield api


def conditions(namespace: Json | None) -> dict[str, tuple[str, str, str]]:
    found = ((namespace or {}).get("status") or {}).get("conditions") or []
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in found}


async def remaining(api: Api, name: str) -> dict[str, tuple[str, str, str]]:
    """The conditions of a namespace, once it has any."""
    return conditions(await api.until(lambda: api.client.get(NAMESPACES, name), conditions))


async def test_everything_in_a_namespace_goes_with_it_and_nothing_else(ended: Api) -> None:
    await ended.make(BOXES, "one", "a")
    await ended.make(BOXES, "other", "b")
    await ended.make(SHELVES, "shelf")
    await ended.client.create(CONFIGMAPS, {"metadata": {"name": "two"}}, "a")
    await ended.client.delete(NAMESPACES, "a")
    await ended.gone(NAMESPACES, "a")
    assert await ended.get(BOXES, "one", "a") is None
    assert await ended.get(CONFIGMAPS, "two", "a") is None
    assert await ended.get(BOXES, "other", "b")
    assert await ended.get(SHELVES, "shelf")


async def test_a_namespace_waits_for_finalizers_and_tells_for_which(ended: Api) -> None:
    await ended.make(BOXES, "one", "a", finalizers=["example.com/wait"])
    await ended.make(BOXES, "two", "a", finalizers=["example.com/wait", "example.com/more"])
    await ended.make(BOXES, "quick", "a")
    await ended.client.delete(NAMESPACES, "a")
    seen = await remaining(ended, "a")
    assert seen["NamespaceContentRemaining"] == (
        "True",
        "SomeResourcesRemain",
        "Some resources are remaining: boxes.things.example.com has 2 resource instances",
    )
    assert seen["NamespaceFinalizersRemaining"] == (
        "True",
        "SomeFinalizersRemain",
        f"Some content in the namespace has finalizers remaining: {' in 1 resource instances, '.join(WAITED_FOR)} in 2 resource instances",
    )
    assert [name for name, (status, _, _) in seen.items() if status == "True"] == [
        "NamespaceContentRemaining",
        "NamespaceFinalizersRemaining",
    ]
    assert await ended.get(BOXES, "quick", "a") is None

    await ended.release(BOXES, "one", "a")
    await ended.until(
        lambda: ended.client.get(NAMESPACES, "a"),
        lambda found: conditions(found)["NamespaceContentRemaining"][2].endswith("has 1 resource instances"),
    )
    await ended.release(BOXES, "two", "a")
    await ended.gone(NAMESPACES, "a")


async def test_nothing_new_comes_into_a_namespace_that_is_going(ended: Api) -> None:
    await ended.make(BOXES, "one", "a", finalizers=["example.com/wait"])
    await ended.client.delete(NAMESPACES, "a")
    with pytest.raises(Forbidden, match="because it is being terminated"):
        await ended.make(BOXES, "late", "a")
    await ended.release(BOXES, "one", "a")
    await ended.gone(NAMESPACES, "a")


async def test_a_kind_that_cannot_be_emptied_does_not_keep_the_others(ended: Api) -> None:
    delete, broken = ended.client.delete, True

    async def fails(ref: Ref, name: str, namespace: str = "", **options: str) -> Json:
        if broken and ref == BOXES:
            raise InternalError("the boxes are stuck")
        return await delete(ref, name, namespace, **options)

    ended.client.delete = fails  # type: ignore[method-assign]  # one kind of the API does not answer
    await ended.make(BOXES, "one", "a")
    await ended.client.create(CONFIGMAPS, {"metadata": {"name": "two"}}, "a")
    await delete(NAMESPACES, "a")
    seen = await remaining(ended, "a")
    assert seen["NamespaceDeletionContentFailure"] == (
        "True",
        "ContentDeletionFailed",
        "Failed to delete all resource types, 1 remaining: the boxes are stuck",
    )
    await ended.gone(CONFIGMAPS, "two", "a")
    broken = False
    await ended.gone(NAMESPACES, "a")


async def test_a_namespace_that_was_deleted_while_nobody_looked_is_ended_later(api: Api) -> None:
    await api.make(BOXES, "one", "a")
    await api.client.delete(NAMESPACES, "a")
    found: Any = await api.get(NAMESPACES, "a")
    assert found["status"]["phase"] == "Terminating"
    async with TaskOwner("test") as tasks:
        tasks.spawn(NamespaceController(api.client).run(), "namespaces")
        await api.gone(NAMESPACES, "a")
    assert await api.get(BOXES, "one", "a") is None
