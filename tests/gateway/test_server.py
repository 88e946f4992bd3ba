"""Who is let in to the link, and what ends his session, over a real wire."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from skerry.agent.identity import Identity
from skerry.pki import policy
from skerry.pki.authority import Authority, key_pem, lifetime, make_csr, make_root, new_key
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import digest_of
from tests.gateway.fleet import Fleet, eventually
from tests.gateway.fleet import fleet as run_fleet
from tests.gateway.stranger import dialled, stranger

HELLO = pb.Hello(management_cluster="sv-1", agent_version="1")


def address(fleet: Fleet) -> str:
    return fleet.link.address


async def refused(fleet: Fleet, identity: Identity, hello: pb.Hello = HELLO) -> grpc.StatusCode:
    async with dialled(identity, address(fleet)) as one:
        one.says(hello=hello)
        return await one.ended()


async def test_the_name_that_is_said_must_be_the_one_that_the_certificate_proves(fleet: Fleet) -> None:
    await fleet.management_cluster("sv-2")
    identity = await fleet.register()
    assert await refused(fleet, identity, pb.Hello(management_cluster="sv-2")) == grpc.StatusCode.PERMISSION_DENIED
    assert fleet.link.routes.statistics()["connected"] == 0


async def test_a_certificate_that_is_not_an_agents_lets_nobody_in(fleet: Fleet) -> None:
    identity = await fleet.register()
    now = datetime.now(UTC)
    for common, groups in (("admin", ("skerry:administrators",)), (policy.component("controllers"), (policy.COMPONENTS,)), ("sv-1", ())):
        pair = fleet.authority.issue(policy.CLIENT, common, now, groups=groups)
        other = dataclasses.replace(identity, certificate=pair.certificate, key=pair.key)
        assert await refused(fleet, other) == grpc.StatusCode.PERMISSION_DENIED


async def test_a_certificate_of_another_root_does_not_come_through_the_handshake(fleet: Fleet) -> None:
    identity = await fleet.register()
    now = datetime.now(UTC)
    key = new_key()
    certificate = Authority(make_root("test root", now)).answer_agent(make_csr(key), "sv-1", now)
    pair = dataclasses.replace(identity, certificate=certificate, key=key_pem(key))
    assert await refused(fleet, pair) == grpc.StatusCode.UNAVAILABLE


async def test_the_agent_of_a_management_cluster_that_is_not_there_is_told_so(fleet: Fleet) -> None:
    identity = await fleet.register("sv-9")
    assert await refused(fleet, identity, pb.Hello(management_cluster="sv-9")) == grpc.StatusCode.FAILED_PRECONDITION


async def test_whoever_does_not_begin_with_hello_is_sent_away(fleet: Fleet) -> None:
    async with dialled(await fleet.register(), address(fleet)) as one:
        one.says(heartbeat=pb.Heartbeat(api_reachable=True))
        assert await one.ended() == grpc.StatusCode.FAILED_PRECONDITION


async def test_a_second_hello_ends_the_session_with_a_reason(fleet: Fleet) -> None:
    async with stranger(fleet) as one:
        one.says(hello=HELLO)
        assert "twice" in (await one.hears("goodbye")).reason
        assert await one.ended() == grpc.StatusCode.OK


async def test_an_agent_that_falls_silent_is_given_up_with_a_reason(tmp_path: Path) -> None:
    async with run_fleet(tmp_path, heartbeat_seconds=1) as fleet:
        await fleet.management_cluster()
        async with stranger(fleet, beat_every=None) as one:
            assert "silent" in (await one.hears("goodbye")).reason
            assert await one.ended() == grpc.StatusCode.OK
            assert fleet.link.routes.get("sv-1") is None


async def test_the_kinds_to_report_are_told_and_a_heartbeat_is_answered(fleet: Fleet) -> None:
    async with stranger(fleet) as one:
        told = await one.hears("subscribe")
        assert ("cluster.x-k8s.io", "clusters") in {(each.group, each.plural) for each in told.kinds}
        one.says(heartbeat=pb.Heartbeat(api_reachable=True))
        await one.hears("heartbeat_ack")


async def test_a_certificate_is_renewed_over_the_link_under_the_same_name(fleet: Fleet) -> None:
    async with stranger(fleet) as one:
        key = new_key()
        one.says(certificate_request=pb.CertificateRequest(csr=make_csr(key)))
        answer = await one.hears("certificate")
        assert answer.bundle == fleet.authority.bundle
        assert lifetime(answer.certificate)[1] > datetime.now(UTC)
    renewed = Identity("sv-1", answer.certificate, key_pem(key), answer.bundle, address(fleet))
    async with stranger(fleet, identity=renewed):
        assert fleet.link.routes.get("sv-1") is not None


@pytest.mark.parametrize("csr", [b"", b"garbage", make_csr(new_key(), policy.agent("sv-2"), (policy.AGENTS,))])
async def test_a_request_that_is_not_signed_is_refused_and_the_session_goes_on(fleet: Fleet, csr: bytes) -> None:
    async with stranger(fleet) as one:
        one.says(certificate_request=pb.CertificateRequest(csr=csr))
        assert (await one.hears("certificate_refused")).reason
        one.says(heartbeat=pb.Heartbeat(api_reachable=True))
        await one.hears("heartbeat_ack")


async def test_roots_are_sent_to_whoever_trusts_others_and_count_when_they_are_acknowledged(fleet: Fleet) -> None:
    digest = digest_of(fleet.authority.bundle)
    async with stranger(fleet) as one:
        assert digest_of((await one.hears("trust")).bundle) == digest
        assert fleet.link.routes.trust() == {"sv-1": ""}
        one.says(trust_ack=pb.TrustAck(digest=digest))

        async def counted() -> bool:
            return fleet.link.routes.trust() == {"sv-1": digest}

        await eventually(counted)


async def test_what_a_newer_agent_says_beyond_us_is_ignored(fleet: Fleet) -> None:
    async with stranger(fleet) as one:
        one.says()
        one.says(heartbeat=pb.Heartbeat(api_reachable=True))
        await one.hears("heartbeat_ack")
