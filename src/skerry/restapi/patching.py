"""patch: merge, JSON, strategic, and server-side apply.

A classic patch is put on the present version of the object and goes the way of an update; one
without a revision of its own is tried again when somebody else was faster. An applied
configuration is merged by its schema, with the manager's earlier configuration as the third
side, and makes the object where there is none.
"""

from __future__ import annotations

from typing import Any

from skerry.kit.clock import rfc3339
from skerry.kit.entropy import new_uid
from skerry.machinery import causes, meta, ownership, patches
from skerry.machinery.document import copied, dumps, loads
from skerry.machinery.errors import (
    STALE,
    BadRequest,
    Conflict,
    Invalid,
    RequestEntityTooLarge,
    Subject,
    conflict,
    invalid,
    not_found,
)
from skerry.machinery.reading import measured
from skerry.restapi import decode, guard, namespaces
from skerry.restapi.cache import Item
from skerry.restapi.context import Call
from skerry.restapi.reads import fresh
from skerry.restapi.response import Response
from skerry.restapi.writes import (
    TRIES,
    answer,
    check_uid,
    complete,
    current,
    finish,
    judge,
    lost,
    part,
    replace,
    served_object,
    settle_namespace,
    store,
    validate,
    versions,
    writer,
)
from skerry.store.contract import RevisionConflict

Json = dict[str, Any]


async def patch(call: Call) -> Response:
    """Answer a PATCH."""
    media = decode.patch_type(call)
    if call.options.force is not None and media != decode.APPLY:
        raise Invalid(
            'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
            subject=Subject("", "meta.k8s.io", "PatchOptions"),
            causes=[causes.forbidden("force", "may not be specified for non-apply patch")],
        )
    data = await call.body()
    if media == decode.APPLY:
        return await _apply(call, data)
    document, doubled = await call.work(decode.decode, data, media)
    for _ in range(TRIES):
        item = await current(call)
        call.weight = max(call.weight, item.size)
        new = await call.work(_changed, call, media, item, document, doubled)
        try:
            return answer(call, await replace(call, item, new))
        except RevisionConflict as error:
            if names_revision(document):
                raise lost(call, error) from None
            await call.parts.feeds.reached(await call.parts.store.head())
    raise conflict(call.resource.plural, call.resource.group, call.name, STALE)


def _changed(call: Call, media: str, item: Item, document: Any, doubled: list[str]) -> Json:
    """The object as the patch wants it, held against what any patch may do."""
    old = served_object(call, item)
    new = _patched(call, media, old, copied(document))
    measured(new)
    metadata = new.get("metadata") if isinstance(new, dict) else None
    sent = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if sent not in (None, "", str(item.revision)):
        raise conflict(call.resource.plural, call.resource.group, call.name, STALE)
    return _checked_patch(call, new, doubled, old["metadata"]["uid"])


