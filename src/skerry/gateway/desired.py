"""Desired state: ManifestSets go to the agent of their management cluster, and what became of them comes back.

Level-based: whenever a ManifestSet changes, or its agent comes back, the whole set is sent; an
agent that has it already applies it again, which costs little and repairs drift. The status
holds counts and the first failures; it is written when it changes, not at every report, so
that a quiet fleet makes no revisions: ``lastEnforcedTime`` moves at most once a minute.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from skerry.client.contract import Client, PatchKind, Ref
from skerry.gateway.conditions import Verdict, condition
from skerry.gateway.routes import Routes
from skerry.kinds.common import GROUP, VERSION
from skerry.kinds.manifestset import PRUNE
from skerry.kit.clock import Clock, rfc3339
from skerry.kit.log import get
from skerry.machinery.document import dumps
from skerry.machinery.errors import Conflict, NotFound
from skerry.machinery.resource import Json
from skerry.runtime.informer import Informer
from skerry.tunnel import link_pb2 as pb

MANIFESTSETS = Ref(GROUP, VERSION, "manifestsets")
MOST_FAILURES = 10
ENFORCED_STEP = timedelta(seconds=60)

log = get("gateway.desired")


class Desired:
    """Hands ManifestSets to agents."""

    def __init__(self, client: Client, routes: Routes, informer: Informer, clock: Clock) -> None:
        """``informer`` follows the ManifestSets of all management clusters."""
        self._client = client
        self._routes = routes
        self._informer = informer
        self._clock = clock

    def keys_of_agent(self, management_cluster: str) -> list[str]:
        """The sets of a management cluster."""
        return [key for key in self._informer.known() if key.startswith(f"{management_cluster}/")]

    async def reconcile(self, key: str) -> float | None:
        """Send one set, if its agent is here."""
        obj = self._informer.get(key)
        if obj is None:
            return None
        namespace, _, name = key.partition("/")
        metadata = obj["metadata"]
        removing = bool(metadata.get("deletionTimestamp"))
        if not removing and PRUNE not in (metadata.get("finalizers") or ()):
            body = {
                "metadata": {"finalizers": [*(metadata.get("finalizers") or ()), PRUNE], "resourceVersion": metadata["resourceVersion"]}
            }
            try:
                await self._client.patch(MANIFESTSETS, name, namespace, PatchKind.MERGE, body, manager="skerry-gateway")
            except (NotFound, Conflict):
                return 0.1
            return None  # the change comes back here
        route = self._routes.get(namespace)
        if route is None:
            return None  # the agent's return comes back here
        spec = obj.get("spec") or {}
        state = pb.DesiredState(
            set=name,
            owner_epoch=spec.get("ownerEpoch", 0),
            generation=metadata.get("generation", 0),
            manifests=[] if removing else [dumps(manifest) for manifest in spec.get("manifests") or ()],
            remove=removing,
        )
        route.send(pb.ControlResponse(desired=state))
        return None

    async def take_result(self, management_cluster: str, result: pb.DesiredResult) -> None:
        """Write what became of a set into its status, or let it go when nothing is left."""
        obj = self._informer.get(f"{management_cluster}/{result.set}")
        if obj is None:
            return
        metadata = obj["metadata"]
        if result.gone:
            kept = [each for each in metadata.get("finalizers") or () if each != PRUNE]
            if metadata.get("deletionTimestamp") and PRUNE in (metadata.get("finalizers") or ()):
                body: Json = {"metadata": {"finalizers": kept or None, "uid": metadata["uid"]}}
                await self._patch(management_cluster, result.set, body, "")
            return
        status = next_status(obj, result, self._clock.now())
        if status != (obj.get("status") or {}):
            await self._patch(management_cluster, result.set, {"status": status}, "status")

    async def _patch(self, namespace: str, name: str, body: Json, subresource: str) -> None:
        try:
            await self._client.patch(
                MANIFESTSETS, name, namespace, PatchKind.MERGE, body, subresource=subresource, manager="skerry-gateway"
            )
        except NotFound:
            return


def next_status(obj: Json, result: pb.DesiredResult, now: datetime) -> Json:
    """The status after a report (pure)."""
    before: Json = obj.get("status") or {}
    if result.refused:
        return {**before, "conditions": [condition(before, "Applied", Verdict("False", "Refused", result.refused), now, result.generation)]}
    counts = dict.fromkeys(pb.Outcome.values(), 0)
    for each in result.objects:
        counts[each.outcome] += 1
    failures = [each for each in result.objects if each.outcome == pb.OUTCOME_FAILED]
    failed, waiting = counts[pb.OUTCOME_FAILED], counts[pb.OUTCOME_WAITING]
    if failed:
        first = failures[0]
        verdict = Verdict("False", first.reason or "ApplyFailed", f"{first.kind} {first.namespace}/{first.name}: {first.message}")
    elif waiting:
        verdict = Verdict("False", "Waiting", f"{waiting} of {len(result.objects)} objects wait")
    else:
        verdict = Verdict("True", "Applied", f"{len(result.objects)} objects are as asked for")
    status: Json = {
        "observedGeneration": result.generation,
        "ownerEpoch": result.owner_epoch,
        "applied": counts[pb.OUTCOME_APPLIED],
        "failed": failed,
        "pending": waiting,
        "failures": [_failure(each) for each in failures[:MOST_FAILURES]],
        "conditions": [condition(before, "Applied", verdict, now, result.generation)],
    }
    enforced = _enforced(before, verdict[0] == "True", now, result.generation)
    return {**status, "lastEnforcedTime": enforced} if enforced else status


def _enforced(before: Json, good: bool, now: datetime, generation: int) -> str | None:
    last = before.get("lastEnforcedTime")
    if not good:
        return last
    if last and before.get("observedGeneration") == generation and now - datetime.fromisoformat(last) < ENFORCED_STEP:
        return str(last)
    return rfc3339(now)


def _failure(each: pb.ObjectResult) -> Json:
    return {
        "apiVersion": each.api_version,
        "kind": each.kind,
        "namespace": each.namespace,
        "name": each.name,
        "reason": each.reason,
        "message": each.message[:4096],
    }
