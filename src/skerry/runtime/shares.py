"""Who works on which management clusters: the work is cut into shares, and the processes that live divide them.

* A *member* is a process that runs the controllers. It lives for as long as it renews a Lease of its own.
* A member whose Lease was given back, or was not seen to change for its duration, is buried: its Lease is deleted under
  the revision that was seen. So it can never renew it again, and learns that it lost everything.
* A *share* is a Lease too. It is written only when it changes hands, and held for as long as its holder is a living
  member: a thousand management clusters cost no more renewals than one.
* The revision that the writing gave to a share's Lease is its holder's *epoch*. Commands carry it, and whoever obeys them
  refuses a lower one: a holder that does not know yet that it lost is harmless. Revisions never go back, not by a restore
  and not by a failover that lost its tail; a counter in the Lease would.
* Which share a management cluster belongs to follows from its name alone, in every process and release.
* Every member is due the same number of shares, give or take one. Who holds more stops its work, gives the surplus back,
  and goes on with the rest; who holds less takes what nobody holds.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from skerry.client.contract import Client
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, rfc3339_micro
from skerry.kit.log import get
from skerry.machinery.errors import AlreadyExists, ApiError, Conflict, NotFound
from skerry.machinery.resource import Json
from skerry.runtime.leases import LEASES, LeaseHolder, Options, Ownership

SHARES = 16
MEMBER = "controllers-member-"
"""Names of the Leases of members begin so; the member's identity follows."""
SHARE = "controllers-share-"
"""Names of the Leases of shares begin so; the share's number follows."""

log = get("runtime.shares")


def share_of(management_cluster: str) -> int:
    """The share that a management cluster belongs to."""
    return crc32(management_cluster.encode()) % SHARES


def lease_name(management_cluster: str) -> str:
    """Name of the Lease that says who works on a management cluster; its revision is the epoch."""
    return f"{SHARE}{share_of(management_cluster)}"


@dataclass(frozen=True, slots=True)
class Holding:
    """What a member works on: its shares, each with its epoch."""

    epochs: Mapping[int, int]

    def covers(self, key: str) -> bool:
        """Tell whether work on ``MANAGEMENT-CLUSTER`` or ``MANAGEMENT-CLUSTER/NAME`` is ours."""
        return share_of(key.partition("/")[0]) in self.epochs

    def epoch(self, management_cluster: str) -> int:
        """The epoch that commands to a management cluster carry; raises KeyError if it is not ours."""
        return self.epochs[share_of(management_cluster)]


EVERYTHING = Holding(dict.fromkeys(range(SHARES), 1))
"""For one that works alone."""


class Move(NamedTuple):
    """What one member does so that all hold alike: shares to give back, and free ones to take."""

    surplus: list[int]
    take: list[int]


def move(identity: str, members: Collection[str], holders: Mapping[int, str]) -> Move:
    """Decide for one of the living ``members``; ``holders`` has the shares that are held by one of them (pure)."""
    ranked = sorted(members)
    due = SHARES // len(ranked) + (ranked.index(identity) < SHARES % len(ranked))
    held = sorted(share for share, holder in holders.items() if holder == identity)
    free = [share for share in range(SHARES) if share not in holders]
    return Move(held[due:], free[: max(due - len(held), 0)])


async def work_on_shares(
    client: Client, namespace: str, clock: Clock, run: Callable[[Holding], Awaitable[None]], options: Options | None = None
) -> None:
    """Be a member until cancelled. ``run`` works on a holding until it is cancelled; it is called again with each new one."""
    while True:
        identity = secrets.token_hex(8)
        lease = LeaseHolder(client, namespace, MEMBER + identity, identity, clock, options)
        async with lease.held() as life:
            await _Member(client, namespace, identity, clock, options or Options(), life).work(run)
        log.warning("no member any more; will join again", identity=identity)


async def bury_all(client: Client, namespace: str) -> None:
    """Free every share, where no other process can be alive; the epochs stay, so that the next ones are higher."""
    for lease in (await client.list(LEASES, namespace))["items"]:
        if lease["metadata"]["name"].startswith(MEMBER):
            await _bury(client, lease)


