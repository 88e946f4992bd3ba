"""What clients of a server that is killed have seen, and whether it can all be true.

Every write carries a *token*: a number that no other write has. A write is acknowledged, with
its revision and the whole object, or in doubt: the connection broke, and it may have happened or
not. :func:`faults` holds all that against the log of the server, as watches show it that were
begun anew after each start; :func:`kept` against what a list shows right after a start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

GONE = "-"
"""The token of a deletion."""


class Seen(NamedTuple):
    """One event of a watch, or one object of a list."""

    revision: int
    type: str
    name: str
    token: str
    """Which write made this of the object; not a number where no single write can have."""
    body: str = ""
    """A digest of the whole object."""
    labels: frozenset[str] = frozenset()
    """Those labels that some watchers select by."""


class Write(NamedTuple):
    """One write that was acknowledged: what it made of an object, and at which revision (0: not told, as for a DELETE)."""

    type: str
    name: str
    token: str
    revision: int = 0
    body: str = ""


@dataclass
class Round:
    """What happened between two starts of the server."""

    start: int
    """The newest revision that anybody had seen before."""
    acknowledged: list[Write] = field(default_factory=list)
    doubtful: set[tuple[str, str]] = field(default_factory=set)
    """Name and token of writes that broke off."""


def faults(rounds: Sequence[Round], log: Sequence[Seen]) -> Iterator[str]:
    """Everything that is wrong with a log, given what the writers know."""
    if any(later.revision <= event.revision for event, later in pairwise(log)):
        yield "the revisions of the log do not rise strictly"
    made = {(event.name, _token(event)): event for event in log}
    if len(made) != len(log):
        yield "one write happened twice"
    known: set[tuple[str, str]] = set()
    for number, each in enumerate(rounds):
        for write in each.acknowledged:
            yield from _lost(write, made)
            if write.revision and write.revision <= each.start:
                yield f"round {number} acknowledged revision {write.revision}, which is not above {each.start}, seen before"
        known |= each.doubtful | {(write.name, write.token) for write in each.acknowledged}
    told = Counter(write.revision for each in rounds for write in each.acknowledged if write.revision)
    yield from (f"revision {revision} was acknowledged to {count} writes" for revision, count in told.items() if count > 1)
    yield from (f"nobody asked for {event}" for place, event in made.items() if place not in known)


def _token(event: Seen) -> str:
    return GONE if event.type == "DELETED" else event.token


def _lost(write: Write, made: Mapping[tuple[str, str], Seen]) -> Iterator[str]:
    event = made.get((write.name, write.token))
    if event is None:
        yield f"the acknowledged {write} is lost"
    elif event.type != write.type or (write.revision and (event.revision, event.body) != (write.revision, write.body)):
        yield f"{write} was stored as {event}"


def kept(rounds: Sequence[Round], listed: Mapping[str, Seen]) -> Iterator[str]:
    """What is wrong with the objects that a list shows, given what the writers know; nobody writes to an object after a write in doubt."""
    last = {write.name: write for each in rounds for write in each.acknowledged}
    doubtful = set[tuple[str, str]]().union(*(each.doubtful for each in rounds))
    for name, write in last.items():
        found = listed.get(name)
        if found is None:
            if write.token != GONE and (name, GONE) not in doubtful:
                yield f"the acknowledged {write} is lost"
        elif write.token == GONE:
            yield f"{found} is there, though its deletion was acknowledged"
        elif (found.revision, found.body) != (write.revision, write.body) and (name, found.token) not in doubtful:
            yield f"{found} is there, acknowledged was {write}"
    yield from (f"nobody asked for {found}" for name, found in listed.items() if name not in last and (name, found.token) not in doubtful)


def selected(log: Iterable[Seen], label: str) -> list[Seen]:
    """What a watch that selects by a label must have sent: an object that comes into its sight is ADDED, one that leaves DELETED."""
    inside: set[str] = set()
    result = []
    for event in log:
        here = label in event.labels and event.type != "DELETED"
        if event.name in inside and not here:
            inside.discard(event.name)
            result.append(event._replace(type="DELETED"))
        elif here:
            result.append(event._replace(type="MODIFIED" if event.name in inside else "ADDED"))
            inside.add(event.name)
    return result


def missed(what: str, sent: Sequence[Seen], due: Sequence[Seen]) -> Iterator[str]:
    """Where what a watcher was sent differs from what was due to it."""
    for place, (mine, theirs) in enumerate(zip(sent, due, strict=False)):
        if _event(mine) != _event(theirs):
            yield f"{what}: event {place} is {mine}, due was {theirs}"
            return
    if len(sent) != len(due):
        yield f"{what}: {len(sent)} events were sent, {len(due)} were due"


def _event(seen: Seen) -> tuple[int, str, str, str]:
    """What must be equal; an object that goes is shown as it last was, and how that was depends on who looks."""
    return seen.revision, seen.type, seen.name, "" if seen.type == "DELETED" else seen.body


def state(log: Iterable[Seen], until: int) -> dict[str, tuple[int, str]]:
    """Revision and digest of every object as of a revision, by name."""
    found: dict[str, tuple[int, str]] = {}
    for event in log:
        if event.revision > until:
            break
        if event.type == "DELETED":
            found.pop(event.name, None)
        else:
            found[event.name] = (event.revision, event.body)
    return found
