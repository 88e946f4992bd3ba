"""get and list, with Kubernetes' resourceVersion semantics.

A plain read is linearizable: it learns the newest revision and is served once the cache has
reached it. ``resourceVersion=0`` takes what is there; a number asks for at least, or with
``Exact`` for just that revision. Pages of a list are of one revision: its continue token
carries it, and when the log no longer reaches back the answer is 410 with a token that goes
on from the present.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Coroutine
from typing import NamedTuple

from skerry.machinery.document import loads
from skerry.machinery.errors import BadRequest, Cause, Expired, Timeout, not_found
from skerry.restapi import guard, listoptions
from skerry.restapi.cache import Item
from skerry.restapi.context import Call
from skerry.restapi.forms import list_body, one
from skerry.restapi.indexes import learn, narrowed
from skerry.restapi.response import Response
from skerry.restapi.selection import Selection, select
from skerry.store.contract import Compacted, FutureRevision, Key

PATIENCE = 3.0
NEWEST = 2**63 - 1
"""The last revision that a store could number."""


async def get(call: Call) -> Response:
    """Answer with one object."""
    revision = revision_of(call.options.revision, "resourceVersion")
    await fresh(call, revision)
    item = call.cache.rows.get((call.key().namespace, call.name))
    if item is None:
        raise not_found(call.resource.plural, call.resource.group, call.name)
    guard.admit(call, item)
    include = call.request.query.get("includeObject", "")
    return Response(one(item, call.resource, call.form, call.parts.clock.now(), include))


async def fresh(call: Call, revision: int | None) -> int:
    """Wait until the cache is as new as was asked for (None: as new as anything); return the revision it shows."""
    feeds, cache = call.parts.feeds, call.cache
    if revision == 0:
        return cache.revision if call.resource.latest else feeds.position
    if call.resource.latest:
        if revision is not None and revision > cache.revision:
            await _in_time(feeds.latest_reached(cache, revision), revision, cache.revision)
        return cache.revision
    head = await call.parts.store.head() if revision is None else revision
    if feeds.position < head:
        await _in_time(feeds.reached(head), head, feeds.position)
    return max(head, feeds.position)


async def _in_time(waiting: Coroutine[None, None, None], wanted: int, current: int) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await waiting
    except TimeoutError:
        cause = Cause("ResourceVersionTooLarge", "Too large resource version")
        raise Timeout(f"Timeout: Too large resource version: {wanted}, current: {current}", causes=[cause], retry_after=1) from None


def revision_of(text: str, name: str) -> int | None:
    """Read a revision; None if there is none. Raises BadRequest."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(f'invalid resource version: {name}: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    if len(text) > 20:
        raise BadRequest(f'invalid resource version: {name}: Invalid value: "{text[:40]}": strconv.ParseUint: parsing: value out of range')
    return min(int(text), NEWEST)


START_FORMAT = "meta.k8s.io/v1"


class Continue(NamedTuple):
    """Where a list goes on: at which revision (-1: the present), behind which object."""

    revision: int
    namespace: str
    name: str

    def encode(self) -> str:
        """The token as it is handed out."""
        body = {"v": START_FORMAT, "rv": self.revision, "start": f"{self.namespace}/{self.name}"}
        return base64.urlsafe_b64encode(json.dumps(body, separators=(",", ":")).encode()).rstrip(b"=").decode()


def _decode_continue(token: str) -> Continue:
    try:
        body = loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, revision, (namespace, _, name) = body.get("v"), int(body["rv"]), body.get("start", "").partition("/")
    except (ValueError, KeyError, TypeError, AttributeError, BadRequest) as error:
        raise BadRequest(f"invalid continue token: continue key is not valid: {error}") from None
    if not -1 <= revision <= NEWEST:
        raise BadRequest("invalid continue token: continue key is not valid: its resource version is out of range")
    wrong = "" if name else f"encoded start key empty (version {version})"
    if version != START_FORMAT:
        wrong = f"server does not recognize this encoded version {version}"
    if wrong:
        raise BadRequest(f"invalid continue token: continue key is not valid: {wrong}")
    return Continue(revision, namespace, name)


