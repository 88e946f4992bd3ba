"""What an agent that the link does not let in asks and tells at the front door, and what others cannot."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from skerry.agent.identity import Identity
from skerry.client.connection import Connection
from skerry.client.http import HttpClient
from skerry.gateway.recovering import LINK, RENEWALS, TROUBLES_PATH
from skerry.gateway.statements import Statements
from skerry.machinery.errors import ApiError, BadRequest, Forbidden, MethodNotAllowed, NotFound, Unauthorized
from skerry.pki import policy
from skerry.pki.authority import Authority, KeyPair, key_pem, make_csr, make_root, new_key
from skerry.testing.clock import VirtualClock
from skerry.tunnel import statements
from skerry.tunnel.statements import CONTROL, RENEWAL, TROUBLE, BadStatement
from tests.gateway.fleet import MANAGEMENT, Fleet, eventually
from tests.gateway.stranger import stranger

Json = dict[str, Any]


@pytest.fixture
async def door(fleet: Fleet) -> AsyncIterator[HttpClient]:
    async with HttpClient(Connection(fleet.front)) as client:
        yield client


async def renew(door: HttpClient, who: Identity, purpose: str = RENEWAL, csr: bytes = b"", about: bytes = b"") -> Json:
    csr = csr or make_csr(new_key())
    challenge = (await door.raw("GET", LINK))["challenge"]
    says = {"csr": hashlib.sha256(about or csr).hexdigest()}
    statement = statements.sign(who.certificate, who.key, purpose, challenge, 0.0, says)
    return await door.raw("POST", RENEWALS, {"statement": statement, "csr": csr.decode()})


async def tell(door: HttpClient, who: Identity, reason: str = "TLSIntercepted", message: str = "by a proxy") -> Json:
    challenge = (await door.raw("GET", LINK))["challenge"]
    statement = statements.sign(who.certificate, who.key, TROUBLE, challenge, 0.0, {"reason": reason, "message": message})
    return await door.raw("POST", TROUBLES_PATH, {"statement": statement})


async def test_the_front_door_says_where_the_link_is(fleet: Fleet, door: HttpClient) -> None:
    found = await door.raw("GET", LINK)
    assert (found["gateway"], found["statementGateway"]) == (fleet.link.address, "")
    assert found["challenge"]


async def test_a_certificate_that_ended_is_renewed_for_who_holds_its_key(fleet: Fleet, door: HttpClient) -> None:
    who = fleet.ended(await fleet.register(), days=80)
    key = new_key()
    answer = await renew(door, who, csr=make_csr(key))
    renewed = replace(who, certificate=answer["certificate"].encode(), key=key_pem(key), bundle=answer["bundle"].encode())
    async with stranger(fleet, identity=renewed):
        assert fleet.link.routes.get("sv-1") is not None


async def test_one_that_ended_too_long_ago_is_not(fleet: Fleet, door: HttpClient) -> None:
    with pytest.raises(Unauthorized, match="too late"):
        await renew(door, fleet.ended(await fleet.register(), days=91))


async def test_who_comes_too_late_is_told_of_with_what_to_do_unless_somebody_did_it(fleet: Fleet, door: HttpClient) -> None:
    late = fleet.ended(await fleet.register(), days=91)

    async def comes() -> None:
        with pytest.raises(Unauthorized, match="too late"):
            await renew(door, late)

    await comes()

    async def named() -> bool:
        found = connected(await fleet.client.get(MANAGEMENT, "sv-1"))
        return (found["status"], found["reason"]) == ("False", "CertificateExpired") and "skerry token sv-1" in found["message"]

    await eventually(named)
    who = await fleet.register()
    async with stranger(fleet, identity=who):
        await eventually(lambda: here(fleet))
    await comes()

    async def away() -> bool:
        return bool(connected(await fleet.client.get(MANAGEMENT, "sv-1"))["reason"] == "AgentAway")

    await eventually(away)
    await comes()
    assert "trouble" not in (await fleet.client.get(MANAGEMENT, "sv-1"))["status"]


async def test_one_of_an_older_registration_is_not_although_the_newer_agent_never_came(fleet: Fleet, door: HttpClient) -> None:
    old = fleet.ended(await fleet.register(), days=1)
    await renew(door, old)
    await fleet.register()
    with pytest.raises(Forbidden, match="registered anew"):
        await renew(door, old)


async def test_one_of_a_cluster_that_was_deleted_is_not_nor_of_another_that_has_its_name_now(fleet: Fleet, door: HttpClient) -> None:
    old = fleet.ended(await fleet.register(), days=1)
    await fleet.client.delete(MANAGEMENT, "sv-1")

    async def gone() -> bool:
        try:
            return not await fleet.client.get(MANAGEMENT, "sv-1")
        except NotFound:
            return True

    await eventually(gone)
    with pytest.raises(Forbidden, match="there is no"):
        await renew(door, old)
    await fleet.client.create(
        MANAGEMENT, {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "ManagementCluster", "metadata": {"name": "sv-1"}}
    )
    with pytest.raises(Forbidden, match="deleted"):
        await renew(door, old)


async def test_the_certificate_without_its_key_renews_nothing(fleet: Fleet, door: HttpClient) -> None:
    who = await fleet.register()
    with pytest.raises(Unauthorized):
        await renew(door, replace(who, key=key_pem(new_key())))


async def test_certificates_of_other_roots_and_of_others_than_agents_renew_nothing(fleet: Fleet, door: HttpClient) -> None:
    who, now, key = await fleet.register(), fleet.clock.now(), new_key()
    foreign = Authority(make_root("test root", now)).answer_agent(make_csr(key), "sv-1", now, 10**15)
    component = fleet.authority.issue(policy.CLIENT, policy.component("controllers"), now, groups=(policy.COMPONENTS,))
    server = fleet.authority.issue(policy.SERVER, policy.agent("sv-1"), now, groups=(policy.AGENTS,))
    for pair in (KeyPair(foreign, key_pem(key)), component, server):
        with pytest.raises(Unauthorized, match="not one of an agent"):
            await renew(door, replace(who, certificate=pair.certificate, key=pair.key))


async def test_a_statement_of_another_purpose_or_about_another_request_renews_nothing(fleet: Fleet, door: HttpClient) -> None:
    who = await fleet.register()
    for purpose in (CONTROL, TROUBLE):
        with pytest.raises(Unauthorized, match="good for"):
            await renew(door, who, purpose)
    with pytest.raises(BadRequest, match="another signing request"):
        await renew(door, who, about=b"another")
    with pytest.raises(BadRequest):
        await renew(door, who, csr=make_csr(new_key(), policy.agent("sv-2"), (policy.AGENTS,)))


@pytest.mark.parametrize("body", [b"", b"[]", b'{"statement": 1}', b'{"statement": "x", "csr": "y"}', b'{"statement": "a.b.c", "csr": ""}'])
async def test_what_is_no_statement_is_refused(fleet: Fleet, body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        await fleet.link.recovering.renew(body)
    assert caught.value.reason in {"BadRequest", "Unauthorized"}
    with pytest.raises(ApiError):
        fleet.link.recovering.trouble(body)


async def test_the_paths_answer_to_their_methods_alone(door: HttpClient) -> None:
    for method, path in (("POST", LINK), ("GET", RENEWALS), ("GET", TROUBLES_PATH)):
        with pytest.raises(MethodNotAllowed):
            await door.raw(method, path)


def connected(obj: Json) -> Json:
    found: Json = next(each for each in obj["status"]["conditions"] if each["type"] == "Connected")
    return found


async def here(fleet: Fleet) -> bool:
    found = await fleet.client.get(MANAGEMENT, "sv-1")
    return connected(found)["status"] == "True" and "trouble" not in found["status"]


async def test_what_keeps_an_agent_away_stands_in_its_condition_until_it_is_here(fleet: Fleet, door: HttpClient) -> None:
    who = await fleet.register()
    await tell(door, who, message="certificate of CN=corporate proxy")

    async def named() -> bool:
        found = connected(await fleet.client.get(MANAGEMENT, "sv-1"))
        return (found["status"], found["reason"]) == ("False", "TLSIntercepted") and "corporate proxy" in found["message"]

    await eventually(named)
    async with stranger(fleet, identity=who):
        await eventually(lambda: here(fleet))


async def test_only_troubles_that_are_known_are_taken_and_in_one_line(fleet: Fleet, door: HttpClient) -> None:
    who = await fleet.register()
    for reason, message in (("DuplicateAgent", "x"), ("", "x"), ("TLSIntercepted", "x\ny"), ("TLSIntercepted", "\x1b[2J")):
        with pytest.raises(BadRequest):
            await tell(door, who, reason, message)


# a statement, and the clock of nobody's wall


class Desk:
    def __init__(self, fleet: Fleet, who: Identity) -> None:
        self.clock = VirtualClock(fleet.clock.now())
        self.statements = Statements(fleet.authority, self.clock)
        self.who = who

    def sign(self, challenge: str = "", held: float = 0.0) -> str:
        return statements.sign(self.who.certificate, self.who.key, CONTROL, challenge or self.statements.challenge(), held)

    def refused(self, text: str, why: str) -> None:
        with pytest.raises(Unauthorized, match=why):
            self.statements.judge(text, CONTROL)


@pytest.fixture
async def desk(fleet: Fleet) -> Desk:
    return Desk(fleet, await fleet.register())


async def test_a_statement_is_good_once_and_for_a_minute(desk: Desk) -> None:
    text, late = desk.sign(), desk.sign()
    assert desk.statements.judge(text, CONTROL).agent.name == "sv-1"
    desk.refused(text, "before")
    await desk.clock.advance(61)
    desk.refused(late, "too old")
    desk.refused(text, "too old")
    assert desk.statements.judge(desk.sign(), CONTROL)


async def test_a_challenge_that_was_held_for_hours_is_still_good_for_new_statements(desk: Desk) -> None:
    challenge = desk.statements.challenge()
    await desk.clock.advance(4 * 3600)
    assert desk.statements.judge(desk.sign(challenge, 4 * 3600), CONTROL)
    desk.refused(desk.sign(challenge, 4 * 3600 - 61), "too old")
    desk.refused(desk.sign(challenge, 4 * 3600 + 6), "too old")
    desk.refused(desk.sign(challenge, float("nan")), "too old")


async def test_a_statement_for_another_server_is_good_for_nothing_here(desk: Desk, fleet: Fleet) -> None:
    desk.refused(desk.sign(Statements(fleet.authority, desk.clock).challenge()), "no challenge of this server")
    desk.refused(desk.sign("nonsense"), "no challenge")


async def test_whatever_is_changed_in_a_statement_spoils_it(desk: Desk) -> None:
    text = desk.sign()
    payload, _, signature = text.partition(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    other = base64.urlsafe_b64encode(json.dumps({**said, "once": "another"}).encode()).decode().rstrip("=")
    for wrong in (f"{other}.{signature}", payload, f"{payload}.", f"{text}.x", "", ".", "é.é", "x" * 20_000, f"{payload}.{payload}"):
        with pytest.raises(BadStatement):
            statements.read(wrong)
    assert desk.statements.judge(text, CONTROL)


async def test_an_hour_between_the_clocks_changes_nothing(fleet: Fleet) -> None:
    """The agent's clock does not stand in a statement; the server's alone judges the certificate."""
    who = await fleet.register()
    for hours in (-1, 1):
        clock = VirtualClock(fleet.clock.now() + timedelta(hours=hours))
        at = Statements(fleet.authority, clock)
        assert at.judge(statements.sign(who.certificate, who.key, CONTROL, at.challenge(), 0.0), CONTROL)
