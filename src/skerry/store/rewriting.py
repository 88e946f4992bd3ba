"""Bringing every stored value of the confidential kinds under the primary key, while the store is in use.

One pass reads every value that is kept, old revisions inside the log's window included, and
seals anew what is not sealed with the primary key: what an older key sealed, and what was stored
in the clear. It is safe to die in the middle: what was done is done, and a start begins a pass
anyway, so a rotation that was cut off goes on by itself.

An older key is retired when a whole pass after the last rewriting found nothing that uses it, and
no write that was sealed with it is still under way. A value that cannot be opened is left as it
is, and so is the key that it names.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from skerry.kit.aio import Pulse
from skerry.kit.clock import Clock, rfc3339
from skerry.kit.log import get
from skerry.store.contract import Row, StoreClosed, StoreError
from skerry.store.sealed import SealedStore
from skerry.store.sealing import CannotOpen, Keyring, is_sealed, key_of, opened, resealed

SLICE = 100
"""Values per step: each costs the loop about 50 µs, and the writer's thread one transaction."""
RETRY_SECONDS = 30.0
CLEAR = ""
"""Stands for "in the clear" among ids of keys."""

log = get("store.rewriting")


class Facts(Protocol):
    """What may be told of a key."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def created(self) -> str:
        """When it was made, RFC 3339."""
        ...

    @property
    def primary(self) -> bool:
        """Whether it seals what is written now."""
        ...


class RotatingKeyring(Keyring, Protocol):
    """A keyring that can get a new key and lose an old one; both raise OSError."""

    def facts(self) -> Sequence[Facts]:
        """What there is, oldest first."""
        ...

    def rotate(self, created: str) -> str:
        """Add a new key and make it primary; returns its id."""
        ...

    def retire(self, key_id: str) -> None:
        """Forget a key."""
        ...


@dataclass
class Progress:
    """How far a rewriting has come. Revisions count as the store's."""

    running: bool = False
    position: int = 0
    until: int = 0
    rewritten: int = 0
    unreadable: int = 0
    retired: list[str] = field(default_factory=list)
    error: str = ""


async def why_not(sealed: SealedStore) -> str:
    """What keeps this keyring from serving this store; empty if nothing does."""
    missing: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    good: Counter[str] = Counter()
    async for row in _all(sealed):
        if not is_sealed(row.value):
            continue
        try:
            key_id = key_of(row.value)
            if sealed.keyring.find(key_id) is None:
                missing[key_id] += 1
                continue
            opened(row.value, row.key, sealed.keyring)
            good[key_id] += 1
        except CannotOpen as error:
            log.warning("a value cannot be opened", revision=row.revision, reason=str(error))
            failed[key_id] += 1
    wrong = [key_id for key_id in failed if not good[key_id]]
    if missing:
        return f"{_count(missing)} encrypted with {_keys(missing)}, which the keyring does not hold; put that keyring back and start again"
    if wrong:
        why = "and cannot be opened: the keyring holds another key of that name; put the right keyring back and start again"
        return f"{_count(failed)} encrypted with {_keys(wrong)} {why}"
    return ""


def _count(found: Counter[str]) -> str:
    number = found.total()
    return f"{number} confidential {'value is' if number == 1 else 'values are'}"


def _keys(found: Sequence[str] | Counter[str]) -> str:
    return f"key {', '.join(found)}"


async def _all(sealed: SealedStore) -> AsyncIterator[Row]:
    after = 0
    while rows := await sealed.held(sealed.resources, after, SLICE):
        for row in rows:
            yield row
        after = rows[-1].revision


class Rewriting:
    """The background work, and what can be asked of it."""

    def __init__(self, sealed: SealedStore, keyring: RotatingKeyring, clock: Clock, *, patience: float = 0) -> None:
        """``keyring`` is the one that ``sealed`` uses. ``patience``: for how many seconds others may still write with a former key."""
        self._patience = patience
        self._sealed = sealed
        self.keyring = keyring
        self._clock = clock
        self._asked, self._ended = Pulse(), Pulse()
        self.progress = Progress()

    def rotate(self) -> bool:
        """Make a new primary key and rewrite everything with it; False where a rewriting is under way, which goes on. Raises OSError."""
        if self.progress.running:
            return False
        if self._sealed.refusal:
            raise CannotOpen(self._sealed.refusal)
        key_id = self.keyring.rotate(rfc3339(self._clock.now()))
        log.info("the primary encryption key is a new one", key=key_id)
        self.progress = Progress(running=True)
        self._asked.beat()
        return True

    async def idle(self) -> None:
        """Return when no rewriting is under way."""
        while self.progress.running:
            await self._ended.after(self._ended.count)

    async def usage(self) -> Counter[str]:
        """How many values each key holds, by id; under the empty id those in the clear."""
        found: Counter[str] = Counter()
        async for row in _all(self._sealed):
            found[key_of(row.value)] += 1
        return found

    async def run(self) -> None:
        """Rewrite what is due now and whenever it is asked for, until cancelled."""
        while not self._sealed.refusal:
            seen = self._asked.count
            try:
                await self._rewrite(seen)
                self._ended.beat()
            except StoreClosed:
                return
            except (StoreError, OSError) as error:
                self.progress.error = str(error)
                log.warning("what is encrypted could not be rewritten; trying again soon", reason=str(error))
                await self._clock.sleep(RETRY_SECONDS)
                continue
            await self._asked.after(seen)

    async def _rewrite(self, seen: int) -> None:
        primary = self.keyring.primary()
        if primary is None:
            return
        progress = self.progress = Progress(running=True, until=await self._sealed.head())
        await self._sealed.landed(but=primary[0])
        await self._sealed.rewrite(())  # behind every batch that was under way
        await self._all_of_it(progress, primary[0])
        if progress.rewritten:
            await self._sealed.erase()
            log.info("confidential values were encrypted anew", count=progress.rewritten, key=primary[0])
        if any(key.id != primary[0] for key in self.keyring.facts()):
            await self._retire(progress, primary[0], seen)
        progress.running = False

    async def _all_of_it(self, progress: Progress, primary: str) -> None:
        """Look at everything until there was nothing left to do."""
        while await self._pass(progress, primary):
            pass

    async def _retire(self, progress: Progress, primary: str, seen: int) -> None:
        """Retire the keys that nothing uses, when nobody can be writing with them any more; another rotation comes first."""
        if self._patience:
            progress.running = False
            self._ended.beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await self._asked.after(seen)
            if self._asked.count > seen:
                return
            await self._all_of_it(progress, primary)
        in_use = await self.usage()
        for key in self.keyring.facts():
            if key.id != primary and not in_use[key.id]:
                self.keyring.retire(key.id)
                progress.retired.append(key.id)
                log.info("an encryption key that nothing uses was retired", key=key.id)

    async def _pass(self, progress: Progress, primary: str) -> int:
        """Look at everything once; return how many values were rewritten."""
        done, unreadable, progress.position = 0, 0, 0
        while rows := await self._sealed.held(self._sealed.resources, progress.position, SLICE):
            fresh = []
            for row in rows:
                try:
                    if key_of(row.value) != primary:
                        fresh.append((row, resealed(row.value, row.key, self._sealed.keyring, row.revision)))
                except CannotOpen:
                    unreadable += 1
            if fresh:
                count = await self._sealed.rewrite(fresh)
                done += count
                progress.rewritten += count
            progress.position = rows[-1].revision
        progress.unreadable = unreadable
        return done


__all__ = ["CLEAR", "Progress", "Rewriting", "RotatingKeyring", "why_not"]
