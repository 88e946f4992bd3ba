"""delete and deletecollection: at once, or by steps while somebody still has something to do.

An object with finalizers is marked with a deletion time and stays until the last finalizer is
taken away. The propagation policy is itself a finalizer: ``foregroundDeletion`` waits for the
dependents, ``orphan`` lets go of them; the garbage collector (``runtime/garbage.py``) acts on
both. Preconditions name the uid or the revision that is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skerry.kit.clock import rfc3339
from skerry.machinery import causes
from skerry.machinery.errors import STALE, BadRequest, Cause, Conflict, Forbidden, Invalid, Subject, conflict, invalid, not_found
from skerry.machinery.meta import go_type
from skerry.machinery.resource import Look
from skerry.restapi import guard, namespaces, references
from skerry.restapi.cache import Item
from skerry.restapi.context import Call
from skerry.restapi.decode import JSON, PROTOBUF, YAML, decode
from skerry.restapi.forms import list_body
from skerry.restapi.negotiate import body_type
from skerry.restapi.reads import fresh, list_metadata, page
from skerry.restapi.response import Response, json_response
from skerry.restapi.selection import select
from skerry.restapi.status import success
from skerry.restapi.writes import TRIES, answer, check_uid, current, served_object, store
from skerry.store.contract import RevisionConflict

Json = dict[str, Any]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
RECREATED = "The object might have been deleted and then recreated"
POLICIES = {"Background": "", "Foreground": FOREGROUND, "Orphan": ORPHAN}


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a deletion asks for."""

    uid: str = ""
    revision: str = ""
    policy: str = ""


