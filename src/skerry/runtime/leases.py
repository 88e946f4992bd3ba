"""A Lease that one process holds at a time, with an epoch that grows whenever it changes hands.

* A lease that nobody holds, or that has not been renewed for its duration *by this replica's
  own observation*, may be taken: clocks of replicas are never compared.
* Every write carries the revision that was read, so of two that reach for it one gets it.
* Taking it counts ``leaseTransitions`` up; that number is the owner's epoch.
* A holder stops before its lease can be taken: it gives up when it could not renew for two
  thirds of the duration.
* Leaving the block releases the lease, so that the next one need not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from skerry.client.contract import Client, Ref
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, rfc3339_micro
from skerry.kit.log import get
from skerry.machinery.errors import AlreadyExists, ApiError, Conflict, NotFound
from skerry.machinery.resource import Json

LEASES = Ref("coordination.k8s.io", "v1", "leases")

log = get("runtime.leases")


@dataclass(frozen=True, slots=True)
class Options:
    """How long a lease holds, and how often it is renewed or looked at, in seconds."""

    duration: float = 15.0
    every: float = 3.0


@dataclass(slots=True)
class Ownership:
    """A lease that is held. ``epoch`` grows with each change of hands; ``lost`` is set when it is held no longer."""

    epoch: int
    lost: asyncio.Event = field(default_factory=asyncio.Event)


class LeaseHolder:
    """Reaches for one lease as one replica."""

    def __init__(self, client: Client, namespace: str, name: str, identity: str, clock: Clock, options: Options | None = None) -> None:
        """``identity`` must be another one for each process, restarts included."""
        self._client, self._namespace, self._name, self._identity = client, namespace, name, identity
        self._clock = clock
        self._options = options or Options()
        self._seen: tuple[str, float] = ("", 0.0)
        self._lease: Json = {}

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[Ownership]:
        """Wait for the lease, hold it until the block is left. Work in the block must end when ``lost`` is set."""
        ownership = Ownership(await self._acquire())
        log.info("took a lease", lease=self._name, epoch=ownership.epoch)
        async with TaskOwner(f"lease {self._name}") as owner:
            renewal = owner.spawn(self._renew(ownership), "renewal")
            try:
                yield ownership
            finally:
                renewal.cancel()
                await asyncio.gather(renewal, return_exceptions=True)
                if not ownership.lost.is_set():
                    await self._release()

    async def _acquire(self) -> int:
        while True:
            try:
                if await self._take():
                    return int(self._lease["spec"]["leaseTransitions"])
            except (Conflict, AlreadyExists, NotFound):
                pass  # another replica was quicker; look again
            except ApiError as error:
                log.info("cannot reach for a lease; will try again", lease=self._name, error=error.message)
            await self._clock.sleep(self._options.every)

    async def _take(self) -> bool:
        """Take the lease if it is free."""
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            metadata = {"name": self._name, "namespace": self._namespace}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": self._spec(1)}
            self._lease = await self._client.create(LEASES, body, self._namespace)
            return True
        revision, now = lease["metadata"]["resourceVersion"], self._clock.monotonic()
        if revision != self._seen[0]:
            self._seen = (revision, now)
        spec = lease.get("spec") or {}
        patience = float(spec.get("leaseDurationSeconds") or self._options.duration)
        if spec.get("holderIdentity") and now - self._seen[1] < patience:
            return False
        lease["spec"] = self._spec(int(spec.get("leaseTransitions") or 0) + 1)
        self._lease = await self._client.replace(LEASES, lease)
        return True

    def _spec(self, epoch: int) -> dict[str, Any]:
        now = rfc3339_micro(self._clock.now())
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._options.duration)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": epoch,
        }

    async def _renew(self, ownership: Ownership) -> None:
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._options.every)
            started = self._clock.monotonic()
            left = renewed + self._options.duration * 2 / 3 - started
            try:
                async with asyncio.timeout(max(left, 0)):
                    spec = {**self._lease["spec"], "renewTime": rfc3339_micro(self._clock.now())}
                    self._lease = await self._client.replace(LEASES, {**self._lease, "spec": spec})
                renewed = started
            except (Conflict, NotFound):
                if not await self._still_ours(ownership.epoch):
                    break
            except (ApiError, TimeoutError) as error:
                log.info("cannot renew a lease", lease=self._name, error=str(error))
                if left <= self._options.every:
                    break
        log.info("lost a lease", lease=self._name, epoch=ownership.epoch)
        ownership.lost.set()

    async def _still_ours(self, epoch: int) -> bool:
        """A conflict may be our own write whose answer was lost."""
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except ApiError:
            return False
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") != self._identity or spec.get("leaseTransitions") != epoch:
            return False
        self._lease = lease
        return True

    async def _release(self) -> None:
        try:
            await self._client.replace(LEASES, {**self._lease, "spec": {**self._lease["spec"], "holderIdentity": ""}})
        except ApiError as error:
            log.info("could not release a lease; it runs out by itself", lease=self._name, error=error.message)
