"""The session's rules, each as a dialogue."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import Fence, digest_of
from skerry.tunnel.session import (
    Again,
    AgentSession,
    Beat,
    Complain,
    Enforce,
    Follow,
    GatewaySession,
    Install,
    Joined,
    Keep,
    Leave,
    Left,
    Over,
    Refused,
    Result,
    Serve,
    Sign,
    Store,
    Trusts,
    Welcomed,
)
from tests.tunnel.playbook import BUNDLE, CLUSTERS, HEALTHY, MACHINES, SUBSCRIPTION, WELCOME, AgentPlay, GatewayPlay

HELLO = pb.Hello(management_cluster="sv-1", agent_version="1", trust_digest=digest_of(BUNDLE))
KIND = ("cluster.x-k8s.io", "clusters")


def item(name: str, content: bytes = b"{}", kind: pb.ResourceKind = CLUSTERS) -> pb.InventoryItem:
    return pb.InventoryItem(kind=kind, namespace="team-a", name=name, object=content)


def joined() -> GatewayPlay:
    play = GatewayPlay()
    play.heard(hello=HELLO)
    play.does(Joined(HELLO))
    play.tells(welcome=WELCOME)
    play.tells(subscribe=SUBSCRIPTION)
    play.does(Trusts(digest_of(BUNDLE)))
    return play


def welcomed(fence: Fence | None = None) -> AgentPlay:
    play = AgentPlay(fence)
    play.says(hello=play.hello)
    play.heard(welcome=WELCOME)
    play.does(Welcomed("s1"))
    return play


def state(generation: int, epoch: int = 1, name: str = "shop") -> pb.DesiredState:
    return pb.DesiredState(set=name, owner_epoch=epoch, generation=generation)


# the gateway's end


def test_an_agent_that_says_its_own_name_is_welcomed_and_told_what_to_report() -> None:
    with joined() as play:
        play.after(1)


def test_an_agent_that_trusts_other_roots_is_sent_the_right_ones() -> None:
    with GatewayPlay() as play:
        hello = pb.Hello(management_cluster="sv-1", trust_digest="of yesterday")
        play.heard(hello=hello)
        play.does(Joined(hello))
        play.tells(welcome=WELCOME)
        play.tells(subscribe=SUBSCRIPTION)
        play.tells(trust=pb.TrustBundle(bundle=BUNDLE))
        play.heard(trust_ack=pb.TrustAck(digest=digest_of(BUNDLE)))
        play.does(Trusts(digest_of(BUNDLE)))


@pytest.mark.parametrize(
    ("proved", "why"), [("other", "the certificate is that of management cluster other"), (None, "not one of an agent")]
)
def test_a_name_that_the_certificate_does_not_prove_is_refused(proved: str | None, why: str) -> None:
    session = GatewaySession(proved, WELCOME, SUBSCRIPTION, BUNDLE, 0)
    [step] = session.heard(pb.ControlRequest(hello=HELLO), 0)
    assert isinstance(step, Refused)
    assert step.identity
    assert why in step.reason
    assert session.heard(pb.ControlRequest(hello=HELLO), 0) == []


def test_whoever_does_not_say_hello_first_is_refused() -> None:
    with GatewayPlay() as play:
        play.heard(heartbeat=HEALTHY)
        play.does(Refused("an agent says hello first"))


def test_whoever_says_nothing_at_all_is_refused_after_a_while() -> None:
    with GatewayPlay() as play:
        play.after(29)
        play.after(1)
        play.does(Refused("the agent did not say hello"))


def test_a_second_hello_ends_the_session() -> None:
    with joined() as play:
        play.heard(hello=HELLO)
        play.tells(goodbye=pb.Goodbye(reason="the agent said hello twice"))
        play.does(Over("the agent said hello twice"))


def test_heartbeats_are_answered_and_keep_the_session_alive() -> None:
    with joined() as play:
        for _ in range(5):
            play.after(29)
            play.heard(heartbeat=HEALTHY)
            play.does(Beat(HEALTHY))
            play.tells(heartbeat_ack=pb.HeartbeatAck())


def test_an_agent_that_is_silent_for_three_intervals_is_given_up_and_not_heard_any_more() -> None:
    with joined() as play:
        play.after(29.9)
        assert play.session.wait(play.now) == pytest.approx(0.1)
        play.after(0.1)
        play.tells(goodbye=pb.Goodbye(reason="the agent fell silent"))
        play.does(Over("the agent fell silent"))
        play.heard(heartbeat=HEALTHY)
        play.after(60)


def test_deltas_in_order_are_stored_and_a_gap_asks_once_for_everything() -> None:
    with joined() as play:
        first, second = (pb.InventoryDelta(sequence=number, items=[item("a")]) for number in (1, 2))
        for delta in (first, second):
            play.heard(inventory=delta)
            play.does(Store(delta, {}))
        play.heard(inventory=pb.InventoryDelta(sequence=4))
        play.tells(resync=pb.Resync())
        play.heard(inventory=pb.InventoryDelta(sequence=5))
        play.heard(inventory=pb.InventoryDelta(sequence=3))
        play.heard(inventory=first)
        play.does(Store(first, {}))


def test_a_session_whose_first_delta_is_lost_asks_for_everything() -> None:
    with joined() as play:
        play.heard(inventory=pb.InventoryDelta(sequence=2))
        play.tells(resync=pb.Resync())


def test_a_listing_in_one_delta_names_all_there_is() -> None:
    with joined() as play:
        delta = pb.InventoryDelta(sequence=1, items=[item("a"), item("m", kind=MACHINES)], complete=[CLUSTERS])
        play.heard(inventory=delta)
        play.does(Store(delta, {KIND: frozenset({("team-a", "a")})}))


def test_a_listing_over_several_deltas_counts_when_it_is_complete_and_knows_what_went_meanwhile() -> None:
    with joined() as play:
        deltas = [
            pb.InventoryDelta(sequence=1, items=[item("a"), item("b")], begins=[CLUSTERS]),
            pb.InventoryDelta(sequence=2, items=[item("m", kind=MACHINES), item("a", b"")]),
            pb.InventoryDelta(sequence=3, items=[item("c")], complete=[CLUSTERS]),
        ]
        for delta in deltas[:2]:
            play.heard(inventory=delta)
            play.does(Store(delta, {}))
        play.heard(inventory=deltas[2])
        play.does(Store(deltas[2], {KIND: frozenset({("team-a", "b"), ("team-a", "c")})}))


def test_a_listing_that_was_interrupted_does_not_count() -> None:
    with joined() as play:
        begun = pb.InventoryDelta(sequence=1, items=[item("a")], begins=[CLUSTERS])
        play.heard(inventory=begun)
        play.does(Store(begun, {}))
        play.heard(inventory=pb.InventoryDelta(sequence=3, complete=[CLUSTERS]))
        play.tells(resync=pb.Resync())
        again = pb.InventoryDelta(sequence=1, items=[item("b")], complete=[CLUSTERS])
        play.heard(inventory=again)
        play.does(Store(again, {KIND: frozenset({("team-a", "b")})}))


def test_an_empty_listing_says_that_nothing_is_there() -> None:
    with joined() as play:
        delta = pb.InventoryDelta(sequence=1, complete=[CLUSTERS])
        play.heard(inventory=delta)
        play.does(Store(delta, {KIND: frozenset()}))


def test_results_and_requests_for_certificates_are_handed_on() -> None:
    with joined() as play:
        result = pb.DesiredResult(set="shop", generation=3)
        play.heard(result=result)
        play.does(Result(result))
        play.heard(certificate_request=pb.CertificateRequest(csr=b"csr"))
        play.does(Sign(b"csr"))


def test_what_a_newer_agent_says_is_ignored() -> None:
    with joined() as play:
        play.heard()
        play.nothing()


def test_that_an_agent_has_left_or_could_not_is_handed_on() -> None:
    with joined() as play:
        play.heard(detached=pb.Detached(problem="forbidden"))
        play.does(Left("forbidden"))
        play.heard(detached=pb.Detached())
        play.does(Left(""))


def test_nobody_leaves_before_he_has_said_who_he_is() -> None:
    with GatewayPlay() as play:
        play.heard(detached=pb.Detached())
        play.does(Refused("an agent says hello first"))


# the agent's end


def test_an_agent_beats_at_once_and_then_in_the_interval_that_the_gateway_set() -> None:
    with welcomed() as play:
        play.after(0)
        play.says(heartbeat=HEALTHY)
        play.after(9)
        assert play.session.wait(play.now) == 1
        play.heard(heartbeat_ack=pb.HeartbeatAck())
        play.after(1)
        play.says(heartbeat=HEALTHY)


def test_orders_before_the_welcome_end_the_session() -> None:
    with AgentPlay() as play:
        play.says(hello=play.hello)
        play.heard(desired=state(1))
        play.does(Over("the gateway gave orders before it said welcome"))
        play.heard(welcome=WELCOME)


def test_a_gateway_that_never_answers_is_left() -> None:
    with AgentPlay() as play:
        play.says(hello=play.hello)
        play.after(30)
        play.does(Over("the gateway fell silent"))


def test_a_gateway_that_falls_silent_is_left_and_one_that_acknowledges_is_not() -> None:
    with welcomed() as play:
        for _ in range(6):
            play.after(10)
            play.says(heartbeat=HEALTHY)
            play.heard(heartbeat_ack=pb.HeartbeatAck())
        for _ in range(2):
            play.after(10)
            play.says(heartbeat=HEALTHY)
        play.after(10)
        play.does(Over("the gateway fell silent"))


def test_an_agent_does_what_it_is_asked_to() -> None:
    with welcomed() as play:
        play.heard(subscribe=SUBSCRIPTION)
        play.does(Follow((KIND, ("cluster.x-k8s.io", "machines"))))
        play.heard(resync=pb.Resync())
        play.does(Again())
        play.heard(open_proxy=pb.OpenProxy(call="c1"))
        play.does(Serve("c1"))
        play.heard()
        play.nothing()
        play.heard(goodbye=pb.Goodbye(reason="stopping"))
        play.does(Over("stopping"))


def test_an_agent_hears_that_a_newer_session_took_its_place() -> None:
    with welcomed() as play:
        play.heard(goodbye=pb.Goodbye(reason="a newer session", superseded=True))
        play.does(Over("a newer session", superseded=True))


REFUSALS: list[tuple[str, list[tuple[int, int]], tuple[int, int], bool]] = [
    ("the same command again is welcome", [(1, 5)], (1, 5), True),
    ("a later generation is taken", [(1, 5)], (1, 6), True),
    ("an earlier generation of the same epoch is refused", [(1, 5)], (1, 4), False),
    ("a later epoch may begin at any generation", [(1, 5)], (2, 1), True),
    ("an earlier epoch is refused whatever its generation", [(1, 5), (2, 1)], (1, 9), False),
    ("a refused command does not move the fence", [(2, 5), (1, 9)], (2, 5), True),
]


@pytest.mark.parametrize(("before", "last", "taken"), [each[1:] for each in REFUSALS], ids=[each[0] for each in REFUSALS])
def test_an_old_command_is_refused_and_never_handed_on(before: list[tuple[int, int]], last: tuple[int, int], taken: bool) -> None:
    session = AgentSession(pb.Hello(), Fence(), 0)
    session.heard(pb.ControlResponse(welcome=WELCOME), 0)
    for epoch, generation in before:
        session.heard(pb.ControlResponse(desired=state(generation, epoch)), 0)
    steps: list[Any] = list(session.heard(pb.ControlResponse(desired=state(last[1], last[0])), 0))
    if taken:
        assert steps == [Enforce(state(last[1], last[0]))]
    else:
        [step] = steps
        assert step.message.result.refused
        assert (step.message.result.owner_epoch, step.message.result.generation) == last


def test_the_fence_outlives_the_session_and_is_forgotten_with_the_set() -> None:
    fence = Fence()
    with welcomed(fence) as play:
        play.heard(desired=state(7, epoch=3))
        play.does(Enforce(state(7, epoch=3)))
    with welcomed(fence) as play:
        play.heard(desired=state(8, epoch=2))
        refused = "epoch 2, generation 8 is older than epoch 3, generation 7, which was seen already"
        play.says(result=pb.DesiredResult(set="shop", owner_epoch=2, generation=8, refused=refused))
        play.heard(desired=state(1, epoch=1, name="other"))
        play.does(Enforce(state(1, epoch=1, name="other")))
        fence.forget("shop")
        play.heard(desired=state(1, epoch=1))
        play.does(Enforce(state(1, epoch=1)))


def test_a_certificate_counts_only_where_it_was_asked_for_and_one_request_is_out_at_a_time() -> None:
    certificate = pb.Certificate(certificate=b"new", bundle=b"roots")
    with welcomed() as play:
        play.heard(certificate=certificate)
        play.does(Complain("the gateway sent a certificate that nobody asked for"))
        play.renew(b"csr")
        play.says(certificate_request=pb.CertificateRequest(csr=b"csr"))
        play.renew(b"another")
        play.nothing()
        play.heard(certificate=certificate)
        play.does(Install(b"new", b"roots"))
        play.renew(b"later")
        play.says(certificate_request=pb.CertificateRequest(csr=b"later"))
        play.heard(certificate_refused=pb.CertificateRefused(reason="no"))
        play.does(Complain("the gateway does not renew the certificate: no"))


def test_roots_are_kept_before_they_are_acknowledged() -> None:
    with welcomed() as play:
        play.heard(trust=pb.TrustBundle(bundle=b"both"))
        play.does(Keep(b"both"))
        play.says(trust_ack=pb.TrustAck(digest=digest_of(b"both")))


def test_an_agent_that_is_told_to_leave_does_so_each_time_it_is_told() -> None:
    with welcomed() as play:
        play.heard(detach=pb.Detach())
        play.does(Leave())
        play.heard(detach=pb.Detach())
        play.does(Leave())


def test_an_agent_does_not_leave_before_it_was_welcomed_nor_after_the_end() -> None:
    with AgentPlay() as play:
        play.says(hello=play.hello)
        play.heard(detach=pb.Detach())
        play.does(Over("the gateway gave orders before it said welcome"))
    with welcomed() as play:
        play.heard(goodbye=pb.Goodbye(reason="x"))
        play.does(Over("x"))
        play.heard(detach=pb.Detach())
        play.nothing()
