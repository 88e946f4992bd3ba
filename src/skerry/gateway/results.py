"""What became of each object of a ManifestSet: EnforcedObjects, latest values at the Kubernetes door.

* A report is compared with what is stored of its set, and what differs is written, in one batch, under the claim of
  the session in which it was told (``sessions.py``). What is not of the set any more goes with it.
* A report that says nothing new writes nothing. The time at which an object was as asked is refreshed when it is an
  hour old, the oldest first and not many at once: the ManifestSet's own time is the one that is exact.
* An agent says what it likes of its own sets and of nothing else: names are made here, texts are cut, and of an agent
  that does not know better the words about Secrets are left out.
* What is stored of a set that is not there any more is removed when its deletion is seen, and by a sweep.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from skerry.gateway.observed import Place
from skerry.gateway.routes import Route
from skerry.kinds.enforcedobject import RESOURCE
from skerry.kit.clock import Clock, rfc3339
from skerry.kit.clock import parse as parse_time
from skerry.kit.log import get
from skerry.machinery.document import Gapped, gapped
from skerry.machinery.resource import Json
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.telling import scrubbed

REFRESH = timedelta(hours=1)
MOST_REFRESHED = 100
"""Times that one report refreshes."""
SAME_MOMENT = timedelta(seconds=5)
"""Ages are told in whole seconds, and travel: two times so near are one."""
MOST_AT_ONCE = 1000
SLICE = 200
SWEEP_SECONDS = 60.0
MOST_BEYOND = 1000
"""Objects that a report may name beyond as many as its set has: what left it."""
MOST_TEXT, MOST_MESSAGE = 253, 1024
MOST_WORD = 30
"""Of each word in a name: what begins with the longest set's fits into 253 letters."""
MOST_OWNERS = 10
FEATURE = "results"
"""Agents that have it leave the words about Secrets out themselves."""

KEY = RESOURCE.key
OUTCOMES = {
    pb.OUTCOME_APPLIED: "Applied",
    pb.OUTCOME_UNCHANGED: "Unchanged",
    pb.OUTCOME_FAILED: "Failed",
    pb.OUTCOME_WAITING: "Waiting",
    pb.OUTCOME_CONFLICT: "Conflict",
    pb.OUTCOME_PRUNED: "Pruned",
}
GOOD = frozenset(("Applied", "Unchanged"))
_ODD = re.compile(r"[^a-z0-9-]+")

log = get("gateway.results")


class ResultStock(Protocol):
    """What is stored now."""

    def begun(self, key: str, namespace: str, begin: str) -> list[Json]:
        """The objects of a kind in a namespace whose names begin with a text."""
        ...

    def places(self, key: str) -> Iterable[tuple[str, str]]:
        """Namespaces and names of all objects of a kind."""
        ...

    async def shows(self, key: str, sequence: int) -> None:
        """Wait until what was put at a sequence number is among what is read here; raises ServiceUnavailable if that takes long."""
        ...


ResultSink = Callable[[Mapping[Place, Gapped | None], Route | None], Awaitable[int]]
"""Upserts latest values, None removes one; returns their last sequence number. Raises as ``inventory.LatestSink`` does."""


