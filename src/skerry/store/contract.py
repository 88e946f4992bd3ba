"""What a store promises: one log of revisions, one table of current objects, one order.

* **Order.** One sequence per store is the resourceVersion. Commit order is revision order
  is the order in which anybody can see it; a revision never repeats or goes back, not even
  across a crash.
* **Group commit.** Writes that arrive together share one transaction and one fsync. Each is
  a compare-and-swap of its own: one that fails never fails its neighbours. What a write
  requires of *other* objects (its namespace exists and is not terminating) is checked inside
  the same transaction.
* **Bytes.** A value is encoded once by the caller, with a gap where the revision belongs
  (:class:`Value`); the store splices the revision in at commit and hands those bytes out.
* **Epoch.** A restore or a failover that may have lost the tail opens a new epoch: revisions
  jump, the log before the jump is gone, and every watcher starts anew.

A key begins with the organization. Nothing here knows what an object means. The dialects are
``sqlite.py``, ``memory.py`` and ``postgres/``, on the same contract suite (``tests/store/``).

The *latest-value* tables are for what does not belong in the log (heartbeats, inventory,
per-object results): last value wins, batches are cheap, every upsert takes the next number of
one sequence of its own, and a reader can ask for what changed since a number. No revision is made.
That sequence is the whole store's: who follows one resource takes ``latest_head`` *before* it reads,
and waits for what comes after that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

EPOCH_JUMP = 1_000_000_000
"""Revisions between epochs: at full load, days of writes that a copy knows nothing of."""


class Key(NamedTuple):
    """Where an object lives: ``resource`` is ``clusters.fleet.skerry.dev``; ``namespace`` is empty for cluster-scoped kinds."""

    organization: str
    resource: str
    namespace: str
    name: str


class Value(NamedTuple):
    """An encoded object with a gap for its revision: what is stored is ``head + str(revision) + tail``."""

    head: bytes
    tail: bytes


class Require(StrEnum):
    """What a write may require of another object."""

    EXISTS = "exists"
    ABSENT = "absent"
    NONE_UNDER = "none-under"  # no object lives in the namespace ``key.name``


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on another object, judged inside the transaction of the write.

    ``accept`` (for EXISTS) sees the other object's stored bytes and returns why it will not do, or None.
    It must be pure and quick: it may run on the writer's thread.
    """

    key: Key
    require: Require = Require.EXISTS
    accept: Callable[[bytes], Exception | None] | None = None
    otherwise: Exception | None = None  # raised to the writer when the object is not there (or is, for ABSENT)


@dataclass(frozen=True, slots=True)
class Write:
    """One compare-and-swap: ``expect`` 0 means "must not exist", n "must be at revision n".

    ``delete`` removes the object; ``value`` is then its last state, which watchers are shown
    with the revision of the deletion.
    """

    key: Key
    expect: int
    value: Value
    delete: bool = False
    checks: tuple[Check, ...] = ()


class Row(NamedTuple):
    """A current object: the revision it was last written at and its encoded bytes (revision included)."""

    key: Key
    revision: int
    value: bytes


class Verb(StrEnum):
    """What a change did."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Change(NamedTuple):
    """One entry of the log, in revision order. ``previous`` is the value before (None on create)."""

    revision: int
    verb: Verb
    key: Key
    value: bytes
    previous: bytes | None


class Page(NamedTuple):
    """Rows in key order as of ``revision``."""

    rows: list[Row]
    revision: int


class StoreError(Exception):
    """The store could not do what was asked."""


class RevisionConflict(StoreError):
    """The object is not at the revision that the write expected; ``current`` is what is there (None: nothing)."""

    def __init__(self, current: Row | None) -> None:
        """Carry the row that won."""
        super().__init__("the object is at another revision")
        self.current = current


class Compacted(StoreError):
    """The log no longer reaches back to the revision asked for; ``oldest`` is the first that can be read."""

    def __init__(self, oldest: int) -> None:
        """Carry the oldest readable revision."""
        super().__init__(f"compacted up to revision {oldest}")
        self.oldest = oldest


class FutureRevision(StoreError):
    """A revision was asked for that does not exist yet; ``current`` is the newest."""

    def __init__(self, current: int) -> None:
        """Carry the newest revision."""
        super().__init__(f"the newest revision is {current}")
        self.current = current


class StoreClosed(StoreError):
    """The store is closed, or is closing."""


class StoreFull(StoreError):
    """The disk is full: the write was refused and nothing was lost."""


class StoreDamaged(StoreError):
    """The database file is damaged; the message says what to do."""


class StoreUnavailable(StoreError):
    """The database does not answer now. What was under way may or may not have been done; asking again may help."""


class Outdated(StoreError):
    """A latest value that a batch depended on is another one now: nothing of the batch was stored."""


class Shut(bytes):
    """Stands where a value cannot be opened: empty. ``why`` tells people what is missing."""

    why: str

    @classmethod
    def because(cls, why: str) -> Shut:
        """Make one."""
        shut = cls()
        shut.why = why
        return shut


class LatestRow(NamedTuple):
    """A latest value: ``sequence`` is the number of its last upsert, ``value`` None a tombstone."""

    key: Key
    sequence: int
    value: bytes | None


class Guard(NamedTuple):
    """What a batch of latest values depends on: that ``sequence`` is the number of the last upsert of ``key``; 0: it has no value."""

    key: Key
    sequence: int


def refuse_outdated(guard: Guard, sequence: int) -> None:
    """Raise Outdated unless the key of a guard still has its number; ``sequence`` is what it has."""
    if sequence != guard.sequence:
        raise Outdated(f"{'/'.join(guard.key)} was put at {sequence}, not at {guard.sequence}")


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a store says of itself."""

    revision: int
    oldest: int
    objects: int
    commits: int
    writes: int
    extra: Mapping[str, float] = field(default_factory=dict)


