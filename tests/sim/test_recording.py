"""The simulated site beside a recording of Cluster API's own controllers: the same phases and conditions, in the same order."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from skerry.sim.plan import Change, Create, Delete, Faults, Tempo, World, plan

RECORDING = json.loads((Path(__file__).resolve().parents[1] / "recordings" / "clusterapi-v1.14.json").read_text())
Json = dict[str, Any]
History = dict[str, dict[str, list[str]]]
"""Kind → condition type (or "phase") → what it said, each once in a row."""


class Play:
    """Plays the plan on objects in a dict, at its own speed."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.clock = 0.0
        self.entered: dict[str, tuple[str, float]] = {}
        self.history: History = defaultdict(lambda: defaultdict(list))
        self.names = 0
        self.faults = Faults()

    def put(self, obj: Json) -> None:
        self.objects[obj["metadata"]["uid"]] = obj
        seen = self.history[obj["kind"]]
        status = obj.get("status") or {}
        said = {each["type"]: f"{each['status']}/{each['reason']}" for each in status.get("conditions") or ()}
        for name, text in {**said, **({"phase": status["phase"]} if "phase" in status else {})}.items():
            key = f"{obj['metadata']['uid']}:{name}"
            if not seen[key] or seen[key][-1] != text:
                seen[key].append(text)

    def step(self) -> None:
        found = sorted(self.objects.values(), key=lambda each: each["metadata"]["number"])
        kinds = {
            kind: [each for each in found if each["kind"] == kind]
            for kind in ("Cluster", "KubeadmControlPlane", "MachineDeployment", "Machine")
        }
        for each in found:
            phase = str((each.get("status") or {}).get("phase", "")) if each["kind"] != "Cluster" else ""
            uid = each["metadata"]["uid"]
            if uid not in self.entered or self.entered[uid][0] != phase:
                self.entered[uid] = (phase, self.clock)
        self.names += 1
        world = World(
            cluster=kinds["Cluster"][0],
            plane=next(iter(kinds["KubeadmControlPlane"]), None),
            deployments=kinds["MachineDeployment"],
            machines=kinds["Machine"],
            since={uid: since for uid, (_, since) in self.entered.items()},
            clock=self.clock,
            now="2026-01-01T00:00:00Z",
            fresh=self.names * 50,
            tempo=Tempo(0.5, 0.5, 1.0, 0.5),
            faults=self.faults,
        )
        for action in plan(world):
            obj = json.loads(json.dumps(action.obj))
            match action:
                case Create():
                    self.names += 1
                    obj["metadata"].update(uid=f"u{self.names}", number=self.names, generation=1)
                    self.put(obj)
                case Change():
                    self.put(obj)
                case Delete():
                    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                    self.put(obj)
            gone = obj["metadata"].get("deletionTimestamp") and not obj["metadata"].get("finalizers")
            if gone:
                self.objects.pop(obj["metadata"].get("uid"), None)
        self.clock += 0.1


@pytest.fixture(scope="module")
def simulated() -> History:
    play = Play()
    topology = {
        "classRef": {"name": "c"},
        "version": "v1.34.2",
        "controlPlane": {"replicas": 1},
        "workers": {"machineDeployments": [{"class": "default-worker", "name": "md-0", "replicas": 2}]},
    }
    metadata = {"name": "c", "namespace": "n", "uid": "cluster", "number": 0, "generation": 1}
    play.put({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": metadata, "spec": {"topology": topology}})
    for _ in range(120):
        play.step()
    return play.history


def recorded(kind: str, name: str) -> list[list[str]]:
    """What the real objects of a kind said of one thing while the cluster was made, object by object."""
    found: dict[str, list[str]] = defaultdict(list)
    for entry in RECORDING["entries"]:
        if entry["step"] != "create" or entry["kind"] != kind:
            continue
        text = entry.get("phase") if name == "phase" else (entry.get("conditions") or {}).get(name)
        if text:
            found[entry["object"]].append(text)
    return list(found.values())


def is_within(part: list[str], whole: list[str]) -> bool:
    """Tell whether ``part`` stands in ``whole`` in the same order, with others in between."""
    rest = iter(whole)
    return all(each in rest for each in part)


KINDS = ("Cluster", "KubeadmControlPlane", "MachineDeployment", "Machine")


@pytest.mark.parametrize("kind", KINDS)
def test_phases_are_those_of_the_real_controllers(simulated: History, kind: str) -> None:
    ours = [said for key, said in simulated[kind].items() if key.endswith(":phase")]
    theirs = recorded(kind, "phase")
    assert sorted(map(tuple, ours)) == sorted(map(tuple, theirs))


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_say_nothing_that_the_real_ones_do_not_say_in_that_order_and_end_the_same(simulated: History, kind: str) -> None:
    flattering = []
    for key, said in simulated[kind].items():
        name = key.split(":", 1)[1]
        if name == "phase":
            continue
        theirs = recorded(kind, name)
        if not any(is_within(said, real) and said[-1] == real[-1] for real in theirs):
            flattering.append((name, said, theirs))
    assert flattering == []
