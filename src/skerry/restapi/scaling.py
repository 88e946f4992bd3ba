"""The ``scale`` subresource: get, update and patch of an ``autoscaling/v1`` Scale, which is a view of the object.

What is written is the object itself, at its own revision: its rules hold, its generation counts up,
and its managedFields say who scaled it, through ``scale``. A Scale without a revision is put on
whatever is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from skerry.machinery import scale
from skerry.machinery.document import copied
from skerry.machinery.errors import STALE, BadRequest, InternalError, UnsupportedMediaType, conflict, invalid
from skerry.machinery.patches import json_patch, merge_patch
from skerry.machinery.resource import Resource
from skerry.machinery.schema import Schema
from skerry.restapi import decode
from skerry.restapi.cache import Item
from skerry.restapi.context import Call
from skerry.restapi.patching import names_revision
from skerry.restapi.response import Response, json_response
from skerry.restapi.writes import TRIES, check_uid, current, lost, served_object, settle_namespace
from skerry.restapi.writes import replace as put
from skerry.store.contract import RevisionConflict

Json = dict[str, Any]

SCALE = Resource(scale.GROUP, scale.VERSION, scale.KIND, "scales", Schema(scale.SCHEMA))
CLUSTER_SCALE = replace(SCALE, namespaced=False)
MOST = 2**31 - 1


async def get(call: Call) -> Response:
    """Answer a GET."""
    return json_response(_shown(call, await current(call)))


async def update(call: Call) -> Response:
    """Answer a PUT."""
    sent = await decode.body_object(_as_scale(call))
    metadata = sent["metadata"]
    if metadata.setdefault("name", call.name) != call.name:
        raise BadRequest(f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.name})")
    settle_namespace(call, metadata)
    return await _scaled(call, lambda _: copied(sent), once=bool(metadata.get("resourceVersion")))


async def patch(call: Call) -> Response:
    """Answer a PATCH by a merge patch or a JSON patch."""
    media = decode.patch_type(call)
    if media not in {decode.MERGE, decode.JSON_PATCH}:
        allowed = f"{decode.JSON_PATCH}, {decode.MERGE}"
        raise UnsupportedMediaType(f"the body of the request was in an unknown format - accepted media types include: {allowed}")
    document, doubled = decode.decode(await call.body(), media)
    if not isinstance(document, dict if media == decode.MERGE else list):
        raise BadRequest(f"error decoding patch: this is no {media}")

    def changed(shown: Json) -> Json:
        new = merge_patch(shown, document) if media == decode.MERGE else json_patch(shown, document)
        found = decode.checked(_as_scale(call), new, doubled)
        if found["metadata"].get("name") != call.name:
            raise BadRequest(f"the name of the object does not match the name on the URL ({call.name})")
        settle_namespace(call, found["metadata"])
        return found

    return await _scaled(call, changed, once=names_revision(document))


async def _scaled(call: Call, change: Callable[[Json], Json], *, once: bool) -> Response:
    """Store what ``change`` makes of the Scale that is shown; tries again where somebody was faster, unless only ``once``."""
    for _ in range(TRIES):
        item = await current(call)
        sent = change(_shown(call, item))
        old = served_object(call, item)
        replicas = _asked(call, sent, old, item)
        new = copied(old)
        _paths(call).put(new, replicas)
        try:
            return json_response(_shown(call, await put(call, item, new)))
        except RevisionConflict as error:
            if once:
                raise lost(call, error) from None
            await call.parts.feeds.reached(await call.parts.store.head())
    raise conflict(call.resource.plural, call.resource.group, call.name, STALE)


def _asked(call: Call, sent: Json, old: Json, item: Item) -> int:
    """How many a Scale asks for; raises Conflict where it was made of another object, and Invalid."""
    revision = sent["metadata"].get("resourceVersion")
    if revision and revision != str(item.revision):
        raise conflict(call.resource.plural, call.resource.group, call.name, STALE)
    check_uid(call, sent, old)
    if found := SCALE.schema.validate(sent):
        raise invalid(scale.KIND, scale.GROUP, call.name, found)
    replicas: int = (sent.get("spec") or {}).get("replicas") or 0
    if replicas > MOST:
        raise BadRequest(f"spec.replicas must be an integer of at most {MOST}")
    return replicas


def _paths(call: Call) -> scale.Scale:
    found = call.resource.scale
    if found is None:
        raise LookupError("the kind has no scale; the server asks before it calls")
    return found


def _shown(call: Call, item: Item) -> Json:
    obj = served_object(call, item)
    if _paths(call).asked(obj) is None:
        raise InternalError(f'the spec replicas field "{_paths(call).spec}" does not exist')
    return _paths(call).shown(obj)


def _as_scale(call: Call) -> Call:
    """The same request, with a Scale in its body."""
    return replace(call, resource=SCALE if call.resource.namespaced else CLUSTER_SCALE)
