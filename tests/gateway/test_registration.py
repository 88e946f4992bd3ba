"""A one-time token and a signing request for a certificate, at a front door."""

from __future__ import annotations

import asyncio
import json
import stat
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from skerry.agent import identity as identities
from skerry.agent.keeping import FILE, Folder
from skerry.client.connection import Connection
from skerry.client.http import HttpClient
from skerry.gateway.registration import MOST_BYTES, PATH, TOKEN_LIFETIME, OneTimeTokens, Registration
from skerry.machinery.errors import ApiError, BadRequest, MethodNotAllowed, RequestEntityTooLarge, ServiceUnavailable, Unauthorized
from skerry.pki import policy
from skerry.pki.authority import make_csr, new_key
from skerry.pki.identity import identity
from skerry.testing.clock import VirtualClock
from tests.gateway.fleet import SECRETS, Fleet

Json = dict[str, Any]
REFUSED = "the one-time token is unknown, used up or expired; make a new one"


class Desk:
    """Where agents register, with a clock of its own."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.clock = VirtualClock(datetime.now(UTC))
        self.tokens = OneTimeTokens(fleet.client, self.clock)
        self.registration = Registration(self.tokens, fleet.authority, "gateway:8444", self.clock, fleet.link.enrolments)

    async def token(self, name: str = "sv-1") -> str:
        return (await self.tokens.make(name))[0]

    async def bring(self, token: str, csr: bytes | None = None) -> Json:
        body = {"token": token, "csr": (csr or make_csr(new_key())).decode(), "agentVersion": "1"}
        answer: Json = await self.registration.register(json.dumps(body).encode())
        return answer

    async def refused(self, token: str) -> str:
        with pytest.raises(Unauthorized) as caught:
            await self.bring(token)
        return caught.value.message


@pytest.fixture
def desk(fleet: Fleet) -> Desk:
    return Desk(fleet)


def holder(certificate: str) -> str | None:
    der = x509.load_pem_x509_certificate(certificate.encode()).public_bytes(Encoding.DER)
    found = identity(der)
    return policy.agent_of(found.common_name, found.organizations, found.names)


async def test_a_token_gives_a_certificate_of_its_management_cluster_and_where_to_dial(desk: Desk) -> None:
    answer = await desk.bring(await desk.token())
    assert holder(answer["certificate"]) == "sv-1"
    assert (answer["managementCluster"], answer["gateway"]) == ("sv-1", "gateway:8444")
    assert answer["bundle"].encode() == desk.fleet.authority.bundle


async def test_a_token_is_good_for_one_registration(desk: Desk) -> None:
    token = await desk.token()
    await desk.bring(token)
    assert await desk.refused(token) == REFUSED


async def test_of_many_who_bring_the_same_token_at_once_one_is_served(desk: Desk) -> None:
    token = await desk.token()
    answers = await asyncio.gather(*(desk.bring(token) for _ in range(8)), return_exceptions=True)
    assert len([each for each in answers if isinstance(each, dict)]) == 1
    assert all(isinstance(each, Unauthorized) for each in answers if not isinstance(each, dict))


async def test_a_token_ends_after_its_hour(desk: Desk) -> None:
    token = await desk.token()
    await desk.clock.advance((TOKEN_LIFETIME - timedelta(seconds=1)).total_seconds())
    other = await desk.token("sv-2")
    await desk.clock.advance(1)
    assert await desk.refused(token) == REFUSED
    await desk.bring(other)


async def test_a_newer_token_takes_the_place_of_the_one_before(desk: Desk) -> None:
    first, second = await desk.token(), await desk.token()
    assert await desk.refused(first) == REFUSED
    await desk.bring(second)


async def test_what_is_no_token_of_ours_is_refused_in_the_same_words_and_costs_nobody_his(desk: Desk) -> None:
    token = await desk.token()
    secret = token.partition(".")[2]
    for wrong in ("", ".", "sv-1", "sv-1.", f"sv-2.{secret}", f"SV-1.{secret}", f"../sv-1.{secret}", token + "x", token[:-1], "é" * 10_000):
        assert await desk.refused(wrong) == REFUSED
    await desk.bring(token)


async def test_a_token_speaks_for_its_own_management_cluster_only(desk: Desk) -> None:
    await desk.fleet.management_cluster("sv-2")
    token = await desk.token("sv-1")
    with pytest.raises(BadRequest):
        await desk.bring(token, make_csr(new_key(), policy.agent("sv-2"), (policy.AGENTS,)))
    assert holder((await desk.bring(token))["certificate"]) == "sv-1"


def asking_for_too_much() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(new_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    "csr",
    [
        pytest.param(b"garbage", id="no request"),
        pytest.param(b"x" * 20_000, id="far too long"),
        pytest.param(asking_for_too_much(), id="asks to be an authority"),
        pytest.param(make_csr(new_key(), "system:admin", ("system:masters",)), id="asks for another name"),
    ],
)
async def test_a_request_that_cannot_be_signed_does_not_cost_the_token(desk: Desk, csr: bytes) -> None:
    token = await desk.token()
    with pytest.raises(BadRequest):
        await desk.bring(token, csr)
    await desk.bring(token)


async def test_a_store_that_cannot_be_asked_is_said_and_does_not_cost_the_token(desk: Desk) -> None:
    token = await desk.token()
    async with HttpClient(Connection("http://127.0.0.1:1")) as nobody:
        tokens = OneTimeTokens(nobody, desk.clock)
        away = Registration(tokens, desk.fleet.authority, "gateway:8444", desk.clock, desk.fleet.link.enrolments)
        with pytest.raises(ServiceUnavailable):
            await away.register(json.dumps({"token": token, "csr": make_csr(new_key()).decode()}).encode())
    await desk.bring(token)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"token": 1, "csr": "x"}', b'{"token": "sv-1.x"}', b"\xff\xfe", b"null"])
async def test_what_is_no_registration_is_refused(desk: Desk, body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        await desk.registration.register(body)
    assert caught.value.reason == "BadRequest"


async def test_the_token_is_kept_nowhere(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    token = await desk.token()
    secret = await desk.fleet.client.get(SECRETS, "registration.sv-1", "skerry-system")
    assert token.partition(".")[2] not in json.dumps(secret)
    await desk.bring(token)
    await desk.refused(token)
    said = capsys.readouterr()
    assert token.partition(".")[2] not in said.out + said.err


async def test_the_front_door_answers_registrations_with_a_post_and_nothing_else(fleet: Fleet) -> None:
    async with HttpClient(Connection(fleet.front)) as client:
        with pytest.raises(Unauthorized):
            await client.raw("POST", PATH, {"token": "sv-1.x", "csr": "x"})
        with pytest.raises(MethodNotAllowed):
            await client.raw("GET", PATH)
        with pytest.raises(BadRequest):
            await client.raw("POST", PATH, {"token": "sv-1.x"})
        with pytest.raises(RequestEntityTooLarge):
            await client.raw("POST", PATH, {"token": "sv-1." + "x" * MOST_BYTES, "csr": "x"})
    assert fleet.api.crowd.bodies.held == 0


async def test_an_agents_identity_is_kept_for_its_owners_eyes_and_read_again(fleet: Fleet) -> None:
    token, _ = await OneTimeTokens(fleet.client, fleet.clock).make("sv-1")
    folder = fleet.folder / "agent"
    made = await identities.register(fleet.front, b"", token)
    await Folder(folder).store(made)
    assert await Folder(folder).load() == made
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert holder(made.certificate.decode()) == "sv-1"
    assert not made.renewal_due(fleet.clock.now())
    assert made.renewal_due(fleet.clock.now() + policy.AGENT.lifetime)
    assert made.expired(fleet.clock.now() + policy.AGENT.lifetime)


async def test_a_server_that_is_no_front_door_is_told_as_such(fleet: Fleet) -> None:
    with pytest.raises(ApiError):
        await identities.register(f"{fleet.front}/elsewhere", b"", "sv-1.x")
