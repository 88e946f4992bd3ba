"""What became of each object of a set, as EnforcedObjects: written when it says something new, and by whom it may be said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from skerry.agent.main import FEATURES
from skerry.client.contract import Ref
from skerry.compose.claims import ClaimTable
from skerry.compose.stock import CachedStock
from skerry.gateway import desired
from skerry.gateway.desired import DRIFT_STEP, next_status
from skerry.gateway.results import MOST_BEYOND, MOST_REFRESHED, REFRESH, Results, begin_of, row_name
from skerry.gateway.routes import Route
from skerry.gateway.sessions import Outdone
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.kit.clock import rfc3339
from skerry.machinery.document import Gapped
from skerry.machinery.names import subdomain_problem
from skerry.testing.clock import VirtualClock
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.telling import UNTOLD
from tests.gateway.fleet import SETS, Fleet, config_map, eventually
from tests.gateway.stranger import stranger
from tests.gateway.test_clusters import SHOP, attached
from tests.gateway.test_desired import GOOD, NOW, made, report

Json = dict[str, Any]
RESULTS = Ref(GROUP, VERSION, "enforcedobjects")
ROUTE = Route("sv-1", pb.Hello(management_cluster="sv-1", features=FEATURES))
OLD = Route("sv-1", pb.Hello(management_cluster="sv-1"))


class Kept:
    """A store that keeps what it is given."""

    def __init__(self) -> None:
        self.values: dict[str, Json] = {}
        self.batches: list[int] = []
        self.waited = 0

    async def put(self, values: Mapping[Any, Gapped | None], route: Route | None) -> int:
        if values:
            self.batches.append(len(values))
        for place, value in values.items():
            assert place.namespace == "sv-1"
            if value is None:
                self.values.pop(place.name)
            else:
                self.values[place.name] = json.loads(value.at("1"))
        return len(self.batches)

    def begun(self, key: str, namespace: str, begin: str) -> list[Json]:
        return [json.loads(json.dumps(each)) for name, each in sorted(self.values.items()) if name.startswith(begin)]

    def places(self, key: str) -> list[tuple[str, str]]:
        return [("sv-1", name) for name in self.values]

    async def shows(self, key: str, sequence: int) -> None:
        self.waited = sequence

    def told(self, name: str) -> Json:
        [found] = [each for each in self.values.values() if each["spec"]["name"] == name]
        status: Json = found["status"]
        return status


class Told:
    """Results that are told by a test."""

    def __init__(self) -> None:
        self.kept, self.clock = Kept(), VirtualClock(NOW)
        self.results = Results(self.kept.put, self.kept, self.clock)

    async def tell(self, *objects: pb.ObjectResult, name: str = "shop", route: Route = ROUTE, **more: Any) -> int:
        """Tell what became of objects; returns how much was written."""
        before = len(self.kept.batches)
        obj = {"metadata": {"namespace": "sv-1", "name": name}, "spec": {"cluster": "attached.shop"}}
        await self.results.take(obj, route, report(*objects, **more))
        return sum(self.kept.batches[before:])


@pytest.fixture
def told() -> Told:
    return Told()


async def test_a_report_is_one_batch_and_each_object_says_what_it_is(told: Told) -> None:
    owner = pb.FieldOwner(manager="kubectl-edit", fields=[".data.a"])
    conflict = pb.ObjectResult(
        api_version="apps/v1", kind="Deployment", namespace="web", name="b", outcome=pb.OUTCOME_CONFLICT, reason="Conflict", owners=[owner]
    )
    assert await told.tell(GOOD, conflict, generation=3, epoch=2) == 2
    assert told.kept.batches == [2]
    found = next(each for each in told.kept.values.values() if each["spec"]["name"] == "b")
    assert found["spec"] == {
        "manifestSet": "shop", "cluster": "attached.shop", "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "web", "name": "b"
    }  # fmt: skip
    owners = [{"manager": "kubectl-edit", "fields": [".data.a"]}]
    assert found["status"] == {"outcome": "Conflict", "reason": "Conflict", "owners": owners, "generation": 3, "ownerEpoch": 2}
    assert told.kept.told("a") == {
        "outcome": "Applied", "generation": 3, "ownerEpoch": 2, "lastChangedTime": rfc3339(NOW), "lastEnforcedTime": rfc3339(NOW)
    }  # fmt: skip


async def test_only_what_changed_is_written_and_what_left_the_set_goes(told: Told) -> None:
    objects = [made(f"m{number}", pb.OUTCOME_APPLIED) for number in range(300)]
    assert await told.tell(*objects) == 300
    quiet = [made(f"m{number}", pb.OUTCOME_UNCHANGED) for number in range(300)]
    await told.clock.advance(300)
    assert await told.tell(*quiet) == 0, "nothing new: neither that nothing had to change any more nor the time is written"
    await told.clock.advance(2)
    assert await told.tell(*objects, looked_seconds_ago=301) == 0, "the same report, told again to another session"
    broken = made("m0", pb.OUTCOME_FAILED, "Invalid", "no")
    assert await told.tell(broken, *quiet[1:-1]) == 2
    assert told.kept.told("m0")["lastEnforcedTime"] == rfc3339(NOW), "it was as asked then"
    assert len(told.kept.values) == 299


async def test_a_pruned_object_is_told_and_is_gone_with_the_next_report(told: Told) -> None:
    await told.tell(GOOD, made("b", pb.OUTCOME_APPLIED))
    await told.tell(GOOD, made("b", pb.OUTCOME_PRUNED), generation=2)
    assert told.kept.told("b")["outcome"] == "Pruned"
    assert await told.tell(GOOD, generation=2) == 1
    assert [each["spec"]["name"] for each in told.kept.values.values()] == ["a"]


async def test_times_are_refreshed_in_portions_when_they_are_an_hour_old(told: Told) -> None:
    objects = [made(f"m{number}", pb.OUTCOME_UNCHANGED) for number in range(250)]
    await told.tell(*objects)
    await told.clock.advance(REFRESH.total_seconds())
    assert [await told.tell(*objects) for _ in range(4)] == [MOST_REFRESHED, MOST_REFRESHED, 50, 0]
    later = {each["status"]["lastEnforcedTime"] for each in told.kept.values.values()}
    assert later == {rfc3339(NOW + REFRESH)}


async def test_drift_is_counted_with_its_time_and_the_time_outlives_the_agent(told: Told) -> None:
    await told.tell(GOOD)
    drifted = made("a", pb.OUTCOME_APPLIED)
    drifted.drifts, drifted.drifted_seconds_ago = 2, 20
    await told.clock.advance(100)
    assert await told.tell(drifted) == 1
    assert (told.kept.told("a")["drift"], told.kept.told("a")["lastDriftTime"]) == (2, rfc3339(NOW + timedelta(seconds=80)))
    drifted.drifted_seconds_ago = 50
    drifted.outcome = pb.OUTCOME_UNCHANGED
    await told.clock.advance(30)
    assert await told.tell(drifted) == 0
    await told.tell(made("a", pb.OUTCOME_UNCHANGED))
    assert told.kept.told("a").get("drift") is None
    assert told.kept.told("a")["lastDriftTime"] == rfc3339(NOW + timedelta(seconds=80))


async def test_a_set_that_fails_as_a_whole_keeps_what_is_known_of_its_objects(told: Told) -> None:
    await told.tell(GOOD)
    await told.tell(pb.ObjectResult(kind="ManifestSet", name="shop", outcome=pb.OUTCOME_FAILED, reason="AgentError", message="no"))
    assert sorted(each["spec"]["kind"] for each in told.kept.values.values()) == ["ConfigMap", "ManifestSet"]
    await told.tell(GOOD)
    assert [each["spec"]["kind"] for each in told.kept.values.values()] == ["ConfigMap"]


async def test_sets_whose_names_begin_alike_keep_to_themselves(told: Told) -> None:
    for name in ("a", "a.b", f"a.{'c' * 200}"):
        await told.tell(GOOD, name=name)
    await told.tell(name="a")
    assert {each["spec"]["manifestSet"] for each in told.kept.values.values()} == {"a.b", f"a.{'c' * 200}"}


async def test_what_is_stored_of_sets_that_do_not_exist_is_swept_and_nothing_else(told: Told) -> None:
    asked = []

    async def exists(namespace: str, name: str) -> bool:
        asked.append((namespace, name))
        return name == "late"

    for name in ("here", "late", "gone", "gone.too"):
        await told.tell(GOOD, name=name)
    assert await told.results.sweep({("sv-1", "here")}, exists) == 2
    assert {each["spec"]["manifestSet"] for each in told.kept.values.values()} == {"here", "late"}
    assert sorted(asked) == [("sv-1", "gone"), ("sv-1", "gone.too"), ("sv-1", "late")]


@pytest.mark.parametrize("which", [("v1", "ConfigMap", "n", "m"), ("", "", "", ""), ("x/y/z", "Ünïcode", "..", "\0/../" * 50), ("v1",) * 4])
def test_names_are_made_here_and_always_legal_and_their_own(which: tuple[str, ...]) -> None:
    each = pb.ObjectResult(api_version=which[0], kind=which[1], namespace=which[2], name=which[3])
    for name in ("shop", "a.b", "x" * 253, ".".join("y" * 200)):
        found = row_name(name, each)
        assert not subdomain_problem(found), found
        assert found.rpartition(".")[0] + "." == begin_of(name)
        assert found != row_name(f"{name[:-1]}z", each)
        assert found != row_name(name, pb.ObjectResult(api_version=which[0], kind=which[1], namespace=which[2], name=which[3] + "x"))


async def test_of_an_agent_that_does_not_know_better_the_words_about_secrets_are_left_out(told: Told) -> None:
    said = pb.ObjectResult(
        api_version="v1", kind="Secret", name="s", outcome=pb.OUTCOME_FAILED, reason="Invalid", message='data[k]: Invalid value: "hunter2"'
    )
    await told.tell(said, route=OLD)
    assert told.kept.told("s")["message"] == f"{UNTOLD}; it names data[k]"


# status.drift of the set


def test_the_status_tells_of_drift_at_most_once_a_minute() -> None:
    def drifted(count: int, ago: int = 1) -> pb.DesiredResult:
        each = made("a", pb.OUTCOME_APPLIED)
        each.drifts, each.drifted_seconds_ago = count, ago
        return report(each, drifts=count)

    before = next_status({"status": {}}, report(GOOD), NOW)
    assert "drift" not in before
    first = next_status({"status": before}, drifted(1), NOW)
    when = NOW - timedelta(seconds=1)
    assert first["drift"] == {"count": 1, "lastTime": rfc3339(when), "lastObject": "ConfigMap default/a"}
    storm = first
    for second in range(1, 55):
        storm = next_status({"status": storm}, drifted(1 + second), NOW + timedelta(seconds=second))
    assert storm["drift"] == first["drift"]
    later = next_status({"status": storm}, drifted(55, 100), when + DRIFT_STEP)
    assert later["drift"]["count"] == 55
    assert next_status({"status": later}, report(GOOD), NOW + timedelta(hours=1))["drift"]["count"] == 0, "its agent began anew"


# through a gateway, told by an agent that says whatever the test wants


async def rows(fleet: Fleet, fields: str = "", namespace: str = "sv-1") -> dict[str, Json]:
    found = await fleet.client.list(RESULTS, namespace, fields=fields)
    return {each["spec"].get("name", ""): each for each in found["items"]}


async def named(fleet: Fleet, *names: str, fields: str = "", namespace: str = "sv-1") -> dict[str, Json]:
    """Wait until these and no others are there."""

    async def there() -> bool:
        assert set(await rows(fleet, fields, namespace)) == set(names)
        return True

    await eventually(there)
    return await rows(fleet, fields, namespace)


async def test_results_are_read_at_the_door_selected_and_gone_with_their_set(fleet: Fleet) -> None:
    async with stranger(fleet) as agent:
        await fleet.ask("shop", [config_map("a", "default"), config_map("b", "default")])
        await fleet.ask("other", [config_map("c", "default")])
        failed = made("b", pb.OUTCOME_FAILED, "Invalid", "no")
        for name, objects in (("shop", [GOOD, failed]), ("other", [made("c", pb.OUTCOME_APPLIED)])):
            agent.says(result=pb.DesiredResult(set=name, owner_epoch=1, generation=1, objects=objects))
        await named(fleet, "a", "b", "c")
        assert set(await rows(fleet, "spec.manifestSet=shop")) == {"a", "b"}
        assert set(await rows(fleet, "status.outcome=Failed,spec.manifestSet=shop")) == {"b"}
        assert set(await rows(fleet, "spec.kind=ConfigMap,spec.manifestSet!=shop")) == {"c"}
        await fleet.client.delete(SETS, "shop", "sv-1")
        while not (going := await agent.hears("desired")).remove:
            pass
        agent.says(result=pb.DesiredResult(set="shop", owner_epoch=1, generation=going.generation, gone=True))
        await fleet.gone("shop")
        await named(fleet, "c")


async def test_drift_that_comes_too_soon_is_told_when_its_time_has_come(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desired, "DRIFT_STEP", timedelta(seconds=2))
    async with stranger(fleet) as agent:
        await fleet.ask("shop", [config_map("a", "default")])

        async def tells(count: int) -> None:
            async def told() -> bool:
                drift: Json = (await fleet.set("shop"))["status"].get("drift") or {}
                return bool(drift.get("count", 0) == count)

            await eventually(told)

        for count in (0, 1):
            drifted = made("a", pb.OUTCOME_APPLIED)
            drifted.drifts = count
            agent.says(result=pb.DesiredResult(set="shop", owner_epoch=1, generation=1, objects=[drifted], drifts=count))
            await tells(count)
        drifted.drifts = 499
        agent.says(result=pb.DesiredResult(set="shop", owner_epoch=1, generation=1, objects=[drifted], drifts=499))
        await tells(499)


async def test_an_agent_tells_of_the_objects_of_its_own_sets_and_of_commands_that_were_given(fleet: Fleet) -> None:
    await attached(fleet, "shop")
    spec = {"ownerEpoch": 1, "cluster": "attached.shop", "manifests": [config_map("a", "default")]}
    body = {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": {"name": "mine", "namespace": "attached"}, "spec": spec}
    await fleet.client.create(SETS, body)
    await fleet.client.create(SETS, {**body, "metadata": {"name": "foreign", "namespace": "attached"}, "spec": {"manifests": []}})
    async with stranger(fleet, SHOP) as agent:
        assert (await agent.hears("desired")).set == "mine"
        lie = made("lie", pb.OUTCOME_APPLIED)
        for name in ("foreign", "attached/foreign", "../mine", "", "\0", "nothing"):
            agent.says(result=pb.DesiredResult(set=name, owner_epoch=1, generation=1, objects=[lie]))
        agent.says(result=pb.DesiredResult(set="mine", owner_epoch=9, generation=1, objects=[lie]))
        agent.says(result=pb.DesiredResult(set="mine", owner_epoch=1, generation=999, objects=[lie]))
        agent.says(result=pb.DesiredResult(set="mine", owner_epoch=1, generation=1, objects=[GOOD]))
        found = await named(fleet, "a", namespace="attached")
        assert found["a"]["spec"]["cluster"] == "attached.shop"
        assert (await fleet.set("mine", "attached"))["status"]["observedGeneration"] == 1
        assert "applied" not in ((await fleet.set("foreign", "attached")).get("status") or {})


async def test_a_report_of_a_million_results_and_of_names_that_are_none_costs_what_a_set_can_cost(fleet: Fleet) -> None:
    async with stranger(fleet) as agent:
        await fleet.ask("shop", [config_map("a", "default")])
        await agent.hears("desired")
        many = pb.DesiredResult(set="shop", owner_epoch=1, generation=1)
        many.objects.extend([pb.ObjectResult(name=f"\0{number}/..") for number in range(1_000_000)])
        agent.says(result=many)

        async def bounded() -> bool:
            return len(await rows(fleet)) == 1 + MOST_BEYOND

        await eventually(bounded)
        huge = pb.ObjectResult(api_version="v1", kind="K" * 3_000_000, name="N" * 3_000_000, reason="R" * 100_000, message="M" * 3_000_000)
        huge.MergeFromString(bytes([5 << 3, 99]))  # an outcome that nobody knows
        huge.owners.extend([pb.FieldOwner(manager="m" * 1000, fields=["f" * 1000] * 100)] * 20)
        agent.says(
            result=pb.DesiredResult(set="shop", owner_epoch=1, generation=1, objects=[huge], drifts=2**32 - 1, looked_seconds_ago=2**32 - 1)
        )
        [found] = (await named(fleet, "N" * 253)).values()
        assert found["status"]["outcome"] == "Failed"
        assert len(json.dumps(found)) < 64 * 1024
        agent.says(heartbeat=pb.Heartbeat(api_reachable=True))
        await agent.hears("heartbeat_ack")


async def test_what_an_agent_said_in_a_session_that_is_not_its_newest_is_not_stored(fleet: Fleet) -> None:
    async with stranger(fleet) as agent:
        await fleet.ask("shop", [config_map("a", "default")])
        await agent.hears("desired")
        route = fleet.link.routes.get("sv-1")
        assert route is not None
        older = Route("sv-1", route.hello, epoch=route.epoch - 1)

        results = Results(ClaimTable(fleet.api).keep, CachedStock(fleet.api), fleet.clock)
        with pytest.raises(Outdone):
            await results.take(await fleet.set("shop"), older, report(GOOD))
        await results.take(await fleet.set("shop"), route, report(GOOD))
        await named(fleet, "a")
