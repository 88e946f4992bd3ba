"""What Cluster API's objects say, in both dialects."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.capi import read

AVAILABLE = [{"type": "Available", "status": "True", "reason": "Available"}]


@pytest.mark.parametrize(
    "status", [{"conditions": AVAILABLE}, {"v1beta2": {"conditions": AVAILABLE}}, {"deprecated": {"v1beta1": {"conditions": AVAILABLE}}}]
)
def test_a_condition_is_found_wherever_the_dialect_keeps_it(status: dict[str, Any]) -> None:
    assert read.cluster({"metadata": {}, "status": status}).conditions["Available"].status == "True"


def test_nothing_is_guessed_of_a_cluster_without_a_status() -> None:
    facts = read.cluster({"metadata": {"name": "shop", "generation": 1}})
    assert (facts.host, facts.phase, facts.conditions, facts.settled) == ("", "", {}, False)


def machine(version: str, ready: str = "True") -> dict[str, Any]:
    conditions = [{"type": "NodeReady", "status": ready}]
    return {"metadata": {}, "spec": {"version": "v1.34.2"}, "status": {"nodeInfo": {"kubeletVersion": version}, "conditions": conditions}}


def test_the_control_plane_is_counted_by_what_its_nodes_run_and_not_by_what_they_should() -> None:
    machines = read.control_plane([machine("v1.34.2"), machine("v1.33.1"), machine("v1.33.1", "False")], 3, "v1.34.2")
    assert (machines.total, machines.ready, machines.up_to_date) == (3, 2, 1)
    assert machines.versions == ("v1.33.1", "v1.34.2")
    assert not machines.complete("v1.34.2")


@pytest.mark.parametrize("key", ["upToDateReplicas", "updatedReplicas"])
def test_up_to_date_machines_of_a_pool_are_read_in_both_dialects(key: str) -> None:
    body = {"metadata": {}, "spec": {"replicas": 2}, "status": {"replicas": 2, "readyReplicas": 2, key: 2}}
    machines = read.deployment(body, [machine("v1.34.2")], "v1.34.2")
    assert machines.complete("v1.34.2")
    assert machines.counts().summary == "2/2"


def test_machines_of_a_pool_that_waits_for_the_control_plane_are_not_up_to_date() -> None:
    status = {"replicas": 3, "readyReplicas": 3, "upToDateReplicas": 3}
    found = [machine("v1.34.2"), machine("v1.33.1"), machine("v1.33.1")]
    machines = read.deployment({"metadata": {}, "spec": {"replicas": 3}, "status": status}, found, "v1.34.2")
    assert (machines.ready, machines.up_to_date) == (3, 1)


def test_a_pool_without_machines_is_complete() -> None:
    assert read.deployment({"metadata": {}, "spec": {"replicas": 0}}, [], "v1.34.2").complete("v1.34.2")