class Results:
    """The EnforcedObjects of all sets."""

    def __init__(self, put: ResultSink, stock: ResultStock, clock: Clock) -> None:
        """``put`` upserts values, ``stock`` reads them."""
        self._put = put
        self._stock = stock
        self._clock = clock

    async def take(self, obj: Json, route: Route | None, report: pb.DesiredResult) -> None:
        """Store what a report of a session says of the objects of a set. Raises what the sink raises."""
        if report.refused:
            return
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        now, trusted = self._clock.now(), route is not None and FEATURE in route.hello.features
        before = {each["metadata"]["name"]: each for each in self._stored(namespace, name)}
        values: dict[Place, Gapped | None] = {}
        stale: list[tuple[str, Place, Json]] = []
        named: set[str] = set()
        for number, each in enumerate(report.objects):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            place = Place(KEY, namespace, row_name(name, each))
            old = before.get(place.name)
            made = row(obj, report, _told(each, trusted=trusted), old, now)
            named.add(place.name)
            if old is None or _differs(old, made):
                values[place] = gapped(_whole(place, made, old, now))
            elif _is_stale(old, made):
                stale.append((old["status"].get("lastEnforcedTime", ""), place, _whole(place, made, old, now)))
        for _, place, whole in sorted(stale, key=lambda each: each[:2])[:MOST_REFRESHED]:
            values.setdefault(place, gapped(whole))
        gone = dict.fromkeys((Place(KEY, namespace, each) for each in before.keys() - named), None) if _is_whole(report) else {}
        await self._write({**gone, **values}, route)

    async def forget(self, namespace: str, name: str) -> int:
        """Remove what is stored of a set that is gone; returns how much that was. Raises what the sink raises."""
        gone = [Place(KEY, namespace, each["metadata"]["name"]) for each in self._stored(namespace, name)]
        await self._write(dict.fromkeys(gone, None), None)
        return len(gone)

    async def sweep(self, known: set[tuple[str, str]], exists: Callable[[str, str], Awaitable[bool]]) -> int:
        """Remove what is stored of sets that are not known and, when asked for, do not exist; returns how much that was."""
        begins, orphans = {(namespace, begin_of(name)) for namespace, name in known}, set()
        for number, (namespace, name) in enumerate(self._stock.places(KEY)):
            if number % MOST_AT_ONCE == MOST_AT_ONCE - 1:
                await asyncio.sleep(0)
            if (namespace, begin := name.rpartition(".")[0] + ".") not in begins:
                orphans.add((namespace, begin))
        removed = 0
        for namespace, begin in orphans:
            sets = {each["spec"]["manifestSet"] for each in self._stock.begun(KEY, namespace, begin) if _begins(each, begin)}
            for name in sets:
                removed += 0 if await exists(namespace, name) else await self.forget(namespace, name)
        return removed

    def _stored(self, namespace: str, name: str) -> list[Json]:
        begin = begin_of(name)
        return [
            each for each in self._stock.begun(KEY, namespace, begin) if each["spec"].get("manifestSet") == name and _begins(each, begin)
        ]

    async def _write(self, values: Mapping[Place, Gapped | None], route: Route | None) -> None:
        left = list(values.items())
        for begin in range(0, len(left), MOST_AT_ONCE):
            part = dict(left[begin : begin + MOST_AT_ONCE])
            last = await self._put(part, route)
            if any(value is not None for value in part.values()):
                await self._stock.shows(KEY, last)  # the next report is compared with this one


def _begins(obj: Json, begin: str) -> bool:
    return bool(obj["metadata"]["name"].rpartition(".")[0] + "." == begin)


def _is_whole(report: pb.DesiredResult) -> bool:
    """Whether a report speaks of the objects, and not of the set as a whole, which failed."""
    return not (len(report.objects) == 1 and (report.objects[0].api_version, report.objects[0].kind) == ("", "ManifestSet"))


def trimmed(obj: Json, report: pb.DesiredResult) -> pb.DesiredResult:
    """A report without what no set of this size can have to say."""
    most = len((obj.get("spec") or {}).get("manifests") or ()) + MOST_BEYOND
    if len(report.objects) > most:
        log.warning("a report names more objects than its set can have had", set=report.set, objects=len(report.objects), taken=most)
        del report.objects[most:]
    return report


def begin_of(name: str) -> str:
    """How the names of a set's results begin: up to the last dot."""
    return f"{name}." if len(name) <= 120 else f"{name[:80].rstrip('.-')}-{hashlib.sha256(name.encode()).hexdigest()[:32]}."


def row_name(name: str, each: pb.ObjectResult) -> str:
    """The name of the result of an object of a set: readable where it can be, and always its own and legal."""
    which = (each.api_version.rpartition("/")[0], each.kind, each.namespace, each.name)
    digest = hashlib.sha256("\0".join((name, *which)).encode()).hexdigest()[:20]
    words = _ODD.sub("-", "-".join(part[:MOST_WORD] for part in which[1:] if part).lower()).strip("-")
    return f"{begin_of(name)}{words}-{digest}" if words else f"{begin_of(name)}{digest}"


