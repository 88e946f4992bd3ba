"""A Cluster of Cluster API read back: what is rendered of it touches nothing, in either dialect, whoever has made it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.clusterapi import documents
from peers.programs import home
from skerry.capi.read import OWN_LABEL
from skerry.capi.readback import Reading, class_of, newest, read
from skerry.capi.render import V1BETA1, V1BETA2, manifests
from skerry.kinds.cluster import Cluster
from skerry.kinds.clusterclass import ClusterClassSpec
from skerry.kinds.nodepool import NodePool
from skerry.machinery.schema import Schema
from tests.capi.test_render import FLAT, GROUPED, cluster, offered, pool

Json = dict[str, Any]
EXACT = {**FLAT, "nodePoolTaints": {"type": "array"}}


def built(reading: Reading, name: str = "shop") -> tuple[Cluster, list[NodePool]]:
    """What stands at our door after a reading."""
    spec = {**reading.spec, "provisioner": "team-a"}
    pools = [
        msgspec.convert({"metadata": {"name": f"team-a.{name}.{each}"}, "spec": found}, NodePool) for each, found in reading.pools.items()
    ]
    return msgspec.convert({"metadata": {"name": f"team-a.{name}"}, "spec": spec}, Cluster), pools


def rendered(reading: Reading, offer: ClusterClassSpec) -> Json:
    made, pools = built(reading)
    return manifests(made, pools, offer)[-1]


def touched(applied: Any, live: Any, path: str = "") -> list[str]:
    """Where an applied value would change the live one. Lists of named things are maps by name, as in Cluster API's definitions."""
    if isinstance(applied, dict) and isinstance(live, dict):
        return [each for key, value in applied.items() for each in touched(value, live.get(key), f"{path}.{key}")]
    if (
        isinstance(applied, list)
        and isinstance(live, list)
        and all(isinstance(each, dict) and "name" in each for each in (*applied, *live))
    ) and path.endswith((".machineDeployments", ".variables", ".overrides")):
        there = {each["name"]: each for each in live}
        return [each for one in applied for each in touched(one, there.get(one["name"]), f"{path}[{one['name']}]")]
    return [] if applied == live else [path]


def spec_of(obj: Json) -> Json:
    found: Json = obj["spec"]
    return found


