"""What turns keys into work: informers signal, a queue orders, workers reconcile.

A reconciler gets a key and nothing else, and answers when it wants to look again. Signal and
periodic scan put the same keys into the same queue. An error is logged and tried again by the
queue, nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, SystemClock
from skerry.kit.log import get
from skerry.machinery.errors import ApiError
from skerry.runtime.informer import Informer
from skerry.runtime.queue import WorkQueue

Reconcile = Callable[[str], Awaitable[float | None]]
"""Brings one key to what is asked for; returns after how many seconds to look again (None: when something happens)."""

log = get("runtime.controller")


@dataclass(frozen=True, slots=True)
class Options:
    """How a controller runs: workers, and seconds between full scans."""

    workers: int = 4
    scan_every: float = 60.0


@dataclass(frozen=True, slots=True)
class Source:
    """An informer, and which keys of the controller a change of one of its objects concerns.

    ``reconciled``: its objects are themselves what is reconciled, as the first source's always are, and scans go over them.
    """

    informer: Informer
    keys: Callable[[str], Iterable[str]] = lambda key: (key,)
    reconciled: bool = False


class Controller:
    """One reconciler and what feeds it. The first source is the kind that is reconciled: scans go over its objects."""

    def __init__(
        self,
        name: str,
        sources: list[Source],
        reconcile: Reconcile,
        *,
        mine: Callable[[str], bool] = lambda _: True,
        options: Options | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Wire the parts; nothing runs yet. Only keys that are ``mine`` are worked on."""
        self.name = name
        self._sources = sources
        self._reconcile = reconcile
        self._mine = mine
        self._options = options or Options()
        self._clock = clock or SystemClock()
        self.queue = WorkQueue(self._clock, name)
        for source in sources:
            source.informer.listen(self._listener(source))

    def _listener(self, source: Source) -> Callable[[str], None]:
        def tell(key: str) -> None:
            self._add(source.keys(key))

        return tell

    def _add(self, keys: Iterable[str]) -> None:
        for key in filter(self._mine, keys):
            self.queue.add(key)

    async def run(self) -> None:
        """Work until cancelled. The informers are run by whoever owns them."""
        for source in self._sources:
            await source.informer.synced.wait()
        async with TaskOwner(self.name) as owner:
            for number in range(self._options.workers):
                owner.spawn(self._work(), f"worker-{number}")
            while True:
                for source in self._sources:
                    if source is self._sources[0] or source.reconciled:
                        for key in source.informer.known():
                            self._add(source.keys(key))
                await self._clock.sleep(self._options.scan_every)

    async def _work(self) -> None:
        while True:
            key = await self.queue.take()
            try:
                again = await self._reconcile(key)
            except asyncio.CancelledError:
                raise
            except ApiError as error:
                delay = self.queue.failed(key)
                log.info("will try again", controller=self.name, key=key, error=error.message, again_in=round(delay, 1))
            except Exception:
                delay = self.queue.failed(key)
                log.exception("a reconcile failed unexpectedly", controller=self.name, key=key, again_in=round(delay, 1))
            else:
                self.queue.done(key)
                if again is not None:
                    self.queue.add_after(key, again)
            await asyncio.sleep(0)  # a scan may bring ten thousand keys for which there is nothing to wait for
