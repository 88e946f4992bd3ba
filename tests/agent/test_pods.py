"""Pods: what they ask for, and how they are counted, against a list that is counted anew each time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.agent.pods import Asks, Pods, pod_of, requests_of
from skerry.client.connection import Connection
from skerry.client.http import HttpClient

Json = dict[str, Any]


def container(cpu: str = "", memory: str = "", **more: Any) -> Json:
    asked = {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value}
    return {"resources": {"requests": asked} if asked else {}, **more}


@pytest.mark.parametrize(
    ("spec", "asks"),
    [
        ({"containers": [container("100m", "1Mi"), container("1", "1Gi")]}, Asks(1100, (1 << 20) + (1 << 30))),
        ({"containers": [container()]}, Asks()),
        ({}, Asks()),
        ({"initContainers": [container("2", "1Mi")], "containers": [container("1", "2Mi")]}, Asks(2000, 2 << 20)),
        ({"initContainers": [container("1", restartPolicy="Always")], "containers": [container("1")]}, Asks(2000)),
        ({"initContainers": [container("1", restartPolicy="Always"), container("5")], "containers": [container("1")]}, Asks(6000)),
        ({"containers": [container("1")], "overhead": {"cpu": "250m", "memory": "1Ki"}}, Asks(1250, 1024)),
        ({"containers": [container("0.0001")]}, Asks(1)),
        ({"containers": [container("nonsense", "1Gi")]}, Asks(0, 1 << 30)),
        ({"containers": [{"resources": {"requests": {"cpu": 5}}}]}, Asks()),
    ],
)
def test_what_a_pod_asks_for_is_what_the_scheduler_reckons(spec: Json, asks: Asks) -> None:
    assert requests_of(spec) == asks


def pod(name: str, namespace: str, node: str, phase: str, cpu: int) -> Json:
    spec = {"nodeName": node, "containers": [container(f"{cpu}m", "1Mi")]}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec, "status": {"phase": phase}}


CHANGES = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(("x", "y")),
        st.sampled_from(("", "n1", "n2")),
        st.sampled_from(("Pending", "Running", "Succeeded", "Failed", "")),
        st.integers(0, 3),
    ),
    max_size=30,
)


@given(CHANGES)
@settings(max_examples=200)
def test_counts_are_those_of_a_list_that_is_counted_anew_and_every_change_of_one_is_told(
    changes: list[tuple[str, str, str, str, int]],
) -> None:
    told: set[str] = set()
    pods = Pods(
        HttpClient(Connection("http://127.0.0.1:1")), lambda node: told.add(f"node {node}"), lambda space: told.add(f"space {space}")
    )
    there: dict[str, Json] = {}

    def counted() -> dict[str, object]:
        return {
            **{f"node {node}": pods.on_node(node) for node in ("n1", "n2")},
            **{f"space {space}": pods.in_namespace(space) for space in ("x", "y")},
        }

    for name, space, node, phase, cpu in changes:
        before, key = counted(), f"{space}/{name}"
        told.clear()
        if phase:
            there[key] = pod(name, space, node, phase, cpu)
            pods.informer._objects[key] = pod_of(there[key])
        else:
            there.pop(key, None)
            pods.informer._objects.pop(key, None)
        pods._changed(key)
        after = counted()
        assert {what for what in after if after[what] != before[what]} <= told
    live = [each for each in there.values() if each["status"]["phase"] in {"Pending", "Running"}]
    for node in ("n1", "n2"):
        here = [each for each in live if each["spec"]["nodeName"] == node]
        cpu = sum(int(each["spec"]["containers"][0]["resources"]["requests"]["cpu"][:-1]) for each in here)
        assert pods.on_node(node) == {"cpu": f"{cpu}m" if cpu else "0", "memory": f"{len(here)}Mi" if here else "0", "pods": str(len(here))}
    for space in ("x", "y"):
        phases = Counter(each["status"]["phase"] for key, each in there.items() if key.startswith(space))
        assert pods.in_namespace(space) == dict(phases)