def _cut(text: str, most: int = MOST_TEXT) -> str:
    return text[:most]


def _told(each: pb.ObjectResult, *, trusted: bool) -> Json:
    """What a result says, as far as it may be told."""
    message = each.message if trusted or each.outcome != pb.OUTCOME_FAILED else scrubbed(each.kind, each.message)
    owners = [
        _filled(
            {
                "manager": _cut(owner.manager),
                "subresource": _cut(owner.subresource),
                "fields": [_cut(path) for path in owner.fields[:MOST_OWNERS]],
                "more": owner.more + max(0, len(owner.fields) - MOST_OWNERS),
            }
        )
        for owner in each.owners[:MOST_OWNERS]
    ]
    which = {"apiVersion": each.api_version, "kind": each.kind, "namespace": each.namespace, "name": each.name}
    said = {"reason": _cut(each.reason, 128), "message": _cut(message, MOST_MESSAGE), "owners": owners, "drift": each.drifts}
    return {
        "which": {key: _cut(value) for key, value in which.items()},
        "said": {"outcome": OUTCOMES.get(each.outcome, "Failed"), **said},
        "drifted": each.drifted_seconds_ago,
    }


def row(obj: Json, report: pb.DesiredResult, told: Json, old: Json | None, now: datetime) -> Json:
    """Spec and status of the result of an object, after the one before it (pure)."""
    spec = _filled({"manifestSet": obj["metadata"]["name"], "cluster": (obj.get("spec") or {}).get("cluster", ""), **told["which"]})
    before: Json = (old or {}).get("status") or {}
    said = told["said"]
    command = {"generation": report.generation, "ownerEpoch": report.owner_epoch}
    if said["outcome"] == "Unchanged" and before.get("outcome") == "Applied" and all(before.get(key, 0) == command[key] for key in command):
        said = {**said, "outcome": "Applied"}  # that it had to be changed for this command stays true
    seen = _ago(now, report.looked_seconds_ago)
    good = said["outcome"] in GOOD
    changed = told["said"]["outcome"] == "Applied"
    times = {
        "lastDriftTime": before.get("lastDriftTime", ""),
        "lastChangedTime": _later(before.get("lastChangedTime", ""), seen) if changed else before.get("lastChangedTime", ""),
        "lastEnforcedTime": max(rfc3339(seen), before.get("lastEnforcedTime", "")) if good else before.get("lastEnforcedTime", ""),
    }
    if said["drift"] and said["drift"] != before.get("drift"):
        times["lastDriftTime"] = rfc3339(_ago(now, told["drifted"]))
    return {"spec": spec, "status": _filled({**said, **command, **times})}


def _ago(now: datetime, seconds: int) -> datetime:
    """A while ago, as an agent counts it; nothing is longer ago than a year."""
    return now - timedelta(seconds=min(seconds, 366 * 86400))


def _later(before: str, seen: datetime) -> str:
    return rfc3339(seen) if not before or seen - parse_time(before) > SAME_MOMENT else before


def _filled(found: Json) -> Json:
    return {key: value for key, value in found.items() if value or key == "outcome"}


def _differs(old: Json, made: Json) -> bool:
    """Whether a row says something else than the one before, the time at which it was as asked aside."""
    before, after = ({key: value for key, value in each["status"].items() if key != "lastEnforcedTime"} for each in (old, made))
    return bool(old["spec"] != made["spec"] or before != after)


def _is_stale(old: Json, made: Json) -> bool:
    before, after = (each["status"].get("lastEnforcedTime") for each in (old, made))
    return bool(after) and (not before or parse_time(after) - parse_time(before) >= REFRESH)


def _whole(place: Place, made: Json, old: Json | None, now: datetime) -> Json:
    digest = hashlib.sha256("/".join(place).encode()).hexdigest()
    metadata = (old or {}).get("metadata") or {}
    uid = f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
    kept = {
        "name": place.name,
        "namespace": place.namespace,
        "uid": uid,
        "creationTimestamp": metadata.get("creationTimestamp") or rfc3339(now),
    }
    return {"apiVersion": RESOURCE.api_version, "kind": RESOURCE.kind, "metadata": kept, **made}
