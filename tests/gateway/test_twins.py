"""Two processes with one identity: the one that was first goes on, the other waits, and both are never there at once."""

from __future__ import annotations

import grpc
import pytest

from skerry.agent.identity import Identity
from skerry.gateway.routes import Route
from skerry.gateway.twins import REFUSAL, refuse_twin
from skerry.machinery.resource import Json
from skerry.tunnel import link_pb2 as pb
from tests.gateway.fleet import MANAGEMENT, Fleet, eventually
from tests.gateway.stranger import Stranger, dialled
from tests.gateway.test_enrolment import conditions


def hello(instance: str, runs: float, *, superseded: bool = True) -> pb.Hello:
    return pb.Hello(management_cluster="sv-1", agent_version="1", instance=instance, runs_seconds=runs, superseded=superseded)


@pytest.mark.parametrize(
    ("comes", "here", "elsewhere", "let_in"),
    [
        pytest.param(hello("b", 1, superseded=False), hello("a", 500), False, True, id="a process that begins takes the place of another"),
        pytest.param(hello("a", 520), hello("b", 5), False, True, id="the first takes its place back"),
        pytest.param(hello("b", 20), hello("a", 500), False, False, id="the second does not"),
        pytest.param(hello("b", 510), hello("a", 500), False, False, id="nor one of the same age"),
        pytest.param(hello("a", 20), hello("a", 500), False, True, id="a process is no twin of itself"),
        pytest.param(hello("b", 20), None, False, True, id="where the first is gone the second takes its place"),
        pytest.param(hello("a", 520), None, True, False, id="a session at another gateway stands"),
    ],
)
def test_who_goes_on(comes: pb.Hello, here: pb.Hello | None, elsewhere: bool, let_in: bool) -> None:
    """The one that is here came ten seconds ago."""
    route = Route("sv-1", here, since=90.0) if here is not None else None
    assert (refuse_twin(comes, route, elsewhere=elsewhere, now=100.0) == "") is let_in


def test_a_session_that_is_over_stands_in_nobodys_way() -> None:
    route = Route("sv-1", hello("a", 500), since=90.0, ended=True)
    assert not refuse_twin(hello("b", 1), route, elsewhere=False, now=100.0)


async def joined(fleet: Fleet, one: Stranger, said: pb.Hello) -> None:
    before = fleet.link.routes.get("sv-1")
    one.says(hello=said)
    await one.hears("welcome")
    one.says(heartbeat=pb.Heartbeat(api_reachable=True))
    await fleet.joined("sv-1", before)


async def doubled(fleet: Fleet) -> Json | None:
    return conditions(await fleet.client.get(MANAGEMENT, "sv-1")).get("DuplicateAgent")


async def test_the_first_is_told_that_another_came_takes_its_place_back_and_keeps_it(fleet: Fleet) -> None:
    who: Identity = await fleet.register()
    async with dialled(who, fleet.link.address, 3.0) as first, dialled(who, fleet.link.address, 3.0) as second:
        await joined(fleet, first, hello("a", 500, superseded=False))
        await joined(fleet, second, hello("b", 0, superseded=False))
        assert (await first.hears("goodbye")).superseded
        async with dialled(who, fleet.link.address, 3.0) as back:
            await joined(fleet, back, hello("a", 501))
            assert (await second.hears("goodbye")).superseded
            held = fleet.link.routes.get("sv-1")
            async with dialled(who, fleet.link.address) as again:
                again.says(hello=hello("b", 2))
                assert await again.ended() == grpc.StatusCode.PERMISSION_DENIED
            found = await eventually(lambda: doubled(fleet))
            assert (found["status"], found["reason"], found["message"]) == ("True", "SecondProcess", REFUSAL)
            assert fleet.link.routes.get("sv-1") is held


async def test_a_session_at_another_gateway_is_not_taken_from_it(pair: tuple[Fleet, Fleet]) -> None:
    one, two = pair
    who = await one.register()
    async with dialled(who, two.link.address, 3.0) as second:
        await joined(two, second, hello("b", 0, superseded=False))

        async def refused() -> bool:
            async with dialled(who, one.link.address) as first:
                first.says(hello=hello("a", 500))
                return await first.ended() == grpc.StatusCode.PERMISSION_DENIED

        await eventually(refused)
        assert two.link.routes.get("sv-1") is not None
