"""The claims on agents' sessions, in the table of latest values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from skerry.gateway.inventory import Place
from skerry.gateway.routes import Route
from skerry.gateway.sessions import Claim, Outdone
from skerry.machinery.document import Gapped
from skerry.machinery.errors import ServiceUnavailable
from skerry.restapi.server import ApiServer
from skerry.store.contract import Compacted, Guard, Key, Outdated, StoreError

RESOURCE = "agentsessions"
"""Where claims are; no kind has this key. A value is the identity of the gateway."""


class ClaimTable:
    """See ``gateway.sessions.Claims``."""

    def __init__(self, api: ApiServer) -> None:
        """Claims are kept in the store of ``api``."""
        self._api = api
        self._store = api.parts.store
        self._organization = api.parts.organization

    def _guard(self, name: str, epoch: int) -> Guard:
        """What lets a batch be stored only while the newest claim on an agent is of an epoch."""
        return Guard(Key(self._organization, RESOURCE, "", name), epoch)

    async def keep(self, values: Mapping[Place, Gapped | None], route: Route | None) -> int:
        """Upsert latest values of a session, or of none; None removes one. Returns their last sequence number.

        Raises Outdone if another session was claimed, ServiceUnavailable.
        """
        with self._guarding():
            return await self._api.put_latest(values, self._guard(route.name, route.epoch) if route else None)

    @contextmanager
    def _guarding(self) -> Iterator[None]:
        """Say by Outdone that a guard did not hold, and by ServiceUnavailable that the store does not answer."""
        try:
            yield
        except Compacted:
            raise
        except Outdated as error:
            raise Outdone(str(error)) from error
        except StoreError as error:
            raise ServiceUnavailable(str(error)) from error

    async def put(self, name: str, gateway: str, before: int) -> int:
        """Claim an agent whose newest claim is of epoch ``before``; returns the new epoch. Raises Outdone."""
        guard = self._guard(name, before)
        with self._guarding():
            return await self._store.latest_put({guard.key: gateway.encode()}, guard)

    async def head(self) -> int:
        """The last sequence number taken, by whatever value."""
        with self._guarding():
            return await self._store.latest_head()

    async def since(self, epoch: int) -> Sequence[Claim] | None:
        """The claims that were made after an epoch; None where nobody knows."""
        try:
            with self._guarding():
                rows = await self._store.latest_changes(self._organization, RESOURCE, epoch)
        except Compacted:
            return None
        return [Claim(row.key.name, row.sequence, (row.value or b"").decode()) for row in rows]