class _Member:
    """One member while it lives."""

    def __init__(self, client: Client, namespace: str, identity: str, clock: Clock, options: Options, life: Ownership) -> None:
        self._client, self._namespace, self._identity = client, namespace, identity
        self._clock, self._options, self._life = clock, options, life
        self._seen: dict[str, tuple[str, float]] = {}
        self._epochs: dict[int, int] = {}

    async def work(self, run: Callable[[Holding], Awaitable[None]]) -> None:
        """Hold shares, and work on them, until the member's own Lease is lost."""
        while not self._life.lost.is_set():
            async with TaskOwner("shares") as owner:
                if self._epochs:
                    log.info("works on shares", identity=self._identity, shares=sorted(self._epochs))
                    owner.spawn(_run(run, Holding(dict(self._epochs))), "work")
                await self._until_moved()

    async def _until_moved(self) -> None:
        """Wait until what is held changes; work on what was held before must have ended when it is looked at again."""
        while not self._life.lost.is_set():
            before = dict(self._epochs)
            try:
                await self._look()
            except ApiError as error:
                log.info("cannot look at the shares; will try again", error=error.message)
            if self._epochs != before:
                return
            try:
                async with asyncio.timeout(self._options.every):
                    await self._life.lost.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        leases = {each["metadata"]["name"]: each for each in (await self._client.list(LEASES, self._namespace))["items"]}
        members = await self._living([lease for name, lease in leases.items() if name.startswith(MEMBER)])
        if self._identity not in members:
            self._epochs = {}
            return  # somebody has buried us; the renewal finds out too
        holders: dict[int, str] = {}
        shares = {share: lease for share in range(SHARES) if (lease := leases.get(f"{SHARE}{share}"))}
        for share, lease in shares.items():
            holder = (lease.get("spec") or {}).get("holderIdentity")
            if holder == self._identity and int(lease["metadata"]["resourceVersion"]) != self._epochs.get(share):
                await self._give_back(lease)  # nobody works on it: it was surplus, the answer was lost, or somebody edited it
            elif holder in members:
                holders[share] = holder
        held = {share: epoch for share, epoch in self._epochs.items() if holders.get(share) == self._identity}
        surplus, take = move(self._identity, members, holders)
        for share in take:
            if epoch := await self._take(share, shares.get(share)):
                held[share] = epoch
        self._epochs = {share: epoch for share, epoch in held.items() if share not in surplus}

    async def _living(self, leases: list[Json]) -> set[str]:
        """Identities of the members that live; the others are buried."""
        now, living = self._clock.monotonic(), set()
        for lease in leases:
            metadata, spec = lease["metadata"], lease.get("spec") or {}
            name, revision = metadata["name"], metadata["resourceVersion"]
            if self._seen.get(name, ("",))[0] != revision:
                self._seen[name] = (revision, now)
            patience = float(spec.get("leaseDurationSeconds") or self._options.duration)
            alive = bool(spec.get("holderIdentity")) and now - self._seen[name][1] < patience
            if name == MEMBER + self._identity or alive or not await _bury(self._client, lease):
                living.add(name.removeprefix(MEMBER))
        self._seen = {lease["metadata"]["name"]: self._seen[lease["metadata"]["name"]] for lease in leases}
        return living

    async def _take(self, share: int, lease: Json | None) -> int:
        """Take a share that nobody holds; returns its epoch, 0 if another member was quicker."""
        before = int(((lease or {}).get("spec") or {}).get("leaseTransitions") or 0)
        spec = {"holderIdentity": self._identity, "acquireTime": rfc3339_micro(self._clock.now()), "leaseTransitions": before + 1}
        metadata = {"name": f"{SHARE}{share}", "namespace": self._namespace}
        try:
            if lease is None:
                body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
                taken = await self._client.create(LEASES, body, self._namespace)
            else:
                taken = await self._client.replace(LEASES, {**lease, "spec": spec})
        except (Conflict, AlreadyExists, NotFound):
            return 0
        return int(taken["metadata"]["resourceVersion"])

    async def _give_back(self, lease: Json) -> None:
        try:
            await self._client.replace(LEASES, {**lease, "spec": {**lease["spec"], "holderIdentity": ""}})
        except (Conflict, NotFound):
            return  # it is not ours any more, or the next look tries again


async def _run(run: Callable[[Holding], Awaitable[None]], holding: Holding) -> None:
    await run(holding)


async def _bury(client: Client, lease: Json) -> bool:
    """Delete a member's Lease as it was seen; False if it has changed, so that its member lives."""
    metadata = lease["metadata"]
    try:
        await client.delete(LEASES, metadata["name"], metadata["namespace"], resource_version=metadata["resourceVersion"])
    except NotFound:
        return True
    except Conflict:
        return False
    log.info("buried a member that gave no sign of life", member=metadata["name"].removeprefix(MEMBER))
    return True