NAMES = st.sampled_from(["a", "b", "md-0", "workers"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pq"), inner, max_size=2),
    max_leaves=4,
)
VARIABLES = st.lists(st.tuples(st.sampled_from(["vmClass", "proxy", "extra"]), VALUES), max_size=3, unique_by=lambda each: each[0])
LABELS = st.dictionaries(st.sampled_from(["tier", "zone"]), st.sampled_from(["", "apps"]), max_size=2)
TAINTS = st.lists(
    st.fixed_dictionaries({"key": st.sampled_from("kl"), "effect": st.sampled_from(["NoSchedule", "NoExecute"])}),
    max_size=2,
    unique_by=lambda each: tuple(each.values()),
)
OVERRIDES = st.one_of(
    VARIABLES.map(lambda pairs: [{"name": name, "value": value} for name, value in pairs]),
    LABELS.map(lambda found: [{"name": "nodePoolLabels", "value": [{"key": key, "value": found[key]} for key in sorted(found)]}]),
    st.lists(st.fixed_dictionaries({"key": st.sampled_from("kl"), "value": st.just("v")}), max_size=2).map(
        lambda found: [{"name": "nodePoolLabels", "value": found}]
    ),
    st.tuples(LABELS, TAINTS).map(lambda both: [{"name": "node", "value": {"labels": both[0], "taints": both[1]}}]),
    TAINTS.map(lambda found: [{"name": "nodePoolTaints", "value": [{**each, "value": ""} for each in found]}]),
    VALUES.map(lambda found: [{"name": "node", "value": found}]),
)


@st.composite
def strangers(draw: st.DrawFn) -> Json:
    """A Cluster that somebody else has written, with what we have no words for beside."""
    variables = [{"name": name, "value": value} for name, value in draw(VARIABLES)]
    if draw(st.booleans()):
        variables.append({"name": "node", "value": {"labels": draw(LABELS), "extra": 1}})
    deployments = []
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        overrides = draw(OVERRIDES)
        deployment: Json = {"class": "node-pool", "name": name, "replicas": draw(st.integers(0, 5)), "strategy": {"type": "RollingUpdate"}}
        if overrides:
            deployment["variables"] = {"overrides": overrides}
        if draw(st.booleans()):
            deployment["failureDomain"] = "zone-1"
        deployments.append(deployment)
    topology: Json = {
        "version": draw(st.sampled_from(["v1.34.2", "v1.26.5+vmware.2-fips.1-tkg.1"])),
        "controlPlane": {"replicas": draw(st.sampled_from([1, 3])), "metadata": {"labels": {"their": "own"}}},
        "variables": variables,
        "workers": {"machineDeployments": deployments, "machinePools": [{"class": "p", "name": "mp"}]},
    }
    old = draw(st.booleans())
    place = draw(st.sampled_from(["", "team-a", "classes"]))
    if old:
        topology |= {"class": "std", **({"classNamespace": place} if place else {})}
    else:
        topology["classRef"] = {"name": "std", **({"namespace": place} if place else {})}
    spec: Json = {"topology": topology, "paused": True}
    if draw(st.booleans()):
        spec["clusterNetwork"] = {"pods": {"cidrBlocks": ["10.0.0.0/16"]}, "apiServerPort": 6443}
    metadata = {"name": "shop", "namespace": "team-a", "labels": {"their": "own"}}
    return {"apiVersion": V1BETA1 if old else V1BETA2, "kind": "Cluster", "metadata": metadata, "spec": spec}


@given(strangers(), st.sampled_from([{}, FLAT, EXACT, GROUPED]))
def test_what_is_rendered_of_a_reading_touches_nothing_and_reads_the_same(obj: Json, schemas: Json) -> None:
    offer = offered(schemas, obj["apiVersion"])
    reading = read(obj, offer)
    assert reading.obstacles == ()
    again = rendered(reading, offer)
    assert touched(spec_of(again), spec_of(obj)) == []
    assert again["metadata"]["labels"] == {OWN_LABEL: "true"}
    assert read(again, offer) == reading


@given(strangers())
def test_a_class_that_is_not_known_yet_changes_only_the_words(obj: Json) -> None:
    """It is read raw then, and what is rendered later by the class still touches nothing."""
    reading = read(obj, None)
    assert touched(spec_of(rendered(reading, offered(GROUPED, obj["apiVersion"]))), spec_of(obj)) == []


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "proxy": st.just({"http": "http://px:3128", "noProxy": [".example"]}),
            "trustedCAs": st.just([{"name": "corp", "pem": "PEM"}]),
            "storage": st.just({"defaultClass": "gold"}),
            "controlPlane": st.just({"replicas": 3, "variables": [{"name": "vmClass", "value": "big"}]}),
            "network": st.just({"pods": ["10.0.0.0/16"], "serviceDomain": "corp.local"}),
            "variables": st.just([{"name": "vmClass", "value": "small"}]),
        },
    ),
    LABELS,
    TAINTS,
    st.sampled_from([(FLAT, V1BETA1), (EXACT, V1BETA2), (GROUPED, V1BETA2)]),
)
def test_what_was_made_by_render_reads_back_to_what_renders_the_same(spec: Json, labels: Json, taints: list[Json], dialect: Any) -> None:
    offer = offered(*dialect)
    given_pool = pool(labels=labels, taints=taints, replicas=2, failureDomain="zone-1")
    first = manifests(cluster(**spec), [given_pool], offer)[-1]
    reading = read(first, offer)
    assert rendered(reading, offer) == first
    kept = {"nodePoolLabels", "node"} & set(dialect[0])
    if labels and kept:
        assert reading.pools["md-0"]["labels"] == labels


