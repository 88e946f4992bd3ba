"""What stands there already is adopted by its uid, and what is left stays to the last field: on our own API machinery and a real one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from skerry.agent.memory import MANAGER
from skerry.agent.objects import LABEL, mark_of
from skerry.machinery.errors import NotFound
from skerry.tunnel import link_pb2 as pb
from tests.agent.targets import Target
from tests.agent.test_apply import applier, outcomes, unique
from tests.gateway.fleet import MAPS, config_map

Json = dict[str, Any]


def state(manifests: Sequence[Json], generation: int = 1, *, name: str, **more: Any) -> pb.DesiredState:
    encoded = [json.dumps(each).encode() for each in manifests]
    return pb.DesiredState(set=name, owner_epoch=1, generation=generation, manifests=encoded, **more)


@pytest.fixture
async def space(target: Target) -> str:
    return await target.namespace()


async def theirs(target: Target, space: str, **data: str) -> Json:
    return await target.client.create(MAPS, config_map("theirs", space, **data), manager="them")


def managers(obj: Json) -> set[str]:
    return {each["manager"] for each in obj["metadata"].get("managedFields") or ()}


async def test_what_is_adopted_goes_with_its_set(target: Target, space: str) -> None:
    name, uid = unique(space), (await theirs(target, space, own="1"))["metadata"]["uid"]
    wanted = state([config_map("theirs", space, own="1")], name=name, adopt=[uid])
    assert outcomes(await applier(target).enforce(wanted)) == {"theirs": "APPLIED"}
    found = await target.client.get(MAPS, "theirs", space)
    assert found["metadata"]["labels"] == {LABEL: mark_of(name)}
    assert managers(found) == {"them", MANAGER}
    assert outcomes(await applier(target).enforce(wanted)) == {"theirs": "UNCHANGED"}
    assert (await applier(target).enforce(state([], 2, name=name, remove=True))).gone
    with pytest.raises(NotFound):
        await target.client.get(MAPS, "theirs", space)


async def test_another_object_in_its_place_is_not_adopted_and_not_touched(target: Target, space: str) -> None:
    name = unique(space)
    before = await theirs(target, space, own="1")
    report = await applier(target).enforce(state([config_map("theirs", space, added="2")], name=name, adopt=["another"]))
    assert outcomes(report) == {"theirs": "CONFLICT"}
    assert report.objects[0].reason == "NotAdopted"
    assert await target.client.get(MAPS, "theirs", space) == before


async def test_a_value_of_another_manager_is_not_forced_and_he_is_named(target: Target, space: str) -> None:
    uid = (await theirs(target, space, own="1"))["metadata"]["uid"]
    report = await applier(target).enforce(state([config_map("theirs", space, own="2")], name=unique(space), adopt=[uid]))
    assert outcomes(report) == {"theirs": "CONFLICT"}
    assert '"them"' in report.objects[0].message


async def test_whoever_takes_the_label_off_an_adopted_object_keeps_it(target: Target, space: str) -> None:
    name, uid = unique(space), (await theirs(target, space, own="1"))["metadata"]["uid"]
    wanted = state([config_map("theirs", space, own="1")], name=name, adopt=[uid])
    await applier(target).enforce(wanted)
    found = await target.client.get(MAPS, "theirs", space)
    del found["metadata"]["labels"]
    await target.client.replace(MAPS, found, manager="them")
    assert outcomes(await applier(target).enforce(wanted)) == {"theirs": "UNCHANGED"}
    assert (await applier(target).enforce(state([], 2, name=name, remove=True))).gone
    assert (await target.client.get(MAPS, "theirs", space))["data"] == {"own": "1"}


async def test_what_is_left_keeps_every_field_and_no_trace_even_what_only_we_had_applied(target: Target, space: str) -> None:
    name, uid = unique(space), (await theirs(target, space, own="1"))["metadata"]["uid"]
    wanted = [config_map("theirs", space, own="1", added="2"), config_map("ours", space, key="3")]
    wanted[1]["metadata"]["labels"] = {"fleet.skerry.dev/managed": "true", "team": "a"}
    await applier(target).enforce(state(wanted, name=name, adopt=[uid]))
    report = await applier(target).enforce(state(wanted, 2, name=name, leave=True))
    assert (report.gone, outcomes(report)) == (True, {"theirs": "PRUNED", "ours": "PRUNED"})
    adopted, made = [await target.client.get(MAPS, each, space) for each in ("theirs", "ours")]
    assert (adopted["data"], made["data"]) == ({"own": "1", "added": "2"}, {"key": "3"})
    assert (adopted["metadata"].get("labels") or {}, made["metadata"]["labels"]) == ({}, {"team": "a"})
    assert (managers(adopted), managers(made)) == ({"them"}, set())
    # It may be adopted again, by a set that begins to count anew, and left again: nothing happens the second time.
    again = state(wanted[:1], name=name, adopt=[uid])
    assert outcomes(await applier(target).enforce(again)) == {"theirs": "APPLIED"}
    for _ in range(2):
        assert (await applier(target).enforce(state(wanted[:1], 2, name=name, leave=True))).gone


async def test_a_set_that_is_left_takes_nothing_along_that_was_about_to_be_pruned(target: Target, space: str) -> None:
    name = unique(space)
    await applier(target).enforce(state([config_map("a", space), config_map("b", space)], name=name))
    assert (await applier(target).enforce(state([config_map("a", space)], 2, name=name, leave=True))).gone
    assert LABEL not in ((await target.client.get(MAPS, "b", space))["metadata"].get("labels") or {})