class Store(Protocol):
    """The store; every method may be called from one event loop, concurrently."""

    async def write(self, write: Write) -> int:
        """Commit one write, sharing a transaction with whoever else waits; return its revision.

        Durable when it returns. Raises RevisionConflict, the exception of a failed check, StoreFull, StoreUnavailable or StoreClosed.
        If the caller is cancelled the write may or may not happen, but never by half.
        """
        ...

    async def get(self, key: Key) -> Row | None:
        """Return the current row."""
        ...

    async def page(
        self, organization: str, resource: str, namespace: str | None = None, *, at: int = 0, after: Key | None = None, limit: int = 0
    ) -> Page:
        """Rows of one resource in (namespace, name) order; all namespaces if ``namespace`` is None.

        As of revision ``at`` (0: now), behind the key ``after``, at most ``limit`` (0: all).
        Raises Compacted or FutureRevision for an ``at`` that cannot be read.
        """
        ...

    async def head(self) -> int:
        """Return the newest committed revision (linearizable: it is read, not remembered)."""
        ...

    async def changes(self, after: int, limit: int = 1000) -> Sequence[Change]:
        """Log entries of all organizations with a revision above ``after``, in order, at most ``limit``.

        Raises Compacted if some of them are gone, FutureRevision if ``after`` was never given out here: waiting for it
        would miss what comes until then.
        """
        ...

    async def wait(self, after: int) -> None:
        """Return as soon as a revision above ``after`` may exist. A wake-up, not a promise: the log is the truth.

        Raises StoreClosed when the store closes meanwhile.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Drop log entries at or below ``revision`` that no current object needs."""
        ...

    async def held(self, resources: Collection[str], after: int = 0, limit: int = 1000) -> Sequence[Row]:
        """Every value of some resources that is still kept, current or of the past, of all organizations.

        By revision, above ``after``, at most ``limit``.
        """
        ...

    async def rewrite(self, values: Sequence[tuple[Row, bytes]]) -> int:
        """Put other bytes in the place of those that were read, where these still stand; return how many.

        The meaning must be the same: no revision is made and nobody is told.
        """
        ...

    async def erase(self) -> None:
        """See that bytes which were rewritten are no longer in the store's files, as far as it can tell."""
        ...

    async def latest_put(self, values: Mapping[Key, bytes | None], guard: Guard | None = None) -> int:
        """Upsert latest values in one batch (None removes); return the last sequence number taken.

        Raises Outdated if ``guard`` does not hold. A guarded batch whose answer was lost may have been stored and still raise it.
        """
        ...

    async def latest_head(self) -> int:
        """Return the last sequence number taken; everything up to it is seen by a ``latest_changes`` that follows."""
        ...

    async def latest_changes(self, organization: str, resource: str, after: int = 0, limit: int = 0) -> Sequence[LatestRow]:
        """Latest values (and tombstones, if ``after`` > 0) of one resource with a sequence above ``after``, in sequence order.

        Raises Compacted if tombstones above ``after`` are gone already: read everything anew, from 0.
        """
        ...

    async def latest_wait(self, after: int) -> None:
        """Return as soon as a sequence number above ``after`` may have been taken, by any resource. Raises StoreClosed like ``wait``."""
        ...

    def trouble(self) -> str:
        """Why callers had better turn to another server, in a sentence without names: nothing can be written until somebody does
        something about it, or not even read; empty if nothing keeps it."""
        ...

    def statistics(self) -> Statistics:
        """Return counters for people and metrics."""
        ...

    async def close(self) -> None:
        """Finish the writes that were accepted, then close."""
        ...