@pytest.mark.peer("clusterapi")
@pytest.mark.parametrize("version", [V1BETA1, V1BETA2])
def test_what_is_rendered_of_a_reading_is_what_cluster_apis_own_definitions_allow(version: str) -> None:
    """By the CRD of the real Cluster API, whose lists of named things are maps by name, as ``touched`` takes them to be."""
    definition = _definition(version.split("/")[1])
    schema, topology = Schema(definition), definition["properties"]["spec"]["properties"]["topology"]["properties"]
    deployments = topology["workers"]["properties"]["machineDeployments"]
    for listed in (topology["variables"], deployments, deployments["items"]["properties"]["variables"]["properties"]["overrides"]):
        assert listed["x-kubernetes-list-map-keys"][0] == "name"

    @given(strangers().filter(lambda each: each["apiVersion"] == version))
    def holds(obj: Json) -> None:
        again = rendered(read(obj, offered(GROUPED, version)), offered(GROUPED, version))
        assert schema.validate(again, None, status=False) == []

    holds()


def _definition(version: str) -> Json:
    for path in sorted((home("clusterapi") / "manifests").rglob("*.yaml")):
        for document in documents(path) if "clusters.cluster.x-k8s.io" in path.read_text() else ():
            if document["kind"] == "CustomResourceDefinition" and document["metadata"]["name"] == "clusters.cluster.x-k8s.io":
                found: Json = next(each["schema"]["openAPIV3Schema"] for each in document["spec"]["versions"] if each["name"] == version)
                return found
    raise LookupError(version)


def test_what_cannot_be_said_without_changing_it_stands_in_the_way() -> None:
    topology: Json = {"classRef": {"name": "std"}, "version": "1.34", "controlPlane": {}}
    topology["workers"] = {"machineDeployments": [{"class": "w", "name": "md-0"}, {"class": "w", "name": "a.b", "replicas": 1}]}
    obj = {"metadata": {"name": "shop", "namespace": "team-a"}, "spec": {"topology": topology}}
    reading = read(obj, None)
    assert [text.split(" ")[:3] for text in reading.obstacles] == [
        ["its", "version", "'1.34'"],
        ["its", "topology", "leaves"],
        ["node", "pool", "md-0"],
        ["node", "pool", "a.b"],
    ]
    assert reading.pools == {"md-0": {"class": "w"}}
    for replicas in (2, 11):
        topology["controlPlane"] = {"replicas": replicas}
        assert any("control plane" in text for text in read(obj, None).obstacles)


def test_a_cluster_without_a_topology_shows_its_deployments_and_can_only_be_observed() -> None:
    obj = {"metadata": {"name": "old", "namespace": "team-a"}, "spec": {"clusterNetwork": {"pods": {"cidrBlocks": ["10.0.0.0/16"]}}}}
    deployment = {"metadata": {"name": "old-md"}, "spec": {"replicas": 3, "template": {"spec": {"failureDomain": "z"}}}}
    reading = read(obj, None, "v1.34.2", [deployment])
    assert class_of(obj) is None
    assert reading.spec == {"version": "v1.34.2", "network": {"pods": ["10.0.0.0/16"]}}
    assert reading.pools == {"old-md": {"replicas": 3, "failureDomain": "z"}}
    assert "ClusterClass" in reading.obstacles[0]


def test_the_newest_of_some_versions_is_told_as_it_was_spelt() -> None:
    assert newest(["v1.33.1", "v1.34.2+x", "nonsense"]) == "v1.34.2+x"
    assert newest([]) == ""


def test_notes_of_skerry_are_not_passed_on_to_the_far_end() -> None:
    own = cluster()
    own.metadata.labels = {"fleet.skerry.dev/discovered": "true", "team": "a"}
    own.metadata.annotations = {"fleet.skerry.dev/force-delete": "true", "kubectl.kubernetes.io/x": "y", "note": "z"}
    metadata = manifests(own, [], offered({}))[-1]["metadata"]
    assert metadata["labels"] == {"team": "a", OWN_LABEL: "true"}
    assert metadata["annotations"] == {"note": "z"}
