"""A store whose confidential kinds are encrypted: a coat around any dialect.

What goes in is sealed and what comes out is opened here (``sealing.py``), so that the log, the
table of current objects, the database's files and every backup hold only sealed values of
those kinds. Whoever stands above (the watch cache) keeps them in the clear, in memory only, as
kube-apiserver does.

* Values in the clear that a database already holds are read as they are; ``rewriting.py``
  seals them.
* A value that cannot be opened is no error of the reading: other values of the same answer are
  good. A :class:`Shut` stands in its place.
* Nothing is sealed while ``refusal`` says why not: with the wrong keyring nobody shall write
  what the right one cannot read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from skerry.kit.aio import Pulse
from skerry.store.contract import Change, Check, Guard, Key, LatestRow, Page, RevisionConflict, Row, Shut, Statistics, Store, Write
from skerry.store.sealing import CannotOpen, Keyring, key_of, opened, seal

T = TypeVar("T")

AT_A_TIME = 500
"""How many values are opened (each about 25 µs) before others get their turn."""


class SealedStore:
    """See ``contract.Store``; ``resources`` are the storage keys of the confidential kinds."""

    def __init__(self, store: Store, keyring: Keyring, resources: Collection[str]) -> None:
        """Put the coat on a store."""
        self.store = store
        self.keyring = keyring
        self.resources = frozenset(resources)
        self.refusal = ""
        self._under_way: Counter[str] = Counter()
        self._landed = Pulse()

    async def write(self, write: Write) -> int:
        """Commit one write, sealed if its kind is confidential."""
        if any(check.accept and check.key.resource in self.resources for check in write.checks):
            write = replace(write, checks=tuple(map(self._seeing, write.checks)))
        if write.key.resource not in self.resources:
            return await self.store.write(write)
        if self.refusal:
            raise CannotOpen(self.refusal)
        value = seal(write.value, write.key, self.keyring)
        key_id = key_of(value.head + b"0")
        self._under_way[key_id] += 1
        try:
            return await self.store.write(replace(write, value=value))
        except RevisionConflict as error:
            raise RevisionConflict(error.current and self._row(error.current)) from None
        finally:
            self._under_way[key_id] -= 1
            self._landed.beat()

    async def landed(self, but: str) -> None:
        """Return when no write is under way that was sealed with another key than ``but``."""
        while any(count for key_id, count in self._under_way.items() if key_id != but):
            await self._landed.after(self._landed.count)

    def _seeing(self, check: Check) -> Check:
        """A check that sees what is in the envelope."""
        accept = check.accept
        if accept is None or check.key.resource not in self.resources:
            return check

        def see(stored: bytes) -> Exception | None:
            try:
                return accept(opened(stored, check.key, self.keyring))
            except CannotOpen as error:
                return error

        return replace(check, accept=see)

    def _value(self, key: Key, stored: bytes) -> bytes:
        if key.resource not in self.resources:
            return stored
        try:
            return opened(stored, key, self.keyring)
        except CannotOpen as error:
            return Shut.because(str(error))

    def _row(self, row: Row) -> Row:
        return row._replace(value=self._value(row.key, row.value))

    def _change(self, change: Change) -> Change:
        if change.key.resource not in self.resources:
            return change
        previous = None if change.previous is None else self._value(change.key, change.previous)
        return change._replace(value=self._value(change.key, change.value), previous=previous)

    async def get(self, key: Key) -> Row | None:
        """Return the current row."""
        row = await self.store.get(key)
        return row and self._row(row)

    async def page(
        self, organization: str, resource: str, namespace: str | None = None, *, at: int = 0, after: Key | None = None, limit: int = 0
    ) -> Page:
        """Rows of one resource as of a revision."""
        found = await self.store.page(organization, resource, namespace, at=at, after=after, limit=limit)
        return found._replace(rows=await _in_turns(found.rows, self._row)) if resource in self.resources else found

    async def changes(self, after: int, limit: int = 1000) -> Sequence[Change]:
        """Log entries above a revision."""
        found = await self.store.changes(after, limit)
        if not any(change.key.resource in self.resources for change in found):
            return found
        return await _in_turns(found, self._change)

    async def head(self) -> int:
        """Return the newest committed revision."""
        return await self.store.head()

    async def wait(self, after: int) -> None:
        """Return as soon as there is a newer revision."""
        await self.store.wait(after)

    async def compact(self, revision: int) -> None:
        """Drop log entries."""
        await self.store.compact(revision)

    async def held(self, resources: Collection[str], after: int = 0, limit: int = 1000) -> Sequence[Row]:
        """Values that are kept, as they are stored."""
        return await self.store.held(resources, after, limit)

    async def rewrite(self, values: Sequence[tuple[Row, bytes]]) -> int:
        """Put other bytes in the place of stored ones."""
        return await self.store.rewrite(values)

    async def erase(self) -> None:
        """See that rewritten bytes are gone."""
        await self.store.erase()

    async def latest_put(self, values: Mapping[Key, bytes | None], guard: Guard | None = None) -> int:
        """Upsert latest values; no confidential kind lives there."""
        return await self.store.latest_put(values, guard)

    async def latest_head(self) -> int:
        """Return the last sequence number taken."""
        return await self.store.latest_head()

    async def latest_changes(self, organization: str, resource: str, after: int = 0, limit: int = 0) -> Sequence[LatestRow]:
        """Latest values that changed since a sequence number."""
        return await self.store.latest_changes(organization, resource, after, limit)

    async def latest_wait(self, after: int) -> None:
        """Return as soon as there is a newer latest value."""
        await self.store.latest_wait(after)

    def trouble(self) -> str:
        """Why nothing, or nothing confidential, can be written."""
        return self.refusal or self.store.trouble()

    def statistics(self) -> Statistics:
        """Return counters."""
        return self.store.statistics()

    async def close(self) -> None:
        """Close the store."""
        await self.store.close()


async def _in_turns(things: Sequence[T], work: Callable[[T], T]) -> list[T]:
    done: list[T] = []
    for begin in range(0, len(things), AT_A_TIME):
        done += map(work, things[begin : begin + AT_A_TIME])
        await asyncio.sleep(0)
    return done
