"""create, update and patch: from what a caller sent to what is stored.

Every write takes the same steps: decode, merge with what is there, keep what the server keeps,
default, own fields, validate, store with compare-and-swap. A patch without a revision of its
own is tried again when somebody else was faster; an update is not.
"""

from __future__ import annotations

import copy
import random
import uuid
from typing import Any

from skerry.kit.clock import rfc3339
from skerry.machinery import causes, meta, ownership, patches
from skerry.machinery.document import Gapped, gapped, loads
from skerry.machinery.errors import (
    STALE,
    ApiError,
    BadRequest,
    Conflict,
    Invalid,
    NotFound,
    Subject,
    already_exists,
    conflict,
    invalid,
    not_found,
)
from skerry.machinery.resource import Look
from skerry.machinery.types import META, SCALAR, FieldType, Shape
from skerry.restapi import decode, namespaces
from skerry.restapi.cache import Item
from skerry.restapi.context import Call
from skerry.restapi.forms import one
from skerry.restapi.reads import fresh
from skerry.restapi.response import Response
from skerry.store.contract import RevisionConflict, Value, Write

Json = dict[str, Any]

TRIES = 6
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


async def create(call: Call) -> Response:
    """Answer a POST."""
    obj = await decode.body_object(call)
    item = await insert(call, obj)
    return answer(call, item, 201)


