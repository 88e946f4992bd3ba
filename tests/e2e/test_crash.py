"""A server that is killed again and again under concurrent writes keeps every promise.

After each start every acknowledged write is there as it was acknowledged, a write in doubt is
there wholly or not at all, no revision repeats or goes back, and watchers that resume from their
last revision miss nothing and see nothing twice. Every fifth time it is told to stop instead.
``SKERRY_CRASH_ROUNDS`` kills it more often, ``SKERRY_CRASH_SEED`` at other moments.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from random import Random

from skerry.client.http import HttpClient, Times
from skerry.client.kubeconfig import read
from skerry.kit.aio import TaskOwner
from tests.e2e.crashing import EVEN, RARE, THINGS, Crash, Watcher, seen
from tests.e2e.history import Round, faults, kept, missed, selected, state
from tests.e2e.server import Server

ROUNDS = int(os.environ.get("SKERRY_CRASH_ROUNDS", "15"))
SEED = int(os.environ.get("SKERRY_CRASH_SEED", "7"))
WRITERS = 8
LATECOMERS = 5


async def kept_until_now(crash: Crash, watchers: list[Watcher]) -> int:
    """Hold what a new start shows against what anybody knows; returns the revision of that."""
    listed = await crash.client.list(THINGS)
    revision = int(listed["metadata"]["resourceVersion"])
    standing = {found.name: found for found in (seen("", item) for item in listed["items"])}
    newest = max(crash.rounds[-1].start, *(int(watcher.since) for watcher in watchers), *(each.revision for each in standing.values()))
    newest = max(newest, *(write.revision for write in crash.rounds[-1].acknowledged))
    assert revision >= newest, "the newest revision went back"
    assert list(kept(crash.rounds, standing)) == []
    crash.rounds.append(Round(revision))
    await crash.read_log()
    assert {name: (each.revision, each.body) for name, each in standing.items()} == state(crash.log, revision)
    return revision


async def test_a_server_that_is_killed_under_load_keeps_every_promise(tmp_path: Path) -> None:
    random, server = Random(SEED), Server(tmp_path, verb="server")
    await asyncio.to_thread(server.start)
    connection = read(server.kubeconfig)
    short = Times(watch=1)  # the server ends such a watch often, with a bookmark
    try:
        async with HttpClient(connection) as client, HttpClient(connection, times=short) as hasty, TaskOwner("clients") as owner:
            begin = str((await client.list(THINGS))["metadata"]["resourceVersion"])
            crash = Crash(server, client, begin)
            whole, some, rare = (Watcher(client, crash.up, begin, label) for label in ("", EVEN, RARE))
            marked = Watcher(hasty, crash.up, begin, RARE)
            late: list[tuple[int, Watcher]] = []
            for name, watcher in {"whole": whole, "some": some, "rare": rare, "marked": marked}.items():
                owner.spawn(watcher.run(), name)
            writers = [owner.spawn(crash.writer(number, Random(random.random())), f"writer-{number}") for number in range(WRITERS)]
            for number in range(ROUNDS):
                kindly = number % 5 == 4
                await crash.stop_after(random.randint(20, 150), signal.SIGTERM if kindly else signal.SIGKILL)
                revision = await kept_until_now(crash, [whole, some, rare, marked])
                if number % max(1, ROUNDS // LATECOMERS) == 0:
                    late.append((revision, Watcher(client, crash.up, str(revision))))
                    owner.spawn(late[-1][1].run(), f"late-{number}")
                crash.up.set()
            for task in writers:
                task.cancel()
            await asyncio.wait(writers)
            async with asyncio.timeout(120):
                end = await crash.read_log()
                for watcher in (whole, marked, *(each for _, each in late)):
                    await watcher.reached(end)
                for watcher in (some, rare):
                    await watcher.reached(max(event.revision for event in selected(crash.log, watcher.label)))
                await marked.bookmarked()
    finally:
        server.stop(signal.SIGKILL)
    log = crash.log
    found = [*faults(crash.rounds, log), *missed("whole", whole.events, log)]
    for name, watcher in {"some": some, "rare": rare, "marked": marked}.items():
        found += missed(name, watcher.events, selected(log, watcher.label))
    for revision, watcher in late:
        found += missed(f"late, from {revision}", watcher.events, [event for event in log if event.revision > revision])
    assert found == []
    assert whole.resumed >= ROUNDS
