"""Who an agent is from one start to the next: what is kept, when a token is used, and what is never said before it is safe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skerry.agent.identity import Identity
from skerry.agent.keeping import FILE, ClusterSecret, Folder
from skerry.agent.main import AgentSettings, run
from skerry.gateway.registration import OneTimeTokens
from skerry.kit.aio import TaskOwner
from skerry.machinery.errors import AlreadyExists, ApiError, NotFound, ServiceUnavailable, Unauthorized
from skerry.pki import policy
from skerry.tunnel.places import IDENTITY, NAMESPACE
from skerry.tunnel.rules import digest_of
from tests.agent.targets import NAMESPACES, Target
from tests.gateway.fleet import SECRETS, Fleet, eventually
from tests.gateway.fleet import fleet as run_fleet

Json = dict[str, Any]


@pytest.fixture
async def room(target: Target) -> Target:
    """A cluster with the agent's namespace, and no identity in it."""
    with suppress(AlreadyExists):
        await target.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    with suppress(NotFound):
        await target.client.delete(SECRETS, IDENTITY, NAMESPACE)
    return target


async def token(fleet: Fleet, name: str = "sv-1") -> str:
    return (await OneTimeTokens(fleet.client, fleet.clock).make(name))[0]


async def kept(target: Target) -> Identity:
    found = await ClusterSecret(target.client).load()
    assert found is not None
    return found


@asynccontextmanager
async def started(fleet: Fleet, target: Target, with_token: str = "", name: str = "sv-1") -> AsyncIterator[None]:
    """A whole agent that keeps its identity in the cluster, as a pod does; it is connected."""
    before = fleet.link.routes.get(name)
    settings = AgentSettings(target.connection, None, fleet.front, b"", with_token)
    async with TaskOwner("agent") as owner:
        owner.spawn(run(settings), "agent")
        await fleet.joined(name, before)
        yield


async def test_a_pod_that_starts_anew_is_who_it_was_with_the_same_token_and_without_one(fleet: Fleet, room: Target) -> None:
    first = await token(fleet)
    async with started(fleet, room, first):
        who = await kept(room)
    for again in (first, ""):
        async with started(fleet, room, again):
            assert await kept(room) == who


async def test_a_new_token_registers_anew_also_at_another_installation(fleet: Fleet, room: Target, tmp_path: Path) -> None:
    async with started(fleet, room, await token(fleet)):
        first = await kept(room)
    async with started(fleet, room, await token(fleet)):
        second = await kept(room)
        assert second.certificate != first.certificate
    (tmp_path / "other").mkdir()
    async with run_fleet(tmp_path / "other") as other:
        await other.management_cluster("sv-9")
        async with started(other, room, await token(other, "sv-9"), "sv-9"):
            third = await kept(room)
            assert (third.name, third.bundle) == ("sv-9", other.authority.bundle)


async def test_a_token_of_no_use_leaves_a_good_identity_as_it_is_and_is_told_of(
    fleet: Fleet, room: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    async with started(fleet, room, await token(fleet)):
        who = await kept(room)
    async with started(fleet, room, "sv-1.used-up"):
        assert await kept(room) == who
    said = "".join(capsys.readouterr())
    assert "registration token is of no use" in said
    assert "used-up" not in said.replace("is of no use", "")


async def test_an_agent_without_identity_and_token_says_what_it_needs(fleet: Fleet, room: Target) -> None:
    with pytest.raises(Unauthorized, match=r"has not registered yet.*--token"):
        await run(AgentSettings(room.connection, None))
    with pytest.raises(Unauthorized, match="unknown, used up or expired"):
        await run(AgentSettings(room.connection, None, fleet.front, b"", "sv-1.wrong"))


async def test_an_identity_that_has_expired_is_renewed_although_the_token_beside_it_is_of_no_use(fleet: Fleet, room: Target) -> None:
    """What runs the agent gives it the token of its registration for ever, or one that somebody has used up since."""
    used = await token(fleet)
    for given in (used, "sv-1.used-up"):
        async with started(fleet, room, used):
            before = fleet.ended(await kept(room), days=30)
        await ClusterSecret(room.client).store(before)
        async with started(fleet, room, given):
            assert not (await kept(room)).expired(fleet.clock.now())


async def test_an_identity_of_the_first_release_that_has_expired_uses_up_a_token(fleet: Fleet, room: Target) -> None:
    who = fleet.ended(await fleet.register(), days=policy.RENEWAL_GRACE.days + 1)
    await ClusterSecret(room.client).store(replace(who, token=""))
    async with started(fleet, room, await token(fleet)):
        assert not (await kept(room)).expired(fleet.clock.now())


async def test_an_identity_of_the_first_release_is_not_given_up_for_a_token_that_may_be_its_own(fleet: Fleet, tmp_path: Path) -> None:
    who = await fleet.register()
    old = Identity(who.name, who.certificate, who.key, who.bundle, who.gateway)
    assert not old.registers_again("sv-1.any", fleet.clock.now())
    await Folder(tmp_path / "old").store(old)
    text = (tmp_path / "old" / FILE).read_text().replace('"name"', '"managementCluster"').replace(',"token":""', "")
    (tmp_path / "old" / FILE).write_text(text)
    assert await Folder(tmp_path / "old").load() == old


async def test_a_cluster_that_does_not_answer_yet_is_waited_for(fleet: Fleet, room: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    really, times = ClusterSecret.load, 0

    async def at_last(self: ClusterSecret) -> Identity | None:
        nonlocal times
        times += 1
        if times < 2:
            raise ServiceUnavailable("the cluster's API does not answer")
        return await really(self)

    monkeypatch.setattr(ClusterSecret, "load", at_last)
    async with started(fleet, room, await token(fleet)):
        assert times >= 2


async def test_roots_that_cannot_be_kept_are_never_acknowledged_and_are_once_they_can(fleet: Fleet, room: Target, monkeypatch: Any) -> None:
    fails = asyncio.Event()
    really = ClusterSecret.store

    async def store(self: ClusterSecret, identity: Identity) -> None:
        if fails.is_set():
            tried.set()
            raise ApiError("the cluster's API keeps nothing")
        await really(self, identity)

    monkeypatch.setattr(ClusterSecret, "store", store)
    tried = asyncio.Event()
    async with started(fleet, room, await token(fleet)):
        before = await kept(room)
        fails.set()
        both = fleet.authority.bundle + fleet.authority.bundle
        fleet.link.routes.spread_trust(both)
        async with asyncio.timeout(30):
            await tried.wait()
        for _ in range(20):
            assert fleet.link.routes.trust().get("sv-1") != digest_of(both)
            await asyncio.sleep(0.02)
        assert await kept(room) == before
        fails.clear()

        async def again() -> bool:
            fleet.link.routes.spread_trust(both)
            await asyncio.sleep(0.2)
            return fleet.link.routes.trust().get("sv-1") == digest_of(both)

        await eventually(again)
        assert (await kept(room)).bundle == both


async def test_a_secret_that_somebody_emptied_is_no_identity(room: Target) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": IDENTITY, "namespace": NAMESPACE}, "data": {}}
    await room.client.create(SECRETS, body)
    assert await ClusterSecret(room.client).load() is None
