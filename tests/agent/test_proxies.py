"""An agent behind what sites put in its way: an HTTP proxy with a password, and one that looks into TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from skerry.agent import identity as identities
from skerry.agent import path
from skerry.agent.path import NoWay
from skerry.client.connection import Connection
from skerry.client.http import HttpClient
from skerry.gateway.registration import OneTimeTokens
from skerry.machinery.errors import ServiceUnavailable
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel import statements, wire
from tests.agent.targets import Target
from tests.gateway.fleet import MANAGEMENT, Fleet, config_map, eventually
from tests.gateway.fleet import fleet as run_fleet
from tests.gateway.proxies import ConnectProxy, InspectingProxy
from tests.gateway.stranger import Stranger

Json = dict[str, Any]
USER, PASSWORD, IN_URL = "robot@site", "p:a%s/s word", ("robot%40site", "p%3Aa%25s%2Fs%20word")


@pytest.fixture
async def proxy() -> AsyncIterator[ConnectProxy]:
    async with ConnectProxy(USER, PASSWORD).running() as made:
        yield made


def connected(obj: Json) -> Json:
    found: Json = next(each for each in obj["status"]["conditions"] if each["type"] == "Connected")
    return found


async def test_an_agent_registers_and_works_through_a_proxy_with_a_password(
    fleet: Fleet, target: Target, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    identity, space = await fleet.register(), await target.namespace()
    async with fleet.agent(target.connection, identity=identity, proxy=proxy.url(*IN_URL)):
        assert set(proxy.connected) == {f"127.0.0.1:{fleet.wire.port}"}
        await fleet.ask("shop", [config_map("a", space, v="1")])
        await fleet.settled("shop", applied=1)
        through = f"{fleet.front}/k8s/sv-1"
        async with HttpClient(Connection(through)) as client:
            assert (await client.raw("GET", "/version"))["gitVersion"].startswith("v1.")
    assert proxy.refused == 0
    said = "".join(capfd.readouterr())
    assert PASSWORD not in said
    assert IN_URL[1] not in said


async def test_a_proxy_that_dies_and_comes_back_costs_nothing_but_time(fleet: Fleet, target: Target, proxy: ConnectProxy) -> None:
    identity, space = await fleet.register(), await target.namespace()
    async with fleet.agent(target.connection, identity=identity, proxy=proxy.url(*IN_URL)):
        proxy.die()

        async def away() -> bool:
            return bool(connected(await fleet.client.get(MANAGEMENT, "sv-1"))["reason"] == "AgentAway")

        await eventually(away)
        await fleet.ask("shop", [config_map("a", space, v="1")])
        await proxy.start()
        await fleet.settled("shop", applied=1)


async def test_a_wrong_password_is_named_and_not_told(
    fleet: Fleet, target: Target, proxy: ConnectProxy, capfd: pytest.CaptureFixture[str]
) -> None:
    identity = await fleet.register()
    async with fleet.agent(target.connection, identity=identity, proxy=proxy.url("robot", "wr0ng"), connects=False):
        said = ""

        async def named() -> bool:
            nonlocal said
            said += "".join(capfd.readouterr())
            return "407" in said

        await eventually(named)
        assert "wr0ng" not in said
        with pytest.raises(NoWay, match="wants other credentials: it answered 407") as caught:
            await path.shown(identity.gateway, proxy.url("robot", "wr0ng"))
        assert "wr0ng" not in str(caught.value)
        assert fleet.link.routes.get("sv-1") is None


async def test_what_is_no_proxy_is_told_as_such(fleet: Fleet) -> None:
    with pytest.raises(NoWay, match=r"the proxy 127.0.0.1:1 cannot be reached: Connection refused"):
        await path.shown("127.0.0.1:9", "http://127.0.0.1:1")


# TLS is looked into


@pytest.fixture
async def lenient(tmp_path: Path) -> AsyncIterator[Fleet]:
    """An installation whose site lets agents prove themselves by statements."""
    async with run_fleet(tmp_path, statement_port=0, tls=True) as made:
        await made.management_cluster()
        yield made


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Fleet]:
    """One whose site does not."""
    async with run_fleet(tmp_path, tls=True) as made:
        await made.management_cluster()
        yield made


async def test_an_agent_proves_itself_by_statements_through_a_proxy_that_looks_into_tls(lenient: Fleet, target: Target) -> None:
    fleet, space = lenient, await target.namespace()
    async with InspectingProxy(fleet.authority.bundle).running() as proxy:
        identity = await fleet.register()
        async with fleet.agent(target.connection, identity=identity, proxy=proxy.url(), proxy_ca=proxy.authority.bundle) as agent:
            assert fleet.link.recovering.link()["statementGateway"] in proxy.connected
            await fleet.ask("shop", [config_map("a", space, v="1")])
            await fleet.settled("shop", applied=1)
            async with HttpClient(Connection(f"{fleet.front}/k8s/sv-1", ca=fleet.front_ca)) as client:
                for _ in range(3):
                    assert (await client.raw("GET", "/version"))["gitVersion"].startswith("v1.")
            assert proxy.read, "it saw everything"
            assert connected(await fleet.client.get(MANAGEMENT, "sv-1"))["status"] == "True"
            assert agent.connected.is_set()


async def test_without_leave_the_condition_names_who_looks_into_tls(strict: Fleet, target: Target) -> None:
    fleet = strict
    async with InspectingProxy(fleet.authority.bundle).running() as proxy:
        identity = await fleet.register()
        async with fleet.agent(target.connection, identity=identity, proxy=proxy.url(), connects=False):

            async def named() -> bool:
                found = connected(await fleet.client.get(MANAGEMENT, "sv-1"))
                return found["reason"] == "TLSIntercepted" and "Corporate Inspection CA" in found["message"]

            await eventually(named)
            assert fleet.link.routes.get("sv-1") is None


async def test_an_agent_that_is_told_of_a_proxys_root_still_says_what_is_wrong_where_the_site_allows_no_statements(
    strict: Fleet, target: Target
) -> None:
    fleet = strict
    async with InspectingProxy(fleet.authority.bundle).running() as proxy:
        identity = await fleet.register()
        async with fleet.agent(target.connection, identity=identity, proxy=proxy.url(), proxy_ca=proxy.authority.bundle, connects=False):

            async def named() -> bool:
                return bool(connected(await fleet.client.get(MANAGEMENT, "sv-1"))["reason"] == "TLSIntercepted")

            await eventually(named)


async def test_nobody_comes_in_by_the_port_for_statements_without_one(lenient: Fleet) -> None:
    identity = await lenient.register()
    address = lenient.link.statement_address
    async with wire.channel(address, lenient.authority.bundle, identity.certificate, identity.key) as channel:
        one = Stranger(wire.stub(channel))
        one.says(hello=pb.Hello(management_cluster="sv-1"))
        assert await one.ended() == grpc.StatusCode.UNAUTHENTICATED
        stub = wire.stub(channel)
        challenge = await wire.challenge(stub)
        text = statements.sign(identity.certificate, identity.key, statements.CONTROL, challenge, 0.0)
        first = Stranger(wire.Proved(stub, lambda _: text), 3.0)
        first.says(hello=pb.Hello(management_cluster="sv-1"))
        await first.hears("welcome")
        again = Stranger(wire.Proved(stub, lambda _: text))
        again.says(hello=pb.Hello(management_cluster="sv-1"))
        assert await again.ended() == grpc.StatusCode.UNAUTHENTICATED, "it was heard before"
        first.stream.cancel()


async def test_a_token_is_used_up_through_a_proxy(strict: Fleet, proxy: ConnectProxy) -> None:
    token, _ = await OneTimeTokens(strict.client, strict.clock).make("sv-1")
    with pytest.raises(ServiceUnavailable, match="the proxy wants other credentials"):
        await identities.register(strict.front, strict.front_ca, token, proxy.url())
    made = await identities.register(strict.front, strict.front_ca, token, proxy.url(*IN_URL))
    assert made.name == "sv-1"
    assert proxy.connected == [strict.front.removeprefix("https://")]
