"""create and update: from what a caller sent to what is stored.

Every write takes the same steps: decode, merge with what is there, keep what the server keeps,
default, own fields, validate, store with compare-and-swap. Patches end with the same steps
(``patching.py``).
"""

from __future__ import annotations

import random
from typing import Any

from skerry.kit.bounds import MOST_DEPTH, MOST_VALUES
from skerry.kit.clock import rfc3339
from skerry.kit.entropy import new_uid
from skerry.machinery import causes, meta, ownership
from skerry.machinery.compare import same
from skerry.machinery.document import Gapped, copied, dumps, gapped, loads
from skerry.machinery.errors import (
    STALE,
    ApiError,
    BadRequest,
    NotFound,
    RequestEntityTooLarge,
    already_exists,
    conflict,
    invalid,
    not_found,
)
from skerry.machinery.reading import measured
from skerry.machinery.resource import Look, Resource
from skerry.machinery.types import FieldType
from skerry.restapi import decode, guard, namespaces, references
from skerry.restapi.cache import Item
from skerry.restapi.context import Call
from skerry.restapi.forms import one
from skerry.restapi.reads import fresh
from skerry.restapi.response import Response
from skerry.store.contract import RevisionConflict, Value, Write

Json = dict[str, Any]

TRIES = 6
NAME_TRIES = 8
MOST_OBJECT_BYTES = 1536 * 1024
"""What etcd takes by default: whatever moves from here to a Kubernetes server must fit there."""
SERVER_SET = frozenset(("generation", "creationTimestamp", "deletionGracePeriodSeconds"))
"""What a caller may send and the server quietly keeps."""
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


async def create(call: Call) -> Response:
    """Answer a POST."""
    obj = await decode.body_object(call)
    item = await insert(call, obj)
    return answer(call, item, 201)


async def insert(call: Call, obj: Json) -> Item:
    """Store a new object, under a name that is free if one is to be generated."""
    metadata = obj["metadata"]
    settle_namespace(call, metadata)
    if metadata.get("resourceVersion") not in {None, "", "0"}:
        raise BadRequest("resourceVersion should not be set on objects to be created")
    generated = not metadata.get("name") and bool(metadata.get("generateName"))
    for left in reversed(range(NAME_TRIES if generated else 1)):
        new = obj
        if generated:
            new = await call.work(copied, obj)
            new["metadata"]["name"] = metadata["generateName"][:58] + "".join(random.choices(ALPHABET, k=5))
        try:
            return await _insert(call, new)
        except RevisionConflict as error:
            if not left:
                raise _taken(call, new["metadata"], error) from None
    raise AssertionError("unreachable")


async def _insert(call: Call, obj: Json) -> Item:
    await call.work(_prepare, call, obj)
    call.name = obj["metadata"].get("name", "")
    await guard.settle(call, obj, None)
    return await store(call, obj, 0)


def _prepare(call: Call, obj: Json) -> None:
    """Make of what was sent a new object, in place; raises Invalid."""
    resource, metadata = call.resource, obj["metadata"]
    for name in ("resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"):
        metadata.pop(name, None)
    metadata["uid"] = new_uid()
    metadata["creationTimestamp"] = rfc3339(call.parts.clock.now())
    if resource.generation:
        metadata["generation"] = 1
    else:
        metadata.pop("generation", None)
    if resource.status:
        obj.pop("status", None)
    if resource.key == "namespaces":
        namespaces.label(obj)
    complete(call, obj)
    ownership.on_write(None, obj, part(call), writer(call), versions=versions(call), zero=resource.zero)
    if resource.key == "namespaces":
        namespaces.on_create(obj)  # what the server sets is owned by nobody
    validate(call, obj, None)


def _taken(call: Call, metadata: Json, error: RevisionConflict) -> ApiError:
    """Say that the name of a new object is taken, and whether to try again helps."""
    found = already_exists(call.resource.plural, call.resource.group, call.name)
    item = call.cache.rows.get((call.namespace if call.resource.namespaced else "", call.name))
    value = (error.current.value if error.current else item.value if item else b"") or b"{}"
    if (loads(value).get("metadata") or {}).get("deletionTimestamp"):
        found.message = f"object is being deleted: {found.message}"
    if metadata.get("generateName"):
        found.message += ", the server was not able to generate a unique name for the object"
        found.retry_after = 1
    return found


def settle_namespace(call: Call, metadata: Json) -> None:
    """Hold the object's namespace against that of the request, or fill it in; raises BadRequest."""
    if not call.resource.namespaced:
        if metadata.get("namespace"):
            raise BadRequest("namespace may not be set on an object of this kind")
        return
    sent = metadata.get("namespace") or call.namespace
    if sent != call.namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = call.namespace


def part(call: Call, resource: Resource | None = None) -> FieldType:
    """What of an object this way of writing may own."""
    resource = resource or call.resource
    if call.subresource == "status":
        return resource.schema.type.status_alone
    return resource.schema.type.beside_status if resource.status else resource.schema.type


