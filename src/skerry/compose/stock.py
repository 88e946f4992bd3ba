"""What of the inventory is stored now, read from the watch caches of the API in this process; and the sweep that keeps it true."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from skerry.client.contract import Client
from skerry.gateway.inventory import SWEEP_SECONDS, Inventory
from skerry.gateway.subjects import Subjects, address
from skerry.kinds import observedobject
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.errors import ApiError, NotFound, ServiceUnavailable
from skerry.machinery.resource import Json
from skerry.restapi.server import ApiServer

SOON_SECONDS = 2.0
SHOWN_SECONDS = 10.0

log = get("compose.stock")


class CachedStock:
    """See ``gateway.inventory.Stock``."""

    def __init__(self, api: ApiServer) -> None:
        """``api`` holds the caches."""
        self._api = api

    def names(self, key: str, namespace: str, begin: str) -> Iterable[str]:
        """See ``Stock``."""
        rows = self._api.parts.feeds.caches[key].rows
        return [name for _, name in rows.irange((namespace, begin), (namespace, begin + "\x7f"))]

    def places(self, key: str) -> Iterable[tuple[str, str]]:
        """See ``Stock``."""
        return list(self._api.parts.feeds.caches[key].rows)

    def begun(self, key: str, namespace: str, begin: str) -> list[Json]:
        """See ``gateway.results.ResultStock``."""
        rows = self._api.parts.feeds.caches[key].rows
        return [rows[place].decode() for place in rows.irange((namespace, begin), (namespace, begin + "\x7f"))]

    async def shows(self, key: str, sequence: int) -> None:
        """See ``gateway.results.ResultStock``."""
        feeds = self._api.parts.feeds
        try:
            async with asyncio.timeout(SHOWN_SECONDS):
                await feeds.latest_reached(feeds.caches[key], sequence)
        except TimeoutError:
            raise ServiceUnavailable("what was just written cannot be read yet") from None

    def observed(self, namespace: str) -> list[Json]:
        """See ``Stock``."""
        rows = self._api.parts.feeds.caches[observedobject.RESOURCE.key].rows
        return [rows[place].decode() for place in rows.irange((namespace, ""), (namespace + "\0", ""))]


class Sweeper:
    """Removes what is told of clusters that are gone: soon after they went, and now and then."""

    def __init__(self, client: Client, inventory: Inventory, subjects: Subjects, clock: Clock) -> None:
        """A name that ``subjects`` lacks is asked for before it counts as gone: a copy may be late."""
        self._client = client
        self._inventory = inventory
        self._subjects = subjects
        self._clock = clock
        self._some_left = asyncio.Event()
        subjects.listen(self._look)

    def _look(self, name: str) -> None:
        if self._subjects.get(name) is None:
            self._some_left.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        await self._subjects.synced()
        while True:
            self._some_left.clear()
            try:
                await self.sweep()
            except Exception as error:  # noqa: BLE001 whatever it is, the next sweep does the same
                log.info("cannot sweep the inventory; will try again", error=str(error))
            await self._clock.sleep(SOON_SECONDS)  # what was on its way when its cluster went has arrived by then
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._some_left.wait()
            except TimeoutError:
                continue

    async def sweep(self) -> int:
        """Remove it now; returns how much. Raises ApiError, ServiceUnavailable."""
        gone = {name: await self._is_gone(name) for name in self._inventory.owners() if self._subjects.get(name) is None}
        return await self._inventory.forget([name for name, is_gone in gone.items() if is_gone])

    async def _is_gone(self, name: str) -> bool:
        ref, plain, namespace = address(name)
        try:
            await self._client.get(ref, plain, namespace)
        except NotFound:
            return True
        except ApiError:
            return False
        return False
