"""The rules of a link session, as state machines without I/O.

* The agent speaks first, and says the name that its certificate says. Anything else ends the session.
* A session is alive while something was heard within three heartbeat intervals.
* Inventory deltas are numbered from 1. A gap means that something was lost: the receiver asks
  for everything again, and ignores deltas until the numbering starts anew.
* A command carries (owner epoch, generation). An agent refuses one below the highest it has
  seen for the same set; the same again is welcome, it is how drift is repaired.
* Whoever does not know a message ignores it: an agent may be one release older or newer.

Time is a number of seconds that the caller passes in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

HEARTBEAT_SECONDS = 10
MISSED_BEATS = 3


class Verdict(Enum):
    """What to do with an inventory delta."""

    TAKE = "take"
    RESYNC = "resync"
    IGNORE = "ignore"


@dataclass(slots=True)
class Liveness:
    """Whether the far end lives."""

    interval: float
    heard_at: float

    def heard(self, now: float) -> None:
        """Something arrived."""
        self.heard_at = now

    def dead(self, now: float) -> bool:
        """Nothing arrived for too long."""
        return now - self.heard_at > self.interval * MISSED_BEATS

    def wait(self, now: float) -> float:
        """How long it may still stay silent."""
        return max(0.0, self.heard_at + self.interval * MISSED_BEATS - now)


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
class Fence:
    """The highest command seen of each set."""

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
