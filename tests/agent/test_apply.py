"""Sets in a cluster, enforced by the applier alone: the same on our own API machinery and on a real kube-apiserver."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

import pytest

from skerry.agent.apply import Applier
from skerry.agent.discovery import KindMap
from skerry.agent.objects import LABEL, mark_of
from skerry.agent.ordering import in_order, kind_of, neighbours
from skerry.client.contract import PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.machinery.crd import resources
from skerry.machinery.errors import NotFound
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.telling import UNTOLD
from tests.agent.targets import CLUSTERS, Target, cluster, definition
from tests.gateway.fleet import MAPS, NAMESPACES, config_map, eventually, namespace_of

Json = dict[str, Any]
SECRETS = Ref("", "v1", "secrets")
CRDS = Ref("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
FINALIZERS = {"metadata": {"finalizers": ["tests.skerry.dev/wait"]}}
NO_FINALIZERS: Json = {"metadata": {"finalizers": None}}


def state(manifests: Sequence[Json], generation: int = 1, *, name: str = "shop", epoch: int = 1, remove: bool = False) -> pb.DesiredState:
    encoded = [json.dumps(each).encode() for each in manifests]
    return pb.DesiredState(set=name, owner_epoch=epoch, generation=generation, manifests=encoded, remove=remove)


def secret(name: str, namespace: str) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}}


def outcomes(report: pb.DesiredResult) -> dict[str, str]:
    return {each.name: pb.Outcome.Name(each.outcome).removeprefix("OUTCOME_") for each in report.objects}


def applier(target: Target) -> Applier:
    """A fresh one, as after a restart: it knows nothing but what the cluster tells."""
    return Applier(target.client, KindMap(target.client))


@pytest.fixture
async def space(target: Target) -> str:
    return await target.namespace()


def unique(space: str) -> str:
    return f"set-{space}"


async def test_a_set_is_applied_and_applying_it_again_changes_nothing(target: Target, space: str) -> None:
    name = unique(space)
    wanted = state([config_map("a", space, key="1"), config_map("b", space)], name=name)
    assert outcomes(await applier(target).enforce(wanted)) == {"a": "APPLIED", "b": "APPLIED"}
    before = await target.client.get(MAPS, "a", space)
    assert outcomes(await applier(target).enforce(wanted)) == {"a": "UNCHANGED", "b": "UNCHANGED"}
    assert (await target.client.get(MAPS, "a", space))["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert before["metadata"]["labels"] == {LABEL: mark_of(name)}


async def test_what_left_a_set_is_pruned_even_by_an_agent_that_has_restarted(target: Target, space: str) -> None:
    name = unique(space)
    await applier(target).enforce(state([config_map("a", space), config_map("b", space)], name=name))
    report = await applier(target).enforce(state([config_map("b", space)], 2, name=name))
    assert outcomes(report) == {"b": "UNCHANGED", "a": "PRUNED"}
    with pytest.raises(NotFound):
        await target.client.get(MAPS, "a", space)
    assert outcomes(await applier(target).enforce(state([config_map("b", space)], 2, name=name))) == {"b": "UNCHANGED"}


async def test_what_was_there_before_gets_our_fields_and_is_left_in_place_without_them(target: Target, space: str) -> None:
    name = unique(space)
    await target.client.create(MAPS, config_map("theirs", space, own="1"), manager="them")
    await applier(target).enforce(state([config_map("theirs", space, added="2"), config_map("ours", space)], name=name))
    found = await target.client.get(MAPS, "theirs", space)
    assert found["data"] == {"own": "1", "added": "2"}
    assert LABEL not in (found["metadata"].get("labels") or {})
    report = await applier(target).enforce(state([], 2, name=name, remove=True))
    assert report.gone
    assert (await target.client.get(MAPS, "theirs", space))["data"] == {"own": "1"}
    with pytest.raises(NotFound):
        await target.client.get(MAPS, "ours", space)


async def test_an_object_whose_label_was_taken_off_is_kept(target: Target, space: str) -> None:
    name = unique(space)
    await applier(target).enforce(state([config_map("kept", space, a="1")], name=name))
    await target.client.patch(MAPS, "kept", space, PatchKind.MERGE, {"metadata": {"labels": {LABEL: None}}})
    assert (await applier(target).enforce(state([], 2, name=name, remove=True))).gone
    await target.client.get(MAPS, "kept", space)


async def test_a_field_that_somebody_else_owns_is_a_conflict_and_not_taken(target: Target, space: str) -> None:
    await target.client.apply(MAPS, config_map("shared", space, key="theirs"), manager="them")
    report = await applier(target).enforce(state([config_map("shared", space, key="ours"), config_map("b", space)], name=unique(space)))
    assert outcomes(report) == {"shared": "CONFLICT", "b": "APPLIED"}
    assert "them" in report.objects[0].message
    assert (await target.client.get(MAPS, "shared", space))["data"] == {"key": "theirs"}


async def test_an_object_of_another_set_is_told_and_becomes_free_when_that_set_is_gone(target: Target, space: str) -> None:
    first, second = f"first-{space}", f"second-{space}"
    await applier(target).enforce(state([config_map("a", space, by="1")], name=first))
    wanted = state([config_map("a", space, by="2")], name=second)
    report = await applier(target).enforce(wanted)
    assert (outcomes(report), report.objects[0].reason) == ({"a": "CONFLICT"}, "OtherSet")
    assert (await applier(target).enforce(state([], 2, name=second, remove=True))).gone
    assert (await target.client.get(MAPS, "a", space))["data"] == {"by": "1"}
    assert (await applier(target).enforce(state([], 2, name=first, remove=True))).gone
    assert outcomes(await applier(target).enforce(wanted)) == {"a": "APPLIED"}


async def test_a_set_goes_in_reverse_order_and_waits_for_finalizers(target: Target, space: str) -> None:
    name = unique(space)
    objects = [secret("first", space), config_map("second", space), secret("third", space)]
    await applier(target).enforce(state(objects, name=name))
    await target.client.patch(MAPS, "second", space, PatchKind.MERGE, FINALIZERS)
    going = state([], 2, name=name, remove=True)
    for _ in range(2):
        report = await applier(target).enforce(going)
        assert not report.gone
        assert outcomes(report)["second"] == "WAITING"
        assert outcomes(report)["first"] == "WAITING"
        await target.client.get(SECRETS, "first", space)
    with pytest.raises(NotFound):
        await target.client.get(SECRETS, "third", space)
    await target.client.patch(MAPS, "second", space, PatchKind.MERGE, NO_FINALIZERS)
    assert (await applier(target).enforce(going)).gone
    assert (await applier(target).enforce(going)).gone, "an answer that was lost is given again"


class Crowded(HttpClient):
    """Tells how many deletions were under way at once, and what was gone before each kind's first."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.connection)
        self.running = self.most = 0
        self.order: list[str] = []

    async def delete(self, ref: Ref, name: str, namespace: str = "", **options: Any) -> Json:
        self.running += 1
        self.most = max(self.most, self.running)
        self.order.append(ref.plural)
        try:
            return await super().delete(ref, name, namespace, **options)
        finally:
            self.running -= 1