def versions(call: Call) -> ownership.Versions:
    """How other API versions of the kind see an object."""

    def kind(api_version: str) -> FieldType | None:
        group, _, version = api_version.rpartition("/")
        resource = call.parts.registry.find(group, version, call.resource.plural)
        return None if resource is None else part(call, resource)

    return kind


def complete(call: Call, obj: Json) -> None:
    """Bring an object into the form that is stored: the kind's own preparation, then the schema's defaults."""
    if call.resource.prepare is not None:
        call.resource.prepare(obj)
    call.resource.schema.default(obj)


def validate(call: Call, obj: Json, old: Json | None) -> None:
    """Hold an object against metadata's rules, the schema and the kind's rules, in that order; raises Invalid with every cause."""
    resource, metadata = call.resource, obj["metadata"]
    if old is None:
        found = meta.validate(metadata, namespaced=resource.namespaced, naming=resource.naming)
    else:
        found = meta.validate_update(metadata, old["metadata"])
    found += resource.schema.validate(obj, old, status=call.subresource == "status")
    if resource.scale is not None:
        found += resource.scale.causes(obj)
    look = Look(obj, old, status=call.subresource == "status", now=call.parts.clock.now())
    if not found:
        for rule in resource.rules:
            found += rule(look)
    if found:
        group = resource.twin.api_version.rpartition("/")[0] if resource.twin else resource.group
        raise invalid(resource.kind, group, metadata.get("name", ""), found)
    call.warnings += meta.warnings(metadata, old and old["metadata"])
    call.warnings += [warning for each in resource.advice for warning in each(look)]


def writer(call: Call, *, applies: bool = False) -> ownership.Writer:
    """Who writes, for managedFields."""
    manager = call.options.manager
    if not manager and not applies:
        manager = call.request.header(b"user-agent").split("/", 1)[0][:128] or "unknown"
    now, quotable = rfc3339(call.parts.clock.now()), not call.resource.confidential
    return ownership.Writer(manager, call.resource.api_version, now, call.subresource, quotable)


async def store(call: Call, obj: Json, expect: int, *, delete: bool = False, was: Item | None = None) -> Item:
    """Write an object (or its removal), over what it ``was``; raises RevisionConflict. A dry run stops short of it."""
    place = (call.namespace if call.resource.namespaced else "", call.name)
    encoded = await call.work(encode, call, obj)
    if not delete:
        check_size(obj, encoded)
    guard.admit_new(call, encoded, was, creates=expect == 0)
    if call.options.dry_run:
        await fresh(call, None)
        current = call.cache.rows.get(place)
        if (current.revision if current else 0) != expect:
            raise RevisionConflict(None)
        if expect == 0 and call.resource.namespaced:
            namespaces.check_now(call)
        if not delete:
            references.check_now(call, obj, was)
        return Item(place, expect, encoded.at(str(expect)) if expect else loads_without_revision(encoded))
    checks = namespaces.checks(call) if expect == 0 else ()
    if not delete:
        checks += references.checks(call, obj, was)
    write = Write(call.key(), expect, Value(encoded.head, encoded.tail), delete=delete, checks=checks)
    revision = await call.parts.store.write(write)
    return Item(place, revision, encoded.at(str(revision)))


def check_size(obj: Json, encoded: Gapped) -> None:
    """Refuse to keep what could not be sent again: managers and patches add to what was sent.

    Raises RequestEntityTooLarge, or BadRequest for what is nested too deeply.
    """
    size = len(encoded.head) + len(encoded.tail)
    if size > MOST_OBJECT_BYTES:
        raise RequestEntityTooLarge(f"Request entity too large: the object is larger than {MOST_OBJECT_BYTES} bytes; split it into several")
    if size > MOST_VALUES or encoded.tail.count(b"{") + encoded.tail.count(b"[") >= MOST_DEPTH - 1:
        measured(obj)


def encode(call: Call, obj: Json) -> Gapped:
    """Encode an object as its storage version."""
    resource = call.resource
    if resource.twin is not None:
        obj = resource.twin.stored(obj)
    elif resource.hub and resource.hub != resource.version:
        obj = {**obj, "apiVersion": f"{resource.group}/{resource.hub}"}
    return gapped(obj)


def loads_without_revision(encoded: Gapped) -> bytes:
    """The bytes of an object that was never stored."""
    return encoded.at("").replace(b'"resourceVersion":"",', b"", 1)


def answer(call: Call, item: Item, code: int = 200) -> Response:
    """The response that shows an object."""
    if call.revealed:
        item = Item(item.place, item.revision, dumps({**loads(item.value), **call.revealed}))
    return Response(one(item, call.resource, call.form, call.parts.clock.now(), call.request.query.get("includeObject", "")), code=code)


async def current(call: Call) -> Item:
    """The present version of the object; raises NotFound."""
    await fresh(call, None)
    place = (call.namespace if call.resource.namespaced else "", call.name)
    item = call.cache.rows.get(place)
    if item is None:
        raise not_found(call.resource.plural, call.resource.group, call.name)
    guard.admit(call, item)
    return item


