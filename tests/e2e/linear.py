"""Whether what clients of several servers were told can have happened in one order: the order of the log.

Every write puts a token of its own into one object. The log says in which order the writes took
effect; :func:`untrue` holds against it what each client was told, and when. As all clients
are in one process their clocks are one, so "before" means before: an operation that ended
before another began must have taken effect before it, at whatever servers they were.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import NamedTuple

from tests.e2e.history import Seen, state


class Operation(NamedTuple):
    """What one client asked and was told. ``revision`` is the object's, or the list's; 0 where a write broke off, which never ends."""

    kind: str
    """``write``, ``read`` or ``list``."""
    began: float
    ended: float
    name: str = ""
    token: str = ""
    revision: int = 0
    base: int = 0
    """Of a write that was to be made only if the object still had this revision."""
    shown: frozenset[tuple[str, int]] = frozenset()
    """Of a list: its objects with their revisions."""


def untrue(log: Sequence[Seen], operations: Sequence[Operation]) -> Iterator[str]:
    """Everything that cannot be, given that the log is the order in which the writes took effect."""
    if any(later.revision <= event.revision for event, later in pairwise(log)):
        yield "the revisions of the log do not rise strictly"
    entries = {event.revision: event for event in log}
    writes = {each.token: each for each in operations if each.kind == "write"}
    yield from _writes(log, writes)
    made = {event.token: event.revision for event in log}
    operations = [each if each.revision else each._replace(revision=made.get(each.token, 0)) for each in operations]
    for each in operations:
        if each.kind == "read" and (entry := entries.get(each.revision)):
            if (entry.name, entry.token) != (each.name, each.token):
                yield f"{each} shows what the log does not: {entry}"
            elif entry.token in writes and writes[entry.token].began > each.ended:
                yield f"{each} shows a write that began later"
        elif each.kind == "list" and each.shown != {(name, found) for name, (found, _) in state(log, each.revision).items()}:
            yield f"{each} is not the state at its revision"
    yield from _stale(operations, "")
    for name in {each.name for each in operations if each.name}:
        yield from _stale([each for each in operations if each.name == name], name)


def _writes(log: Sequence[Seen], writes: dict[str, Operation]) -> Iterator[str]:
    made: dict[str, Seen] = {}
    before: dict[str, int] = {}
    for event in log:
        write = writes.get(event.token)
        if write is None or write.name != event.name:
            yield f"nobody asked for {event}"
        elif event.token in made:
            yield f"{write} happened twice"
        elif write.base and write.base != before.get(event.name, 0):
            yield f"{write} overwrote revision {before.get(event.name, 0)}"
        elif write.revision not in {0, event.revision}:
            yield f"{write} was made as {event}"
        made[event.token] = event
        before[event.name] = event.revision
    yield from (f"the acknowledged {write} is lost" for write in writes.values() if write.revision and write.token not in made)


def _stale(operations: Sequence[Operation], name: str) -> Iterator[str]:
    """Where somebody was told less than somebody else had been told before he asked: of one object, or (no name) by lists and writes."""
    ended = sorted((each.ended, each.revision) for each in operations if each.ended < inf)
    times, newest = [time for time, _ in ended], [0]
    for _, revision in ended:
        newest.append(max(newest[-1], revision))
    for each in operations:
        known = newest[bisect_left(times, each.began)]
        if each.kind == "write" and each.revision and each.revision <= known:
            yield f"{each} took effect before revision {known}, which was known when it began"
        elif each.revision < known and each.ended < inf and (each.kind == "list" or (name and each.kind == "read")):
            yield f"{each} is older than revision {known}, which was known when it began"
