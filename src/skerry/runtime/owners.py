"""Who owns whom, as far as it was seen: the graph that garbage collection walks.

A place is where an object of a kind lives. The graph knows objects by their uid, which says
more than a name: an object that was made anew under an old name owns nothing. Nothing here
asks an API; what follows from a look at the owners is decided by :func:`judge`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from skerry.machinery.resource import Json

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


class Place(NamedTuple):
    """Group and kind, and the key of :func:`skerry.runtime.informer.key_of`."""

    group: str
    kind: str
    key: str

    @property
    def namespace(self) -> str:
        """The namespace; empty for what lives in none."""
        return self.key.rpartition("/")[0]


def waits(metadata: Json) -> bool:
    """Whether an object stays until its dependents are gone."""
    return bool(metadata.get("deletionTimestamp")) and FOREGROUND in (metadata.get("finalizers") or ())


def owners_of(metadata: Json) -> list[Json]:
    """An object's owner references."""
    return list(metadata.get("ownerReferences") or ())


class _Seen(NamedTuple):
    uid: str
    owners: frozenset[str]
    waits: bool


class Graph:
    """Objects by place and uid, and who names whom as an owner."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._at: dict[Place, _Seen] = {}
        self._where: dict[str, Place] = {}
        self._owned: dict[str, set[Place]] = {}

    def put(self, place: Place, metadata: Json | None) -> set[Place]:
        """Take what is at a place now (None: nothing); return the places that should be looked at because of it."""
        before, after = self._at.pop(place, None), None
        if metadata is not None:
            owners = frozenset(owner["uid"] for owner in owners_of(metadata))
            after = self._at[place] = _Seen(metadata["uid"], owners, waits(metadata))
        concerned: set[Place] = set()
        if before is not None and (after is None or after.uid != before.uid):
            if self._where.get(before.uid) == place:
                del self._where[before.uid]
            concerned |= self._owned.get(before.uid, set())
        self._relate(place, before.owners if before else frozenset(), after.owners if after else frozenset())
        for owner in (before.owners if before else frozenset()) | (after.owners if after else frozenset()):
            above = self._where.get(owner)
            if above is not None and self._at[above].waits:
                concerned.add(above)
        if after is not None and metadata is not None:
            self._where[after.uid] = place
            if after.owners or metadata.get("deletionTimestamp"):
                concerned.add(place)
        return concerned

    def _relate(self, place: Place, before: frozenset[str], after: frozenset[str]) -> None:
        for uid in before - after:
            self._owned[uid].discard(place)
            if not self._owned[uid]:
                del self._owned[uid]
        for uid in after - before:
            self._owned.setdefault(uid, set()).add(place)

    def forget(self, group: str, kind: str) -> None:
        """Drop a kind that is no longer served. What it owned stays: nobody can say that the owners are gone."""
        for place in [place for place in self._at if place[:2] == (group, kind)]:
            seen = self._at.pop(place)
            self._where.pop(seen.uid, None)
            self._relate(place, seen.owners, frozenset())

    def place_of(self, uid: str) -> Place | None:
        """Where an object lives, if it was seen."""
        return self._where.get(uid)

    def dependents(self, uid: str) -> set[Place]:
        """What names an object as an owner."""
        return set(self._owned.get(uid, ()))

    def owned(self) -> set[Place]:
        """Everything that names an owner."""
        return set().union(*self._owned.values())

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {"objects": len(self._at), "owners": len(self._owned)}


class Owner(Enum):
    """What became of an owner."""

    THERE = "there"
    WAITS = "waits for its dependents to go"
    GONE = "gone"
    UNKNOWN = "cannot be looked up"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done with an object: nothing, delete it in some way, or take these references (by uid) out of it."""

    delete: str = ""
    drop: frozenset[str] = frozenset()


KEEP = Verdict()


def judge(metadata: Json, owners: Sequence[tuple[Json, Owner]], *, has_dependents: bool) -> Verdict:
    """Decide about an object from its owner references and what became of the owners.

    * An owner that cannot be looked up may be there: nothing happens.
    * One owner that is there keeps the object; the references to others are taken out.
    * An owner that waits for its dependents hands its way of going on to them.
    * Otherwise the object goes, in the way that its own finalizers ask for.
    """
    states = {state for _, state in owners}
    if not owners or Owner.UNKNOWN in states:
        return KEEP
    if Owner.THERE in states:
        return Verdict(drop=frozenset(reference["uid"] for reference, state in owners if state is not Owner.THERE))
    finalizers = metadata.get("finalizers") or ()
    if Owner.WAITS in states and has_dependents:
        return Verdict(delete="Foreground")
    if ORPHAN in finalizers:
        return Verdict(delete="Orphan")
    return Verdict(delete="Foreground" if FOREGROUND in finalizers else "Background")


def without(metadata: Json, uids: Iterable[str]) -> list[Any] | None:
    """The owner references that are left without some; None if none are."""
    gone = set(uids)
    return [owner for owner in owners_of(metadata) if owner["uid"] not in gone] or None


def unblocked(metadata: Json) -> list[Any]:
    """The owner references, none of which blocks."""
    return [{name: value for name, value in owner.items() if name != "blockOwnerDeletion"} for owner in owners_of(metadata)]


def blocks(metadata: Json, uid: str = "") -> bool:
    """Whether an object keeps its owner (with this uid; empty: any) from going first."""
    return any(owner.get("blockOwnerDeletion") and uid in {"", owner["uid"]} for owner in owners_of(metadata))