async def _options(call: Call) -> DeleteOptions:
    body = await _body(call)
    preconditions = body.get("preconditions") or {}
    if body.get("dryRun"):
        if body["dryRun"] != ["All"]:
            raise _wrong(causes.not_supported("dryRun", body["dryRun"], ["All"]))
        call.options.dry_run = True
    policy = body.get("propagationPolicy") or call.options.propagation
    orphan = body.get("orphanDependents", call.options.orphan)
    if policy and orphan is not None:
        raise _wrong(causes.invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"))
    if policy and policy not in POLICIES:
        raise _wrong(causes.not_supported("propagationPolicy", policy, ["Foreground", "Background", "Orphan", "nil"]))
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    if policy == "Orphan" and call.resource.inseparable:
        why = f"what was made for a {call.resource.singular_name} goes with it, and is not left behind"
        raise _wrong(causes.invalid("propagationPolicy", policy, why))
    return DeleteOptions(str(preconditions.get("uid") or ""), str(preconditions.get("resourceVersion") or ""), policy)


FIELDS: dict[str, tuple[type, str]] = {
    "gracePeriodSeconds": (int, "int64"),
    "preconditions": (dict, "v1.Preconditions"),
    "orphanDependents": (bool, "bool"),
    "propagationPolicy": (str, "v1.DeletionPropagation"),
    "dryRun": (list, "[]string"),
}
"""The Go types of DeleteOptions' fields, for the words of an error."""


async def _body(call: Call) -> Json:
    """Read DeleteOptions; an option that cannot be understood must not delete anything: raises BadRequest."""
    data = await call.body()
    if not data.strip():
        return {}
    value, _ = await call.work(decode, data, body_type(call.request.header(b"content-type"), JSON, YAML, PROTOBUF))
    if not isinstance(value, dict):
        raise BadRequest("the body of a delete must be DeleteOptions")
    kind = value.get("kind") or "DeleteOptions"
    if kind != "DeleteOptions":
        raise BadRequest(f'no kind "{kind}" is registered for version "{value.get("apiVersion", "")}" as options of a delete')
    for name, (expected, go_name) in FIELDS.items():
        sent = value.get(name)
        if sent is not None and (not isinstance(sent, expected) or (expected is int and isinstance(sent, bool))):
            raise BadRequest(f"json: cannot unmarshal {go_type(sent)} into Go struct field DeleteOptions.{name} of type {go_name}")
    return value


def _wrong(cause: Cause) -> Invalid:
    return invalid("DeleteOptions", "meta.k8s.io", "", [cause])


async def delete(call: Call) -> Response:
    """Answer a DELETE of one object."""
    options = await _options(call)
    if call.resource.key == "namespaces" and call.name in namespaces.IMMORTAL:
        why = f'namespaces "{call.name}" is forbidden: this namespace may not be deleted'
        raise Forbidden(why, subject=Subject(call.name, "", "namespaces"))
    item = await current(call)
    for _ in range(TRIES):
        _preconditions(call, item, options)
        try:
            kept, gone = await _remove(call, item, options)
        except RevisionConflict as error:
            row = error.current
            if row is None:
                raise not_found(call.resource.plural, call.resource.group, call.name) from None
            item = Item.of((row.key.namespace, row.key.name), row.revision, row.value)
            continue
        if gone is None:
            return answer(call, kept)
        resource = call.resource
        return json_response(success(call.name, resource.group, resource.plural, gone["metadata"]["uid"]))
    raise conflict(call.resource.plural, call.resource.group, call.name, STALE)


def _preconditions(call: Call, item: Item, options: DeleteOptions) -> None:
    if call.resource.key == "namespaces":
        check_uid(call, {"metadata": {"uid": options.uid}}, item.decode())  # in words of its own
    uid = item.decode()["metadata"]["uid"] if options.uid else ""
    if options.uid and options.uid != uid:
        raise _unmet(call, f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). {RECREATED}")
    if options.revision and options.revision != str(item.revision):
        text = (
            f"the ResourceVersion in the precondition ({options.revision}) does not match the ResourceVersion in record ({item.revision})"
        )
        raise _unmet(call, f"{text}. The object might have been modified")


def _unmet(call: Call, why: str) -> Conflict:
    """Say which precondition does not hold, of which kind, as Kubernetes does here."""
    return conflict(call.resource.kind, call.resource.group, call.name, why)


async def _remove(call: Call, item: Item, options: DeleteOptions) -> tuple[Item, Json | None]:
    """Remove an object or begin to; returns what is there now, and the object if it is gone."""
    guard.admit(call, item)
    guard.may_remove(call)
    call.weight = max(call.weight, item.size)
    old = await call.work(served_object, call, item)
    if not old["metadata"].get("deletionTimestamp"):
        await references.free(call)
        look = Look(old, old, now=call.parts.clock.now())
        call.warnings += [warning for each in call.resource.farewell for warning in each(look)]
    new = {**old, "metadata": dict(old["metadata"])}
    metadata = new["metadata"]
    finalizers = [each for each in metadata.get("finalizers") or [] if each not in {FOREGROUND, ORPHAN} or not options.policy]
    if wanted := POLICIES.get(options.policy, ""):
        finalizers.append(wanted)
    is_namespace = call.resource.key == "namespaces"
    if not finalizers and not (is_namespace and namespaces.terminating(new)):
        return await store(call, new, item.revision, delete=True), new
    if metadata.get("deletionTimestamp") and finalizers == (metadata.get("finalizers") or []):
        return item, None
    if finalizers:
        metadata["finalizers"] = finalizers
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = rfc3339(call.parts.clock.now())
        if not is_namespace:
            metadata["deletionGracePeriodSeconds"] = 0
        if metadata.get("generation"):
            metadata["generation"] += 1
        if is_namespace:
            new["status"] = {**(new.get("status") or {}), "phase": "Terminating"}
    return await store(call, new, item.revision), None


async def delete_all(call: Call) -> Response:
    """Answer a DELETE of a collection: every object that the selectors choose, but for what is built in."""
    options = await _options(call)
    await fresh(call, None)
    found, revision, token, left = await page(call, select(call.resource, call.namespace, call.options, call.sight))
    for item in found:
        call.namespace, call.name = item.place
        if call.name in call.resource.built_in:
            continue
        present = call.cache.rows.get(item.place)
        for _ in range(TRIES):
            if present is None:
                break
            _preconditions(call, present, options)
            try:
                await _remove(call, present, options)
                break
            except RevisionConflict as error:
                row = error.current
                present = Item.of(item.place, row.revision, row.value) if row else None
    metadata = list_metadata(call, revision, token, left)
    body = await list_body(call.resource, call.form, found, metadata, call.parts.clock.now(), "")
    return Response(body)


__all__ = ["DeleteOptions", "delete", "delete_all"]
