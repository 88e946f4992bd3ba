"""Random histories of writes leave the same managers behind as on a real API server, step by step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random
from typing import Any

import pytest

from peers.door import Answer, Door, Session
from peers.kubernetes import ADMIN_TOKEN
from tests.differential.sides import real, skerry
from tests.machinery.histories import GROUP, Author, Json, identity, tampered

pytestmark = pytest.mark.peer("kubernetes")

HISTORIES = 60
STEPS = 8
APPLY = "application/apply-patch+yaml"
KEPT = ("apiVersion", "kind", "spec", "status")


class Teller:
    """Sends the steps of a history to one server, each in sight of what that server holds."""

    def __init__(self, door: Door) -> None:
        self._session = Session(door.as_user(ADMIN_TOKEN))

    def tell(self, name: str, steps: list[Json]) -> list[Json]:
        """Send every step, in a namespace of that name; return what is comparable of the answers."""
        self._session.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        live: Json | None = None
        seen = []
        for step in steps:
            answer = self._send(name, step, live)
            live = answer.json() if answer.status < 300 else live
            seen.append(comparable(answer))
        return seen

    def _send(self, namespace: str, step: Json, live: Json | None) -> Answer:
        things = f"/apis/{GROUP}/{step['version']}/namespaces/{namespace}/things"
        subresource = f"/{step['subresource']}" if "subresource" in step else ""
        query = f"?fieldManager={step['manager']}"
        obj = json.loads(json.dumps(step["object"]))
        if step["op"] == "apply":
            force = "&force=true" if step["force"] else ""
            return self._session.call("PATCH", f"{things}/a{subresource}{query}{force}", obj, {"content-type": APPLY})
        obj["metadata"].pop("uid", None)
        if "tamper" in step:
            obj["metadata"] |= tampered(step["tamper"], live)
        if step["op"] == "create":
            return self._session.call("POST", things + query, obj)
        if live:
            obj["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        return self._session.call("PUT", f"{things}/a{subresource}{query}", obj)


def comparable(answer: Answer) -> Json:
    """Status code, conflicts, and the object with its managers in the order of their names, without times."""
    body = answer.json()
    if answer.status >= 300:
        causes = (body.get("details") or {}).get("causes") or []
        return {
            "status": answer.status,
            "reason": body["reason"],
            "causes": sorted(causes, key=lambda cause: json.dumps(cause, sort_keys=True)),
        }
    metadata = body["metadata"]
    entries = [{name: value for name, value in entry.items() if name != "time"} for entry in metadata.get("managedFields", ())]
    kept = {name: metadata.get(name) for name in ("labels", "annotations", "finalizers", "generation")}
    return {"status": answer.status, **{name: body.get(name) for name in KEPT}, "metadata": kept, "managers": sorted(entries, key=identity)}


@pytest.fixture(scope="module")
def tellers() -> Iterator[tuple[Teller, Teller]]:
    with ExitStack() as stack:
        yield Teller(stack.enter_context(skerry())), Teller(stack.enter_context(real()))


def told(tellers: tuple[Teller, Teller], name: str, steps: list[Json]) -> tuple[list[Any], list[Any]]:
    """What both servers answer."""
    with ThreadPoolExecutor(2) as pool:
        ours, theirs = [pool.submit(teller.tell, name, steps) for teller in tellers]
        return ours.result(), theirs.result()


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_a_history_of_writes_leaves_the_same_managers_as_on_kubernetes(tellers: tuple[Teller, Teller], seed: int) -> None:
    steps, _ = Author(Random(seed)).history(STEPS)
    ours, theirs = told(tellers, f"history-{seed}", steps)
    for number, (step, one, other) in enumerate(zip(steps, ours, theirs, strict=True)):
        assert one == other, f"step {number}: {json.dumps(step)}"
