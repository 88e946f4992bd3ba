"""Shares of the work: all are held, evenly, by members that live, and never by two at once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.client.http import HttpClient
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock
from skerry.runtime.leases import LEASES, Options
from skerry.runtime.shares import MEMBER, SHARE, SHARES, Holding, bury_all, lease_name, move, share_of, work_on_shares
from tests.runtime.conftest import Api

QUICK = Options(duration=30, every=0.05)
NAMESPACE = "a"
FIXED = [0, 8, 9, 3]
NAMES = st.sets(st.sampled_from("abcdefg"), min_size=1)


@given(NAMES, st.dictionaries(st.integers(0, SHARES - 1), st.sampled_from("abcdefg")))
def test_members_divide_all_shares_evenly_whoever_held_them_before(members: set[str], before: dict[int, str]) -> None:
    holders = {share: holder for share, holder in before.items() if holder in members}
    for _ in range(2):  # first what is too much is given back, then what is free is taken
        for member in sorted(members):
            surplus, take = move(member, members, holders)
            assert all(holders[share] == member for share in surplus)
            assert all(share not in holders for share in take)
            holders = {share: holder for share, holder in holders.items() if share not in surplus} | dict.fromkeys(take, member)
    held = Counter(holders.values())
    assert len(holders) == SHARES
    assert set(held) == members
    assert max(held.values()) - min(held.values()) <= 1
    assert all(move(member, members, holders) == ([], []) for member in members)


def test_the_share_of_a_management_cluster_stays_the_same_in_every_release() -> None:
    assert [share_of(name) for name in ("demo", "attached", "sv-1", "eks")] == FIXED
    assert lease_name("demo") == f"controllers-share-{FIXED[0]}"
    assert Holding({FIXED[0]: 7}).covers("demo/team-a.shop")
    assert Holding({FIXED[0]: 7}).epoch("demo") == 7
    assert not Holding({(FIXED[0] + 1) % SHARES: 7}).covers("demo")


class Crew:
    """Members of one installation, and who works on which share now; two on one share fail the test."""

    def __init__(self, client: HttpClient) -> None:
        self.client = client
        self.working: dict[int, str] = {}
        self.epochs: list[tuple[int, int]] = []

    def joins(self, owner: TaskOwner, name: str) -> asyncio.Task[None]:
        async def run(holding: Holding) -> None:
            assert not set(holding.epochs) & set(self.working), "two work on one share"
            self.working |= dict.fromkeys(holding.epochs, name)
            self.epochs += holding.epochs.items()
            try:
                await asyncio.Event().wait()
            finally:
                for share in holding.epochs:
                    del self.working[share]

        return owner.spawn(work_on_shares(self.client, NAMESPACE, SystemClock(), run, QUICK), name)

    async def until(self, **wanted: int) -> None:
        async with asyncio.timeout(60):
            while Counter(self.working.values()) != Counter(wanted):  # noqa: ASYNC110 other tasks' state
                await asyncio.sleep(0.01)

    async def until_thirds(self) -> None:
        async with asyncio.timeout(60):
            while sorted(Counter(self.working.values()).values()) != [5, 5, 6]:  # noqa: ASYNC110 other tasks' state
                await asyncio.sleep(0.01)

    async def members(self) -> list[str]:
        items = (await self.client.list(LEASES, NAMESPACE))["items"]
        return [each["metadata"]["name"] for each in items if each["metadata"]["name"].startswith(MEMBER)]


@pytest.fixture
def crew(api: Api) -> Crew:
    return Crew(api.client)


async def test_whoever_joins_gets_its_part_and_whoever_leaves_leaves_it_to_the_others(crew: Crew) -> None:
    async with TaskOwner("test") as owner:
        crew.joins(owner, "a")
        await crew.until(a=16)
        second = crew.joins(owner, "b")
        await crew.until(a=8, b=8)
        crew.joins(owner, "c")
        await crew.until_thirds()
        second.cancel()
        await crew.until(a=8, c=8)
    newest: dict[int, int] = {}
    for share, epoch in crew.epochs:
        assert epoch >= newest.get(share, 0)
        newest[share] = epoch


async def test_a_member_that_was_buried_stops_and_joins_again(crew: Crew) -> None:
    async with TaskOwner("test") as owner:
        crew.joins(owner, "a")
        await crew.until(a=16)
        before = await crew.members()
        while await crew.members() == before:  # it may renew its Lease between the look and the burial
            await bury_all(crew.client, NAMESPACE)
        async with asyncio.timeout(60):
            while len(crew.epochs) < 2 * SHARES:  # noqa: ASYNC110 another task's state
                await asyncio.sleep(0.01)
    assert min(epoch for _, epoch in crew.epochs[SHARES:]) > max(epoch for _, epoch in crew.epochs[:SHARES])


async def test_a_share_that_somebody_took_away_by_hand_is_worked_on_again_under_a_higher_epoch(crew: Crew) -> None:
    async with TaskOwner("test") as owner:
        crew.joins(owner, "a")
        await crew.until(a=16)
        lease = await crew.client.get(LEASES, f"{SHARE}3", NAMESPACE)
        taken = await crew.client.replace(LEASES, {**lease, "spec": {**lease["spec"], "holderIdentity": "nobody"}})
        async with asyncio.timeout(60):
            revision = int(taken["metadata"]["resourceVersion"])
            while max(epoch for share, epoch in crew.epochs if share == 3) <= revision:  # noqa: ASYNC110 another task's state
                await asyncio.sleep(0.01)
        await crew.until(a=16)
