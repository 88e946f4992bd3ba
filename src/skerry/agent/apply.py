"""Desired state in the cluster: applied, pruned, and taken away again.

* Objects are applied by server-side apply under our own manager; a field that somebody else
  owns is a conflict that is reported with his name, and forced only where the set says so.
* ``ordering.py`` says what comes first; a few objects of one kind that stand beside each other go
  together. What a set defines itself is waited for, a moment: a definition counts as applied when its kind is served.
  What cannot be applied yet waits alone and is tried again.
* Only what we made is deleted (``objects.py`` says how that is known). What stood there before
  gets our fields while it is in a set, and loses them again when it leaves.
* What left a set, and all of a removed set, goes in reverse order, a few of one kind together, and each kind after the
  one before it is gone: what has finalizers is waited for.
* What is *adopted* (by its uid) becomes the set's own with the first application, as if the set had
  made it. Nothing else that stands there is taken in its place. Whoever takes the label off later keeps it.
* A set that is *left* ends without any trace: its objects stay as they are to the last field, and nobody
  owns what we owned.
* An object belongs to one set. A second one that asks for it is told so, and waits until it is free.
* Doing it again changes nothing: an object that is as asked stays at its revision.

What the cluster says of a refusal is told on without values (``tunnel/telling.py``).

What was applied is remembered first (``memory.py``), so that nothing is forgotten by a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import nullcontext

from skerry.agent.conflicts import owners_of, told
from skerry.agent.discovery import KindMap
from skerry.agent.drift import Drift
from skerry.agent.memory import MANAGER, Memories, Memory
from skerry.agent.objects import (
    Identity,
    bare,
    changed_by_us,
    identity_of,
    mark,
    mark_of,
    marked,
    owned_by,
    partly_identified,
    result,
    untraced,
)
from skerry.agent.ordering import defined, in_order, is_definition, kind_of, neighbours
from skerry.client.contract import Client, PatchKind, Ref
from skerry.kit.aio import TaskOwner
from skerry.machinery.document import loads
from skerry.machinery.errors import ApiError, Conflict, Forbidden, NotFound
from skerry.machinery.resource import Json
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.telling import scrubbed

TOGETHER = 8
"""How many objects of a set are applied or deleted at a time."""
ESTABLISH_SECONDS = 5.0
"""How long a set waits for the kinds that it defines itself."""
ESTABLISH_LOOK_SECONDS = 0.1
ESTABLISHING = ("NamesAccepted", "Established")
UNSERVED = "NotEstablished"
TERMINATING = "NamespaceTerminating"


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
        with self._drift.held(state.set) if self._drift is not None else nullcontext():
            return await self._enforce(state)

    async def _enforce(self, state: pb.DesiredState) -> pb.DesiredResult:
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
        results = await self._apply_all(manifests, state)
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
            return result(which, pb.OUTCOME_FAILED, error.reason, scrubbed(which.kind, error.message))
        return result(which, pb.OUTCOME_PRUNED, "Left", "it stays as it is, and is not Skerry's any more")

    async def _remember(self, before: Memory | None, state: pb.DesiredState, objects: tuple[Identity, ...]) -> None:
        memory = Memory(state.set, state.owner_epoch, state.generation, objects)
        if memory != before:
            await self._memories.remember(memory)

    async def _apply_all(self, manifests: Sequence[Json], state: pb.DesiredState) -> list[pb.ObjectResult]:
        results: list[pb.ObjectResult] = []
        definitions: list[Json] = []
        unserved: dict[tuple[str, str], str] = {}
        for alike in neighbours(manifests, TOGETHER, kind_of):
            if definitions and not is_definition(alike[0]):
                unserved = await self._established(definitions, results)
                definitions = []
            if definition := unserved.get(kind_of(alike[0])):
                results.extend(result(identity_of(obj), pb.OUTCOME_WAITING, UNSERVED, f"{definition} is not established") for obj in alike)
                continue
            async with TaskOwner("apply") as owner:
                under_way = [owner.spawn(self._apply(obj, state), "object") for obj in alike]
                results.extend([await each for each in under_way])
            if is_definition(alike[0]):
                definitions.extend(alike)
        await self._established(definitions, results)
        return results

    async def _established(self, definitions: Sequence[Json], results: list[pb.ObjectResult]) -> dict[tuple[str, str], str]:
        """Wait, for a moment, until the cluster serves the kinds that a set defines; what it does not serve then is reported as waiting.

        ``results`` are those so far, the definitions' the last of them. Returns which kinds are not served, and by what they are defined.
        """
        unserved: dict[tuple[str, str], str] = {}
        ends = asyncio.get_running_loop().time() + ESTABLISH_SECONDS
        for number, definition in enumerate(definitions, len(results) - len(definitions)):
            if results[number].outcome not in {pb.OUTCOME_APPLIED, pb.OUTCOME_UNCHANGED}:
                continue
            if results[number].outcome == pb.OUTCOME_APPLIED:  # what was known of its kinds was of another definition
                for version, _, _ in defined(definition):
                    self._kinds.forget(version)
            while not (served := await self._serves(definition)) and asyncio.get_running_loop().time() < ends:  # noqa: ASYNC110 nobody tells us
                await asyncio.sleep(ESTABLISH_LOOK_SECONDS)
            if not served:
                which = identity_of(definition)
                results[number] = result(which, pb.OUTCOME_WAITING, UNSERVED, await self._why_unserved(which))
                unserved |= {(version.rpartition("/")[0], kind): which.name for version, kind, _ in defined(definition)}
        return unserved

    async def _serves(self, definition: Json) -> bool:
        """Whether the cluster serves all that a definition defines, and not something else of that kind."""
        for api_version, kind, plural in defined(definition):
            try:
                if (await self._kinds.ref(api_version, kind)).plural == plural:
                    continue
            except ApiError:
                return False
            self._kinds.forget(api_version)
            return False
        return True

    async def _why_unserved(self, which: Identity) -> str:
        """What a definition says of why it is not established."""
        try:
            live = await self._client.get(await self._kinds.ref(which.api_version, which.kind), which.name)
        except ApiError as error:
            return error.message
        conditions = (live.get("status") or {}).get("conditions") or ()
        said = [each.get("message", "") for each in conditions if each.get("type") in ESTABLISHING and each.get("status") == "False"]
        return f"it is not established: {'; '.join(said)}" if said else "it is not established yet"

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
            if live is not None and (why := _not_ours_to_apply(live, state)):
                return result(which, pb.OUTCOME_CONFLICT, *why)
            ours = live is None or bool(mark(live)) or _adopted(live, state)
            after, taken = await self._put(ref, marked(obj, mark_of(name)) if ours else obj, take=state.take_conflicts)
        except ApiError as error:
            if isinstance(error, NotFound):
                self._kinds.forget(which.api_version)
            return _refused(which, error)
        if ours and self._drift is not None:
            self._drift.applied(name, ref, after)
        if taken:
            return result(which, pb.OUTCOME_APPLIED, "Taken", f"taken from other managers: {told(taken)}", taken)
        return result(which, pb.OUTCOME_APPLIED if changed_by_us(live, after, MANAGER) else pb.OUTCOME_UNCHANGED)

    async def _put(self, ref: Ref, obj: Json, *, take: bool) -> tuple[Json, list[pb.FieldOwner]]:
        """Apply an object, and take its fields from others if they may be taken; returns it, and from whom they were. Raises ApiError."""
        try:
            return await self._client.apply(ref, obj, manager=MANAGER), []
        except Conflict as error:
            owners = owners_of(error.causes)
            if not (take and owners):
                raise
            return await self._client.apply(ref, obj, manager=MANAGER, force=True), owners

    async def _live(self, ref: Ref, which: Identity) -> Json | None:
        try:
            return await self._client.get(ref, which.name, which.namespace)
        except NotFound:
            return None

    async def _take_away(self, objects: Sequence[Identity], name: str) -> list[pb.ObjectResult]:
        """Delete objects in reverse order, some of one kind together, and what comes after them when they are gone."""
        results: list[pb.ObjectResult] = []
        for alike in neighbours(objects[::-1], TOGETHER, lambda which: which.place[:2]):
            if blocker := next((each for each in results if each.outcome != pb.OUTCOME_PRUNED), None):
                why = f"{blocker.kind} {blocker.name} goes first"
                results.extend(result(which, pb.OUTCOME_WAITING, "WaitsForAnother", why) for which in alike)
                continue
            async with TaskOwner("take") as owner:
                under_way = [owner.spawn(self._take_one(which, name), "object") for which in alike]
                results.extend([await each for each in under_way])
        return results

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
            return result(which, pb.OUTCOME_FAILED, error.reason, scrubbed(which.kind, error.message))
        if self._drift is not None:
            self._drift.going(name, ref, live)
        return result(which, pb.OUTCOME_WAITING, "BeingDeleted", "it has finalizers that are still at work")

    async def _let_go(self, ref: Ref, which: Identity, live: Json) -> None:
        """Give up our fields in an object that is not ours; one that another set of ours made stays as that set wants it."""
        fields = live["metadata"].get("managedFields") or ()
        if not mark(live) and any(each.get("manager") == MANAGER for each in fields):
            await self._client.apply(ref, bare(which, ref), manager=MANAGER)


def _adopted(live: Json, state: pb.DesiredState) -> bool:
    """Whether an object becomes the set's own with this apply."""
    return live["metadata"].get("uid") in state.adopt and not owned_by(live, MANAGER)


def _not_ours_to_apply(live: Json, state: pb.DesiredState) -> tuple[str, str] | None:
    """Why an object that is there is nothing for a set, as reason and message; None if it is."""
    if mark(live) not in {"", mark_of(state.set)}:
        return "OtherSet", "another manifest set made this object and keeps it"
    if state.adopt and not (_adopted(live, state) or mark(live) or owned_by(live, MANAGER)):
        return "NotAdopted", "another object stands in the place of the one that was adopted"
    return None


def _refused(which: Identity, error: ApiError) -> pb.ObjectResult:
    """What became of an object that could not be applied."""
    if isinstance(error, Conflict):
        owners = owners_of(error.causes)
        words = f"other managers own what the set asks for otherwise: {told(owners)}" if owners else error.message
        return result(which, pb.OUTCOME_CONFLICT, "Conflict", words, owners)
    if isinstance(error, NotFound):
        return result(which, pb.OUTCOME_WAITING, "NotFound", error.message)
    if any(cause.kind == TERMINATING for cause in error.causes):
        return result(which, pb.OUTCOME_WAITING, TERMINATING, error.message)
    return result(which, pb.OUTCOME_FAILED, error.reason, scrubbed(which.kind, error.message))


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
