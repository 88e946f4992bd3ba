"""Which registration counts, which cluster came with it, and what a second cluster under one name meets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from skerry.agent.identity import Identity
from skerry.gateway.enrolment import Came, Enrolment, Enrolments, admit, issue, refuse_renewal
from skerry.machinery.errors import NotFound
from skerry.pki import policy
from skerry.pki.identity import identity as read
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.places import IDENTIFIES
from tests.agent.targets import ours
from tests.gateway.fleet import MANAGEMENT, MAPS, Fleet, config_map, eventually
from tests.gateway.stranger import Stranger, dialled

Json = dict[str, Any]
NOW = datetime(2026, 12, 1, tzinfo=UTC)
FIRST = Enrolment(issued=10, issued_for="object", counts=10, subject="object", cluster="a")


def test_numbers_of_registrations_rise_even_where_clocks_go_back() -> None:
    first = issue(Enrolment(), "object", NOW)
    second = issue(first, "object", NOW - timedelta(hours=1))
    assert second.issued == first.issued + 1
    assert issue(Enrolment(counts=10**15), "object", NOW).issued == 10**15 + 1


def test_the_first_cluster_that_comes_with_a_registration_is_its_cluster() -> None:
    record, refusal = admit("sv-1", Enrolment(issued=10, issued_for="object"), Came(10, "object", "a"))
    assert (record, refusal) == (FIRST, None)
    assert admit("sv-1", record, Came(10, "object", "a")) == (record, None)
    assert admit("sv-1", record, Came(10, "object", "")) == (record, None)
    after, second = admit("sv-1", record, Came(10, "object", "b"))
    assert after == record
    assert second is not None
    assert second.second
    assert "cluster b" in second.reason
    assert "cluster a" in second.reason


def test_a_newer_registration_moves_the_name_to_another_cluster_and_ends_the_older_one() -> None:
    moved, refusal = admit("sv-1", FIRST, Came(11, "object", "b"))
    assert refusal is None
    assert (moved.counts, moved.cluster) == (11, "b")
    _, old = admit("sv-1", moved, Came(10, "object", "a"))
    assert old is not None
    assert not old.second
    assert "registered anew" in old.reason


def test_a_registration_counts_when_its_agent_comes_and_not_before() -> None:
    record = issue(FIRST, "object", NOW)
    assert admit("sv-1", record, Came(10, "object", "a")) == (record, None)
    assert "registered anew" in refuse_renewal("sv-1", record, 10, "object")
    assert refuse_renewal("sv-1", FIRST, 10, "object") == ""


def test_an_object_that_was_made_anew_is_another() -> None:
    _, refusal = admit("sv-1", FIRST, Came(10, "another", "a"))
    assert refusal is not None
    assert "deleted" in refusal.reason
    assert "deleted" in refuse_renewal("sv-1", FIRST, 10, "another")
    assert "there is no" in refuse_renewal("sv-1", FIRST, 10, "")
    unused = Enrolment(issued=11, issued_for="object", counts=10, subject="object", cluster="a")
    _, never_came = admit("sv-1", unused, Came(11, "another", "a"))
    assert never_came is not None


def test_agents_of_before_registrations_were_numbered_are_taken_as_they_come() -> None:
    record, refusal = admit("sv-1", Enrolment(), Came(0, "object", "a"))
    assert (record, refusal) == (Enrolment(counts=0, subject="object", cluster="a"), None)
    _, second = admit("sv-1", record, Came(0, "object", "b"))
    assert second is not None
    assert second.second


def test_a_certificate_that_an_older_server_renewed_meanwhile_is_the_same_agents() -> None:
    assert admit("sv-1", FIRST, Came(0, "object", "a", began=11)) == (FIRST, None)
    assert refuse_renewal("sv-1", FIRST, 0, "object", began=11) == ""
    _, older = admit("sv-1", FIRST, Came(0, "object", "a", began=9))
    assert older is not None
    assert "registered anew" in refuse_renewal("sv-1", FIRST, 0, "object", began=9)


def test_a_record_that_a_backup_took_back_learns_of_what_was_signed_after_it() -> None:
    record, refusal = admit("sv-1", FIRST, Came(12, "object", "b"))
    assert refusal is None
    assert record.counts == 12
    assert refuse_renewal("sv-1", FIRST, 12, "object") == ""


def test_a_certificate_says_its_registration_and_a_crafted_name_says_none() -> None:
    assert policy.registration_of(("URI:urn:skerry:agent:sv-1", f"URI:{policy.registration_uri(7)}")) == 7
    for names in ((), ("URI:urn:skerry:registration:x",), ("URI:urn:skerry:registration:1", "URI:urn:skerry:registration:2")):
        assert policy.registration_of(names) == 0


async def test_many_changes_of_one_record_at_once_lose_none(fleet: Fleet) -> None:
    records = Enrolments(fleet.client)
    numbers = await asyncio.gather(*(records.issue("sv-1", NOW) for _ in range(5)))
    assert len(set(numbers)) == 5


def hello(cluster: str, version: str = "v1.37.0") -> pb.Hello:
    return pb.Hello(management_cluster="sv-1", agent_version="1", cluster_uid=cluster, kubernetes_version=version, features=[IDENTIFIES])


async def joined(fleet: Fleet, one: Stranger, cluster: str, version: str = "v1.37.0") -> None:
    before = fleet.link.routes.get("sv-1")
    one.says(hello=hello(cluster, version))
    await one.hears("welcome")
    one.says(heartbeat=pb.Heartbeat(api_reachable=True))
    await fleet.joined("sv-1", before)


def conditions(obj: Json) -> dict[str, Json]:
    return {each["type"]: each for each in (obj.get("status") or {}).get("conditions") or ()}


async def test_a_second_cluster_under_one_name_is_refused_told_of_and_disturbs_nobody(fleet: Fleet) -> None:
    who = await fleet.register()
    async with dialled(who, fleet.link.address, 3.0) as first:
        await joined(fleet, first, "cluster-a")
        held = fleet.link.routes.get("sv-1")
        async with dialled(who, fleet.link.address) as second:
            second.says(hello=hello("cluster-b"))
            assert await second.ended() == grpc.StatusCode.PERMISSION_DENIED

        async def told() -> Json | None:
            return conditions(await fleet.client.get(MANAGEMENT, "sv-1")).get("DuplicateAgent")

        doubled = await eventually(told)
        assert (doubled["status"], doubled["reason"]) == ("True", "SecondCluster")
        assert "cluster-a" in doubled["message"]
        assert "cluster-b" in doubled["message"]
        assert fleet.link.routes.get("sv-1") is held
        first.says(heartbeat=pb.Heartbeat(api_reachable=True))
        await first.hears("heartbeat_ack")


async def test_a_new_token_moves_a_name_to_another_cluster_and_the_old_agent_stays_out(fleet: Fleet) -> None:
    old = await fleet.register()
    async with dialled(old, fleet.link.address, 3.0) as first:
        await joined(fleet, first, "cluster-a")
    new = await fleet.register()
    async with dialled(new, fleet.link.address, 3.0) as second:
        await joined(fleet, second, "cluster-b")
        async with dialled(old, fleet.link.address) as first:
            first.says(hello=hello("cluster-a"))
            assert await first.ended() == grpc.StatusCode.PERMISSION_DENIED


async def test_an_agent_that_stays_out_while_nobody_else_is_there_is_told_of_until_somebody_is(fleet: Fleet) -> None:
    old, new = await fleet.register(), await fleet.register()

    async def told() -> bool:
        found = conditions(await fleet.client.get(MANAGEMENT, "sv-1"))["Connected"]
        return found["reason"] == "RegistrationOutdated" and "registered anew" in found["message"]

    async def refused() -> None:
        async with dialled(old, fleet.link.address) as first:
            first.says(hello=hello("cluster-a"))
            assert await first.ended() == grpc.StatusCode.PERMISSION_DENIED

    async with dialled(new, fleet.link.address, 3.0) as second:
        await joined(fleet, second, "cluster-a")
        await eventually(lambda: connected(fleet))
        await refused()
        assert await connected(fleet)
    await eventually(lambda: connected(fleet, "AgentAway"))
    await refused()
    await eventually(told)
    async with dialled(new, fleet.link.address, 3.0) as second:
        await joined(fleet, second, "cluster-a")
        await eventually(lambda: connected(fleet))


async def connected(fleet: Fleet, reason: str = "AgentConnected") -> bool:
    found = await fleet.client.get(MANAGEMENT, "sv-1")
    return bool(conditions(found)["Connected"]["reason"] == reason and "trouble" not in found["status"])


async def test_the_agent_of_a_management_cluster_that_was_made_anew_is_not_let_in(fleet: Fleet) -> None:
    who = await fleet.register()
    async with dialled(who, fleet.link.address, 3.0) as first:
        await joined(fleet, first, "cluster-a")
    await fleet.client.delete(MANAGEMENT, "sv-1")

    async def gone() -> bool:
        try:
            return not await fleet.client.get(MANAGEMENT, "sv-1")
        except NotFound:
            return True

    await eventually(gone)
    await fleet.client.create(
        MANAGEMENT, {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "ManagementCluster", "metadata": {"name": "sv-1"}}
    )

    async def refused() -> bool:
        async with dialled(who, fleet.link.address) as one:
            one.says(hello=hello("cluster-a"))
            return await one.ended() == grpc.StatusCode.PERMISSION_DENIED

    await eventually(refused)


async def test_who_cannot_say_where_he_is_gets_no_orders_until_he_can(fleet: Fleet) -> None:
    who = await fleet.register()
    async with dialled(who, fleet.link.address, 3.0) as first:
        await joined(fleet, first, "cluster-a")
    async with dialled(who, fleet.link.address, 3.0) as mute:
        await joined(fleet, mute, "", "")
        route = fleet.link.routes.get("sv-1")
        assert route is not None
        assert route.held
        await fleet.ask("shop", [config_map("a", "default", v="1")])
        mute.says(heartbeat=pb.Heartbeat(api_reachable=False))
        await mute.hears("heartbeat_ack")
        assert route.queued == 0
    async with dialled(who, fleet.link.address, 3.0) as known:
        await joined(fleet, known, "cluster-a")
        assert (await known.hears("desired")).set == "shop"


async def test_a_copied_identity_never_brings_orders_to_the_wrong_cluster(fleet: Fleet) -> None:
    who: Identity = await fleet.register()
    async with ours() as right, ours() as wrong:
        space = "default"
        async with fleet.agent(right.connection, identity=who):
            await fleet.ask("shop", [config_map("a", space, v="1")])
            await fleet.settled("shop", applied=1)
            second = asyncio.create_task(_agent(fleet, wrong.connection, who))  # noqa: TID251 it never connects, and is cancelled
            try:

                async def doubled() -> bool:
                    return "DuplicateAgent" in conditions(await fleet.client.get(MANAGEMENT, "sv-1"))

                await eventually(doubled)
                await fleet.ask("shop", [config_map("a", space, v="2")])
                await fleet.settled("shop", applied=1)
                assert (await right.client.get(MAPS, "a", space))["data"] == {"v": "2"}
                assert conditions(await fleet.client.get(MANAGEMENT, "sv-1"))["Connected"]["status"] == "True"
            finally:
                second.cancel()
                await asyncio.gather(second, return_exceptions=True)
        assert (await wrong.client.list(MAPS, space))["items"] == []


async def _agent(fleet: Fleet, target: Any, who: Identity) -> None:
    async with fleet.agent(target, identity=who):
        raise AssertionError("the second cluster was let in")


async def test_a_renewal_keeps_the_number_of_the_registration(fleet: Fleet) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from skerry.pki.authority import make_csr, new_key

    def number(pem: bytes) -> int:
        return policy.registration_of(read(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)).names)

    who = await fleet.register()
    async with dialled(who, fleet.link.address, 3.0) as one:
        await joined(fleet, one, "cluster-a")
        one.says(certificate_request=pb.CertificateRequest(csr=make_csr(new_key())))
        renewed = (await one.hears("certificate")).certificate
    assert number(renewed) == number(who.certificate) > 0
