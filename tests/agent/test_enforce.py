"""What is asked for over time: told when there is something to tell, tried again, repaired, and left alone otherwise."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from skerry.agent.apply import Applier
from skerry.agent.discovery import KindMap
from skerry.agent.drift import GATHER_SECONDS, MOST_SECONDS_BETWEEN_REPAIRS, QUIET_SECONDS, Drift, Repairs
from skerry.agent.enforce import ENFORCE_AGAIN_SECONDS, Enforcer
from skerry.client.contract import PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.kit.aio import Pulse, TaskOwner
from skerry.kit.clock import SystemClock
from skerry.machinery.errors import Forbidden, ServiceUnavailable
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import Fence
from tests.agent.targets import Target, definition
from tests.gateway.fleet import MAPS, config_map, eventually

Json = dict[str, Any]
WAIT = {"metadata": {"finalizers": ["tests.skerry.dev/wait"]}}
GO: Json = {"metadata": {"finalizers": None}}


def state(manifests: Sequence[Json], name: str, generation: int = 1, *, remove: bool = False) -> pb.DesiredState:
    encoded = [json.dumps(each).encode() for each in manifests]
    return pb.DesiredState(set=name, owner_epoch=1, generation=generation, manifests=encoded, remove=remove)


class Ahead(SystemClock):
    """The machine's clock, which a test can put forward."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Counting(HttpClient):
    """Counts what is asked of the cluster."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.connection)
        self.asked: Counter[str] = Counter()

    async def raw(self, method: str, path: str, body: object = None) -> Json:
        self.asked[path] += 1
        return await super().raw(method, path, body)

    async def apply(self, ref: Ref, body: Json, **options: Any) -> Json:
        self.asked[body["metadata"]["name"]] += 1
        return await super().apply(ref, body, **options)


class Enforcing:
    """An enforcer at work."""

    def __init__(self, client: Counting) -> None:
        self.client, self.clock = client, Ahead()
        self.enforcer = Enforcer(client, KindMap(client), Fence(), self.clock, Pulse())

    async def report(self) -> pb.DesiredResult:
        async def taken() -> pb.DesiredResult | None:
            return self.enforcer.take_report()

        found: pb.DesiredResult = await eventually(taken)
        return found


@asynccontextmanager
async def enforcing(target: Target) -> AsyncIterator[Enforcing]:
    async with Counting(target) as client, TaskOwner("test") as owner:
        made = Enforcing(client)
        owner.spawn(made.enforcer.run(), "enforcer")
        yield made


def outcome(report: pb.DesiredResult) -> dict[str, int]:
    return {each.name: each.outcome for each in report.objects}


@pytest.fixture
async def space(target: Target) -> str:
    return await target.namespace()


async def test_a_set_that_waits_is_told_once_and_again_when_it_waits_no_more(target: Target, space: str) -> None:
    group = f"{space}.skerry.dev"
    thing = {"apiVersion": f"{group}/v1beta2", "kind": "Thing", "metadata": {"name": "thing", "namespace": space}, "spec": {"a": 1}}
    async with enforcing(target) as run:
        run.enforcer.ask(state([thing, config_map("a", space)], f"set-{space}"))
        assert outcome(await run.report()) == {"thing": pb.OUTCOME_WAITING, "a": pb.OUTCOME_APPLIED}

        async def tried_often() -> bool:
            return run.client.asked[f"/apis/{group}/v1beta2"] >= 4

        await eventually(tried_often)
        assert run.enforcer.take_report() is None
        await target.install(definition("Thing", "things", group))
        assert outcome(await run.report())["thing"] in {pb.OUTCOME_APPLIED, pb.OUTCOME_UNCHANGED}


async def test_a_command_that_comes_again_is_answered_without_asking_the_cluster(target: Target, space: str) -> None:
    async with enforcing(target) as run:
        wanted = state([config_map("a", space)], f"set-{space}")
        run.enforcer.ask(wanted)
        first = await run.report()
        asked = run.client.asked.copy()
        run.enforcer.ask(wanted)
        again = run.enforcer.take_report()
        assert again is not None
        assert list(again.objects) == list(first.objects)
        assert run.client.asked == asked


async def test_what_is_in_order_is_looked_at_from_time_to_time_and_the_look_is_told(target: Target, space: str) -> None:
    async with enforcing(target) as run:
        run.enforcer.ask(state([config_map("a", space, v="1")], f"set-{space}"))
        await run.report()
        run.clock.ahead += ENFORCE_AGAIN_SECONDS
        run.enforcer.ask(state([], f"other-{space}"))  # whoever waits for the clock looks at it now
        reports = [await run.report(), await run.report()]
        [looked] = [each for each in reports if each.set == f"set-{space}"]
        assert outcome(looked) == {"a": pb.OUTCOME_UNCHANGED}
        assert run.client.asked["a"] >= 2


async def test_a_newer_command_takes_the_place_of_one_that_waits(target: Target, space: str) -> None:
    nowhere = {"apiVersion": f"{space}.skerry.dev/v1", "kind": "Thing", "metadata": {"name": "thing", "namespace": space}}
    async with enforcing(target) as run:
        run.enforcer.ask(state([nowhere], f"set-{space}"))
        assert outcome(await run.report()) == {"thing": pb.OUTCOME_WAITING}
        run.enforcer.ask(state([config_map("a", space)], f"set-{space}", 2))
        report = await run.report()
        assert (report.generation, outcome(report)["a"]) == (2, pb.OUTCOME_APPLIED)


async def test_what_happened_before_the_watch_began_is_drift_too(target: Target, space: str) -> None:
    drifted: list[str] = []
    drift = Drift(target.client, drifted.append)
    applier = Applier(target.client, KindMap(target.client), drift)
    await applier.enforce(state([config_map("deleted", space), config_map("kept", space)], f"set-{space}"))
    await target.client.delete(MAPS, "deleted", space)
    assert drifted == []
    async with TaskOwner("test") as owner:
        owner.spawn(drift.run(), "drift")

        async def told() -> bool:
            return f"set-{space}" in drifted

        await eventually(told)


async def test_our_own_work_and_other_peoples_objects_are_no_drift(target: Target, space: str) -> None:
    drifted: list[str] = []
    drift = Drift(target.client, drifted.append)
    applier = Applier(target.client, KindMap(target.client), drift)
    await target.client.create(MAPS, config_map("theirs", space), manager="them")
    await applier.enforce(state([config_map("theirs", space, a="1"), config_map("ours", space)], f"set-{space}"))
    async with TaskOwner("test") as owner:
        owner.spawn(drift.run(), "drift")
        await applier.enforce(state([config_map("last", space)], f"last-{space}"))
        await target.client.delete(MAPS, "last", space)

        async def told() -> bool:
            return f"last-{space}" in drifted

        await eventually(told)
        assert f"set-{space}" not in drifted


async def test_an_object_that_a_set_waited_for_to_go_is_told_when_it_is_gone(target: Target, space: str) -> None:
    told: list[str] = []
    drift, name = Drift(target.client, told.append), f"set-{space}"
    applier = Applier(target.client, KindMap(target.client), drift)
    async with TaskOwner("test") as owner:
        owner.spawn(drift.run(), "drift")
        await applier.enforce(state([config_map("slow", space)], name))
        await target.client.patch(MAPS, "slow", space, PatchKind.MERGE, WAIT)
        report = await applier.enforce(state([], name, 2, remove=True))
        assert outcome(report) == {"slow": pb.OUTCOME_WAITING}
        told.clear()
        await target.client.patch(MAPS, "slow", space, PatchKind.MERGE, GO)

        async def gone() -> bool:
            return name in told

        await eventually(gone)
        assert (await applier.enforce(state([], name, 2, remove=True))).gone


async def test_a_kind_is_watched_until_no_set_has_anything_of_it(target: Target, space: str) -> None:
    drift = Drift(target.client, lambda _: None)
    applier = Applier(target.client, KindMap(target.client), drift)
    maps, secret = config_map("a", space), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b", "namespace": space}}

    async def followed(kinds: int) -> None:
        async def settled() -> bool:
            return (drift.statistics()["kinds"], sum(each.synced.is_set() for each in drift._following)) == (kinds, kinds)

        await eventually(settled)

    async with TaskOwner("test") as owner:
        owner.spawn(drift.run(), "drift")
        await applier.enforce(state([maps, secret], f"set-{space}"))
        await applier.enforce(state([config_map("other", space)], f"other-{space}"))
        await followed(2)
        await applier.enforce(state([maps], f"set-{space}", 2))
        await followed(1)
        await applier.enforce(state([], f"set-{space}", 3, remove=True))
        await followed(1)
        await applier.enforce(state([], f"other-{space}", 2, remove=True))
        await followed(0)
        await applier.enforce(state([secret], f"set-{space}", 4))
        await followed(1)


def test_who_keeps_undoing_our_work_makes_us_slower_and_is_forgiven_after_a_while() -> None:
    repairs, now = Repairs(), 1000.0
    assert repairs.wait(now) == pytest.approx(GATHER_SECONDS)
    assert repairs.wait(now + 0.1) == pytest.approx(GATHER_SECONDS - 0.1), "everything that drifts meanwhile is one repair"
    waits = []
    for _ in range(200):
        repairs.begun()
        now += 1
        waits.append(repairs.wait(now))
    assert max(waits) > MOST_SECONDS_BETWEEN_REPAIRS / 2
    assert max(waits) <= MOST_SECONDS_BETWEEN_REPAIRS
    repairs.begun()
    assert repairs.wait(now + QUIET_SECONDS + 1) == pytest.approx(GATHER_SECONDS)


class Away(Counting):
    """Reaches the cluster when it is told to."""

    away = True

    async def get(self, ref: Ref, name: str, namespace: str = "", **options: Any) -> Json:
        if self.away:
            self.asked["away"] += 1
            raise ServiceUnavailable("the cluster cannot be reached")
        return await super().get(ref, name, namespace, **options)


async def test_a_cluster_that_does_not_answer_costs_one_line_of_log_however_many_sets_there_are(target: Target, space: str) -> None:
    async with Away(target) as client, TaskOwner("test") as owner:
        run = Enforcing(client)
        owner.spawn(run.enforcer.run(), "enforcer")
        with capture_logs() as lines:
            for number in range(10):
                run.enforcer.ask(state([config_map(f"m{number}", space)], f"set-{number}-{space}"))

            async def tried_often() -> bool:
                return client.asked["away"] >= 30

            await eventually(tried_often)
            client.away = False
            for _ in range(10):
                assert (await run.report()).objects[0].outcome == pb.OUTCOME_APPLIED
        assert [each["log_level"] for each in lines if each["event"] == "cannot enforce yet" and each["log_level"] != "debug"] == ["info"]


async def test_a_write_whose_event_comes_before_its_answer_is_not_done_again(target: Target, space: str) -> None:
    class Late(Counting):
        """The answers to its writes come after the events that they cause."""

        async def apply(self, ref: Ref, body: Json, **options: Any) -> Json:
            answer = await super().apply(ref, body, **options)
            await asyncio.sleep(0.3 if self.asked[body["metadata"]["name"]] > 1 else 0)
            return answer

    async with Late(target) as client, TaskOwner("test") as owner:
        run = Enforcing(client)
        owner.spawn(run.enforcer.run(), "enforcer")
        for number in (1, 2, 3):
            run.enforcer.ask(state([config_map("a", space, v=str(number))], f"set-{space}", number))
            await run.report()
            await asyncio.sleep(3 * GATHER_SECONDS)  # until the watch stands, and what was no drift would have been repaired
        assert client.asked["a"] == 3
        assert run.enforcer.statistics()["repairs"] == 0


async def test_what_somebody_deletes_while_a_set_is_applied_for_the_first_time_is_put_right(target: Target, space: str) -> None:
    class Meddled(Counting):
        """Somebody deletes ``b`` before the answer to its first write is heard."""

        async def apply(self, ref: Ref, body: Json, **options: Any) -> Json:
            answer = await super().apply(ref, body, **options)
            if body["metadata"]["name"] == "b" and self.asked["b"] == 1:
                await target.client.delete(MAPS, "b", space)
                await asyncio.sleep(2 * GATHER_SECONDS)  # until the watch has told of it
            return answer

    async with Meddled(target) as client, TaskOwner("test") as owner:
        run = Enforcing(client)
        owner.spawn(run.enforcer.run(), "enforcer")
        run.enforcer.ask(state([config_map("a", space, v="1")], f"first-{space}"))
        await run.report()
        await asyncio.sleep(2 * GATHER_SECONDS)  # until the kind is watched
        run.enforcer.ask(state([config_map("b", space, v="ours")], f"set-{space}"))

        async def there() -> bool:
            return "b" in {each["metadata"]["name"] for each in (await target.client.list(MAPS, space))["items"]}

        await run.report()
        await eventually(there)


async def test_what_is_enforced_and_what_drifted_is_counted(target: Target, space: str) -> None:
    await target.client.create(MAPS, config_map("theirs", space, a="theirs"), manager="them")
    async with enforcing(target) as run:
        run.enforcer.ask(state([config_map("theirs", space, a="ours"), config_map("ours", space)], f"set-{space}"))
        await run.report()
        assert run.enforcer.outcomes() == {pb.OUTCOME_CONFLICT: 1, pb.OUTCOME_APPLIED: 1}
        before = run.enforcer.statistics()
        assert before["enforced"] >= 1
        await target.client.delete(MAPS, "ours", space)

        async def repaired() -> bool:
            found = run.enforcer.statistics()
            return found["repairs"] > before["repairs"] and found["enforced"] > before["enforced"]

        await eventually(repaired)


async def test_drift_that_was_put_right_is_told_at_once_and_counted_by_object(target: Target, space: str) -> None:
    async with enforcing(target) as run:
        run.enforcer.ask(
            state([config_map("gone", space, v="1"), config_map("cut", space, v="1"), config_map("kept", space)], f"set-{space}")
        )
        assert (await run.report()).drifts == 0
        await target.client.delete(MAPS, "gone", space)
        await target.client.patch(MAPS, "cut", space, PatchKind.JSON, [{"op": "remove", "path": "/data/v"}])
        found: dict[str, int] = {}
        while sum(found.values()) < 2:
            report = await run.report()
            found = {each.name: each.drifts for each in report.objects}
            assert report.drifts == sum(found.values())
        assert found == {"gone": 1, "cut": 1, "kept": 0}
        assert run.enforcer.statistics()["drifts"] == 2
        assert (await target.client.get(MAPS, "cut", space))["data"] == {"v": "1"}


async def test_a_set_that_takes_conflicts_puts_right_what_somebody_edits(target: Target, space: str) -> None:
    async with enforcing(target) as run:
        wanted = state([config_map("edited", space, v="1")], f"set-{space}")
        wanted.take_conflicts = True
        run.enforcer.ask(wanted)
        await run.report()
        await target.client.patch(MAPS, "edited", space, PatchKind.MERGE, {"data": {"v": "2"}}, manager="kubectl-edit")
        report = await run.report()
        assert (report.drifts, report.objects[0].reason, report.objects[0].owners[0].manager) == (1, "Taken", "kubectl-edit")
        assert (await target.client.get(MAPS, "edited", space))["data"] == {"v": "1"}


async def test_a_set_whose_memory_cannot_be_kept_is_told_and_not_only_logged(target: Target, space: str) -> None:
    class Forgetful(Counting):
        async def apply(self, ref: Ref, body: Json, **options: Any) -> Json:
            if body["metadata"]["name"].startswith("manifest-set-"):
                raise Forbidden("no ConfigMaps for you")
            return await super().apply(ref, body, **options)

    async with Forgetful(target) as client, TaskOwner("test") as owner:
        run = Enforcing(client)
        owner.spawn(run.enforcer.run(), "enforcer")
        run.enforcer.ask(state([config_map("a", space)], f"set-{space}"))
        [failed] = (await run.report()).objects
        assert (failed.outcome, failed.kind, failed.reason) == (pb.OUTCOME_FAILED, "ManifestSet", "Forbidden")
        assert "no ConfigMaps for you" in failed.message


async def test_ages_are_those_of_the_moment_at_which_a_report_is_taken(target: Target, space: str) -> None:
    async with enforcing(target) as run:
        run.enforcer.ask(state([config_map("a", space)], f"set-{space}"))

        async def waits() -> bool:
            return run.enforcer.statistics()["reports"] == 1

        await eventually(waits)
        run.clock.ahead += 120
        report = await run.report()
        assert report.looked_seconds_ago >= 120
        assert report.enforced_seconds_ago >= 120
