"""Desired state: ManifestSets go to the agent of their cluster, and what became of them comes back.

Level-based: a set is sent once for each of its generations and sessions of its agent, whatever
wakes us; an agent that has it already only reports again. A report waits here until it is written,
and a newer one takes its place, so that a store that is slow or away for a moment costs nothing
but time.

The status holds counts and the first failures. It is written when it changes, not at every
report: a quiet fleet makes hardly any revisions, ``lastEnforcedTime`` moves at most once a minute, and so does
what is told of drift: what comes too soon waits here until its time.
A report of an older command than the status speaks of never takes it back, nor does one that came in a
session which is not its agent's newest any more: it is let go, for the newer one reports again. So is
what an agent says of a set that is another's, or of a command that was never given. What became of each
object is kept beside the status (``results.py``).

A set always fits into a message to its agent: no object that the door takes is larger than a tenth of one.

A set that adopts objects or is left goes only to an agent that knows how: an older one would take what it
does not adopt for somebody else's. The wire is safe beside (see ``DesiredState``).

What an agent that is away was not told yet is said to wait for it, a deletion above all.

Deletion waits for the finalizer: it goes once the agent says that nothing is left, or when the cluster
that the set was for is not known here any more.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from skerry.client.contract import Client, PatchKind, Ref
from skerry.gateway.assigned import agent_of
from skerry.gateway.conditions import Verdict, condition, found
from skerry.gateway.results import Results, trimmed
from skerry.gateway.routes import Route, Routes
from skerry.gateway.sessions import Outdone, Sessions
from skerry.gateway.subjects import Subjects, connected
from skerry.kinds.common import GROUP, VERSION
from skerry.kinds.manifestset import PRUNE
from skerry.kit.clock import Clock, rfc3339
from skerry.machinery.document import dumps
from skerry.machinery.errors import NotFound
from skerry.machinery.resource import Json
from skerry.runtime.informer import Informer
from skerry.tunnel import link_pb2 as pb

MANIFESTSETS = Ref(GROUP, VERSION, "manifestsets")
MANAGER = "skerry-gateway"
MOST_FAILURES = 10
FEATURE = "adoption"
"""What an agent says of itself that can adopt objects and leave them."""
ENFORCED_STEP = DRIFT_STEP = timedelta(seconds=60)
MOST_SECONDS = 366 * 86400
"""Nothing that an agent tells of is longer ago."""


class Desired:
    """Hands ManifestSets to agents, and writes down what they report."""

    def __init__(
        self,
        client: Client,
        routes: Routes,
        sessions: Sessions,
        informer: Informer,
        subjects: Subjects,
        results: Results,
        clock: Clock,
    ) -> None:
        """``informer`` follows all ManifestSets."""
        self._client = client
        self._routes = routes
        self._sessions = sessions
        self._informer = informer
        self._subjects = subjects
        self._results = results
        self._clock = clock
        self._wake: Callable[[str], None] = lambda _: None
        self._reports: dict[str, _Report] = {}
        self._sent: dict[str, tuple[Route, _Command]] = {}
        self._drift: dict[str, tuple[int, Json]] = {}
        """What is to be told of drift, by set, and came too soon after what was told last."""

    def listen(self, wake: Callable[[str], None]) -> None:
        """Tell ``wake`` the key of every set that was reported on."""
        self._wake = wake

    def take_result(self, name: str, result: pb.DesiredResult) -> None:
        """Take what became of a set, from the agent of a full name."""
        key = f"{name.partition('.')[0]}/{result.set}"
        obj, route = self._informer.get(key), self._routes.get(name)
        if obj is not None and agent_of(obj) == name and (result.owner_epoch, result.generation) <= _command(obj)[:2]:
            self._reports[key] = _Report(route, trimmed(obj, result))
            self._wake(key)

    async def reconcile(self, key: str) -> float | None:
        """Write down what was reported of one set, and send it if its agent is here and was not told yet; returns when to look again."""
        obj = self._informer.get(key)
        if obj is None:
            self._reports.pop(key, None)
            self._drift.pop(key, None)
            self._sent.pop(key, None)
            await self._results.forget(*key.split("/", 1))
            return None
        report = self._reports.get(key)
        if report is not None:
            await self._keep(obj, report)
            if self._reports.get(key) is report:
                del self._reports[key]
        again = await self._tell_drift(key, obj)
        metadata = obj["metadata"]
        if not metadata.get("deletionTimestamp") and PRUNE not in (metadata.get("finalizers") or ()):
            body = {"finalizers": [*(metadata.get("finalizers") or ()), PRUNE], "resourceVersion": metadata["resourceVersion"]}
            await self._patch(obj, {"metadata": body})  # the change comes back here, and the set is sent
        elif metadata.get("deletionTimestamp") and self._orphaned(obj):
            await self._let_go(obj)
        elif (route := self._routes.get(agent_of(obj))) is not None and _demanding(obj) and FEATURE not in route.hello.features:
            text = (
                f"the agent is of release {route.hello.agent_version or 'unknown'} and can neither adopt objects nor leave them: update it"
            )
            await self._tell(obj, Verdict("False", "AgentOutdated", text))
        elif route is None and self._is_left_waiting(obj):
            await self._tell(obj, Verdict("Unknown", "AgentAway", "its agent is away, and is asked when it is here"))
        else:
            self._send(key, obj)
        return again

    async def _tell_drift(self, key: str, obj: Json) -> float | None:
        """Tell what of drift came too soon; returns after how many seconds that may be."""
        if key not in self._drift:
            return None
        now = self._clock.now()
        if left := _too_soon((obj.get("status") or {}).get("drift") or {}, now):
            return left
        session, drift = withheld = self._drift[key]
        if not await self._sessions.stands(agent_of(obj), session):
            del self._drift[key]  # a newer session tells, here or at another gateway
            return None
        await self._patch(obj, {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}, "status": {"drift": drift}}, "status")
        if self._drift.get(key) is withheld:
            del self._drift[key]
        return None

    def _is_left_waiting(self, obj: Json) -> bool:
        """Whether something is asked for that the agent does not know yet, and it is with no gateway."""
        subject = self._subjects.get(agent_of(obj))
        asked, answered = obj["metadata"].get("generation", 0), (obj.get("status") or {}).get("observedGeneration", 0)
        return answered < asked and subject is not None and not connected(subject.get("status") or {})

    async def _tell(self, obj: Json, verdict: Verdict) -> None:
        """Say in the condition why an agent was not asked."""
        before: Json = obj.get("status") or {}
        status = {**before, "conditions": [condition(before, "Applied", verdict, self._clock.now(), obj["metadata"].get("generation", 0))]}
        if status != before:
            await self._patch(obj, {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}, "status": status}, "status")

    async def _keep(self, obj: Json, report: _Report) -> None:
        """Write down what was reported, if its session is still the newest."""
        if not await self._sessions.stands(agent_of(obj), report.session):
            return
        if not _is_older(obj, report.result) and not report.result.gone:
            try:
                await self._results.take(obj, report.route, report.result)
            except Outdone:
                return
        await self._write(obj, report.result, report.session)

    def _send(self, key: str, obj: Json) -> None:
        route, command = self._routes.get(agent_of(obj)), _command(obj)
        if route is None or route.held or self._sent.get(key) == (route, command):
            return
        self._sent[key] = (route, command)
        route.send_state(key.partition("/")[2], partial(self._state, key))

    def _state(self, key: str) -> pb.DesiredState | None:
        """The set as it is when its turn to be sent comes."""
        obj = self._informer.get(key)
        if obj is None:
            return None
        epoch, generation, ending = _command(obj)
        spec, name = obj.get("spec") or {}, key.partition("/")[2]
        leave = ending and bool(spec.get("leave"))
        removing = ending and not leave
        manifests = [] if removing else [dumps(manifest) for manifest in spec.get("manifests") or ()]
        return pb.DesiredState(
            set=name,
            owner_epoch=epoch,
            generation=generation,
            manifests=manifests,
            remove=removing,
            leave=leave,
            adopt=spec.get("adopt") or (),
            take_conflicts=spec.get("conflicts") == "Take" and not ending,
        )

    async def _write(self, obj: Json, report: pb.DesiredResult, session: int) -> None:
        metadata = obj["metadata"]
        if report.gone:
            if metadata.get("deletionTimestamp"):
                await self._let_go(obj)
            return
        now = self._clock.now()
        status = next_status(obj, report, now)
        self._withhold(obj, status, report, session, now)
        if status != (obj.get("status") or {}):
            await self._patch(obj, {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": status}, "status")

    def _withhold(self, obj: Json, status: Json, report: pb.DesiredResult, session: int, now: datetime) -> None:
        key = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
        if report.refused or _is_older(obj, report):
            return
        if report.drifts != (status.get("drift") or {}).get("count", 0):
            self._drift[key] = session, _drifted(status["drift"], report, now)
        else:
            self._drift.pop(key, None)

    def _orphaned(self, obj: Json) -> bool:
        """Whether the cluster that a set is for is gone, as far as is known: its agent will never speak again."""
        return (
            bool((obj.get("spec") or {}).get("cluster"))
            and self._subjects.clusters.synced.is_set()
            and not self._subjects.get(agent_of(obj))
        )

    async def _let_go(self, obj: Json) -> None:
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or ()
        if PRUNE in finalizers:
            kept = [each for each in finalizers if each != PRUNE]
            await self._patch(obj, {"metadata": {"finalizers": kept, "resourceVersion": metadata["resourceVersion"]}})

    async def _patch(self, obj: Json, body: Json, subresource: str = "") -> None:
        """Patch a set; one that is gone meanwhile is fine."""
        metadata = obj["metadata"]
        try:
            await self._client.patch(
                MANIFESTSETS, metadata["name"], metadata["namespace"], PatchKind.MERGE, body, subresource=subresource, manager=MANAGER
            )
        except NotFound:
            return


class _Report(NamedTuple):
    """What was reported, and the session in which it was."""

    route: Route | None
    result: pb.DesiredResult

    @property
    def session(self) -> int:
        """The epoch of the session."""
        return self.route.epoch if self.route else 0


_Command = tuple[int, int, bool]
"""Epoch, generation, and whether the set ends."""


def _demanding(obj: Json) -> bool:
    """Whether a set needs an agent that can adopt objects and leave them."""
    spec = obj.get("spec") or {}
    return bool(spec.get("adopt")) or bool(spec.get("leave") and obj["metadata"].get("deletionTimestamp"))


def _command(obj: Json) -> _Command:
    metadata = obj["metadata"]
    return (obj.get("spec") or {}).get("ownerEpoch", 0), metadata.get("generation", 0), bool(metadata.get("deletionTimestamp"))


def _is_older(obj: Json, result: pb.DesiredResult) -> bool:
    """Whether a report is of an older command than the status speaks of."""
    before: Json = obj.get("status") or {}
    return (result.owner_epoch, result.generation) < (before.get("ownerEpoch", 0), before.get("observedGeneration", 0))


def next_status(obj: Json, result: pb.DesiredResult, now: datetime) -> Json:
    """The status after a report (pure)."""
    before: Json = obj.get("status") or {}
    if result.refused:
        verdict = Verdict("False", "Refused", result.refused)
        return {**before, "conditions": [condition(before, "Applied", verdict, now, result.generation)]}
    if _is_older(obj, result):
        return before
    failures = [each for each in result.objects if each.outcome in FAILED]
    waiting = [each for each in result.objects if each.outcome == pb.OUTCOME_WAITING]
    good = [each for each in result.objects if each.outcome in GOOD]
    verdict = _verdict(failures, waiting, good)
    status: Json = {
        "observedGeneration": result.generation,
        "ownerEpoch": result.owner_epoch,
        "applied": len(good),
        "failed": len(failures),
        "pending": len(waiting),
        "failures": [_failure(each) for each in failures[:MOST_FAILURES]],
        "conditions": [condition(before, "Applied", verdict, now, result.generation)],
    }
    if drift := _drift(before.get("drift") or {}, result, now):
        status["drift"] = drift
    seen = now - timedelta(seconds=min(result.enforced_seconds_ago, MOST_SECONDS))
    enforced = _enforced(before, verdict.status == "True", seen, result.generation)
    return {**status, "lastEnforcedTime": enforced} if enforced else status


WAITING = "Waiting"
"""Why a set is not applied yet, and what it has come to then."""
STATES = ("Applied", "Failed", WAITING)
"""What a ManifestSet can have come to (``state_of``)."""

GOOD = frozenset((pb.OUTCOME_APPLIED, pb.OUTCOME_UNCHANGED))
FAILED = frozenset((pb.OUTCOME_FAILED, pb.OUTCOME_CONFLICT))


def _verdict(failures: list[pb.ObjectResult], waiting: list[pb.ObjectResult], good: list[pb.ObjectResult]) -> Verdict:
    if failures:
        first = failures[0]
        return Verdict("False", first.reason or "ApplyFailed", f"{first.kind} {_place(first)}: {first.message}")
    if waiting:
        first = waiting[0]
        total = len(waiting) + len(good)
        return Verdict("False", WAITING, f"{len(waiting)} of {total} objects wait, first {first.kind} {first.name}: {first.message}")
    return Verdict("True", "Applied", f"{len(good)} objects are as asked for")


def state_of(obj: Json) -> str:
    """What became of a ManifestSet as it is now; one that was changed since waits."""
    status, generation = obj.get("status") or {}, obj["metadata"].get("generation", 0)
    said = found(status, "Applied")
    if not said or said.get("observedGeneration", 0) != generation or said["status"] == "Unknown" or said["reason"] == WAITING:
        return WAITING
    return "Applied" if said["status"] == "True" else "Failed"


def _drift(before: Json, result: pb.DesiredResult, now: datetime) -> Json:
    """What is told of drift; it moves at most once a minute, however much somebody undoes."""
    return before if result.drifts == before.get("count", 0) or _too_soon(before, now) else _drifted(before, result, now)


def _too_soon(before: Json, now: datetime) -> float:
    """After how many seconds something may be told of drift again; 0: now."""
    if not before.get("lastTime"):
        return 0
    passed = now - datetime.fromisoformat(before["lastTime"])
    return (DRIFT_STEP - passed).total_seconds() if timedelta() <= passed < DRIFT_STEP else 0


def _drifted(before: Json, result: pb.DesiredResult, now: datetime) -> Json:
    """What a report tells of drift."""
    drifted = [each for each in result.objects if each.drifts]
    if not result.drifts or not drifted:
        return {**before, "count": result.drifts}
    last = min(drifted, key=lambda each: each.drifted_seconds_ago)
    when = now - timedelta(seconds=min(last.drifted_seconds_ago, MOST_SECONDS))
    return {"count": result.drifts, "lastTime": rfc3339(when), "lastObject": f"{last.kind} {_place(last)}"[:512]}


def _place(each: pb.ObjectResult) -> str:
    return f"{each.namespace}/{each.name}" if each.namespace else each.name


def _enforced(before: Json, good: bool, seen: datetime, generation: int) -> str | None:
    last = before.get("lastEnforcedTime")
    if not good:
        return last
    if last and before.get("observedGeneration") == generation and seen - datetime.fromisoformat(last) < ENFORCED_STEP:
        return str(last)
    return rfc3339(seen)


def _failure(each: pb.ObjectResult) -> Json:
    return {
        "apiVersion": each.api_version,
        "kind": each.kind,
        "namespace": each.namespace,
        "name": each.name,
        "reason": each.reason,
        "message": each.message[:4096],
    }
