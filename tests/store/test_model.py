"""The store against a dict: random writes, and every reading must agree."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skerry.store.contract import Key, RevisionConflict, Store, Value, Write
from skerry.store.memory import MemoryStore
from skerry.store.sqlite import SqliteStore

steps = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["create", "update", "stale", "delete", "compact"]), st.integers(0, 3)), max_size=40
)


async def _run(store: Store, script: list[tuple[str, str, int]]) -> None:
    model: dict[str, int] = {}
    history: dict[int, dict[str, int]] = {0: {}}
    revision = compacted = 0
    for name, action, back in script:
        key = Key("o", "r", "n", name)
        if action == "compact":
            compacted = max(compacted, revision - back)
            await store.compact(max(revision - back, 0))
            continue
        expect = {"create": 0, "stale": model.get(name, 0) + 1000}.get(action, model.get(name, 0))
        write = Write(key, expect, Value(b"<", b">"), delete=action == "delete" and name in model)
        try:
            landed = await store.write(write)
        except RevisionConflict as error:
            assert (error.current.revision if error.current else 0) == model.get(name, 0) != expect
            continue
        revision += 1
        assert landed == revision
        if write.delete:
            del model[name]
        else:
            model[name] = revision
        history[revision] = dict(model)
    assert await store.head() == revision
    for at, then in history.items():
        if at and at >= max(compacted, 1):
            page = await store.page("o", "r", at=at)
            assert {row.key.name: row.revision for row in page.rows} == then
    assert [change.revision for change in await store.changes(compacted)] == list(range(compacted + 1, revision + 1))
    await store.close()


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_the_memory_store_agrees_with_a_dict(script: list[tuple[str, str, int]]) -> None:
    asyncio.run(_run(MemoryStore(), script))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_the_sqlite_store_agrees_with_a_dict(script: list[tuple[str, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_run(SqliteStore(Path(folder) / "s.db"), script))
