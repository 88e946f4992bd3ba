"""watch: a stream of events after a revision, with bookmarks, initial events, and an end.

An event is wrapped around the object's stored bytes. A bookmark tells the newest revision that
the watcher need not fear to have missed; one is sent every minute, at the end, and after the
initial events where they were asked for. A watcher that does not keep up is ended: it resumes
from its last revision.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

from skerry.machinery.document import dumps
from skerry.machinery.errors import ApiError, Expired, Timeout
from skerry.restapi import listoptions
from skerry.restapi.cache import Event, Item, Watcher
from skerry.restapi.context import Call
from skerry.restapi.forms import RowMaker, metadata_only, served, table
from skerry.restapi.reads import fresh, revision_of
from skerry.restapi.response import Response, in_chunks
from skerry.restapi.selection import select
from skerry.restapi.sights import Sighted, check_resumption
from skerry.restapi.status import failure

See = Callable[[Event], tuple[str, Item] | None]

BOOKMARK_EVERY = 60.0
PORTION = 64 * 1024
"""Bytes that are handed over at once."""

SHORTEST, LONGEST = 1800.0, 3600.0
"""A watch without a timeout of its own ends after a random while, so that clients spread."""


async def watch(call: Call) -> Response:
    """Answer with a stream of events."""
    options = call.options
    listoptions.check(options)
    selection = select(call.resource, call.namespace, options, call.sight)
    asked = revision_of(options.revision, "resourceVersion")
    cache = call.cache
    rows: list[Item] = []
    backlog: list[Event] = []
    begins = options.initial_events or (not asked and options.initial_events is None)
    if begins:
        try:
            start = await fresh(call, asked)
        except Timeout as error:
            return Response(stream=_single(error))
        watcher, rows = Watcher([]), list(cache.rows.values())
    elif not asked:
        start = await fresh(call, asked)
        watcher = Watcher([])
    else:
        start = asked
        try:
            check_resumption(call, asked)
            backlog = cache.since(asked)
            watcher = Watcher(backlog)
        except Expired as error:
            return Response(stream=_single(error))
    cache.join(watcher)
    sighted = None if call.sight is None else Sighted(call, call.sight, watcher, selection)
    try:
        initial = await selection.among(rows)  # what happens meanwhile waits in the watcher
        if sighted is not None:
            await sighted.begin(initial if begins else None, backlog)
    except BaseException:
        cache.watchers.discard(watcher)
        if sighted is not None:
            sighted.end()
        raise
    stream = _Stream(call, watcher, start)
    mark_initial = bool(options.initial_events and options.bookmarks)
    frames = stream.frames(initial, selection.see if sighted is None else sighted.see, mark_initial=mark_initial)
    if sighted is not None:
        frames = sighted.frames(frames)
    return Response(stream=frames, gone=watcher.drop)


async def _single(error: ApiError) -> AsyncIterator[bytes]:
    yield dumps({"type": "ERROR", "object": failure(error)}) + b"\n"


class _Stream:
    """One watch response."""

    def __init__(self, call: Call, watcher: Watcher, start: int) -> None:
        self._call = call
        self._cache = call.cache
        self._watcher = watcher
        self._revision = start
        seconds = call.options.timeout
        self._ends = call.parts.clock.monotonic() + (seconds if seconds else random.uniform(SHORTEST, LONGEST))
        self._first_row = True
        include = call.request.query.get("includeObject", "")
        self._rows = RowMaker(call.resource, call.form, include) if call.form.kind == "Table" else None

    async def frames(self, initial: list[Item], see: See, *, mark_initial: bool) -> AsyncIterator[bytes]:
        """Yield encoded events until the end."""
        try:
            async for chunk in in_chunks(self._frame("ADDED", item) for item in initial):
                yield chunk
            if mark_initial:
                yield self._bookmark(initial_end=True)
            async for chunk in self._follow(see):
                yield chunk
        except ApiError as error:  # an object that cannot be shown
            yield dumps({"type": "ERROR", "object": failure(error)}) + b"\n"
        finally:
            self._watcher.quiet()
            self._call.cache.watchers.discard(self._watcher)

    async def _follow(self, see: See) -> AsyncIterator[bytes]:
        clock, bookmarks = self._call.parts.clock, self._call.options.bookmarks
        next_mark = clock.monotonic() + BOOKMARK_EVERY
        while not self._watcher.dropped:
            now = clock.monotonic()
            if now >= self._ends:
                break
            await self._watcher.wait(min(self._ends, next_mark) - now)
            async for portion in self._portions(see, self._watcher.take()):
                yield portion
            if clock.monotonic() >= next_mark:
                next_mark = clock.monotonic() + BOOKMARK_EVERY
                if bookmarks:
                    yield self._bookmark()
        if bookmarks and not self._watcher.dropped:
            yield self._bookmark()

    async def _portions(self, see: See, events: list[Event]) -> AsyncIterator[bytes]:
        """Encode events as they are taken from us: of one who is behind, no more is encoded than he has room for."""
        held: list[bytes] = []
        size = 0
        for event in events:
            frame = self._see(see, event)
            if frame is None:
                continue
            held.append(frame)
            size += len(frame)
            if size >= PORTION:
                yield b"".join(held)
                await asyncio.sleep(0)
                held, size = [], 0
        if held:
            yield b"".join(held)

    def _see(self, see: See, event: Event) -> bytes | None:
        self._revision = event.revision
        shown = see(event)
        if shown is None:
            return None
        kind, item = shown
        return self._frame(kind, item)

    def _frame(self, kind: str, item: Item) -> bytes:
        self._cache.sent += 1
        form = self._call.form
        if self._rows is not None:
            row = self._rows.row(item, self._call.parts.clock.now().timestamp())
            columns = self._first_row and kind != "BOOKMARK"
            body = table(self._call.resource, form, [row], {"resourceVersion": str(item.revision)}, with_columns=columns)
            self._first_row = self._first_row and not columns
        elif form.kind:
            body = metadata_only(item, version=form.version)
        else:
            body = served(item, self._call.resource)
        return b'{"type":"%s","object":%s}\n' % (kind.encode(), body)

    def _bookmark(self, *, initial_end: bool = False) -> bytes:
        resource = self._call.resource
        position = self._call.cache.revision if resource.latest else self._call.parts.feeds.position
        if waiting := self._watcher.next_revision:
            position = min(position, waiting - 1)  # whoever goes on from this bookmark must not miss what waits
        revision = max(self._revision, position)
        metadata: dict[str, object] = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return self._frame("BOOKMARK", Item(("", ""), revision, dumps(obj)))
