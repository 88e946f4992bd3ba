"""More requests than can be answered: ordinary callers are asked to come again, our own components and health pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from skerry.restapi.aside import MOST_WAITING
from skerry.restapi.crowd import Limits
from skerry.runtime.shares import MEMBER, SHARE
from tests.e2e.server import eventually, running
from tests.hostile.caller import CONFIGMAPS, STATISTICS, Answer, Hostile, Json, Line, config_map

LEASES = "/apis/coordination.k8s.io/v1/namespaces/skerry-system/leases"
HELD = 40
"""A read of a revision that is so far ahead keeps its seat until it is reached, or three seconds are over."""


def refusals(answers: list[Answer | None], others: set[int]) -> int:
    """How many were told to come again; every other answer is one of those that are expected."""
    told = 0
    for answer in answers:
        assert answer is not None
        assert answer.code in {429, *others}, answer.body[:300]
        if answer.code == 429:
            told += 1
            assert int(answer.header("retry-after")) >= 1
            assert (answer.reason, answer.json["details"]["retryAfterSeconds"] >= 1) == ("TooManyRequests", True)
    return told


def storm(hostile: Hostile, lines: list[Line], component: Line) -> int:
    """Many reads of a revision to come; while they wait, a component works, and lets them go by what it writes."""
    head = int(hostile.ask("GET", CONFIGMAPS).json["metadata"]["resourceVersion"])
    target = f"{CONFIGMAPS}/there?resourceVersion={head + HELD}"
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    for line in lines:
        line.send(request)
    for path in ("/healthz", "/readyz", "/livez"):
        health = component.ask("GET", path)
        assert health is not None
        assert health.code == 200
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"generateName": "storm-"}, "spec": {}}
    for _ in range(HELD):
        made = component.ask("POST", LEASES, json.dumps(lease).encode())
        assert made is not None
        assert made.code == 201, made.body
        gone = component.ask("DELETE", f"{LEASES}/{made.json['metadata']['name']}")
        assert gone is not None
        assert gone.code == 200, gone.body
    return refusals([line.hear() for line in lines], {200, 504})


def test_ordinary_callers_are_asked_to_come_again_while_components_and_health_pass(hostile: Hostile) -> None:
    hostile.ask("POST", CONFIGMAPS, config_map("there"))
    limits = Limits()
    with ExitStack() as stack:
        lines = [stack.enter_context(hostile.line()) for _ in range(limits.seats + limits.waiting_of_one + 80)]
        component = stack.enter_context(hostile.line(component=True))
        assert any(storm(hostile, lines, component) for _ in range(5))
    crowd = hostile.statistics()["api"]["crowd"]
    assert crowd["refused"] > 0
    assert (crowd["seated"], crowd["waiting"], crowd["body_bytes"]) == (0, 0, 0)
    leases = {each["metadata"]["name"]: each["spec"] for each in hostile.ask("GET", LEASES).json["items"]}
    [member] = [spec["holderIdentity"] for name, spec in leases.items() if name.startswith(MEMBER)]
    assert {spec["holderIdentity"] for name, spec in leases.items() if name.startswith(SHARE)} == {member}


def test_more_large_objects_than_can_be_worked_on_are_refused_while_small_ones_are_served(hostile: Hostile) -> None:
    large = json.dumps(config_map("large", {f"k{i}": "" for i in range(8_000)})).encode()
    head = f"POST {CONFIGMAPS}?dryRun=All HTTP/1.1\r\nHost: x\r\nContent-Length: {len(large)}\r\n\r\n".encode()
    with ExitStack() as stack:
        lines = [stack.enter_context(hostile.line()) for _ in range(MOST_WAITING + 16)]
        for line in lines:
            line.send(head + large[:-1])
        for line in lines:
            line.send(large[-1:])
        assert hostile.is_well()
        assert refusals([line.hear() for line in lines], {201}) > 0
    assert hostile.ask("GET", STATISTICS).json["api"]["aside"]["here"] == 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Hostile]:
    """A server with the simulated site, whose agent is a real one."""
    with running(tmp_path, "--sim") as server:
        assert server.process is not None
        yield Hostile(server.kubeconfig, server.process.pid, server.log)


def session_of(found: Json) -> str:
    """The one session of the site's agent."""
    [agent] = found["agents"]
    assert agent["name"] == "demo"
    return str(agent["session"])


def test_the_agents_heartbeats_and_the_controllers_leases_pass_while_ordinary_callers_are_refused(site: Hostile) -> None:
    def renewals() -> set[str]:
        answer = component.ask("GET", LEASES)
        assert answer is not None
        return {each["spec"]["renewTime"] for each in answer.json["items"] if each["metadata"]["name"].startswith(MEMBER)}

    limits, refused = Limits(), 0
    eventually(lambda: bool(site.statistics()["agents"]), 120, site.log)
    with ExitStack() as stack:
        lines = [stack.enter_context(site.line()) for _ in range(limits.seats + limits.waiting_of_one + 80)]
        component = stack.enter_context(site.line(component=True))
        begin = site.statistics()
        renewed, beats = renewals(), begin["gateway"]["heartbeats"]
        for _ in range(60):
            head = int(site.ask("GET", CONFIGMAPS).json["metadata"]["resourceVersion"])
            request = f"GET {CONFIGMAPS}?resourceVersion={head + 100_000} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            for line in lines:
                line.send(request)
            answers = []
            for number, line in enumerate(lines):
                answers.append(line.hear())
                if number % limits.seats == 0:
                    renewed |= renewals()
            refused += refusals(answers, {200, 504})
            now = site.statistics()
            if now["gateway"]["heartbeats"] >= beats + 2 and len(renewed) >= 4 and refused:
                break
        else:
            raise AssertionError(f"{now['gateway']}, {renewed}, {refused} refused")
    assert session_of(now) == session_of(begin), "the agent was given up"
    assert now["gateway"]["sessions"] == begin["gateway"]["sessions"]
