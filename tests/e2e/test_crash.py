"""A server that is killed again and again under concurrent writes keeps every promise.

After each start every acknowledged write is there with its revision, no revision repeats or goes
back, and watchers that resume from their last revision miss nothing and see nothing twice.
``SKERRY_CRASH_ROUNDS`` kills it more often.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from skerry.client.contract import Event, Ref
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import read
from skerry.kit.aio import Pulse, TaskOwner
from skerry.machinery.errors import ApiError, Expired
from tests.e2e.history import Round, Seen, Write, faults, missed, selected, state
from tests.e2e.server import Server

Json = dict[str, Any]
ROUNDS = int(os.environ.get("SKERRY_CRASH_ROUNDS", "8"))
WRITERS = 8
MAPS = Ref("", "v1", "configmaps")
NAMESPACES = Ref("", "v1", "namespaces", namespaced=False)
NAMESPACE = "crash"
LABEL = "even"


def config_map(name: str, token: str) -> Json:
    labels = {LABEL: "true"} if token[-1] in "02468" else {}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"token": token, "pad": "x" * 500}}


def seen(event: Event) -> Seen:
    metadata = event.object["metadata"]
    chosen = LABEL in (metadata.get("labels") or {})
    return Seen(int(metadata["resourceVersion"]), event.type, metadata["name"], event.object["data"]["token"], chosen)


class Watcher:
    """A client that watches, and goes on from its last revision when it is cut."""

    def __init__(self, crash: Crash, since: str, labels: str = "") -> None:
        self.events: list[Seen] = []
        self.resumed = 0
        self._pulse = Pulse()
        self._crash, self._since, self._labels = crash, since, labels

    async def run(self) -> None:
        while True:
            try:
                stream = self._crash.client.watch(MAPS, NAMESPACE, labels=self._labels, resource_version=self._since)
                async for event in stream:
                    self._since = event.object["metadata"]["resourceVersion"]
                    if event.type != "BOOKMARK":
                        self.events.append(seen(event))
                        self._pulse.beat()
            except Expired:
                raise
            except ApiError:
                pass
            self.resumed += 1
            await self._crash.up.wait()
            await asyncio.sleep(0.01)

    async def reached(self, revision: int) -> None:
        """Return once it has been sent everything up to a revision that is in its sight."""
        while not self.events or self.events[-1].revision < revision:
            await self._pulse.after(self._pulse.count)


class Crash:
    """The server, and everybody who uses it."""

    def __init__(self, server: Server, client: HttpClient) -> None:
        self.server, self.client = server, client
        self.up = asyncio.Event()
        self.rounds: list[Round] = []
        self._tokens = count(1)
        self._acknowledged = asyncio.Condition()

    async def writer(self, number: int) -> None:
        """Create, update, apply and delete, one object after the other; an object in doubt is never touched again."""
        for turn in count():
            name = f"w{number}-{turn}"
            await self.up.wait()
            made = await self._write("ADDED", name, lambda body: self.client.create(MAPS, body))
            if made is None:
                continue
            revision = made["metadata"]["resourceVersion"]

            def replace(body: Json, revision: str = revision) -> Awaitable[Json]:
                body["metadata"]["resourceVersion"] = revision
                return self.client.replace(MAPS, body)

            changed = await self._write("MODIFIED", name, replace)
            applied = changed and await self._write(
                "MODIFIED", name, lambda body: self.client.apply(MAPS, body, manager="crash", force=True)
            )
            if applied and turn % 2:
                await self._delete(name)

    async def _write(self, kind: str, name: str, send: Callable[[Json], Awaitable[Json]]) -> Json | None:
        token, now = str(next(self._tokens)), self.rounds[-1]
        now.doubtful.add((name, token))  # until it is acknowledged
        try:
            answer = await send(config_map(name, token))
        except ApiError:
            return None
        now.doubtful.discard((name, token))
        await self._told(Write(kind, name, token, int(answer["metadata"]["resourceVersion"])), now)
        return answer

    async def _delete(self, name: str) -> None:
        now = self.rounds[-1]
        now.doubtful.add((name, "-"))
        try:
            await self.client.delete(MAPS, name, NAMESPACE)
        except ApiError:
            return
        await self._told(Write("DELETED", name, "-"), now)

    async def _told(self, write: Write, now: Round) -> None:
        async with self._acknowledged:
            now.acknowledged.append(write)
            self._acknowledged.notify_all()

    async def kill_after(self, writes: int) -> None:
        """Wait for so many acknowledged writes in this round, kill the server, and start it again."""
        async with self._acknowledged:
            await self._acknowledged.wait_for(lambda: len(self.rounds[-1].acknowledged) >= writes)
        self.up.clear()
        await asyncio.to_thread(self.server.stop, signal.SIGKILL)
        await asyncio.to_thread(self.server.start)
        start = int((await self.client.list(MAPS, NAMESPACE))["metadata"]["resourceVersion"])
        self.rounds.append(Round(start))
        self.up.set()

    async def log(self, since: str, until: int) -> list[Seen]:
        """The events between two revisions, as a fresh watch shows them."""
        found: list[Seen] = []
        async for event in self.client.watch(MAPS, NAMESPACE, resource_version=since):
            if event.type != "BOOKMARK":
                found.append(seen(event))
            if int(event.object["metadata"]["resourceVersion"]) >= until:
                break
        return found


async def test_a_server_that_is_killed_under_load_keeps_every_promise(tmp_path: Path) -> None:
    random, server = Random(7), Server(tmp_path)
    await asyncio.to_thread(server.start)
    try:
        async with HttpClient(read(server.kubeconfig), user_agent="crash") as client, TaskOwner("clients") as owner:
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
            begin = (await client.list(MAPS, NAMESPACE))["metadata"]["resourceVersion"]
            crash = Crash(server, client)
            whole, some = Watcher(crash, begin), Watcher(crash, begin, f"{LABEL}=true")
            late: list[tuple[int, dict[str, str], Watcher]] = []
            for name, watcher in (("whole", whole), ("some", some)):
                owner.spawn(watcher.run(), name)
            crash.rounds.append(Round(int(begin)))
            crash.up.set()
            writers = [owner.spawn(crash.writer(number), f"writer-{number}") for number in range(WRITERS)]
            for number in range(ROUNDS):
                await crash.kill_after(random.randint(40, 150))
                listed = await client.list(MAPS, NAMESPACE)
                watcher = Watcher(crash, listed["metadata"]["resourceVersion"])
                standing = {each["metadata"]["name"]: each["data"]["token"] for each in listed["items"]}
                late.append((int(listed["metadata"]["resourceVersion"]), standing, watcher))
                owner.spawn(watcher.run(), f"late-{number}")
            for task in writers:
                task.cancel()
            await asyncio.wait(writers)
            last = await client.create(MAPS, config_map("last", "0"))
            end = int(last["metadata"]["resourceVersion"])
            crash.rounds[-1].acknowledged.append(Write("ADDED", "last", "0", end))
            async with asyncio.timeout(120):
                for watcher in (whole, some, *(each for _, _, each in late)):
                    await watcher.reached(end)
            log = await crash.log(begin, end)
    finally:
        server.stop(signal.SIGKILL)
    found = [*faults(crash.rounds, log), *missed("whole", whole.events, log), *missed("some", some.events, selected(log))]
    for revision, standing, watcher in late:
        found += [] if standing == state(log, revision) else [f"the list at {revision} was not the state then"]
        found += missed(f"late, from {revision}", watcher.events, [event for event in log if event.revision > revision])
    assert found == []
    assert whole.resumed >= ROUNDS
    assert sum(len(each.acknowledged) for each in crash.rounds) >= ROUNDS * 40


LOG = [
    Seen(11, "ADDED", "a", "1", False),
    Seen(12, "ADDED", "b", "2", True),
    Seen(13, "MODIFIED", "a", "4", True),
    Seen(15, "MODIFIED", "b", "5", False),
    Seen(16, "DELETED", "a", "4", True),
]
FIRST = [Write("ADDED", "a", "1", 11), Write("ADDED", "b", "2", 12)]
KNOWN = [Round(10, FIRST, {("a", "4")}), Round(14, [Write("MODIFIED", "b", "5", 15), Write("DELETED", "a", "-")], {("a", "-"), ("b", "6")})]


def test_a_history_that_can_be_true_has_no_fault() -> None:
    assert list(faults(KNOWN, LOG)) == []
    assert [event.type for event in selected(LOG)] == ["ADDED", "ADDED", "DELETED", "DELETED"]
    assert list(missed("w", LOG, LOG)) == []
    assert state(LOG, 15) == {"a": "4", "b": "5"}


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (LOG[1:], "is lost"),
        (LOG[:-1], "deletion of a is lost"),
        ([*LOG[:2], LOG[3], LOG[2]], "rise strictly"),
        ([LOG[0]._replace(revision=9), *LOG[1:]], "was stored as"),
        ([*LOG, Seen(17, "ADDED", "c", "9", False)], "nobody asked"),
        ([*LOG[:3], LOG[3]._replace(revision=14), LOG[4]], "was stored as"),
    ],
)
def test_a_log_that_breaks_a_promise_is_found_out(log: list[Seen], says: str) -> None:
    assert any(says in fault for fault in faults(KNOWN, log))


def test_a_revision_that_is_given_out_twice_is_found_out() -> None:
    again = [KNOWN[0], Round(14, [Write("MODIFIED", "b", "5", 12)])]
    assert any("not above 14" in fault for fault in faults(again, LOG))
    assert any("two writes" in fault for fault in faults(again, LOG))


@pytest.mark.parametrize("sent", [LOG[1:], LOG[:-1], [*LOG, LOG[-1]], [LOG[0], *LOG]])
def test_a_watcher_that_missed_or_doubled_an_event_is_found_out(sent: list[Seen]) -> None:
    assert list(missed("w", sent, LOG)) != []
