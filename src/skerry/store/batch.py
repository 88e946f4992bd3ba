"""The heart of a commit, the same in every dialect: compare, check, splice.

A dialect brings :class:`Present` (what is current, inside its transaction) and gets back, for
each write in order, either a :class:`Landed` entry for its log or the exception of that
write alone. Later writes of a batch see what earlier ones did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from skerry.store.contract import Change, Check, Key, Require, RevisionConflict, Row, StoreError, Verb, Write


class Present(Protocol):
    """The current objects as one transaction sees them."""

    def row(self, key: Key) -> Row | None:
        """Return the current row of a key."""
        ...

    def under(self, organization: str, namespace: str) -> bool:
        """Tell whether any object lives in a namespace."""
        ...


class Landed(NamedTuple):
    """A write that takes effect: the change, and the revision that it replaces (0: none)."""

    change: Change
    replaces: int


def judge(writes: Sequence[Write], present: Present, revision: int) -> Iterator[Landed | Exception]:
    """Decide each write in turn; revisions are taken from ``revision`` + 1 on. The caller applies each before the next is asked for."""
    for write in writes:
        row = present.row(write.key)
        if (row.revision if row else 0) != write.expect:
            yield RevisionConflict(row)
            continue
        if write.delete and row is None:
            yield StoreError("a deletion must name the revision that it deletes")
            continue
        refusal = next(filter(None, (_refusal(check, present) for check in write.checks)), None)
        if refusal is not None:
            yield refusal
            continue
        revision += 1
        value = b"".join((write.value.head, str(revision).encode(), write.value.tail))
        verb = Verb.DELETE if write.delete else Verb.UPDATE if row else Verb.CREATE
        yield Landed(Change(revision, verb, write.key, value, row.value if row else None), row.revision if row else 0)


def _refusal(check: Check, present: Present) -> Exception | None:
    otherwise = check.otherwise or StoreError(f"{check.key} is not {check.require}")
    if check.require is Require.NONE_UNDER:
        return otherwise if present.under(check.key.organization, check.key.name) else None
    row = present.row(check.key)
    if check.require is Require.ABSENT:
        return otherwise if row else None
    if row is None:
        return otherwise
    return check.accept(row.value) if check.accept else None
