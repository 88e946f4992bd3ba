"""Faults on demand: what stands in a machine's way, alone, and how the cluster looks meanwhile and afterwards."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from skerry.capi import read
from skerry.sim.faults import read as read_faults
from skerry.sim.plan import SUFFIXES, Faults, suffix
from tests.sim.test_recording import Play

Json = dict[str, Any]


class Broken(Play):
    """A cluster with one control plane machine and two workers, and faults that can be changed while it is made."""

    def __init__(self) -> None:
        super().__init__()
        topology = {
            "classRef": {"name": "c"},
            "version": "v1.34.2",
            "controlPlane": {"replicas": 1},
            "workers": {"machineDeployments": [{"class": "default-worker", "name": "md-0", "replicas": 2}]},
        }
        metadata = {"name": "c", "namespace": "n", "uid": "cluster", "number": 0, "generation": 1}
        self.put({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": metadata, "spec": {"topology": topology}})

    def after(self, seconds: float, **faults: Any) -> Broken:
        """Let time pass under faults."""
        self.faults = replace(Faults(), **faults)
        for _ in range(int(seconds * 10)):
            self.step()
        return self

    def machines(self, pool: str) -> list[Json]:
        found = [each for each in self.objects.values() if each["kind"] == "Machine"]
        return [each for each in found if read.pool_of(each) == pool]

    def phases(self, pool: str) -> list[str]:
        return [str((each.get("status") or {}).get("phase")) for each in self.machines(pool)]


def test_without_faults_everything_runs() -> None:
    play = Broken().after(12)
    assert (play.phases(""), play.phases("md-0")) == (["Running"], ["Running", "Running"])


def test_machines_of_a_failing_pool_say_why_and_go_on_when_it_is_lifted() -> None:
    play = Broken().after(12, failing=frozenset(("md-0",)))
    assert (play.phases(""), play.phases("md-0")) == (["Running"], ["Provisioning", "Provisioning"])
    assert read.problem(play.machines("md-0")).endswith("the simulated machine fails on demand")
    play.after(5)
    assert play.phases("md-0") == ["Running", "Running"]
    assert read.problem(play.machines("md-0")) == ""


def test_a_failing_control_plane_keeps_the_workers_waiting() -> None:
    play = Broken().after(12, failing=frozenset(("control-plane",)))
    assert (play.phases(""), play.phases("md-0")) == (["Provisioning"], ["Pending", "Pending"])
    assert play.after(12).phases("md-0") == ["Running", "Running"]


def test_a_slow_pool_takes_as_long_as_it_was_told_to() -> None:
    play = Broken().after(15, slow={"md-0": 30.0})
    assert (play.phases(""), play.phases("md-0")) == (["Running"], ["Provisioning", "Provisioning"])
    assert play.after(30, slow={"md-0": 30.0}).phases("md-0") == ["Running", "Running"]


@pytest.mark.parametrize(("quota", "workers"), [(1, 0), (2, 1), (3, 2)])
def test_a_quota_bounds_the_machines_of_a_cluster_and_the_rest_come_when_it_is_raised(quota: int, workers: int) -> None:
    play = Broken().after(12, quota=quota)
    assert (play.phases(""), play.phases("md-0")) == (["Running"], ["Running"] * workers + ["Provisioning"] * (2 - workers))
    why = f"the simulated quota of {quota} machines for a cluster is used up"
    assert read.problem(play.machines("md-0")).endswith(why if workers < 2 else "")
    assert play.after(12).phases("md-0") == ["Running", "Running"]
    assert read.problem(play.machines("md-0")) == ""


def test_names_that_are_made_in_one_look_have_nothing_in_common() -> None:
    names = [suffix(number) for number in range(50, 250)]
    assert len(set(names)) == 200
    assert all(len(name) == 5 for name in names)
    assert sum(one[:2] == other[:2] for one, other in pairwise(names)) < 20
    assert suffix(SUFFIXES + 1) == suffix(1)


def test_what_people_write_is_read_and_what_cannot_be_is_named() -> None:
    asked = read_faults({"slow": "md-0=2.5, md-1", "fail": " md-2,,control-plane", "quota": "5", "unreachable": "20"})
    assert asked.faults == Faults({"md-0": 2.5}, frozenset({"md-2", "control-plane"}), 5)
    assert (asked.silent_seconds, asked.problems) == (20, ("slow: md-1: should be POOL=SECONDS",))
    nonsense = read_faults({"slow": "md-0=soon", "quota": "-1", "unreachable": "inf", "broken": "yes"})
    assert nonsense.faults == Faults()
    assert (nonsense.silent_seconds, len(nonsense.problems)) == (0, 4)
    assert read_faults({}) == (Faults(), 0, ())