async def items(call: Call) -> Response:
    """Answer with a list."""
    options = call.options
    listoptions.check(options)
    selection = select(call.resource, call.namespace, options, call.sight)
    include = call.request.query.get("includeObject", "")
    found, revision, token, remaining = await page(call, selection)
    metadata = list_metadata(call, revision, token, remaining)
    return Response(await list_body(call.resource, call.form, found, metadata, call.parts.clock.now(), include))


def list_metadata(call: Call, revision: int, token: Continue | None, remaining: int | None) -> dict[str, object]:
    """The metadata of a list, out of what ``page`` found."""
    metadata: dict[str, object] = {"resourceVersion": str(revision)}
    if not call.resource.strategic and not call.form.kind:
        metadata["continue"] = ""  # as custom resources have it; Kubernetes' own kinds leave it out
    if token is not None:
        metadata["continue"] = token.encode()
        if remaining is not None:
            metadata["remainingItemCount"] = remaining
    return metadata


async def page(call: Call, selection: Selection) -> tuple[list[Item], int, Continue | None, int | None]:
    """One page: the objects, the list's revision, where it goes on, and how many are left if that is known."""
    options = call.options
    if options.continuation:
        token = _decode_continue(options.continuation)
        if token.revision >= 0 and not call.resource.latest:
            return await _from_store(call, selection, token.revision, token)
        revision = await fresh(call, None)
        return await _from_cache(call, selection, revision, (token.namespace, token.name))
    asked = revision_of(options.revision, "resourceVersion")
    exact = options.match == "Exact" or (not options.match and options.limit and asked)
    if exact and asked is not None and not call.resource.latest:
        return await _from_store(call, selection, asked, None)
    revision = await fresh(call, asked)
    return await _from_cache(call, selection, revision, None)


async def _from_cache(
    call: Call, selection: Selection, revision: int, after: tuple[str, str] | None
) -> tuple[list[Item], int, Continue | None, int | None]:
    rows = call.cache.rows
    narrow = None if selection.all else narrowed(call.cache, selection)
    if narrow is not None:
        return await _chosen([item for item in narrow if after is None or item.place > after], selection, revision, call.options.limit)
    if selection.namespace or after:
        low = after or (selection.namespace, "")
        places = rows.irange(low, (selection.namespace + "\0", "") if selection.namespace else None, inclusive=(after is None, False))
        candidates = [rows[place] for place in places]
    else:
        candidates = list(rows.values())
    chosen = await _chosen(candidates, selection, revision, call.options.limit)
    await learn(call.cache, selection)
    return chosen


async def _from_store(
    call: Call, selection: Selection, revision: int, token: Continue | None
) -> tuple[list[Item], int, Continue | None, int | None]:
    after = Key(call.parts.organization, call.resource.key, token.namespace, token.name) if token else None
    try:
        stored = await call.parts.store.page(
            call.parts.organization, call.resource.key, selection.namespace or None, at=revision, after=after
        )
    except Compacted:
        if token is None:
            raise Expired(f"The resourceVersion for the provided list is too old: {revision}") from None
        raise _expired_token(token) from None
    except FutureRevision as error:
        text = f"Timeout: Too large resource version: {revision}, current: {error.current}"
        raise Timeout(text, causes=[Cause("ResourceVersionTooLarge", "Too large resource version")], retry_after=1) from None
    candidates = [Item.of((row.key.namespace, row.key.name), row.revision, row.value) for row in stored.rows]
    return await _chosen(candidates, selection, revision, call.options.limit)


async def _chosen(
    candidates: list[Item], selection: Selection, revision: int, limit: int
) -> tuple[list[Item], int, Continue | None, int | None]:
    found = candidates if selection.all else await selection.among(candidates)
    if not limit or len(found) <= limit:
        return found, revision, None, None
    last = found[limit - 1].place
    return found[:limit], revision, Continue(revision, *last), len(found) - limit if selection.all else None


class ExpiredToken(Expired):
    """The provided continue parameter is too old."""

    def __init__(self, token: str) -> None:
        """Carry a token that goes on from the present."""
        super().__init__(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue"
            " parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided"
            " token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was"
            " returned and now may show up in the list."
        )
        self.token = token


def _expired_token(token: Continue) -> ExpiredToken:
    return ExpiredToken(Continue(-1, token.namespace, token.name).encode())