async def test_neighbours_of_one_kind_go_together_and_one_that_stays_keeps_what_comes_after_them(target: Target, space: str) -> None:
    name = unique(space)
    objects = [secret("first", space), *(config_map(f"m{number:02}", space) for number in range(20))]
    await applier(target).enforce(state(objects, name=name))
    await target.client.patch(MAPS, "m18", space, PatchKind.MERGE, FINALIZERS)
    async with Crowded(target) as client:
        one = Applier(client, KindMap(client))
        going = state([], 2, name=name, remove=True)
        found = outcomes(await one.enforce(going))
        assert [found["m19"], found["m18"], found["m17"]] == ["PRUNED", "WAITING", "PRUNED"]
        assert {found[each] for each in ("m00", "first")} == {"WAITING"}, "what comes after those that go together waits"
        await target.client.patch(MAPS, "m18", space, PatchKind.MERGE, NO_FINALIZERS)
        assert (await one.enforce(going)).gone
        assert client.most > 2
        assert client.order[-2:] == ["secrets", "configmaps"], "and at last what the set had applied is forgotten"


async def test_an_older_command_is_refused_by_an_agent_that_has_restarted(target: Target, space: str) -> None:
    name = unique(space)
    await applier(target).enforce(state([config_map("a", space, v="new")], 3, name=name, epoch=2))
    for epoch, generation in ((1, 9), (2, 2)):
        report = await applier(target).enforce(state([config_map("a", space, v="old")], generation, name=name, epoch=epoch))
        assert "epoch 2, generation 3 was enforced already" in report.refused
        assert not report.objects
    assert (await target.client.get(MAPS, "a", space))["data"] == {"v": "new"}