async def insert(call: Call, obj: Json) -> Item:
    """Store a new object."""
    resource, metadata = call.resource, obj["metadata"]
    _settle_namespace(call, metadata)
    if metadata.get("resourceVersion") not in {None, "", "0"}:
        raise BadRequest("resourceVersion should not be set on objects to be created")
    generated = not metadata.get("name") and bool(metadata.get("generateName"))
    if generated:
        metadata["name"] = metadata["generateName"][:58] + "".join(random.choices(ALPHABET, k=5))
    for name in ("resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"):
        metadata.pop(name, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = rfc3339(call.parts.clock.now())
    if resource.generation:
        metadata["generation"] = 1
    else:
        metadata.pop("generation", None)
    if resource.status:
        obj.pop("status", None)
    if resource.key == "namespaces":
        namespaces.on_create(obj)
    _complete(call, obj)
    ownership.on_write(None, obj, resource.schema.type, writer(call))
    _validate(call, obj, None)
    call.name = metadata.get("name", "")
    try:
        return await store(call, obj, 0)
    except RevisionConflict:
        if generated:
            raise conflict_on_generated(call) from None
        raise already_exists(resource.plural, resource.group, call.name) from None


def conflict_on_generated(call: Call) -> ApiError:
    """Say that a generated name was taken; the client tries again."""
    return already_exists(call.resource.plural, call.resource.group, call.name)


def _settle_namespace(call: Call, metadata: Json) -> None:
    if not call.resource.namespaced:
        if metadata.get("namespace"):
            raise BadRequest("namespace may not be set on an object of this kind")
        return
    sent = metadata.get("namespace") or call.namespace
    if sent != call.namespace:
        raise BadRequest(
            f"the namespace of the provided object does not match the namespace sent on the request ({sent} != {call.namespace})"
        )
    metadata["namespace"] = call.namespace


def _complete(call: Call, obj: Json) -> None:
    if call.resource.prepare is not None:
        call.resource.prepare(obj)
    call.resource.schema.default(obj)


def _validate(call: Call, obj: Json, old: Json | None) -> None:
    resource, metadata = call.resource, obj["metadata"]
    found = meta.validate(metadata, namespaced=resource.namespaced) if old is None else meta.validate_update(metadata, old["metadata"])
    found += resource.schema.validate(obj)
    if not found:
        look = Look(obj, old, status=call.subresource == "status")
        for rule in resource.rules:
            found += rule(look)
    if found:
        raise invalid(resource.kind, resource.group, metadata.get("name", ""), found)


def writer(call: Call, *, applies: bool = False) -> ownership.Writer:
    """Who writes, for managedFields."""
    manager = call.options.manager
    if not manager and not applies:
        manager = call.request.header(b"user-agent").split("/", 1)[0][:128] or "unknown"
    return ownership.Writer(manager, call.resource.api_version, rfc3339(call.parts.clock.now()), call.subresource)


async def store(call: Call, obj: Json, expect: int, *, delete: bool = False) -> Item:
    """Write an object (or its removal); raises RevisionConflict. A dry run stops short of it."""
    place = (call.namespace if call.resource.namespaced else "", call.name)
    encoded = encode(call, obj)
    if call.options.dry_run:
        current = call.cache.rows.get(place)
        if (current.revision if current else 0) != expect:
            raise RevisionConflict(None)
        if expect == 0 and call.resource.namespaced:
            namespaces.check_now(call)
        return Item(place, expect, encoded.at(str(expect)) if expect else loads_without_revision(encoded))
    checks = namespaces.checks(call) if expect == 0 else ()
    write = Write(call.key(), expect, Value(encoded.head, encoded.tail), delete=delete, checks=checks)
    revision = await call.parts.store.write(write)
    return Item(place, revision, encoded.at(str(revision)))


def encode(call: Call, obj: Json) -> Gapped:
    """Encode an object as its storage version."""
    resource = call.resource
    if resource.hub and resource.hub != resource.version:
        obj = {**obj, "apiVersion": f"{resource.group}/{resource.hub}"}
    return gapped(obj)


def loads_without_revision(encoded: Gapped) -> bytes:
    """The bytes of an object that was never stored."""
    return encoded.at("").replace(b'"resourceVersion":"",', b"", 1)


def answer(call: Call, item: Item, code: int = 200) -> Response:
    """The response that shows an object."""
    return Response(one(item, call.resource, call.form, call.parts.clock.now(), call.request.query.get("includeObject", "")), code=code)


async def current(call: Call) -> Item:
    """The present version of the object; raises NotFound."""
    await fresh(call, None)
    place = (call.namespace if call.resource.namespaced else "", call.name)
    item = call.cache.rows.get(place)
    if item is None:
        raise not_found(call.resource.plural, call.resource.group, call.name)
    return item


def served_object(call: Call, item: Item) -> Json:
    """A fresh copy of an object in the version of the request."""
    obj: Json = loads(item.value)
    obj["apiVersion"] = call.resource.api_version
    return obj


async def update(call: Call) -> Response:
    """Answer a PUT."""
    sent = await decode.body_object(call)
    metadata = sent["metadata"]
    name = metadata.setdefault("name", call.name)
    if name != call.name:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.name})")
    _settle_namespace(call, metadata)
    item = await current(call)
    resource = call.resource
    revision = metadata.get("resourceVersion", "")
    if not revision and not resource.strategic:
        cause = causes.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid(resource.kind, resource.group, call.name, [cause])
    if revision and revision != str(item.revision):
        raise conflict(resource.plural, resource.group, call.name, STALE)
    for attempt in range(TRIES):
        try:
            return answer(call, await replace(call, item, copy.deepcopy(sent)))
        except RevisionConflict as error:
            if revision or error.current is None or attempt == TRIES - 1:
                raise _lost(call, error) from None
            item = _newer(error)
    raise AssertionError("unreachable")


def _newer(error: RevisionConflict) -> Item:
    row = error.current
    if row is None:
        raise NotFound
    return Item((row.key.namespace, row.key.name), row.revision, row.value)


def _lost(call: Call, error: RevisionConflict) -> ApiError:
    resource = call.resource
    if error.current is None:
        return not_found(resource.plural, resource.group, call.name)
    return conflict(resource.plural, resource.group, call.name, STALE)


async def replace(call: Call, item: Item, new: Json) -> Item:
    """Store ``new`` in the place of ``item``; raises RevisionConflict if that is no longer current."""
    old = served_object(call, item)
    _check_uid(call, new, old)
    _keep(call, new, old)
    _complete(call, new)
    ownership.on_write(old, new, call.resource.schema.type, writer(call))
    return await finish(call, item, new, old)