def names_revision(document: Any) -> bool:
    """Whether a patch is meant for one revision alone."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("resourceVersion"))


def _patched(call: Call, media: str, old: Json, document: Any) -> Any:
    if media == decode.MERGE:
        if not isinstance(document, dict):
            found = meta.go_type(document)
            raise BadRequest(f"error decoding patch: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}")
        return patches.merge_patch(old, document)
    if media == decode.STRATEGIC:
        return patches.strategic_patch(old, document, call.resource.schema.document)
    if not isinstance(document, list):
        raise BadRequest(
            f"error decoding patch: json: cannot unmarshal {meta.go_type(document)} into Go value of type []handlers.jsonPatchOp"
        )
    try:
        return patches.json_patch(old, document)
    except RequestEntityTooLarge as error:
        raise RequestEntityTooLarge(f"Request entity too large: {error}") from error


def _checked_patch(call: Call, new: Any, doubled: list[str], uid: str) -> Json:
    if isinstance(new, dict) and isinstance(new.get("metadata"), dict | None):
        name = (new.get("metadata") or {}).get("name")
        if not name:
            raise BadRequest(f"the name of the object ({call.name} based on URL) was undeterminable: name must be provided")
        if name != call.name:
            raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.name})")
    obj = decode.checked(call, new, doubled)
    metadata = obj["metadata"]
    if metadata.get("uid") and metadata["uid"] != uid:
        resource = call.resource
        raise invalid(resource.kind, resource.group, call.name, [causes.invalid("metadata.uid", metadata["uid"], "field is immutable")])
    settle_namespace(call, metadata)
    return obj


async def _apply(call: Call, data: bytes) -> Response:
    options = call.options
    if not options.manager:
        raise Invalid(
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
            subject=Subject("", "meta.k8s.io", "PatchOptions"),
            causes=[causes.required("fieldManager", "is required for apply patch")],
        )
    config, text = await call.work(_config, call, data)
    metadata = config["metadata"]
    for _ in range(TRIES):
        await fresh(call, None)
        item = call.cache.rows.get((call.namespace if call.resource.namespaced else "", call.name))
        try:
            if item is None:
                return answer(call, await _apply_new(call, text), 201)
            return answer(call, await _apply_over(call, item, text))
        except RevisionConflict:
            if metadata.get("resourceVersion"):
                raise conflict(call.resource.plural, call.resource.group, call.name, STALE) from None
            await call.parts.feeds.reached(await call.parts.store.head())
    raise conflict(call.resource.plural, call.resource.group, call.name, STALE)


def _config(call: Call, data: bytes) -> tuple[Json, bytes]:
    """The configuration that is applied, and the encoded part of it that its owner claims."""
    value, doubled = decode.decode(data, decode.APPLY)
    if isinstance(value, dict) and (value.get("apiVersion"), value.get("kind")) != (call.resource.api_version, call.resource.kind):
        raise BadRequest(f"invalid object type: {value.get('apiVersion') or '/'}, Kind={value.get('kind') or ''}")
    raw = copied(value)
    config = decode.checked(call, value, doubled)
    metadata = config["metadata"]
    if not metadata.get("name"):
        raise BadRequest(f"the name of the object ({call.name} based on URL) was undeterminable: name must be provided")
    if metadata["name"] != call.name:
        raise BadRequest(f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.name})")
    settle_namespace(call, dict(metadata))
    return config, dumps(_claimed(raw, config))


def _claimed(raw: Any, known: Any) -> Any:
    """What an applier claims: the part of his config that the kind knows, with the nulls and empty maps that decoding drops."""
    if isinstance(raw, dict) and isinstance(known, dict):
        return {name: _claimed(value, known.get(name)) for name, value in raw.items() if name in known or not (value or _is_plain(value))}
    if isinstance(raw, list) and isinstance(known, list):
        return [_claimed(*pair) for pair in zip(raw, known, strict=True)]
    return raw if known is None else known


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _merged(call: Call, live: Json | None, config: Json) -> Json:
    """The applied object before anything is kept of the old one; raises Conflict."""
    manager = writer(call, applies=True)
    force, zero = bool(call.options.force), call.resource.zero
    try:
        obj = ownership.apply(live, config, part(call), manager, force=force, versions=versions(call), zero=zero)
    except Conflict as error:
        raise Conflict(error.message, subject=Subject(), causes=error.causes) from error
    if decode.is_built_in(call.resource):
        call.resource.schema.prune(obj)  # Kubernetes decodes its own kinds once more: a map that was emptied is null, and goes
    entries = obj["metadata"].get("managedFields")
    meta.decode(obj["metadata"])
    if entries:
        obj["metadata"]["managedFields"] = entries
    return obj


async def _apply_new(call: Call, text: bytes) -> Item:
    obj = await call.work(_made, call, text)
    await guard.settle(call, obj, None)
    return await store(call, obj, 0)


def _made(call: Call, text: bytes) -> Json:
    """The new object that an applied configuration makes; raises Invalid, and NotFound or Conflict where there must be one already."""
    config, resource = loads(text), call.resource
    if call.subresource:
        raise not_found(resource.plural, resource.group, call.name)
    if config["metadata"].get("uid"):
        why = f"uid mismatch: the provided object specified uid {config['metadata']['uid']}, and no existing object was found"
        raise conflict(resource.plural, resource.group, call.name, why)
    obj = _merged(call, None, config)
    settle_namespace(call, obj["metadata"])
    for name in ("resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"):
        obj["metadata"].pop(name, None)
    obj["metadata"]["uid"] = new_uid()
    obj["metadata"]["creationTimestamp"] = rfc3339(call.parts.clock.now())
    if resource.generation:
        obj["metadata"]["generation"] = 1
    if resource.key == "namespaces":
        namespaces.label(obj)
        namespaces.on_create(obj)
    complete(call, obj)
    validate(call, obj, None)
    return obj


async def _apply_over(call: Call, item: Item, text: bytes) -> Item:
    guard.admit(call, item)
    call.weight = max(call.weight, item.size)
    new, old = await call.work(_merged_over, call, item, text)
    return await finish(call, item, new, old)


def _merged_over(call: Call, item: Item, text: bytes) -> tuple[Json, Json]:
    """The object with a configuration applied, and the object before; raises Conflict or Invalid."""
    config: Json = loads(text)
    old = served_object(call, item)
    new = _merged(call, served_object(call, item), config)
    sent = config["metadata"].get("resourceVersion")
    if sent and sent != str(item.revision):
        raise conflict(call.resource.plural, call.resource.group, call.name, STALE)
    check_uid(call, config, old)
    for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "generateName"):
        if name in old["metadata"]:
            new["metadata"][name] = old["metadata"][name]
    if call.resource.key == "namespaces":
        new["spec"] = old.get("spec", {})
    complete(call, new)
    judge(call, new, old)
    return new, old
