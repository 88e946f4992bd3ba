"""The store against a dict: Hypothesis invents the writes, and every reading must agree with the model.

The model remembers the whole past, so every revision that the store still tells is compared,
whole and page by page; a restart in the middle (where the dialect has one) changes nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from skerry.store.contract import Change, Compacted, FutureRevision, Key, RevisionConflict, Row, Store, Value, Verb, Write
from skerry.store.memory import MemoryStore
from skerry.store.postgres.store import PostgresStore
from skerry.store.sqlite import SqliteStore
from tests.store.databases import PATIENT, RELEASES, Databases, why_not

T = TypeVar("T")

ORGANIZATION, RESOURCES = "o", ("r", "rr")
KEYS = st.builds(Key, st.just(ORGANIZATION), st.sampled_from(RESOURCES), st.sampled_from(["", "n"]), st.sampled_from("ab"))
VALUE = Value(b"<", b">")

World = dict[Key, int]


def _rows(world: World, resource: str, namespace: str | None) -> list[Row]:
    """What a page of a world must show."""
    chosen = sorted(key for key in world if key.resource == resource and namespace in {None, key.namespace})
    return [Row(key, world[key], b"<%d>" % world[key]) for key in chosen]


class StoreAgainstDict(RuleBasedStateMachine):
    """One store and its model; subclasses bring the store."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.history: list[World] = [{}]
        self.log: list[Change] = []
        self.compacted = 0

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def open(self) -> Store:
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.store = self.do(self.open())

    @property
    def world(self) -> World:
        return self.history[-1]

    def _landed(self, verb: Verb, key: Key) -> None:
        revision, before, world = len(self.history), self.world.get(key), dict(self.world)
        if verb is Verb.DELETE:
            del world[key]
        else:
            world[key] = revision
        self.history.append(world)
        self.log.append(Change(revision, verb, key, b"<%d>" % revision, None if before is None else b"<%d>" % before))

    @rule(keys=st.lists(KEYS, min_size=1, max_size=6), delete=st.booleans(), stale=st.booleans())
    def write_together(self, keys: list[Key], delete: bool, stale: bool) -> None:
        """Several writes at once, in order: each lands on what the earlier ones left, or fails alone."""
        known = dict(self.world)
        writes = [
            Write(key, known.get(key, 0) + (1_000_000 if stale and place == 0 else 0), VALUE, delete=delete and key in known)
            for place, key in enumerate(keys)
        ]

        async def all_of_them() -> list[int | BaseException]:
            return await asyncio.gather(*map(self.store.write, writes), return_exceptions=True)

        for write, outcome in zip(writes, self.do(all_of_them()), strict=True):
            present = self.world.get(write.key, 0)
            if present != write.expect:
                assert isinstance(outcome, RevisionConflict)
                assert (outcome.current.revision if outcome.current else 0) == present
            else:
                assert outcome == len(self.history)
                self._landed(Verb.DELETE if write.delete else Verb.UPDATE if present else Verb.CREATE, write.key)

    @precondition(lambda self: self.world)
    @rule(back=st.integers(0, 4))
    def compact(self, back: int) -> None:
        revision = max(len(self.history) - 1 - back, 0)
        self.do(self.store.compact(revision))
        self.compacted = max(self.compacted, revision)
        self.compare_all_that_is_told_of_the_past()

    @rule(
        resource=st.sampled_from(RESOURCES),
        namespace=st.sampled_from([None, "", "n"]),
        limit=st.integers(1, 3),
        back=st.integers(0, 6),
    )
    def list_page_by_page(self, resource: str, namespace: str | None, limit: int, back: int) -> None:
        at = len(self.history) - 1 - back
        if at < max(self.compacted, 1):
            return
        found: list[Row] = []
        while True:
            after = found[-1].key if found else None
            page = self.do(self.store.page(ORGANIZATION, resource, namespace, at=at, after=after, limit=limit))
            assert page.revision == at
            found += page.rows
            if len(page.rows) < limit:
                break
        assert found == _rows(self.history[at], resource, namespace)

    @rule()
    def compare_all_that_is_told_of_the_past(self) -> None:
        for at in range(max(self.compacted, 1), len(self.history)):
            for resource in RESOURCES:
                assert self.do(self.store.page(ORGANIZATION, resource, at=at)).rows == _rows(self.history[at], resource, None)
        assert list(self.do(self.store.changes(self.compacted))) == self.log[self.compacted :]

    @rule(back=st.integers(1, 8), limit=st.integers(1, 5))
    def follow(self, back: int, limit: int) -> None:
        after = max(len(self.history) - 1 - back, self.compacted)
        assert list(self.do(self.store.changes(after, limit))) == self.log[after : after + limit]

    @rule()
    def what_is_gone_or_not_yet_there_is_refused(self) -> None:
        with pytest.raises(FutureRevision):
            self.do(self.store.changes(len(self.history)))
        with pytest.raises(FutureRevision):
            self.do(self.store.page(ORGANIZATION, "r", at=len(self.history)))
        if self.compacted > 1:
            with pytest.raises(Compacted):
                self.do(self.store.page(ORGANIZATION, "r", at=self.compacted - 1))
        if self.compacted:
            with pytest.raises(Compacted):
                self.do(self.store.changes(self.compacted - 1))

    @rule(key=KEYS)
    def read_one(self, key: Key) -> None:
        row = self.do(self.store.get(key))
        assert (row.revision if row else 0) == self.world.get(key, 0)

    @invariant()
    def the_head_and_the_counters_are_right(self) -> None:
        if hasattr(self, "store"):
            assert self.do(self.store.head()) == len(self.history) - 1
            assert self.store.statistics().objects == len(self.world)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.do(self.store.close())
        self.runner.close()


class MemoryAgainstDict(StoreAgainstDict):
    async def open(self) -> Store:
        return MemoryStore()


class SqliteAgainstDict(StoreAgainstDict):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()

    async def open(self) -> Store:
        return await SqliteStore.open(Path(self.folder.name) / "s.db")

    @rule()
    def restart(self) -> None:
        self.do(self.store.close())
        self.store = self.do(self.open())
        self.compare_all_that_is_told_of_the_past()

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


def _on_postgres(servers: Databases, release: str) -> type[StoreAgainstDict]:
    class PostgresAgainstDict(StoreAgainstDict):
        def __init__(self) -> None:
            super().__init__()
            self.address = self.do(servers.fresh(release))

        async def open(self) -> Store:
            return await PostgresStore.open(self.address, PATIENT)

        @rule()
        def restart(self) -> None:
            self.do(self.store.close())
            self.store = self.do(self.open())
            self.compare_all_that_is_told_of_the_past()

    return PostgresAgainstDict


def _check(machine: type[StoreAgainstDict], examples: int) -> None:
    how = settings(max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=how)


def test_the_memory_store_agrees_with_a_dict() -> None:
    _check(MemoryAgainstDict, 60)


def test_the_sqlite_store_agrees_with_a_dict_through_restarts() -> None:
    _check(SqliteAgainstDict, 25)


@pytest.mark.parametrize("release", RELEASES)
def test_the_postgres_store_agrees_with_a_dict_through_restarts(servers: Databases, release: str) -> None:
    if why := why_not(release):
        pytest.skip(why)
    _check(_on_postgres(servers, release), 15)
