"""What the gateway asked for last, enforced: at once, again after failure, after drift, and from time to time.

This outlives sessions: while the gateway is away the cluster is kept as it was asked last. A
command that is repeated (a new session tells everything anew) is answered with what is known, and
costs the cluster nothing. Reports wait here, one per set, until a session takes them, so a
session that breaks loses none.

A report is told when it says something new (``reports.py``), and from time to time so that the far end
knows when the cluster was last looked at; a set that waits is quiet while it waits. Ages are written into
it when it is taken: it may have waited for a session for long.

One queue orders the work: a set is worked on by one worker at a time, and what arrives meanwhile
is done afterwards. What waits or failed is tried again after a while that grows, and so is what
somebody keeps undoing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from skerry.agent.apply import Applier
from skerry.agent.discovery import KindMap
from skerry.agent.drift import GATHER_SECONDS, Drift, Repairs
from skerry.agent.reports import Drifted, broken, fitted, said
from skerry.client.contract import Client
from skerry.kit.aio import Pulse, TaskOwner
from skerry.kit.backoff import Backoff
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.errors import ApiError, ServiceUnavailable, Timeout
from skerry.runtime.meters import Meters
from skerry.runtime.queue import WorkQueue
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import Fence

ENFORCE_AGAIN_SECONDS = 300.0
"""How often what is in order is looked at again; drift is seen at once where it can be."""

MOST_SECONDS_BETWEEN_TRIES = 30.0
WORKERS = 4
SETTLED = frozenset((pb.OUTCOME_APPLIED, pb.OUTCOME_UNCHANGED, pb.OUTCOME_PRUNED))

log = get("agent.enforce")


@dataclass(slots=True)
class _Wanted:
    """A set as it was asked for last, and what became of it."""

    state: pb.DesiredState
    report: pb.DesiredResult | None = None
    told_at: float = 0.0
    enforced_at: float | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(base=0.5, limit=MOST_SECONDS_BETWEEN_TRIES, floor=0.2))
    repairs: Repairs = field(default_factory=Repairs)
    looked_at: float = 0.0
    drifted: Drifted = field(default_factory=Drifted)


class Enforcer:
    """Keeps one cluster as it was asked for."""

    def __init__(self, client: Client, kinds: KindMap, fence: Fence, clock: Clock, pulse: Pulse, meters: Meters | None = None) -> None:
        """``fence`` is told when a set is gone for good; ``pulse`` beats when there is a report to take; ``meters`` measure the queue."""
        self._fence = fence
        self._clock = clock
        self._drift = Drift(client, self._drifted)
        self._applier = Applier(client, kinds, self._drift)
        self._wanted: dict[str, _Wanted] = {}
        self._queue = WorkQueue(clock, "desired", meters)
        self._enforced = self._repairs = self._drifts = 0
        self._unanswered = False
        self._reports: dict[str, tuple[_Wanted, pb.DesiredResult]] = {}
        self._pulse = pulse

    def ask(self, state: pb.DesiredState) -> None:
        """Bring the cluster to a state, from now on."""
        known = self._wanted.get(state.set)
        if known is not None and known.state == state:
            if known.report is not None:
                self._tell(known, known.report)
            return
        self._wanted[state.set] = _Wanted(state, drifted=known.drifted if known is not None else Drifted())
        self._queue.add(state.set)

    def take_report(self) -> pb.DesiredResult | None:
        """What became of one set and was not taken yet; None if there is nothing."""
        if not self._reports:
            return None
        wanted, report = self._reports.pop(next(iter(self._reports)))
        now = self._clock.monotonic()
        report.looked_seconds_ago = int(now - wanted.looked_at)
        if wanted.enforced_at is not None:
            report.enforced_seconds_ago = int(now - wanted.enforced_at)
        wanted.drifted.show(report, now)
        return fitted(report)

    async def run(self) -> None:
        """Enforce until cancelled."""
        async with TaskOwner("enforcer") as owner:
            for number in range(WORKERS - 1):
                owner.spawn(self._work(), f"worker-{number}")
            owner.spawn(self._drift.run(), "drift")
            await self._work()

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        counted = {"sets": len(self._wanted), "reports": len(self._reports), "enforced": self._enforced}
        counted |= {"repairs": self._repairs, "drifts": self._drifts}
        return {**counted, **self._drift.statistics(), **self._queue.statistics()}

    def outcomes(self) -> Counter[int]:
        """How many objects there are by what became of them when they were last enforced."""
        reports = [wanted.report for wanted in self._wanted.values() if wanted.report is not None]
        return Counter(each.outcome for report in reports for each in report.objects)

    def _drifted(self, name: str) -> None:
        wanted = self._wanted.get(name)
        if wanted is None or wanted.state.remove or wanted.state.leave:
            self._queue.add_after(name, GATHER_SECONDS)  # what we waited for is gone
        else:
            self._repairs += wanted.repairs.due is None  # what drifts before a repair begins is repaired by the same one
            self._queue.add_after(name, wanted.repairs.wait(self._clock.monotonic()))

    async def _work(self) -> None:
        while True:
            name = await self._queue.take()
            wanted = self._wanted.get(name)
            if wanted is None:
                self._queue.done(name)
                continue
            wanted.repairs.begun()
            try:
                report = await self._applier.enforce(wanted.state)
            except (ServiceUnavailable, Timeout) as error:
                self._not_yet(name, error, self._queue.failed(name))
            except (ApiError, ValueError) as error:
                delay = self._queue.failed(name)
                log.warning("cannot remember a set", set=name, error=str(error), again_in=round(delay, 1))
                reason = error.reason if isinstance(error, ApiError) else "Unreadable"
                self._report(wanted, broken(wanted.state, reason, f"what the set has applied cannot be kept or read: {error}"))
            except Exception as error:
                delay = self._queue.failed(name)
                log.exception("enforcing failed unexpectedly", set=name, again_in=round(delay, 1))
                self._report(wanted, broken(wanted.state, "AgentError", f"{type(error).__name__}; the log of the agent says more"))
            else:
                self._queue.done(name)
                self._unanswered = False
                self._enforced += 1
                self._settle(wanted, report)

    def _not_yet(self, name: str, error: ApiError, delay: float) -> None:
        """Nobody answers: the heartbeat tells, and the log once, however many sets there are and however long it lasts."""
        told = log.debug if self._unanswered else log.info
        told("cannot enforce yet", set=name, error=str(error), again_in=round(delay, 1))
        self._unanswered = True

    def _settle(self, wanted: _Wanted, report: pb.DesiredResult) -> None:
        name, now = report.set, self._clock.monotonic()
        if self._wanted.get(name) is not wanted:
            return  # another command came meanwhile, and is next in the queue
        if report.gone or report.refused:
            del self._wanted[name]  # if the refused one comes again it is looked at again
        if report.gone:
            self._fence.forget(name)
        elif report.refused:
            log.warning("an old command was refused", set=name, reason=report.refused)
        elif all(each.outcome in SETTLED for each in report.objects):
            wanted.enforced_at = now
            wanted.backoff.reset()
            self._queue.add_after(name, ENFORCE_AGAIN_SECONDS)
        else:
            self._queue.add_after(name, wanted.backoff.next())
        self._drifts += wanted.drifted.count(report, now, first=wanted.report is None)
        self._report(wanted, report)

    def _report(self, wanted: _Wanted, report: pb.DesiredResult) -> None:
        before, wanted.report = wanted.report, report
        wanted.looked_at = self._clock.monotonic()
        report.drifts = wanted.drifted.total
        quiet = self._clock.monotonic() - wanted.told_at < ENFORCE_AGAIN_SECONDS
        if before is None or not quiet or said(before) != said(report):
            self._tell(wanted, report)

    def _tell(self, wanted: _Wanted, report: pb.DesiredResult) -> None:
        wanted.told_at = self._clock.monotonic()
        self._reports[report.set] = wanted, report
        self._pulse.beat()
