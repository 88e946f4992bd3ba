"""What becomes of an object that an agent sends: typed kinds, and what strangers may send in their place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.gateway.observed import TYPED, Unreadable, object_name, observe, place, prefix
from skerry.gateway.subscription import subscription
from skerry.kinds import catalogue
from skerry.kinds.fullname import FullName
from skerry.machinery.names import subdomain_problem
from skerry.machinery.validate import explain
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import KindName, kind_of

Json = dict[str, Any]
SHOP, SELF = FullName("sv-1", "team-a.shop"), FullName("sv-1")
NOW = "2030-01-01T00:00:00Z"
NODES: KindName = ("", "nodes")
RESOURCES = {each.key: each for each in catalogue.INVENTORY}


def seen(kind: KindName, obj: Any, name: str = "x", namespace: str = "", full: FullName = SHOP) -> Json:
    where = place(full, kind, namespace, name)
    assert where is not None
    item = pb.InventoryItem(
        kind=pb.ResourceKind(group=kind[0], plural=kind[1]), namespace=namespace, name=name, object=json.dumps(obj).encode()
    )
    return observe(full, item, where, NOW)


NODE = {
    "metadata": {"name": "n1", "uid": "u1", "creationTimestamp": "2029-05-06T07:08:09Z",
                 "labels": {"zone": "a", "node-role.kubernetes.io/worker": "", "fleet.skerry.dev/cluster": "forged", "bad label": "x"}},
    "spec": {"unschedulable": True, "taints": [{"key": "k", "value": "v", "effect": "NoSchedule", "timeAdded": "x"}, {"key": 5}]},
    "status": {
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"}, "allocatable": {"cpu": "3900m"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": "2029-05-06T07:08:09Z"},
                       {"type": "Ready", "status": "False"}, {"type": "Odd", "status": "Maybe"}],
        "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "10.0.0.1"}],
        "nodeInfo": {"kubeletVersion": "v1.37.2", "osImage": "Linux", "architecture": "amd64"},
    },
    "counted": {"requests": {"cpu": "250m", "memory": "1Gi", "pods": "3"}},
}  # fmt: skip


def test_a_node_is_told_with_what_it_has_and_what_is_asked_of_it() -> None:
    found = seen(NODES, NODE, "n1")
    assert found["metadata"]["name"] == "team-a.shop.n1"
    assert found["metadata"]["labels"] == {"zone": "a", "node-role.kubernetes.io/worker": ""}
    assert found["metadata"]["creationTimestamp"] == "2029-05-06T07:08:09Z"
    assert found["spec"] == {
        "provisioner": "team-a", "cluster": "shop", "name": "n1", "unschedulable": True,
        "taints": [{"key": "k", "effect": "NoSchedule", "value": "v"}],
    }  # fmt: skip
    status = found["status"]
    assert (status["ready"], status["roles"], status["version"], status["addresses"]) == ("True", "worker", "v1.37.2", ["10.0.0.1", "n1"])
    assert status["requested"] == {"cpu": "250m", "memory": "1Gi", "pods": "3"}
    assert [each["type"] for each in status["conditions"]] == ["Ready"]


def test_of_a_management_cluster_itself_the_names_begin_with_self() -> None:
    found = seen(NODES, NODE, "n1", full=SELF)
    assert (found["metadata"]["name"], found["spec"]["provisioner"], found["spec"]["cluster"]) == ("self.sv-1.n1", "self", "sv-1")


@pytest.mark.parametrize(
    ("plural", "obj", "summary"),
    [
        ("deployments", {"spec": {"replicas": 3}, "status": {"readyReplicas": 2, "updatedReplicas": 3}}, "2/3"),
        ("deployments", {"spec": {}, "status": {}}, "0/1"),
        ("statefulsets", {"spec": {"replicas": 0}}, "0/0"),
        ("daemonsets", {"spec": {}, "status": {"desiredNumberScheduled": 5, "numberReady": 4, "updatedNumberScheduled": 5}}, "4/5"),
    ],
)
def test_a_workload_is_told_in_pods(plural: str, obj: Json, summary: str) -> None:
    template = {"template": {"spec": {"containers": [{"image": "a:1"}, {"name": "no image"}, "no container"]}}}
    found = seen(("apps", plural), {"metadata": {}, **obj, "spec": {**obj["spec"], **template}}, "w", "ns")
    assert found["status"]["summary"] == summary
    assert found["spec"]["images"] == ["a:1"]
    assert found["metadata"]["name"] == f"team-a.shop.{plural[:-1]}.ns.w"


def test_a_namespace_is_told_with_its_pods_and_a_storage_class_with_its_driver() -> None:
    found = seen(("", "namespaces"), {"metadata": {}, "status": {"phase": "Active"}, "counted": {"pods": {"Running": 2}}}, "ns")
    assert found["status"] == {"phase": "Active", "pods": {"Running": 2}}
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    found = seen(("storage.k8s.io", "storageclasses"), {"metadata": {"annotations": annotations}, "provisioner": "csi.example"}, "fast")
    assert (found["spec"]["driver"], found["spec"]["default"]) == ("csi.example", True)


def test_an_agent_of_a_cluster_tells_typed_kinds_alone_and_nobody_tells_what_he_was_not_asked_for() -> None:
    assert place(SHOP, ("cluster.x-k8s.io", "clusters"), "a", "b") is None
    assert {kind_of(each) for each in subscription(str(SHOP)).kinds} == set(TYPED)
    assert {kind_of(each) for each in subscription(str(SELF)).kinds} > set(TYPED)


NAMES = st.text(st.characters(codec="utf-8"), max_size=300)


@given(st.sampled_from(sorted(TYPED)), NAMES, NAMES)
def test_whatever_a_thing_is_called_it_stands_under_its_own_cluster_with_a_legal_name(kind: KindName, namespace: str, name: str) -> None:
    for full in (SHOP, SELF):
        found, begin = place(full, kind, namespace, name), prefix(full, kind)
        assert found is not None
        assert begin is not None
        assert found[:2] == begin[:2]
        assert found.name.startswith(begin.name)
        assert not subdomain_problem(found.name)


WORDS = ("metadata", "spec", "status", "counted", "labels", "capacity", "conditions", "addresses", "nodeInfo", "taints", "unschedulable",
         "template", "containers", "replicas", "pods", "requests", "type", "Ready", "readyReplicas", "phase")  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.text(max_size=2000) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


@given(st.sampled_from(sorted(TYPED)), JUNK)
def test_what_is_no_object_is_refused_and_whatever_is_kept_is_valid(kind: KindName, junk: Any) -> None:
    try:
        found = seen(kind, junk, "n", "ns")
    except Unreadable:
        return
    resource = RESOURCES[f"{TYPED[kind].resource.plural}.fleet.skerry.dev"]
    assert not explain(resource.schema.document, found)
    assert len(json.dumps(found)) < 400_000


def test_names_of_observed_objects_are_what_they_were() -> None:
    assert object_name(("cluster.x-k8s.io", "clusters"), "team-a", "shop") == "clusters.cluster.x-k8s.io.team-a.shop"
