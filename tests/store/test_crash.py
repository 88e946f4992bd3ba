"""A killed process loses nothing that it acknowledged, and whoever follows the log does not notice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from skerry.store.contract import Change, Key, Verb
from skerry.store.feed import feed
from skerry.store.sqlite import SqliteStore

ROUNDS = 4
WRITES = 400


def _write_until_killed(path: Path, run: int, compact: int) -> list[tuple[str, str, int]]:
    """Let a process write for a while, kill it in the middle, and return what it acknowledged."""
    command = [sys.executable, "-m", "tests.store.crasher", str(path), f"run{run}", str(compact)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(WRITES)]
        process.kill()
        lines += process.stdout.readlines()
    acknowledged = [line.decode().split() for line in lines if line.endswith(b"\n")]
    return [(verb, name, int(revision)) for verb, name, revision in acknowledged]


async def _all_after(store: SqliteStore, position: int) -> list[Change]:
    found: list[Change] = []
    head = await store.head()
    if head > position:
        async for batch in feed(store, position, batch=700):
            found += batch
            if found[-1].revision >= head:
                break
    return found


async def test_after_each_kill_every_acknowledged_write_is_there_and_the_log_goes_on_without_gap_or_repeat(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    position = 0
    model: dict[str, int] = {}
    for run in range(ROUNDS):
        acknowledged = _write_until_killed(path, run, compact=position // 2)
        store = await SqliteStore.open(path)
        changes = await _all_after(store, position)
        assert [change.revision for change in changes] == list(range(position + 1, position + len(changes) + 1))
        by_revision = {change.revision: change for change in changes}
        for verb, name, revision in acknowledged:
            change = by_revision[revision]
            assert (change.verb, change.key.name) == (Verb(verb), name)
            assert change.value.startswith(b'{"name":"%s","revision":%d}' % (name.encode(), revision))
        for change in changes:
            if change.verb is Verb.DELETE:
                del model[change.key.name]
            else:
                model[change.key.name] = change.revision
        rows = (await store.page("org", "things")).rows
        assert {row.key.name: row.revision for row in rows} == model
        assert len(acknowledged) >= WRITES
        position = await store.head()
        await store.close()


async def test_a_reader_of_an_old_revision_is_served_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    acknowledged = _write_until_killed(path, 0, compact=0)
    _, name, revision = next(entry for entry in acknowledged if entry[0] == "create")
    store = await SqliteStore.open(path)
    page = await store.page("org", "things", at=revision)
    assert Key("org", "things", "ns", name) in {row.key for row in page.rows}
    assert len(page.rows) <= revision
    await store.close()
