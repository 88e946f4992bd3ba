"""Desired state in the cluster: applied, pruned, and taken away again.

* Objects are applied by server-side apply under our own manager; a field that somebody else
  owns is a conflict that is reported, never forced.
* Namespaces and CRDs come first; what cannot be applied yet waits alone and is tried again.
* Only what we made is deleted (``objects.py`` says how that is known). What stood there before
  gets our fields while it is in a set, and loses them again when it leaves.
* What left a set, and all of a removed set, goes in reverse order, each object after the one
  before it is gone: what has finalizers is waited for.
* What is *adopted* (by its uid) becomes the set's own with the first application, as if the set had
  made it. Nothing else that stands there is taken in its place. Whoever takes the label off later keeps it.
* A set that is *left* ends without any trace: its objects stay as they are to the last field, and nobody
  owns what we owned.
* An object belongs to one set. A second one that asks for it is told so, and waits until it is free.
* Doing it again changes nothing: an object that is as asked stays at its revision.

What was applied is remembered first (``memory.py``), so that nothing is forgotten by a crash.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from skerry.agent.discovery import KindMap
from skerry.agent.drift import Drift
from skerry.agent.memory import MANAGER, Memories, Memory
from skerry.agent.objects import (
    Identity,
    bare,
    identity_of,
    in_order,
    mark,
    mark_of,
    marked,
    owned_by,
    partly_identified,
    result,
    untraced,
)
from skerry.client.contract import Client, PatchKind, Ref
from skerry.machinery.document import loads
from skerry.machinery.errors import ApiError, Conflict, Forbidden, NotFound
from skerry.machinery.resource import Json
from skerry.tunnel import link_pb2 as pb


class Applier:
    """Enforces sets in one cluster."""

    def __init__(self, client: Client, kinds: KindMap, drift: Drift | None = None) -> None:
        """``client`` reaches the cluster's API; ``drift`` is told what was applied."""
        self._client = client
        self._kinds = kinds
        self._memories = Memories(client)
        self._drift = drift
        self._refused: dict[str, set[Identity]] = {}
        """What was never made, by set, because the agent may not: nothing has to be taken away."""

    async def enforce(self, state: pb.DesiredState) -> pb.DesiredResult:
        """Bring the cluster to a set; raises ApiError only where not even the memory can be had."""
        report = pb.DesiredResult(set=state.set, owner_epoch=state.owner_epoch, generation=state.generation)
        memory = await self._memories.recall(state.set)
        report.refused = memory.refuse(state.owner_epoch, state.generation) if memory else ""
        if report.refused:
            return report
        remembered = memory.objects if memory else ()
        never = self._refused.pop(state.set, set())
        before = tuple(each for each in remembered if each not in never)
        if state.leave:
            await self._leave(state, before, never, report)
            return report
        if state.remove:
            await self._remove(state, before, report)
            return report
        manifests, bad = _readable(state)
        wanted = tuple(dict.fromkeys(identity_of(obj) for obj in manifests))
        places = {each.place for each in wanted}
        left = tuple(each for each in before if each.place not in places)
        new = set(wanted) - set(before)
        await self._remember(memory, state, (*left, *wanted))
        report.objects.extend(bad)
        if left and self._drift is not None:
            self._drift.forget(state.set)  # what goes now goes on purpose
        results = [await self._apply(obj, state) for obj in manifests]
        report.objects.extend(results)
        asked = zip(map(identity_of, manifests), results, strict=True)
        self._refused[state.set] = {which for which, each in asked if which in new and each.reason == Forbidden.reason}
        if left:
            pruned = await self._take_away(left, state.set)
            report.objects.extend(pruned)
            if all(each.outcome == pb.OUTCOME_PRUNED for each in pruned):
                await self._remember(None, state, wanted)
        return report

    async def _remove(self, state: pb.DesiredState, before: Sequence[Identity], report: pb.DesiredResult) -> None:
        if self._drift is not None:
            self._drift.forget(state.set)
        report.objects.extend(await self._take_away(before, state.set))
        report.gone = all(each.outcome == pb.OUTCOME_PRUNED for each in report.objects)
        if report.gone:
            await self._memories.forget(state.set)

    async def _leave(
        self, state: pb.DesiredState, before: Sequence[Identity], never: Collection[Identity], report: pb.DesiredResult
    ) -> None:
        """End a set and keep its objects: all that it has or may have applied, and what it would apply now."""
        if self._drift is not None:
            self._drift.forget(state.set)
        manifests, _ = _readable(state)
        for which in dict.fromkeys((*before, *map(identity_of, manifests))):
            if which not in never:  # what we were not allowed to make has no trace of us
                report.objects.append(await self._leave_one(which, state.set))
        report.gone = all(each.outcome == pb.OUTCOME_PRUNED for each in report.objects)
        if report.gone:
            await self._memories.forget(state.set)

    async def _leave_one(self, which: Identity, name: str) -> pb.ObjectResult:
        """Take our marks and our ownership off an object, and touch nothing else of it."""
        try:
            ref = await self._kinds.any_version(which.api_version, which.kind)
            live = await self._client.get(ref, which.name, which.namespace)
            body = None if mark(live) not in {"", mark_of(name)} else untraced(live, MANAGER)
            if body is not None:
                await self._client.patch(ref, which.name, which.namespace, PatchKind.MERGE, body, manager=MANAGER)
        except NotFound:
            return result(which, pb.OUTCOME_PRUNED)
        except ApiError as error:
            return result(which, pb.OUTCOME_FAILED, error.reason, error.message)
        return result(which, pb.OUTCOME_PRUNED, "Left", "it stays as it is, and is not Skerry's any more")

    async def _remember(self, before: Memory | None, state: pb.DesiredState, objects: tuple[Identity, ...]) -> None:
        memory = Memory(state.set, state.owner_epoch, state.generation, objects)
        if memory != before:
            await self._memories.remember(memory)

    async def _apply(self, obj: Json, state: pb.DesiredState) -> pb.ObjectResult:
        which, name = identity_of(obj), state.set
        try:
            ref = await self._kinds.ref(which.api_version, which.kind)
            if ref.namespaced and not which.namespace:
                return result(which, pb.OUTCOME_FAILED, "Invalid", f"a {which.kind} lives in a namespace; the manifest names none")
            live = await self._live(ref, which)
            if live is not None and live["metadata"].get("deletionTimestamp"):
                if self._drift is not None and mark(live) == mark_of(name):
                    self._drift.going(name, ref, live)
                return result(which, pb.OUTCOME_WAITING, "BeingDeleted", "it is being deleted, and is made anew when it is gone")
            if live is not None and mark(live) not in {"", mark_of(name)}:
                return result(which, pb.OUTCOME_CONFLICT, "OtherSet", "another manifest set made this object and keeps it")
            adopted = live is not None and live["metadata"].get("uid") in state.adopt and not owned_by(live, MANAGER)
            if live is not None and state.adopt and not (adopted or mark(live) or owned_by(live, MANAGER)):
                return result(which, pb.OUTCOME_CONFLICT, "NotAdopted", "another object stands in the place of the one that was adopted")
            ours = live is None or bool(mark(live)) or adopted
            after = await self._client.apply(ref, marked(obj, mark_of(name)) if ours else obj, manager=MANAGER)
        except Conflict as error:
            return result(which, pb.OUTCOME_CONFLICT, "Conflict", error.message)
        except NotFound as error:
            self._kinds.forget(which.api_version)
            return result(which, pb.OUTCOME_WAITING, "NotFound", error.message)
        except ApiError as error:
            return result(which, pb.OUTCOME_FAILED, error.reason, error.message)
        if ours and self._drift is not None:
            self._drift.applied(name, ref, after)
        same = live is not None and live["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
        return result(which, pb.OUTCOME_UNCHANGED if same else pb.OUTCOME_APPLIED)

    async def _live(self, ref: Ref, which: Identity) -> Json | None:
        try:
            return await self._client.get(ref, which.name, which.namespace)
        except NotFound:
            return None

    async def _take_away(self, objects: Sequence[Identity], name: str) -> list[pb.ObjectResult]:
        """Delete objects in reverse order, each after the one before it is gone."""
        results: list[pb.ObjectResult] = []
        for which in reversed(objects):
            if results and results[-1].outcome != pb.OUTCOME_PRUNED:
                blocker = f"{results[-1].kind} {results[-1].name}"
                break
            results.append(await self._take_one(which, name))
        else:
            return results
        rest = objects[: len(objects) - len(results)]
        return [*results, *(result(each, pb.OUTCOME_WAITING, "WaitsForAnother", f"{blocker} goes first") for each in reversed(rest))]

    async def _take_one(self, which: Identity, name: str) -> pb.ObjectResult:
        try:
            ref = await self._kinds.any_version(which.api_version, which.kind)
            live = await self._client.get(ref, which.name, which.namespace)
            if mark(live) != mark_of(name):
                await self._let_go(ref, which, live)
                return result(which, pb.OUTCOME_PRUNED, "NotOurs", "it is left in place: this set did not make it")
            if not live["metadata"].get("deletionTimestamp"):
                await self._client.delete(ref, which.name, which.namespace, propagation="Background", uid=live["metadata"]["uid"])
            live = await self._client.get(ref, which.name, which.namespace)
        except NotFound:
            return result(which, pb.OUTCOME_PRUNED)
        except ApiError as error:
            return result(which, pb.OUTCOME_FAILED, error.reason, error.message)
        if self._drift is not None:
            self._drift.going(name, ref, live)
        return result(which, pb.OUTCOME_WAITING, "BeingDeleted", "it has finalizers that are still at work")

    async def _let_go(self, ref: Ref, which: Identity, live: Json) -> None:
        """Give up our fields in an object that is not ours; one that another set of ours made stays as that set wants it."""
        fields = live["metadata"].get("managedFields") or ()
        if not mark(live) and any(each.get("manager") == MANAGER for each in fields):
            await self._client.apply(ref, bare(which, ref), manager=MANAGER)


def _readable(state: pb.DesiredState) -> tuple[list[Json], list[pb.ObjectResult]]:
    """The manifests of a set in the order of application, and a result for each that does not say what it is."""
    good, bad = [], []
    for obj in in_order([loads(each) for each in state.manifests]):
        try:
            identity_of(obj)
        except ValueError as error:
            bad.append(result(partly_identified(obj), pb.OUTCOME_FAILED, "Invalid", str(error)))
        else:
            good.append(obj)
    return good, bad