async def test_what_cannot_be_applied_yet_waits_alone_and_is_applied_later(target: Target, space: str) -> None:
    group = f"{space}.skerry.dev"
    thing = {"apiVersion": f"{group}/v1beta2", "kind": "Thing", "metadata": {"name": "thing", "namespace": space}, "spec": {"a": 1}}
    wanted = state([thing, config_map("a", space)], name=unique(space))
    one = applier(target)
    report = await one.enforce(wanted)
    assert outcomes(report) == {"thing": "WAITING", "a": "APPLIED"}
    assert "definition may not be installed" in report.objects[0].message
    await target.install(definition("Thing", "things", group))

    async def applied() -> bool:
        return outcomes(await one.enforce(wanted))["thing"] in {"APPLIED", "UNCHANGED"}

    await eventually(applied)


async def test_an_object_that_is_asked_for_in_a_newer_version_is_not_pruned_for_it(target: Target, space: str) -> None:
    group, name = f"{space}.skerry.dev", unique(space)
    await target.install(definition("Thing", "things", group, ("v1beta1", "v1beta2")))

    def thing(version: str) -> Json:
        return {"apiVersion": f"{group}/{version}", "kind": "Thing", "metadata": {"name": "thing", "namespace": space}, "spec": {}}

    one = applier(target)

    async def applied() -> bool:
        return outcomes(await one.enforce(state([thing("v1beta1")], name=name)))["thing"] in {"APPLIED", "UNCHANGED"}

    await eventually(applied)
    before = await target.client.get(Ref(group, "v1beta2", "things"), "thing", space)
    report = await applier(target).enforce(state([thing("v1beta2")], 2, name=name))
    assert outcomes(report)["thing"] in {"APPLIED", "UNCHANGED"}
    after = await target.client.get(Ref(group, "v1beta2", "things"), "thing", space)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_namespace_in_a_set_comes_first_and_goes_last(target: Target, space: str) -> None:
    own, name = f"{space}-own", unique(space)
    manifests = [config_map("a", own), namespace_of(own)]
    assert outcomes(await applier(target).enforce(state(manifests, name=name))) == {own: "APPLIED", "a": "APPLIED"}

    async def gone() -> bool:
        return (await applier(target).enforce(state([], 2, name=name, remove=True))).gone

    await eventually(gone)
    with pytest.raises(NotFound):
        await target.client.get(NAMESPACES, own)


async def test_a_manifest_that_cannot_be_right_fails_alone_and_says_why(target: Target, space: str) -> None:
    nameless = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": space}}
    homeless = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "homeless"}}
    illegal = config_map("Not A Name", space)
    report = await applier(target).enforce(state([nameless, homeless, illegal, config_map("a", space)], name=unique(space)))
    assert outcomes(report) == {"": "FAILED", "homeless": "FAILED", "Not A Name": "FAILED", "a": "APPLIED"}
    assert all(each.message for each in report.objects if each.outcome == pb.OUTCOME_FAILED)


