"""The sweep that keeps the results of ManifestSets true: what is told of a set that is gone goes too, why ever it stayed."""

from __future__ import annotations

from skerry.client.contract import Client
from skerry.gateway.desired import MANIFESTSETS
from skerry.gateway.results import SWEEP_SECONDS, Results
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.errors import ApiError, NotFound
from skerry.runtime.informer import Informer

log = get("compose.resultsweep")


class ResultSweeper:
    """Removes the results of sets that are gone, now and then."""

    def __init__(self, client: Client, results: Results, sets: Informer, clock: Clock) -> None:
        """A set that ``sets`` lacks is asked for before it counts as gone: a copy may be late."""
        self._client = client
        self._results = results
        self._sets = sets
        self._clock = clock

    async def run(self) -> None:
        """Sweep until cancelled."""
        await self._sets.synced.wait()
        while True:
            try:
                await self.sweep()
            except Exception as error:  # noqa: BLE001 whatever it is, the next sweep does the same
                log.info("cannot sweep the results; will try again", error=str(error))
            await self._clock.sleep(SWEEP_SECONDS)

    async def sweep(self) -> int:
        """Remove them now; returns how many. Raises ServiceUnavailable."""
        known = {(namespace, name) for namespace, _, name in (key.partition("/") for key in self._sets.known())}
        return await self._results.sweep(known, self._exists)

    async def _exists(self, namespace: str, name: str) -> bool:
        try:
            await self._client.get(MANIFESTSETS, name, namespace)
        except NotFound:
            return False
        except ApiError:
            return True
        return True
