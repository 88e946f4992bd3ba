"""Clusters and pools as Cluster API wants them, in both dialects."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from skerry.capi import variables
from skerry.capi.render import V1BETA1, V1BETA2, manifests
from skerry.kinds.cluster import Cluster
from skerry.kinds.clusterclass import ClusterClassSpec
from skerry.kinds.nodepool import NodePool

TEXT, LIST = {"type": "string"}, {"type": "array"}
FLAT = {
    "proxy": {"type": "object", "properties": {"httpProxy": TEXT, "httpsProxy": TEXT, "noProxy": LIST}},
    "trust": {"type": "object", "properties": {"additionalTrustedCAs": {"type": "array", "items": {"properties": {"name": TEXT}}}}},
    "defaultStorageClass": TEXT,
    "nodePoolLabels": LIST,
    "vmClass": TEXT,
}
SYSTEM_PROXY = {"type": "object", "properties": {"http": TEXT, "https": TEXT, "noProxy": LIST}}
GROUPED = {
    "osConfiguration": {
        "type": "object",
        "properties": {"systemProxy": SYSTEM_PROXY, "ntp": {}, "trust": {"properties": {"additionalTrustedCAs": {"type": "array"}}}},
    },
    "node": {"type": "object", "properties": {"labels": {"type": "object"}, "taints": LIST}},
}


def offered(schemas: dict[str, Any], api_version: str = V1BETA2) -> ClusterClassSpec:
    entries = [{"name": name, "schema": schema} for name, schema in schemas.items()]
    body = {"provisioner": "team-a", "apiVersion": api_version, "workerClasses": ["node-pool"], "variables": entries}
    return msgspec.convert(body, ClusterClassSpec)


def cluster(**spec: Any) -> Cluster:
    whole = {"provisioner": "team-a", "version": "v1.34.2", "class": {"name": "std"}, **spec}
    return msgspec.convert({"metadata": {"name": "team-a.shop"}, "spec": whole}, Cluster)


def pool(name: str = "md-0", **spec: Any) -> NodePool:
    return msgspec.convert({"metadata": {"name": f"team-a.shop.{name}"}, "spec": spec}, NodePool)


def test_a_cluster_without_pools_has_no_workers_and_nothing_empty() -> None:
    [only] = manifests(cluster(), [], offered({}))
    assert only == {
        "apiVersion": V1BETA2,
        "kind": "Cluster",
        "metadata": {"name": "shop", "namespace": "team-a", "labels": {"fleet.skerry.dev/managed": "true"}},
        "spec": {"topology": {"classRef": {"name": "std"}, "version": "v1.34.2", "controlPlane": {"replicas": 1}}},
    }


def test_the_older_dialect_names_the_class_differently() -> None:
    wanted = cluster(**{"class": {"name": "std", "namespace": "classes"}})
    [old], [new] = manifests(wanted, [], offered({}, V1BETA1)), manifests(wanted, [], offered({}))
    assert (old["apiVersion"], old["spec"]["topology"]["class"], old["spec"]["topology"]["classNamespace"]) == (V1BETA1, "std", "classes")
    assert new["spec"]["topology"]["classRef"] == {"name": "std", "namespace": "classes"}


def test_pools_come_in_the_order_of_their_names_and_may_have_no_machines() -> None:
    [only] = manifests(cluster(), [pool("b", replicas=0), pool("a", failureDomain="zone-1")], offered({}))
    assert only["spec"]["topology"]["workers"] == {
        "machineDeployments": [
            {"class": "node-pool", "name": "a", "replicas": 1, "failureDomain": "zone-1"},
            {"class": "node-pool", "name": "b", "replicas": 0},
        ]
    }


def test_a_proxy_is_written_in_the_class_own_dialect() -> None:
    spec = cluster(proxy={"http": "http://px:3128", "noProxy": [".example"]}).spec
    flat, grouped = variables.of_cluster(spec, offered(FLAT)), variables.of_cluster(spec, offered(GROUPED))
    assert flat.values["proxy"] == {"httpProxy": "http://px:3128", "httpsProxy": "http://px:3128", "noProxy": [".example"]}
    assert grouped.values["osConfiguration"]["systemProxy"] == {
        "http": "http://px:3128",
        "https": "http://px:3128",
        "noProxy": [".example"],
    }


def test_a_neutral_field_without_a_variable_is_named_and_never_dropped_silently() -> None:
    spec = cluster(proxy={"http": "http://px:3128"}, storage={"defaultClass": "gold"}).spec
    assert variables.of_cluster(spec, offered({})).homeless == ["spec.proxy", "spec.storage.defaultClass"]


def test_trusted_authorities_of_a_flat_class_are_encoded_twice_in_a_secret_before_the_cluster() -> None:
    secret, body = manifests(cluster(trustedCAs=[{"name": "corp", "pem": "PEM"}]), [], offered(FLAT))
    assert secret["metadata"] == {"name": "shop-user-trusted-ca-secret", "namespace": "team-a"}
    assert base64.b64decode(base64.b64decode(secret["data"]["corp"])) == b"PEM"
    assert body["spec"]["topology"]["variables"] == [{"name": "trust", "value": {"additionalTrustedCAs": [{"name": "corp"}]}}]


def test_a_raw_variable_wins_and_shares_a_group_with_a_neutral_field() -> None:
    raw = [{"name": "osConfiguration", "value": {"ntp": {"servers": []}, "systemProxy": {"http": "http://raw"}}}]
    value = variables.of_cluster(cluster(proxy={"http": "http://px"}, variables=raw).spec, offered(GROUPED)).values["osConfiguration"]
    assert value == {"systemProxy": {"http": "http://raw", "https": "http://px", "noProxy": []}, "ntp": {"servers": []}}


def test_a_pool_override_of_a_group_keeps_what_the_cluster_set_in_it() -> None:
    node = [{"name": "node", "value": {"taints": [{"key": "x", "effect": "NoSchedule"}]}}]
    [only] = manifests(cluster(variables=node), [pool(labels={"tier": "apps"})], offered(GROUPED))
    overrides = only["spec"]["topology"]["workers"]["machineDeployments"][0]["variables"]["overrides"]
    assert overrides == [{"name": "node", "value": {"taints": [{"key": "x", "effect": "NoSchedule"}], "labels": {"tier": "apps"}}}]


def test_a_raw_variable_that_the_class_does_not_have_is_refused_by_name() -> None:
    verdict = variables.unknown(cluster(variables=[{"name": "nope", "value": 1}]).spec.variables, offered(FLAT), "spec.variables")
    assert verdict is not None
    assert verdict.reason == "VariableUnknown"
    assert "nope" in verdict.message