def served_object(call: Call, item: Item) -> Json:
    """A fresh copy of an object in the version of the request."""
    obj: Json = loads(item.value)
    if call.resource.twin is not None:
        return call.resource.twin.shown(obj, call.resource.api_version)
    obj["apiVersion"] = call.resource.api_version
    return obj


async def update(call: Call) -> Response:
    """Answer a PUT."""
    sent = await decode.body_object(call)
    metadata = sent["metadata"]
    name = metadata.setdefault("name", call.name)
    if name != call.name:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.name})")
    settle_namespace(call, metadata)
    item = await current(call)
    resource = call.resource
    revision = metadata.get("resourceVersion", "")
    if not revision and not resource.strategic:
        cause = causes.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid(resource.plural, resource.group, call.name, [cause])
    if revision and revision != str(item.revision):
        raise conflict(resource.plural, resource.group, call.name, STALE)
    for attempt in range(TRIES):
        try:
            return answer(call, await replace(call, item, sent if revision else await call.work(copied, sent)))
        except RevisionConflict as error:
            if revision or error.current is None or attempt == TRIES - 1:
                raise lost(call, error) from None
            item = _newer(error)
    raise AssertionError("unreachable")


def _newer(error: RevisionConflict) -> Item:
    row = error.current
    if row is None:
        raise NotFound
    return Item.of((row.key.namespace, row.key.name), row.revision, row.value)


def lost(call: Call, error: RevisionConflict) -> ApiError:
    """What to tell a caller whose write came second."""
    resource = call.resource
    if error.current is None:
        return not_found(resource.plural, resource.group, call.name)
    return conflict(resource.plural, resource.group, call.name, STALE)


async def replace(call: Call, item: Item, new: Json) -> Item:
    """Store ``new`` in the place of ``item``; raises RevisionConflict if that is no longer current."""
    guard.admit(call, item)

    def settle() -> Json:
        old = served_object(call, item)
        check_uid(call, new, old)
        _keep(call, new, old)
        complete(call, new)
        ownership.on_write(old, new, part(call), writer(call), versions=versions(call))
        judge(call, new, old)
        return old

    call.weight = max(call.weight, item.size)
    return await finish(call, item, new, await call.work(settle))


def check_uid(call: Call, new: Json, old: Json) -> None:
    """Hold a sent uid against the object's; raises Conflict."""
    sent, is_now = new["metadata"].get("uid"), old["metadata"]["uid"]
    if sent and sent != is_now:
        why = f"Precondition failed: UID in precondition: {sent}, UID in object meta: {is_now}"
        raise conflict(call.resource.plural, call.resource.group, call.name, why)


def _keep(call: Call, new: Json, old: Json) -> None:
    """Put back what this write may not change."""
    was, metadata = old["metadata"], new["metadata"]
    if call.subresource == "status":
        new_status = new.get("status")
        new.clear()
        new.update({name: value for name, value in old.items() if name != "status"})
        new["metadata"] = dict(was)
        if new_status is not None:
            new["status"] = new_status
        return
    if call.subresource == "finalize":
        finalizers = (new.get("spec") or {}).get("finalizers")
        new.clear()
        new.update(copied(old))
        spec = new.setdefault("spec", {})
        spec.pop("finalizers", None)
        if finalizers:
            spec["finalizers"] = finalizers
        return
    for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "namespace"):
        if name in was and (name not in metadata or name in SERVER_SET):
            metadata[name] = was[name]
        elif name not in was and name != "deletionTimestamp":
            metadata.pop(name, None)
    if was.get("generateName") and "generateName" not in metadata:
        metadata["generateName"] = was["generateName"]
    metadata["resourceVersion"] = was["resourceVersion"]
    if call.resource.status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    if call.resource.key == "namespaces":
        new["spec"] = old.get("spec", {})


def judge(call: Call, new: Json, old: Json) -> None:
    """Count the generation up where something else is asked for, and validate; raises Invalid."""
    resource = call.resource
    if resource.generation and call.subresource in {"", "scale"}:
        ignored = {"metadata", "apiVersion", "kind", *(("status",) if resource.status else ())}
        if {k: v for k, v in new.items() if k not in ignored} != {k: v for k, v in old.items() if k not in ignored}:
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    validate(call, new, old)


def _differs(new: Json, old: Json) -> bool:
    """Whether there is anything to store, times of managers apart."""
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    ownership.settle_times(old, new)
    return not same(new, old)


async def finish(call: Call, item: Item, new: Json, old: Json) -> Item:
    """The steps that every change of a valid object ends with; raises RevisionConflict."""
    await guard.settle(call, new, old)
    if not await call.work(_differs, new, old):
        return item
    metadata = new["metadata"]
    held = metadata.get("finalizers") or (call.resource.key == "namespaces" and namespaces.terminating(new))
    if metadata.get("deletionTimestamp") and not held:
        # watchers are shown what was there; the caller sees his change, at the revision that it was made on
        await store(call, old, item.revision, delete=True)
        return Item(item.place, item.revision, encode(call, new).at(str(item.revision)))
    return await store(call, new, item.revision, was=item)