def test_what_others_need_goes_first_what_could_refuse_them_last_and_the_rest_stands_as_it_was() -> None:
    def of(api_version: str, kind: str) -> Json:
        return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}}

    hook = of("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
    objects = [hook, of("apiregistration.k8s.io/v1", "APIService"), cluster("c", "n"), of("scheduling.k8s.io/v1", "PriorityClass")]
    objects += [definition("A", "as", "g"), config_map("m", "n"), of("example.dev/v1", "Namespace"), namespace_of("n")]
    kinds = [each["kind"] for each in in_order(objects)]
    assert kinds[:3] == ["Namespace", "CustomResourceDefinition", "PriorityClass"]
    assert kinds[3:] == ["Cluster", "ConfigMap", "Namespace", "APIService", "ValidatingWebhookConfiguration"]


def test_objects_go_together_with_a_few_of_their_kind_and_never_past_another_kind() -> None:
    objects = [*(config_map(f"a{n}", "n") for n in range(5)), cluster("c", "n"), config_map("b", "n")]
    assert [[each["metadata"]["name"] for each in alike] for alike in neighbours(objects, 3, kind_of)] == [
        ["a0", "a1", "a2"],
        ["a3", "a4"],
        ["c"],
        ["b"],
    ]


async def test_a_set_that_defines_its_own_kinds_and_namespace_is_applied_at_once(target: Target, space: str) -> None:
    group, own = f"{space}.skerry.dev", f"{space}-own"
    things = [{"apiVersion": f"{group}/v1beta2", "kind": "Thing", "metadata": {"name": f"t{n}", "namespace": own}} for n in range(3)]
    wanted = state([*things, definition("Thing", "things", group), namespace_of(own)], name=unique(space))
    one = applier(target)
    found = outcomes(await one.enforce(wanted))
    if target.api is not None:  # our machinery serves a kind when it is told to
        await target.api.serve_kinds(resources(definition("Thing", "things", group)))
        found |= outcomes(await one.enforce(wanted))
    assert {found[f"t{n}"] for n in range(3)} == {"APPLIED"}

    async def gone() -> bool:
        return (await applier(target).enforce(state([], 2, name=unique(space), remove=True))).gone

    await eventually(gone)


async def test_a_definition_that_is_not_established_waits_with_all_of_its_kind_and_says_why(target: Target, space: str) -> None:
    group = f"{space}.skerry.dev"
    mine, other = definition("Thing", "things", group), definition("Thing", "others", group)
    thing = {"apiVersion": f"{group}/v1beta2", "kind": "Thing", "metadata": {"name": "thing", "namespace": space}, "spec": {"a": 1}}
    if target.api is None:
        await target.install(other)  # has the name of the kind
    wanted = state([thing, config_map("a", space), mine], name=unique(space))
    one = applier(target)
    found = await one.enforce(wanted)
    assert outcomes(found) == {f"things.{group}": "WAITING", "thing": "WAITING", "a": "APPLIED"}
    said = {each.name: (each.reason, each.message) for each in found.objects if each.reason}
    assert said["thing"] == ("NotEstablished", f"things.{group} is not established")
    assert said[f"things.{group}"][0] == "NotEstablished"
    if target.api is None:
        assert "already in use" in said[f"things.{group}"][1]
        await target.client.delete(CRDS, f"others.{group}")
    else:
        await target.api.serve_kinds(resources(mine))

    async def applied() -> bool:
        return set(outcomes(await one.enforce(wanted)).values()) <= {"APPLIED", "UNCHANGED"}

    await eventually(applied)


async def test_conflicts_name_the_managers_and_their_fields(target: Target, space: str) -> None:
    await target.client.apply(MAPS, config_map("shared", space, a="1", b="1"), manager="them")
    await target.client.patch(MAPS, "shared", space, PatchKind.MERGE, {"data": {"b": "2"}}, manager="kubectl-edit")
    [found] = (await applier(target).enforce(state([config_map("shared", space, a="9", b="9")], name=unique(space)))).objects
    assert {each.manager: list(each.fields) for each in found.owners} == {"them": [".data.a"], "kubectl-edit": [".data.b"]}
    assert 'other managers own what the set asks for otherwise: "' in found.message


async def test_a_set_that_takes_conflicts_takes_them_tells_from_whom_and_never_another_sets_object(target: Target, space: str) -> None:
    await target.client.apply(MAPS, config_map("shared", space, v="theirs"), manager="them")
    await applier(target).enforce(state([config_map("other", space, v="1")], name=f"first-{space}"))
    wanted = state([config_map("shared", space, v="ours"), config_map("other", space, v="2")], name=unique(space))
    wanted.take_conflicts = True
    report = await applier(target).enforce(wanted)
    taken, other = report.objects
    assert (taken.outcome, taken.reason, [each.manager for each in taken.owners]) == (pb.OUTCOME_APPLIED, "Taken", ["them"])
    assert (await target.client.get(MAPS, "shared", space))["data"] == {"v": "ours"}
    assert (other.outcome, other.reason) == (pb.OUTCOME_CONFLICT, "OtherSet")
    assert (await applier(target).enforce(wanted)).objects[0].outcome == pb.OUTCOME_UNCHANGED


async def test_an_older_command_takes_nothing(target: Target, space: str) -> None:
    await target.client.apply(MAPS, config_map("shared", space, v="theirs"), manager="them")
    await applier(target).enforce(state([config_map("a", space)], 2, name=unique(space), epoch=2))
    older = state([config_map("shared", space, v="ours")], 9, name=unique(space), epoch=1)
    older.take_conflicts = True
    assert (await applier(target).enforce(older)).refused
    assert (await target.client.get(MAPS, "shared", space))["data"] == {"v": "theirs"}


async def test_what_is_told_of_a_secret_that_is_refused_holds_nothing_of_it(target: Target, space: str) -> None:
    def secret(name: str, **more: Any) -> Json:
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": space}, **more}

    bad = [secret("a", data={"k": {"x": "hunter2"}}), secret("b", data={"k": "hunter2!"}), secret("c", stringData={"hunter2 !": "x"})]
    report = await applier(target).enforce(state(bad, name=unique(space)))
    assert outcomes(report) == dict.fromkeys("abc", "FAILED")
    assert [each.name for each in report.objects if "hunter2" in each.message or UNTOLD not in each.message] == []


async def test_what_is_in_a_namespace_that_is_going_waits(target: Target, space: str) -> None:
    own = f"{space}-going"
    await target.client.create(NAMESPACES, namespace_of(own))
    await target.client.create(MAPS, {**config_map("held", own), "metadata": {"name": "held", "namespace": own, **FINALIZERS["metadata"]}})
    await target.client.delete(NAMESPACES, own)
    report = await applier(target).enforce(state([config_map("late", own)], name=unique(space)))
    assert outcomes(report) == {"late": "WAITING"}
    await target.client.patch(MAPS, "held", own, PatchKind.MERGE, NO_FINALIZERS)


async def test_what_others_write_meanwhile_is_not_taken_for_our_change(target: Target, space: str) -> None:
    """A status that moves between the look and the apply moves the revision too."""
    await target.install(definition("Cluster", "clusters", "cluster.x-k8s.io"))
    name = unique(space)

    class Busy(HttpClient):
        async def get(self, ref: Ref, name: str, namespace: str = "", **options: Any) -> Json:
            found = await super().get(ref, name, namespace, **options)
            if ref.plural == "clusters":
                await self.patch(ref, name, namespace, PatchKind.MERGE, {"status": {"n": secrets.token_hex(4)}}, subresource="status")
            return found

    async with Busy(target.connection) as busy:
        one = Applier(busy, KindMap(busy))

        async def applied() -> bool:
            return outcomes(await one.enforce(state([cluster("c", space, a=1)], name=name)))["c"] in {"APPLIED", "UNCHANGED"}

        await eventually(applied)
        assert outcomes(await one.enforce(state([cluster("c", space, a=1)], name=name))) == {"c": "UNCHANGED"}
        assert outcomes(await one.enforce(state([cluster("c", space, a=2)], 2, name=name))) == {"c": "APPLIED"}


async def test_a_custom_object_is_asked_for_and_pruned_like_any_other(target: Target, space: str) -> None:
    await target.install(definition("Cluster", "clusters", "cluster.x-k8s.io"))
    one, name = applier(target), unique(space)

    async def applied() -> bool:
        return outcomes(await one.enforce(state([cluster("c", space, a=1)], name=name)))["c"] in {"APPLIED", "UNCHANGED"}

    await eventually(applied)
    assert (await one.enforce(state([], 2, name=name, remove=True))).gone
    with pytest.raises(NotFound):
        await target.client.get(CLUSTERS, "c", space)
