"""What an agent tells of a set: which reports say something new, how drift is counted, and how large a report may be. Pure.

Drift is counted where it is repaired: an object that a command had brought into order, and that had to be changed
for the same command again, was changed by somebody else in between. So it counts whoever noticed it, the
watch or the periodic look, and once however many events it made. It counts from the beginning of the agent; a set
that is asked for anew keeps its count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from skerry.agent.objects import Identity, result
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.wire import MOST_MESSAGE_BYTES

MOST_REPORT_BYTES = MOST_MESSAGE_BYTES - 256 * 1024
GOOD = frozenset((pb.OUTCOME_APPLIED, pb.OUTCOME_UNCHANGED))

Place = tuple[str, str, str, str]


def _place(each: pb.ObjectResult) -> Place:
    return Identity(each.api_version, each.kind, each.namespace, each.name).place


@dataclass(slots=True)
class Drifted:
    """What became undone of one set."""

    total: int = 0
    objects: dict[Place, tuple[int, float]] = field(default_factory=dict)
    """How often, and when last."""

    good: set[Place] = field(default_factory=set)
    """What the present command has brought into order; what is being deleted since then is made anew."""

    def count(self, report: pb.DesiredResult, now: float, *, first: bool) -> int:
        """Count what a report had to put right, and return how much that was; ``first``: it is the first one of its command."""
        before = set() if first else self.good
        again = [place for each in report.objects if each.outcome == pb.OUTCOME_APPLIED and (place := _place(each)) in before]
        self.good = {
            place
            for each in report.objects
            if each.outcome in GOOD or (each.outcome == pb.OUTCOME_WAITING and _place(each) in before)
            if (place := _place(each))
        }
        for place in again:
            self.objects[place] = (self.objects.get(place, (0, 0.0))[0] + 1, now)
        self.total += len(again)
        if self.objects:
            self.objects = {place: self.objects[place] for each in report.objects if (place := _place(each)) in self.objects}
        return len(again)

    def show(self, report: pb.DesiredResult, now: float) -> None:
        """Write the counts into a report."""
        report.drifts = self.total
        for each in report.objects if self.objects else ():
            times, at = self.objects.get(_place(each), (0, now))
            each.drifts, each.drifted_seconds_ago = times, int(now - at)


def said(report: pb.DesiredResult) -> tuple[object, ...]:
    """What a report says to whoever reads it: whether an object had to be changed to be as asked is the same to him."""
    objects = tuple(
        (
            *(each.api_version, each.kind, each.namespace, each.name, each.reason, each.message),
            pb.OUTCOME_UNCHANGED if each.outcome == pb.OUTCOME_APPLIED else each.outcome,
        )
        for each in report.objects
    )
    return report.gone, report.refused, report.drifts, objects


def broken(state: pb.DesiredState, reason: str, message: str) -> pb.DesiredResult:
    """The report of a set that cannot be enforced as a whole."""
    failed = result(Identity("", "ManifestSet", "", state.set), pb.OUTCOME_FAILED, reason, message)
    return pb.DesiredResult(set=state.set, owner_epoch=state.owner_epoch, generation=state.generation, objects=[failed])


def fitted(report: pb.DesiredResult, most: int = MOST_REPORT_BYTES) -> pb.DesiredResult:
    """The report, or as much of it as one message holds: first words are cut, then what is in order is left out, then the rest."""
    if report.ByteSize() <= most:
        return report
    made = pb.DesiredResult()
    made.CopyFrom(report)
    for length in (512, 128, 0):
        for each in made.objects:
            each.message = each.message[:length]
            if not length:
                del each.owners[:]
        if made.ByteSize() <= most:
            return made
    kept = sorted(made.objects, key=lambda each: each.outcome in GOOD)
    del made.objects[:]
    room = most - made.ByteSize()
    for each in kept:
        room -= each.ByteSize() + 8
        if room < 0:
            break
        made.objects.append(each)
    return made