def _check_uid(call: Call, new: Json, old: Json) -> None:
    sent, is_now = new["metadata"].get("uid"), old["metadata"]["uid"]
    if sent and sent != is_now:
        why = f"Precondition failed: UID in precondition: {sent}, UID in object meta: {is_now}"
        raise conflict(call.resource.plural, call.resource.group, call.name, why)


def _keep(call: Call, new: Json, old: Json) -> None:
    """Put back what this write may not change."""
    was, metadata = old["metadata"], new["metadata"]
    if call.subresource == "status":
        sent = metadata.get("managedFields")
        new_status = new.get("status")
        new.clear()
        new.update({name: value for name, value in old.items() if name != "status"})
        new["metadata"] = {name: value for name, value in was.items() if name != "managedFields" or sent is None}
        if sent is not None:
            new["metadata"]["managedFields"] = sent
        if new_status is not None:
            new["status"] = new_status
        return
    if call.subresource == "finalize":
        finalizers = (new.get("spec") or {}).get("finalizers")
        new.clear()
        new.update(copy.deepcopy(old))
        new.setdefault("spec", {})["finalizers"] = finalizers or []
        return
    for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "namespace"):
        if name in was and (name not in metadata or name in {"generation", "deletionTimestamp", "deletionGracePeriodSeconds"}):
            metadata[name] = was[name]
        elif name not in was:
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


async def finish(call: Call, item: Item, new: Json, old: Json) -> Item:
    """The steps that every change of an object ends with."""
    resource = call.resource
    if resource.generation and not call.subresource:
        ignored = {"metadata", "apiVersion", "kind", *(("status",) if resource.status else ())}
        if {k: v for k, v in new.items() if k not in ignored} != {k: v for k, v in old.items() if k not in ignored}:
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    _validate(call, new, old)
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    if new == old:
        return item
    metadata = new["metadata"]
    if metadata.get("deletionTimestamp") and not metadata.get("finalizers") and not (new.get("spec") or {}).get("finalizers"):
        return await store(call, new, item.revision, delete=True)
    return await store(call, new, item.revision)


async def patch(call: Call) -> Response:
    """Answer a PATCH."""
    media = decode.patch_type(call)
    if call.options.force is not None and media != decode.APPLY:
        raise Invalid(
            'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
            subject=Subject("", "meta.k8s.io", "PatchOptions"),
            causes=[causes.forbidden("force", "may not be specified for non-apply patch")],
        )
    data = await call.request.body()
    if media == decode.APPLY:
        return await _apply(call, data)
    document, doubled = decode.decode(data, media)
    for _ in range(TRIES):
        item = await current(call)
        old = served_object(call, item)
        new = _patched(call, media, old, document)
        sent = (new.get("metadata") or {}).get("resourceVersion") if isinstance(new, dict) else None
        pinned = sent not in {None, "", str(item.revision)}
        if pinned:
            raise conflict(call.resource.plural, call.resource.group, call.name, STALE)
        new = _checked_patch(call, new, doubled)
        try:
            return answer(call, await replace(call, item, new))
        except RevisionConflict as error:
            if _names_revision(document):
                raise _lost(call, error) from None
            await call.parts.feeds.reached(await call.parts.store.head())
    raise conflict(call.resource.plural, call.resource.group, call.name, STALE)


def _names_revision(document: Any) -> bool:
    return isinstance(document, dict) and bool((document.get("metadata") or {}).get("resourceVersion"))


def _patched(call: Call, media: str, old: Json, document: Any) -> Any:
    if media == decode.MERGE:
        if not isinstance(document, dict):
            raise BadRequest("a merge patch must be a JSON object")
        return patches.merge_patch(old, document)
    if media == decode.STRATEGIC:
        return patches.strategic_patch(old, document, call.resource.schema.document)
    try:
        return patches.json_patch(old, document)
    except Invalid as error:
        subject = Subject(call.name, call.resource.group, call.resource.kind)
        raise Invalid(error.message, subject=subject) from error


def _checked_patch(call: Call, new: Any, doubled: list[str]) -> Json:
    new = copy.deepcopy(new)
    if isinstance(new, dict) and isinstance(new.get("metadata"), dict):
        name = new["metadata"].get("name")
        if name != call.name:
            raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.name})")
    obj = decode.checked(call, new, doubled)
    _settle_namespace(call, obj["metadata"])
    return obj


