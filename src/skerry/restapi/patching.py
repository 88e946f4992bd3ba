"""patch: merge, JSON, strategic, and server-side apply.

A classic patch is put on the present version of the object and goes the way of an update; one
without a revision of its own is tried again when somebody else was faster. An applied
configuration is merged by its schema, with the manager's earlier configuration as the third
side, and makes the object where there is none.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from skerry.kit.clock import rfc3339
from skerry.kit.entropy import new_uid
from skerry.machinery import causes, meta, ownership, patches
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
from skerry.machinery.types import META, SCALAR, FieldType, Shape
from skerry.restapi import decode, namespaces
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
    lost,
    replace,
    served_object,
    settle_namespace,
    store,
    validate,
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
        new = _checked_patch(call, new, doubled, old["metadata"]["uid"])
        try:
            return answer(call, await replace(call, item, new))
        except RevisionConflict as error:
            if _names_revision(document):
                raise lost(call, error) from None
            await call.parts.feeds.reached(await call.parts.store.head())
    raise conflict(call.resource.plural, call.resource.group, call.name, STALE)


def _names_revision(document: Any) -> bool:
    return isinstance(document, dict) and bool((document.get("metadata") or {}).get("resourceVersion"))


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
    new = copy.deepcopy(new)
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
    if isinstance(value, dict) and (value.get("apiVersion"), value.get("kind")) != (call.resource.api_version, call.resource.kind):
        raise BadRequest(f"invalid object type: {value.get('apiVersion') or '/'}, Kind={value.get('kind') or ''}")
    config = decode.checked(call, value, doubled)
    metadata = config["metadata"]
    if not metadata.get("name"):
        raise BadRequest(f"the name of the object ({call.name} based on URL) was undeterminable: name must be provided")
    if metadata["name"] != call.name:
        raise BadRequest(f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.name})")
    settle_namespace(call, metadata)
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
    obj["metadata"]["uid"] = new_uid()
    obj["metadata"]["creationTimestamp"] = rfc3339(call.parts.clock.now())
    if resource.generation:
        obj["metadata"]["generation"] = 1
    if resource.key == "namespaces":
        namespaces.on_create(obj)
    complete(call, obj)
    obj["metadata"]["managedFields"] = entries
    validate(call, obj, None)
    return await store(call, obj, 0)


def _part(call: Call) -> FieldType | None:
    """What part of the object an apply may touch."""
    if not call.resource.status:
        return None
    if call.subresource == "status":
        return STATUS_ONLY
    fields = {name: kind for name, kind in call.resource.schema.type.fields.items() if name != "status"}
    return FieldType(Shape.MAP, fields)


LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def _note_last_applied(call: Call, config: Json, old: Json) -> None:
    """Keep client-side apply's annotation true when kubectl applies on the server's side, so that one can go back to it."""
    metadata = config["metadata"]
    if call.options.manager != "kubectl" or LAST_APPLIED not in (old["metadata"].get("annotations") or {}):
        return
    annotations = {name: text for name, text in (metadata.get("annotations") or {}).items() if name != LAST_APPLIED}
    bare = {name: value for name, value in metadata.items() if name not in {"annotations", "namespace"}}
    noted = {**config, "metadata": bare | ({"annotations": annotations} if annotations else {})}
    text = json.dumps(noted, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    metadata["annotations"] = annotations | {LAST_APPLIED: text}


async def _apply_over(call: Call, item: Item, config: Json) -> Item:
    old = served_object(call, item)
    sent = config["metadata"].get("resourceVersion")
    if sent and sent != str(item.revision):
        raise conflict(call.resource.plural, call.resource.group, call.name, STALE)
    check_uid(call, config, old)
    _note_last_applied(call, config, old)
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
    complete(call, new)
    if entries:
        new["metadata"]["managedFields"] = entries
    return await finish(call, item, new, old)
