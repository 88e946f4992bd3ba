"""A local copy of one kind, kept current by list and watch.

Whoever listens is told the key of what changed and nothing else; of what is not held a change does
not count. A list is read page by page, so that no more than a page is in memory whole. After a break the watch goes
on from its last revision; where that is gone, everything is listed anew and every key that is
or was there is told. ``synced`` is set once the first list is in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from skerry.client.contract import Client, Ref
from skerry.kit.backoff import Backoff
from skerry.kit.log import get
from skerry.machinery.errors import ApiError, Expired, Forbidden, NotFound
from skerry.machinery.resource import Json

GOOD_WATCH_SECONDS = 1.0
"""A watch that ends sooner is one that the server does not really give: the next one waits longer."""

PAGE, SMALL_PAGE = 500, 100
"""Objects of one page; the small one is for who keeps little of each and counts his memory: an agent. More pages cost a server more."""

log = get("runtime.informer")

Listener = Callable[[str], None]
Keep = Callable[[Json], Json]


def key_of(obj: Json) -> str:
    """``namespace/name``, or the name alone for cluster-scoped objects."""
    metadata = obj["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def bare(obj: Json) -> Json:
    """What is held of an object by who only wants to know that it is there, and that it changed."""
    metadata = obj["metadata"]
    names = {name: metadata[name] for name in ("namespace", "name", "resourceVersion") if metadata.get(name)}
    return {"metadata": names}


class Informer:
    """One kind of one API."""

    def __init__(
        self, client: Client, ref: Ref, *, namespace: str = "", labels: str = "", keep: Keep | None = None, page: int = PAGE
    ) -> None:
        """Nothing happens before ``run``. ``keep`` makes of an object what is held in memory; what is held is not changed."""
        self._client = client
        self.ref = ref
        self._namespace = namespace
        self._labels = labels
        self._keep = keep or (lambda obj: obj)
        self._page = page
        self._objects: dict[str, Json] = {}
        self._listeners: list[Listener] = []
        self._revision = ""
        self.synced = asyncio.Event()
        self._lists = self._events = 0

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` the key of everything that changes from now on."""
        self._listeners.append(listener)

    def get(self, key: str) -> Json | None:
        """The object as last seen. It is shared: do not change it."""
        return self._objects.get(key)

    def all(self) -> Iterable[Json]:
        """Every object as last seen. They are shared: do not change them."""
        return list(self._objects.values())

    def known(self) -> list[str]:
        """Every key."""
        return list(self._objects)

    async def run(self) -> None:
        """Follow the kind until cancelled."""
        backoff = Backoff(base=0.2, limit=30.0)
        while True:
            try:
                if not self._revision:
                    await self._list()
                with _resetting(backoff):
                    await self._watch()
                delay = backoff.next()
            except Expired:
                self._revision = ""
                delay = backoff.next()
            except (Forbidden, NotFound) as error:
                self._revision = ""
                delay = backoff.next()
                log.info("cannot watch yet", kind=self.ref.plural, error=error.message, again_in=round(delay, 1))
            except ApiError as error:
                delay = backoff.next()
                log.debug("the watch broke", kind=self.ref.plural, error=error.message, again_in=round(delay, 1))
            await asyncio.sleep(delay)

    async def _list(self) -> None:
        found: dict[str, Json] = {}
        revision = ""
        async for page in self._client.pages(self.ref, self._namespace, labels=self._labels, page=self._page):
            found |= {key_of(obj): self._keep(obj) for obj in page["items"]}
            revision = page["metadata"]["resourceVersion"]
        self._lists += 1
        changed = [key for key in {*found, *self._objects} if found.get(key) != self._objects.get(key)]
        self._objects = found
        self._revision = revision
        self.synced.set()
        for key in changed:
            self._tell(key)

    async def _watch(self) -> None:
        async for event in self._client.watch(self.ref, self._namespace, labels=self._labels, resource_version=self._revision):
            self._revision = event.object["metadata"]["resourceVersion"]
            if event.type == "BOOKMARK":
                continue
            self._events += 1
            key = key_of(event.object)
            if event.type == "DELETED":
                self._objects.pop(key, None)
            else:
                before, self._objects[key] = self._objects.get(key), self._keep(event.object)
                if before == self._objects[key]:
                    continue  # nothing that is held has changed
            self._tell(key)

    def _tell(self, key: str) -> None:
        for listener in self._listeners:
            listener(key)

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {"objects": len(self._objects), "lists": self._lists, "events": self._events}


@contextmanager
def _resetting(backoff: Backoff) -> Iterator[None]:
    """Forget earlier failures if the block lasts for a while, however it ends."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        yield
    finally:
        if clock() - began >= GOOD_WATCH_SECONDS:
            backoff.reset()