STATUS_ONLY = FieldType(Shape.MAP, {"apiVersion": SCALAR, "kind": SCALAR, "metadata": META, "status": SCALAR})


async def _apply(call: Call, data: bytes) -> Response:
    options = call.options
    if not options.manager:
        raise Invalid(
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
            subject=Subject("", "meta.k8s.io", "PatchOptions"),
            causes=[causes.required("fieldManager", "is required for apply patch")],
        )
    value, doubled = decode.decode(data, decode.APPLY)
    config = decode.checked(call, value, doubled)
    metadata = config["metadata"]
    if metadata.setdefault("name", call.name) != call.name:
        raise BadRequest(f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.name})")
    _settle_namespace(call, metadata)
    for _ in range(TRIES):
        await fresh(call, None)
        item = call.cache.rows.get((call.namespace if call.resource.namespaced else "", call.name))
        try:
            if item is None:
                return answer(call, await _apply_new(call, copy.deepcopy(config)), 201)
            return answer(call, await _apply_over(call, item, config))
        except RevisionConflict:
            if metadata.get("resourceVersion"):
                raise conflict(call.resource.plural, call.resource.group, call.name, STALE) from None
            await call.parts.feeds.reached(await call.parts.store.head())
    raise conflict(call.resource.plural, call.resource.group, call.name, STALE)


async def _apply_new(call: Call, config: Json) -> Item:
    resource = call.resource
    if call.subresource:
        raise not_found(resource.plural, resource.group, call.name)
    if config["metadata"].get("uid"):
        why = f"uid mismatch: the provided object specified uid {config['metadata']['uid']}, and no existing object was found"
        raise conflict(resource.plural, resource.group, call.name, why)
    kind = resource.schema.type
    obj = ownership.apply(None, config, kind, writer(call, applies=True), force=bool(call.options.force), only=_part(call))
    entries = obj["metadata"].pop("managedFields", [])
    for name in ("resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"):
        obj["metadata"].pop(name, None)
    obj["metadata"]["uid"] = str(uuid.uuid4())
    obj["metadata"]["creationTimestamp"] = rfc3339(call.parts.clock.now())
    if resource.generation:
        obj["metadata"]["generation"] = 1
    if resource.key == "namespaces":
        namespaces.on_create(obj)
    _complete(call, obj)
    obj["metadata"]["managedFields"] = entries
    _validate(call, obj, None)
    return await store(call, obj, 0)


def _part(call: Call) -> FieldType | None:
    """What part of the object an apply may touch."""
    if not call.resource.status:
        return None
    if call.subresource == "status":
        return STATUS_ONLY
    fields = {name: kind for name, kind in call.resource.schema.type.fields.items() if name != "status"}
    return FieldType(Shape.MAP, fields)


async def _apply_over(call: Call, item: Item, config: Json) -> Item:
    old = served_object(call, item)
    sent = config["metadata"].get("resourceVersion")
    if sent and sent != str(item.revision):
        raise conflict(call.resource.plural, call.resource.group, call.name, STALE)
    _check_uid(call, config, old)
    try:
        new = ownership.apply(
            copy.deepcopy(old),
            config,
            call.resource.schema.type,
            writer(call, applies=True),
            force=bool(call.options.force),
            only=_part(call),
        )
    except Conflict as error:
        raise Conflict(error.message, subject=Subject(), causes=error.causes) from error
    entries = new["metadata"].pop("managedFields", [])
    if call.subresource == "status":
        new = {**old, "metadata": dict(old["metadata"]), **({"status": new["status"]} if "status" in new else {})}
    for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "generateName"):
        if name in old["metadata"]:
            new["metadata"][name] = old["metadata"][name]
    if call.resource.key == "namespaces":
        new["spec"] = old.get("spec", {})
    _complete(call, new)
    if entries:
        new["metadata"]["managedFields"] = entries
    return await finish(call, item, new, old)
