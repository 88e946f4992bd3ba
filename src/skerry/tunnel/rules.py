"""What the session machines are made of: small rules, each of one thing, without I/O and without a clock.

Silence (:class:`Liveness`), the numbering of inventory deltas (:class:`DeltaOrder`), listings that
span several deltas (:class:`Listings`), and the fence against old commands (:class:`Fence`). The
rules are stated above the machines, in ``session.py``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from skerry.tunnel import link_pb2 as pb

KindName: TypeAlias = tuple[str, str]
"""Group and plural."""

Names: TypeAlias = frozenset[tuple[str, str]]
"""Namespaces and names of a kind's objects."""


@dataclass(slots=True)
class Liveness:
    """Whether the far end lives."""

    patience: float
    heard_at: float

    def heard(self, now: float) -> None:
        """Something arrived."""
        self.heard_at = now

    def dead(self, now: float) -> bool:
        """Nothing arrived for too long."""
        return now >= self.heard_at + self.patience

    def wait(self, now: float) -> float:
        """How long it may still stay silent."""
        return max(0.0, self.heard_at + self.patience - now)


class Verdict(Enum):
    """What to do with an inventory delta."""

    TAKE = "take"
    RESYNC = "resync"
    IGNORE = "ignore"


@dataclass(slots=True)
class DeltaOrder:
    """The receiver's side of the numbering."""

    expected: int = 1
    waiting: bool = False

    def judge(self, sequence: int) -> Verdict:
        """Decide on a delta."""
        if sequence == 1:
            self.expected, self.waiting = 2, False
            return Verdict.TAKE
        if self.waiting:
            return Verdict.IGNORE
        if sequence != self.expected:
            self.waiting = True
            return Verdict.RESYNC
        self.expected += 1
        return Verdict.TAKE


@dataclass(slots=True)
class Listings:
    """The names of kinds whose listing is under way."""

    begun: dict[KindName, set[tuple[str, str]]] = field(default_factory=dict)

    def take(self, delta: pb.InventoryDelta) -> dict[KindName, Names]:
        """Follow one delta; returns the names of every kind that is complete with it."""
        if delta.sequence == 1:
            self.begun.clear()
        complete = {kind_of(kind) for kind in delta.complete}
        for kind in delta.begins:
            self.begun[kind_of(kind)] = set()
        for name in complete:
            self.begun.setdefault(name, set())
        for item in delta.items:
            names = self.begun.get(kind_of(item.kind))
            if names is not None and item.object:
                names.add((item.namespace, item.name))
            elif names is not None:
                names.discard((item.namespace, item.name))
        return {name: frozenset(self.begun.pop(name)) for name in complete}


@dataclass(slots=True)
class Fence:
    """The highest command seen of each set. It outlives sessions."""

    seen: dict[str, tuple[int, int]] = field(default_factory=dict)

    def admit(self, name: str, epoch: int, generation: int) -> str:
        """Admit a command, or say why not."""
        highest = self.seen.get(name, (0, 0))
        if (epoch, generation) < highest:
            return (
                f"epoch {epoch}, generation {generation} is older than epoch {highest[0]}, generation {highest[1]}, which was seen already"
            )
        self.seen[name] = (epoch, generation)
        return ""

    def forget(self, name: str) -> None:
        """The set is gone for good."""
        self.seen.pop(name, None)


def refuse_hello(said: str, proved: str | None) -> str:
    """Why a Hello is not accepted; empty if it is."""
    if proved is None:
        return "the client certificate is not one of an agent"
    if said != proved:
        return f"the certificate is that of management cluster {proved}, not {said}"
    return ""


def digest_of(bundle: bytes) -> str:
    """What a bundle of roots is called when it is acknowledged."""
    return hashlib.sha256(bundle).hexdigest()


def kind_of(kind: pb.ResourceKind) -> KindName:
    """The name of a kind, fit for a key."""
    return kind.group, kind.plural
