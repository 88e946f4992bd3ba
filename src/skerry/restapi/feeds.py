"""What fills the watch caches: one task reads the log for all kinds, one reads each table of latest values.

A cache is loaded with the state as of some revision a little way back, where the log still
reaches, and then follows the log; so a watcher that was connected before a restart finds the
events that it missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from skerry.kit.aio import Pulse, TaskOwner
from skerry.kit.log import get
from skerry.machinery.resource import Resource
from skerry.restapi.cache import Item, ResourceCache
from skerry.store.contract import Compacted, Store, StoreClosed, StoreError, StoreUnavailable, Verb
from skerry.store.feed import feed

LOOK_BACK = 10_000
KEEP = 50_000
COMPACT_EVERY = 60.0
RETRY_SECONDS = 0.5
PATIENCE = 10.0
"""How long a decision waits for what was acknowledged elsewhere, in seconds."""

log = get("restapi.feeds")


class Feeds:
    """All caches of one server."""

    def __init__(self, store: Store, organization: str, kinds: Callable[[], dict[str, Resource]]) -> None:
        """``kinds`` tells which storage keys are served now."""
        self._store = store
        self._organization = organization
        self._kinds = kinds
        self.caches: dict[str, ResourceCache] = {}
        self.position = 0
        self._pulse = Pulse()
        self._owner: TaskOwner | None = None
        self.latest: set[str] = set()

    async def start(self, owner: TaskOwner) -> None:
        """Load what there is, then follow in the background; returns when every kind can be read."""
        self._owner = owner
        head = await self._store.head()
        start = max(head - LOOK_BACK, self._store.statistics().oldest, 0)
        self.position = start
        for key, resource in self._kinds().items():
            await self._load(key, resource, start)
        owner.spawn(self._follow(), "log")
        owner.spawn(self._compact(), "compaction")
        await self.reached(head)

    async def add(self, resource: Resource) -> None:
        """Begin to serve a kind that was added while running."""
        if resource.key not in self.caches:
            await self._load(resource.key, resource)

    async def _load(self, key: str, resource: Resource, at: int | None = None) -> None:
        """Fill the cache of a kind as of a revision (None: now); before the first there was nothing."""
        if resource.latest:
            await self._load_latest(key)
            return
        cache = ResourceCache(key)
        if at == 0:
            cache.load(iter(()), 0)
            self.caches[key] = cache
            return
        page = await self._store.page(self._organization, key, at=at or 0)
        # no await from here on: the log cannot move between loading and following
        cache.load((Item.of((row.key.namespace, row.key.name), row.revision, row.value) for row in page.rows), page.revision)
        self.caches[key] = cache
        if page.revision < self.position:
            self.caches.pop(key)
            await self._load(key, resource)

    async def _load_latest(self, key: str) -> None:
        cache = ResourceCache(key)
        head = await self._store.latest_head()
        rows = await self._store.latest_changes(self._organization, key)
        newest = max([head, *(row.sequence for row in rows)])
        cache.load((_latest_item(row.key[2:], row.sequence, row.value or b"") for row in rows), newest)
        self.caches[key] = cache
        self.latest.add(key)
        if self._owner is not None:
            self._owner.spawn(self._follow_latest(cache), f"latest/{key}")

    async def _follow(self) -> None:
        anew = False
        while True:
            try:
                if anew:
                    await self._load_anew()
                    anew = False
                await self._follow_on()
            except Compacted as error:
                log.warning("the log was compacted beyond this server; reading everything anew", oldest=error.oldest)
                anew = True
            except StoreUnavailable:
                await asyncio.sleep(RETRY_SECONDS)  # the store says so in its own log

    async def _follow_on(self) -> None:
        """Take what happens from the present position on, for as long as the log can be read."""
        async for batch in feed(self._store, self.position):
            for change in batch:
                cache = self.caches.get(change.key.resource)
                if cache is not None and change.key.organization == self._organization:
                    place = (change.key.namespace, change.key.name)
                    cache.apply(change.verb, Item.of(place, change.revision, change.value))
            self.position = batch[-1].revision
            self._pulse.beat()
            await asyncio.sleep(0)

    async def _load_anew(self) -> None:
        """Fill every cache as of now; watchers of what was before start anew."""
        head = await self._store.head()
        for key, resource in self._kinds().items():
            if not resource.latest:
                old = self.caches[key]
                await self._load(key, resource, head)
                old.drop_all()
        self.position = head
        self._pulse.beat()

    async def _follow_latest(self, cache: ResourceCache) -> None:
        while True:
            try:
                await self._follow_table(cache)
            except Compacted as error:
                log.warning("removals were forgotten that this server had not read; reading everything anew", oldest=error.oldest)
                if await self._replaced(cache):
                    return
            except StoreUnavailable:
                await asyncio.sleep(RETRY_SECONDS)

    async def _replaced(self, cache: ResourceCache) -> bool:
        """Fill another cache in the place of one, with a follower of its own; tell whether that could be done now."""
        try:
            await self._load_latest(cache.key)
        except StoreUnavailable:
            await asyncio.sleep(RETRY_SECONDS)
            return False
        cache.drop_all()
        return True

    async def _follow_table(self, cache: ResourceCache) -> None:
        """Take what changes from where a cache stands, for as long as the table can be read."""
        after = cache.revision
        while True:
            seen = await self._store.latest_head()
            rows = await self._store.latest_changes(self._organization, cache.key, after, 1000)
            for row in rows:
                place: tuple[str, str] = (row.key.namespace, row.key.name)
                after = max(after, row.sequence)
                if row.value is not None:
                    known = place in cache.rows
                    cache.apply(Verb.UPDATE if known else Verb.CREATE, _latest_item(place, row.sequence, row.value))
                elif place in cache.rows:
                    cache.apply(Verb.DELETE, Item(place, row.sequence, cache.rows[place].value))
            self._pulse.beat()
            if not rows:
                after = max(after, seen)  # nothing of this kind up to there
                await self._store.latest_wait(seen)

    async def _compact(self) -> None:
        while True:
            await asyncio.sleep(COMPACT_EVERY)
            if self.position <= KEEP:
                continue
            try:
                await self._store.compact(self.position - KEEP)
            except StoreClosed:
                return
            except StoreError as error:  # a full disk, for one: the log is longer for a while
                log.warning("the log could not be compacted; trying again", reason=str(error))

    async def reached(self, revision: int) -> None:
        """Return once everything up to a revision is in the caches."""
        while self.position < revision:
            await self._pulse.after(self._pulse.count)

    async def caught_up(self) -> bool:
        """Return once every write that was acknowledged is in the caches; tells whether there was any to wait for.

        Raises StoreUnavailable if the log cannot be followed that far now.
        """
        head = await self._store.head()
        if self.position >= head:
            return False
        try:
            async with asyncio.timeout(PATIENCE):
                await self.reached(head)
        except TimeoutError:
            raise StoreUnavailable(f"the log was read up to {self.position}, not to {head}") from None
        return True

    async def latest_reached(self, cache: ResourceCache, sequence: int) -> None:
        """Return once a cache of latest values holds everything up to a sequence number."""
        while cache.revision < sequence:
            await self._pulse.after(self._pulse.count)


def _latest_item(place: tuple[str, ...], sequence: int, value: bytes) -> Item:
    return Item((place[0], place[1]), sequence, value.replace(b'"\\u0000"', f'"{sequence}"'.encode(), 1))
