"""What clients of a server that is killed have seen, and whether it can all be true.

Every write carries a *token* that no other write has. A write is acknowledged, with its
revision, or in doubt: the connection broke, and it may have happened or not. :func:`faults`
holds all that against the log of the server, as a watch from the beginning of the round shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Seen(NamedTuple):
    """One event of a watch."""

    revision: int
    type: str
    name: str
    token: str
    selected: bool
    """Whether the object carries the label that some watchers select by."""


class Write(NamedTuple):
    """One write that was acknowledged: what it made of an object, and at which revision (0: not told, as for a DELETE)."""

    type: str
    name: str
    token: str
    revision: int = 0


@dataclass
class Round:
    """What happened between two starts of the server."""

    start: int
    """The newest revision that anybody had seen before."""
    acknowledged: list[Write] = field(default_factory=list)
    doubtful: set[tuple[str, str]] = field(default_factory=set)
    """Name and token of writes that broke off; token ``-`` for a deletion."""


def faults(rounds: Sequence[Round], log: Sequence[Seen]) -> Iterator[str]:
    """Everything that is wrong with a log, given what the writers know."""
    revisions = [event.revision for event in log]
    if revisions != sorted(set(revisions)):
        yield "the revisions of the log do not rise strictly"
    by_token = {(event.name, event.token): event for event in log if event.type != "DELETED"}
    deleted = {event.name for event in log if event.type == "DELETED"}
    known: set[tuple[str, str]] = set()
    for number, each in enumerate(rounds):
        for write in each.acknowledged:
            known.add((write.name, write.token))
            yield from _fault(write, by_token, deleted)
            if write.revision and write.revision <= each.start:
                yield f"round {number} acknowledged revision {write.revision}, which is not above {each.start}, seen before"
        known |= each.doubtful
    told = [write.revision for each in rounds for write in each.acknowledged if write.revision]
    if len(set(told)) != len(told):
        yield "one revision was acknowledged to two writes"
    for event in log:
        token = "-" if event.type == "DELETED" else event.token
        if (event.name, token) not in known:
            yield f"nobody asked for {event}"


def _fault(write: Write, by_token: dict[tuple[str, str], Seen], deleted: set[str]) -> Iterator[str]:
    if write.type == "DELETED":
        if write.name not in deleted:
            yield f"the acknowledged deletion of {write.name} is lost"
        return
    event = by_token.get((write.name, write.token))
    if event is None:
        yield f"the acknowledged {write} is lost"
    elif (event.revision, event.type) != (write.revision, write.type):
        yield f"{write} was stored as {event}"


def selected(log: Iterable[Seen], standing: Iterable[str] = ()) -> list[Seen]:
    """What a watch that selects by the label must have sent: an object that comes into its sight is ADDED, one that leaves DELETED."""
    inside = set(standing)
    result = []
    for event in log:
        here = event.selected and event.type != "DELETED"
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
        if (mine.revision, mine.type, mine.name) != (theirs.revision, theirs.type, theirs.name):
            yield f"{what}: event {place} is {mine}, due was {theirs}"
            return
    if len(sent) != len(due):
        yield f"{what}: {len(sent)} events were sent, {len(due)} were due"


def state(log: Iterable[Seen], until: int) -> dict[str, str]:
    """Name and token of every object as of a revision."""
    found: dict[str, str] = {}
    for event in log:
        if event.revision > until:
            break
        if event.type == "DELETED":
            found.pop(event.name, None)
        else:
            found[event.name] = event.token
    return found
