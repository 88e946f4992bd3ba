"""Which agents are connected, and in which order each is spoken to."""

from __future__ import annotations

import pytest

from skerry.gateway.proxy import ProxyCalls
from skerry.gateway.routes import MOST_WORDS, Route, Routes
from skerry.machinery.errors import ServiceUnavailable
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import digest_of

ACK = pb.ControlResponse(heartbeat_ack=pb.HeartbeatAck())


def route(name: str = "sv-1") -> Route:
    return Route(name, pb.Hello(management_cluster=name))


def state(name: str, generation: int = 1) -> pb.DesiredState:
    return pb.DesiredState(set=name, generation=generation)


async def said(of: Route) -> list[str]:
    """Everything that an ended route still has to say."""
    kinds = []
    while (message := await of.next()) is not None:
        kinds.append(message.WhichOneof("message"))
    return kinds


async def test_words_go_before_sets() -> None:
    one = route()
    one.send_state("shop", lambda: state("shop"))
    one.send(ACK)
    assert await one.next() == ACK
    assert await one.next() == pb.ControlResponse(desired=state("shop"))


async def test_a_set_is_put_together_when_its_turn_comes_and_is_sent_once_however_often_it_changed() -> None:
    one, generation = route(), [1]
    for _ in range(3):
        one.send_state("shop", lambda: state("shop", generation[0]))
    generation[0] = 7
    assert one.queued == 1
    assert await one.next() == pb.ControlResponse(desired=state("shop", 7))
    assert one.queued == 0


async def test_a_set_that_is_gone_when_its_turn_comes_is_passed_over() -> None:
    one = route()
    one.send_state("gone", lambda: None)
    one.send_state("shop", lambda: state("shop"))
    assert await one.next() == pb.ControlResponse(desired=state("shop"))


async def test_an_agent_that_lets_too_many_words_wait_is_cut_off() -> None:
    one = route()
    for _ in range(MOST_WORDS):
        one.send(ACK)
    before = one.ended
    one.send(ACK)
    assert (before, one.ended) == (False, True)
    assert len(await said(one)) == MOST_WORDS


async def test_a_newer_session_takes_the_place_of_the_older_and_the_older_is_told() -> None:
    routes, told = Routes(), list[str]()
    routes.listen(told.append)
    older, newer = route(), route()
    routes.add(older)
    routes.add(newer)
    assert routes.get("sv-1") is newer
    assert await said(older) == ["goodbye"]
    routes.remove(older)
    assert routes.get("sv-1") is newer, "the end of a session that was replaced takes nobody's place away"
    routes.remove(newer)
    assert routes.get("sv-1") is None
    assert told == ["sv-1"] * 3


async def test_nothing_is_queued_for_a_session_that_is_over() -> None:
    routes = Routes()
    one = route()
    routes.add(one)
    one.send_state("shop", lambda: state("shop"))
    routes.end_all()
    one.send(ACK)
    one.send_state("late", lambda: state("late"))
    assert await said(one) == ["goodbye"]


async def test_roots_are_spread_to_whoever_is_here_and_who_trusts_which_is_known() -> None:
    routes = Routes()
    one, other = route("sv-1"), route("sv-2")
    routes.add(one)
    routes.add(other)
    routes.spread_trust(b"roots")
    assert await one.next() == pb.ControlResponse(trust=pb.TrustBundle(bundle=b"roots"))
    one.trusts = digest_of(b"roots")
    assert routes.trust() == {"sv-1": digest_of(b"roots"), "sv-2": ""}


async def test_a_call_to_an_agent_that_is_away_is_refused_at_once_and_leaves_nothing_behind() -> None:
    calls = ProxyCalls(Routes())
    with pytest.raises(ServiceUnavailable) as caught:
        await calls.open("sv-1", pb.RequestHead())
    assert "sv-1 is not connected" in caught.value.message
    assert calls.statistics() == {"waiting": 0, "opened": 0}
