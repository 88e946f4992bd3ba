"""delete and deletecollection: at once, or by steps while somebody still has something to do.

An object with finalizers is marked with a deletion time and stays until the last finalizer is
taken away. The propagation policy is itself a finalizer: ``foregroundDeletion`` waits for the
dependents, ``orphan`` lets go of them; the garbage collector (``runtime/garbage.py``) acts on
both. Preconditions name the uid or the revision that is meant.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from skerry.kit.clock import rfc3339
from skerry.machinery.errors import STALE, BadRequest, conflict, not_found
from skerry.restapi import namespaces
from skerry.restapi.cache import Item
from skerry.restapi.context import Call
from skerry.restapi.decode import JSON, PROTOBUF, YAML, decode
from skerry.restapi.forms import list_body
from skerry.restapi.negotiate import body_type
from skerry.restapi.reads import fresh, page
from skerry.restapi.response import Response, json_response
from skerry.restapi.selection import select
from skerry.restapi.status import success
from skerry.restapi.writes import TRIES, answer, current, served_object, store
from skerry.store.contract import RevisionConflict

Json = dict[str, Any]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
POLICIES = {"Background": "", "Foreground": FOREGROUND, "Orphan": ORPHAN}


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a deletion asks for."""

    uid: str = ""
    revision: str = ""
    policy: str = ""


async def _options(call: Call) -> DeleteOptions:
    data = await call.request.body()
    body: Json = {}
    if data.strip():
        value, _ = decode(data, body_type(call.request.header(b"content-type"), JSON, YAML, PROTOBUF))
        if not isinstance(value, dict):
            raise BadRequest("the body of a delete must be DeleteOptions")
        body = value
    preconditions = body.get("preconditions") or {}
    if body.get("dryRun"):
        if body["dryRun"] != ["All"]:
            raise BadRequest('DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: supported values: "All"')
        call.options.dry_run = True
    policy = body.get("propagationPolicy") or call.options.propagation
    orphan = body.get("orphanDependents", call.options.orphan)
    if policy and orphan is not None:
        raise BadRequest("orphanDependents and deletionPropagation cannot be both set")
    if policy and policy not in POLICIES:
        raise BadRequest(f'propagationPolicy: Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan"')
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    return DeleteOptions(str(preconditions.get("uid") or ""), str(preconditions.get("resourceVersion") or ""), policy)


async def delete(call: Call) -> Response:
    """Answer a DELETE of one object."""
    options = await _options(call)
    item = await current(call)
    for _ in range(TRIES):
        _preconditions(call, item, options)
        try:
            kept, gone = await _remove(call, item, options)
        except RevisionConflict as error:
            row = error.current
            if row is None:
                raise not_found(call.resource.plural, call.resource.group, call.name) from None
            item = Item((row.key.namespace, row.key.name), row.revision, row.value)
            continue
        if gone is None:
            return answer(call, kept)
        resource = call.resource
        return json_response(success(call.name, resource.group, resource.plural, gone["metadata"]["uid"]))
    raise conflict(call.resource.plural, call.resource.group, call.name, STALE)


def _preconditions(call: Call, item: Item, options: DeleteOptions) -> None:
    resource = call.resource
    uid = item.decode()["metadata"]["uid"] if options.uid else ""
    if options.uid and options.uid != uid:
        why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {uid}"
        raise conflict(resource.plural, resource.group, call.name, why)
    if options.revision and options.revision != str(item.revision):
        why = f"Precondition failed: ResourceVersion in precondition: {options.revision}, ResourceVersion in object meta: {item.revision}"
        raise conflict(resource.plural, resource.group, call.name, why)


async def _remove(call: Call, item: Item, options: DeleteOptions) -> tuple[Item, Json | None]:
    """Remove an object or begin to; returns what is there now, and the object if it is gone."""
    old = served_object(call, item)
    new = copy.deepcopy(old)
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
        metadata["deletionGracePeriodSeconds"] = 0
        if metadata.get("generation"):
            metadata["generation"] += 1
        if is_namespace:
            new["status"] = {**(new.get("status") or {}), "phase": "Terminating"}
    return await store(call, new, item.revision), None


async def delete_all(call: Call) -> Response:
    """Answer a DELETE of a collection: every object that the selectors choose."""
    options = await _options(call)
    await fresh(call, None)
    found, revision, _, _ = await page(call, select(call.resource, call.namespace, call.options))
    for item in found:
        call.namespace, call.name = item.place
        present = call.cache.rows.get(item.place)
        for _ in range(TRIES):
            if present is None:
                break
            try:
                await _remove(call, present, options)
                break
            except RevisionConflict as error:
                row = error.current
                present = Item(item.place, row.revision, row.value) if row else None
    body = await list_body(call.resource, call.form, found, {"resourceVersion": str(revision)}, call.parts.clock.now(), "")
    return Response(body)


__all__ = ["DeleteOptions", "delete", "delete_all"]
