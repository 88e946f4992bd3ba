"""What agents report of sets, as the status of a ManifestSet tells it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from skerry.gateway.desired import MOST_FAILURES, next_status, state_of
from skerry.kit.clock import rfc3339
from skerry.machinery.errors import NotFound
from skerry.tunnel import link_pb2 as pb
from tests.gateway.fleet import MANAGEMENT, SETS, Fleet, config_map, eventually
from tests.gateway.stranger import stranger

Json = dict[str, Any]
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def made(name: str, outcome: pb.Outcome, reason: str = "", message: str = "") -> pb.ObjectResult:
    return pb.ObjectResult(
        api_version="v1", kind="ConfigMap", namespace="default", name=name, outcome=outcome, reason=reason, message=message
    )


def report(*objects: pb.ObjectResult, generation: int = 1, epoch: int = 1, **more: Any) -> pb.DesiredResult:
    return pb.DesiredResult(set="shop", owner_epoch=epoch, generation=generation, objects=objects, **more)


def after(result: pb.DesiredResult, before: Json | None = None, now: datetime = NOW) -> Json:
    return next_status({"status": before or {}}, result, now)


def applied(status: Json) -> tuple[str, str, str]:
    [found] = status["conditions"]
    return found["status"], found["reason"], found["message"]


GOOD = made("a", pb.OUTCOME_APPLIED)


def test_what_is_as_asked_is_counted_and_the_time_is_told() -> None:
    status = after(report(GOOD, made("b", pb.OUTCOME_UNCHANGED), made("c", pb.OUTCOME_PRUNED), generation=3, epoch=2))
    assert applied(status) == ("True", "Applied", "2 objects are as asked for")
    assert (status["applied"], status["failed"], status["pending"]) == (2, 0, 0)
    assert (status["observedGeneration"], status["ownerEpoch"], status["lastEnforcedTime"]) == (3, 2, rfc3339(NOW))


def test_the_first_failure_is_the_reason_and_the_first_few_are_listed() -> None:
    failed = [made(f"m{number}", pb.OUTCOME_CONFLICT, "Conflict", "owned by kubectl") for number in range(MOST_FAILURES + 5)]
    status = after(report(GOOD, *failed, made("w", pb.OUTCOME_WAITING)))
    assert applied(status) == ("False", "Conflict", "ConfigMap default/m0: owned by kubectl")
    assert (status["applied"], status["failed"], status["pending"]) == (1, MOST_FAILURES + 5, 1)
    assert len(status["failures"]) == MOST_FAILURES
    assert "lastEnforcedTime" not in status


def test_what_waits_is_no_failure_and_is_not_enforced_either() -> None:
    status = after(report(GOOD, made("w", pb.OUTCOME_WAITING, "NotFound", "no such namespace")))
    assert applied(status) == ("False", "Waiting", "1 of 2 objects wait, first ConfigMap w: no such namespace")
    assert "lastEnforcedTime" not in status


def test_a_refusal_is_told_and_takes_nothing_back() -> None:
    before = after(report(GOOD, generation=5, epoch=5))
    status = after(report(generation=6, epoch=4, refused="epoch 5 was enforced already"), before)
    assert applied(status)[:2] == ("False", "Refused")
    assert {**status, "conditions": None} == {**before, "conditions": None}


@pytest.mark.parametrize(("epoch", "generation"), [(1, 9), (2, 2)])
def test_a_report_of_an_older_command_never_takes_the_status_back(epoch: int, generation: int) -> None:
    before = after(report(GOOD, epoch=2, generation=3))
    assert after(report(made("a", pb.OUTCOME_FAILED), epoch=epoch, generation=generation), before) == before


def test_the_same_again_changes_nothing_and_the_time_moves_a_minute_at_once() -> None:
    before = after(report(GOOD))
    assert after(report(GOOD), before, NOW + timedelta(seconds=59)) == before
    later = after(report(GOOD), before, NOW + timedelta(seconds=60))
    assert later == {**before, "lastEnforcedTime": rfc3339(NOW + timedelta(seconds=60))}


def test_the_time_is_when_the_cluster_was_as_asked_not_when_it_was_told() -> None:
    assert after(report(GOOD, enforced_seconds_ago=90))["lastEnforcedTime"] == rfc3339(NOW - timedelta(seconds=90))


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    before = after(report(GOOD))
    later = after(report(GOOD, made("b", pb.OUTCOME_APPLIED), generation=2), before, NOW + timedelta(hours=1))
    assert later["conditions"][0]["lastTransitionTime"] == before["conditions"][0]["lastTransitionTime"]
    assert later["conditions"][0]["observedGeneration"] == 2


# against a gateway, told by an agent that says whatever the test wants


async def test_a_set_is_sent_when_it_changes_and_not_when_its_status_does(fleet: Fleet) -> None:
    async with stranger(fleet) as agent:
        await fleet.ask("shop", [config_map("a", "default")])
        first = await agent.hears("desired")
        assert (first.set, first.owner_epoch, len(first.manifests)) == ("shop", 1, 1)
        agent.says(result=pb.DesiredResult(set="shop", owner_epoch=1, generation=first.generation, objects=[GOOD]))
        await fleet.settled("shop", applied=1)
        await fleet.ask("shop", [config_map("b", "default")])
        second = await agent.hears("desired")
        assert second.generation == first.generation + 1


async def test_every_set_is_told_anew_to_a_new_session(fleet: Fleet) -> None:
    names = {f"set-{number}" for number in range(5)}
    for name in names:
        await fleet.ask(name, [config_map(name, "default")])
    identity = await fleet.register()
    for _ in range(2):
        async with stranger(fleet, identity=identity) as agent:
            assert {(await agent.hears("desired")).set for _ in names} == names


async def test_a_set_goes_when_its_agent_says_that_nothing_is_left_and_not_before(fleet: Fleet) -> None:
    async with stranger(fleet) as agent:
        await fleet.ask("shop", [config_map("a", "default")])
        await agent.hears("desired")
        await fleet.client.delete(SETS, "shop", "sv-1")
        going = await agent.hears("desired")
        assert (going.remove, len(going.manifests)) == (True, 0)
        waiting = made("a", pb.OUTCOME_WAITING, "BeingDeleted", "it has finalizers")
        agent.says(result=report(waiting, generation=going.generation))

        async def told() -> bool:
            return bool((await fleet.set("shop"))["status"]["pending"] == 1)

        await eventually(told)
        agent.says(result=report(generation=going.generation, gone=True))
        await fleet.gone("shop")


async def test_an_agent_that_says_gone_of_a_set_that_nobody_deleted_deletes_nothing(fleet: Fleet) -> None:
    async with stranger(fleet) as agent:
        await fleet.ask("shop", [config_map("a", "default")])
        first = await agent.hears("desired")
        agent.says(result=report(generation=first.generation, gone=True))
        agent.says(result=report(GOOD, generation=first.generation))
        await fleet.settled("shop", applied=1)


async def test_an_agent_reports_on_sets_of_its_own_cluster_only(fleet: Fleet) -> None:
    await fleet.management_cluster("sv-2")
    await fleet.ask("shop", [config_map("a", "default")], namespace="sv-2")
    await fleet.ask("mine", [config_map("a", "default")])
    async with stranger(fleet) as agent:
        first = await agent.hears("desired")
        assert first.set == "mine"
        agent.says(result=report(GOOD, generation=1))
        agent.says(result=pb.DesiredResult(set="sv-2/shop", owner_epoch=1, generation=1, objects=[GOOD]))
        agent.says(result=pb.DesiredResult(set="mine", owner_epoch=1, generation=first.generation, objects=[GOOD]))
        await fleet.settled("mine", applied=1)
        assert "applied" not in ((await fleet.set("shop", "sv-2")).get("status") or {})
        with pytest.raises(NotFound):
            await fleet.set("shop", "sv-1")


async def adopting(fleet: Fleet, *, leave: bool = False) -> None:
    found = await fleet.ask("shop", [config_map("a", "default")])
    spec = {**found["spec"], "adopt": ["uid-1"], "leave": leave}
    await fleet.client.replace(SETS, {**found, "spec": spec}, manager="tests")


async def test_a_set_that_is_left_is_told_with_its_manifests_and_never_as_one_to_remove(fleet: Fleet) -> None:
    async with stranger(fleet, features=["adoption"]) as agent:
        await adopting(fleet, leave=True)
        while not (told := await agent.hears("desired")).adopt:
            pass
        assert (list(told.adopt), told.leave, told.remove) == (["uid-1"], False, False)
        await fleet.client.delete(SETS, "shop", "sv-1")
        going = await agent.hears("desired")
        assert (going.leave, going.remove, len(going.manifests)) == (True, False, 1)
        agent.says(result=report(generation=going.generation, gone=True))
        await fleet.gone("shop")


async def test_an_agent_that_cannot_adopt_or_leave_is_not_told_and_the_set_says_so(fleet: Fleet) -> None:
    await adopting(fleet)
    async with stranger(fleet) as agent:

        async def told() -> bool:
            return applied((await fleet.set("shop"))["status"])[:2] == ("False", "AgentOutdated")

        await eventually(told)
        await fleet.ask("other", [config_map("b", "default")])
        assert (await agent.hears("desired")).set == "other"


async def test_what_waits_for_an_agent_that_is_away_says_so_until_it_is_done(fleet: Fleet) -> None:
    async def says(status: str, reason: str) -> None:
        async def told() -> bool:
            found = await fleet.set("shop")
            return applied(found["status"])[:2] == (status, reason)

        await eventually(told)

    async def away() -> bool:
        site = await fleet.client.get(MANAGEMENT, "sv-1")
        return bool(site["status"]["phase"] == "Disconnected")

    await fleet.ask("shop", [config_map("a", "default")])
    await says("Unknown", "AgentAway")
    async with stranger(fleet) as agent:
        await agent.hears("desired")
        agent.says(result=report(GOOD))
        await says("True", "Applied")
    await eventually(away)
    await fleet.client.delete(SETS, "shop", "sv-1")
    await says("Unknown", "AgentAway")
    async with stranger(fleet) as agent:
        while not (going := await agent.hears("desired")).remove:
            pass
        agent.says(result=pb.DesiredResult(set="shop", owner_epoch=1, generation=going.generation, gone=True))
        await fleet.gone("shop")


@pytest.mark.parametrize(
    ("status", "reason", "generation", "state"),
    [
        ("True", "Applied", 2, "Applied"),
        ("False", "Conflict", 2, "Failed"),
        ("False", "Refused", 2, "Failed"),
        ("False", "Waiting", 2, "Waiting"),
        ("Unknown", "AgentAway", 2, "Waiting"),
        ("True", "Applied", 1, "Waiting"),
    ],
)
def test_a_set_has_come_to_one_of_three_things(status: str, reason: str, generation: int, state: str) -> None:
    said = [{"type": "Applied", "status": status, "reason": reason, "observedGeneration": generation}]
    assert state_of({"metadata": {"generation": 2}, "status": {"conditions": said}}) == state
    assert state_of({"metadata": {"generation": 2}}) == "Waiting"
