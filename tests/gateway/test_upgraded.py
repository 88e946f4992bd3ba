"""Connections to a cluster that leave HTTP, from a caller at the front door to a server behind an agent."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from skerry.apiserver.http import Door as HttpDoor
from skerry.client.connection import Connection
from skerry.gateway.proxy import request_head
from skerry.gateway.spdy import MESSAGE
from skerry.kinds.managementcluster import PROXY_PREFIX
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock
from skerry.machinery.identity import Attributes, Decision, User
from skerry.pki import policy
from skerry.pki.authority import Authority, make_root
from skerry.pki.tls import client_context, server_context
from skerry.restapi.bearer import PREFIX
from tests.gateway.fleet import Fleet, beside, eventually
from tests.gateway.fleet import fleet as installation
from tests.gateway.raw import ASKS, SWITCHED, End, Switcher, calling, echo, switcher, switches
from tests.gateway.stranger import stranger
from tests.gateway.test_proxy import known

SPDY = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n"
MEGABYTE = b"m" * 1024 * 1024
MEGABYTES = 96
"""More than every buffer on the way holds together."""


class Door:
    """A caller's server, the one that holds the agent, and what is behind that."""

    def __init__(self, asked: Fleet, fleet: Fleet, far: Switcher) -> None:
        self.asked, self.fleet, self.far = asked, fleet, far

    def call(self, path: str, **more: Any) -> AbstractAsyncContextManager[End]:
        return calling(self.asked.front, f"/k8s/sv-1{path}", **more)

    def far_end(self) -> End:
        return self.far.ends[-1]


@pytest.fixture(params=["here", "elsewhere"])
async def door(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Door]:
    """The agent is connected to the server that is called, and its cluster speaks TLS; or to another one, and it does not."""
    here = request.param == "here"
    root = Authority(make_root("far", datetime.now(UTC)))
    shown = root.issue(policy.SERVER, "far", datetime.now(UTC), hosts=("cluster.example",))
    async with AsyncExitStack() as stack:
        far = await stack.enter_async_context(switcher(server_context(shown.pem, root.bundle) if here else None))
        fleet = await stack.enter_async_context(installation(tmp_path, identity="" if here else "one"))
        await fleet.management_cluster()
        target = Connection(far.address, ca=root.bundle if here else None, server_name="cluster.example" if here else "", token="its-own")
        await stack.enter_async_context(fleet.agent(target))
        asked = fleet if here else await stack.enter_async_context(beside(fleet, "two"))
        await eventually(lambda: known(asked, here=here))
        yield Door(asked, fleet, far)


async def test_bytes_pass_as_they_are_from_the_first_behind_each_head(door: Door) -> None:
    async def greets(end: End) -> None:
        await end.says(SWITCHED + b"\x81\x05hello")
        await end.hears(b"\x00early")
        await end.says(b"\xff")

    door.far.talks["/stream"] = greets
    async with door.call("/stream?a=%20b", behind=b"\x00early") as caller:
        assert caller.code == 101
        assert (caller.all("connection"), caller.all("upgrade"), caller.all("sec-websocket-accept")) == (
            ["Upgrade"],
            ["websocket"],
            ["yes"],
        )
        await caller.hears(b"\x81\x05hello\xff")
        assert await caller.rest() == b""
    assert door.far_end().head.startswith("GET /stream?a=%20b HTTP/1.1\r\n")


async def test_the_callers_credentials_stay_at_the_door_wherever_he_put_them(door: Door) -> None:
    door.far.talks["/stream"] = switches
    token = base64.urlsafe_b64encode(b"maria").rstrip(b"=").decode()
    sent = f"Sec-WebSocket-Protocol: v5.channel.k8s.io, {PREFIX}{token}\r\nSec-WebSocket-Protocol: {PREFIX.upper()}x\r\nCookie: a=b\r\n"
    sent += "Impersonate-User: root\r\nImpersonate-Group: system:masters\r\nImpersonate-Extra-Scopes: all\r\nX-Remote-User: root\r\n"
    async with door.call("/stream", more=sent) as caller:
        assert caller.code == 101
    far = door.far_end()
    assert far.all("sec-websocket-protocol") == ["v5.channel.k8s.io"]
    assert far.all("authorization") == ["Bearer its-own"]
    assert far.all("impersonate-user") == ["maria"], "the token among the protocols says who it is"
    assert far.all("impersonate-group") == ["skerry:testers", "system:authenticated"]
    assert far.all("sec-websocket-key") == ["dGhl"]
    assert not [each for each in ("cookie", "impersonate-extra-scopes", "x-remote-user") if far.all(each)]
    assert token not in far.head


async def test_a_token_among_the_protocols_that_cannot_be_read_is_refused(door: Door) -> None:
    async with door.call("/stream", more=f"Sec-WebSocket-Protocol: {PREFIX}%%, v5.channel.k8s.io\r\n") as caller:
        assert caller.code == 401


def test_a_token_among_the_protocols_of_an_ordinary_request_goes_nowhere() -> None:
    head = request_head("GET", "/", [(b"Sec-WebSocket-Protocol", PREFIX.encode() + b"abc")], User("maria"))
    assert [(each.name, each.value) for each in head.headers] == [("impersonate-user", "maria")]


async def test_a_connection_is_written_down_once_when_it_begins_and_as_what_it_is(door: Door) -> None:
    door.far.talks["/stream"] = echo
    async with door.call("/stream", more="Authorization: Bearer maria\r\n") as caller:
        await caller.says(b"x")
        await caller.hears(b"x")
        records = [each for each in door.fleet.records if each.attributes.path == "/k8s/sv-1/stream"]
        assert [(each.attributes.user.name, each.attributes.verb, each.code) for each in records] == [("maria", "connect", 101)]
    async with door.call("/none") as caller:
        assert caller.code == 404
    assert [each.code for each in door.fleet.records if each.attributes.path.startswith("/k8s/")] == [101, 404]


async def test_much_passes_both_ways_at_once_and_arrives_whole(door: Door) -> None:
    door.far.talks["/echo"] = echo
    data = os.urandom(10 * 1024 * 1024)

    async def send(caller: End) -> None:
        for begin in range(0, len(data), 100_000):
            await caller.says(data[begin : begin + 100_000])

    async with door.call("/echo") as caller, TaskOwner("test") as owner:
        owner.spawn(send(caller), "send")
        await caller.hears(data)


async def test_what_the_caller_said_before_he_hung_up_arrives_and_then_his_end(door: Door) -> None:
    heard = asyncio.get_running_loop().create_future()

    async def listens(end: End) -> None:
        await end.says(SWITCHED)
        await asyncio.sleep(0.2)
        heard.set_result(await end.rest())

    door.far.talks["/stream"] = listens
    async with door.call("/stream") as caller:
        await caller.says(b"input" * 400_000 + b"\x88\x00")
        caller.writer.close()
        async with asyncio.timeout(60):
            assert await heard == b"input" * 400_000 + b"\x88\x00"


async def test_what_the_cluster_said_before_its_end_arrives_and_then_the_end_even_if_it_does_not_listen(door: Door) -> None:
    async def says_bye(end: End) -> None:
        await end.says(SWITCHED + b"output" * 400_000 + b"\x88\x00")

    door.far.talks["/stream"] = says_bye
    async with door.call("/stream") as caller:
        await caller.says(b"input that nobody reads")
        assert await caller.rest() == b"output" * 400_000 + b"\x88\x00"


async def test_a_slow_reader_makes_his_own_cluster_wait_and_nobody_else(door: Door) -> None:
    written = 0

    async def pours(end: End) -> None:
        nonlocal written
        await end.says(SWITCHED)
        for _ in range(MEGABYTES):
            await end.says(MEGABYTE)
            written += 1

    door.far.talks |= {"/pours": pours, "/echo": echo}
    async with door.call("/pours") as slow, door.call("/echo") as quick:
        for number in range(200):
            await quick.says(b"%03d" % number)
            await quick.hears(b"%03d" % number)
        assert written < MEGABYTES, "somewhere on the way all of it was taken in"
        async with asyncio.timeout(120):
            for _ in range(MEGABYTES):
                await slow.hears(MEGABYTE)
        assert await slow.rest() == b""


async def test_a_cluster_that_does_not_listen_makes_its_caller_wait_and_nobody_else(door: Door) -> None:
    let, sent, taken = asyncio.Event(), 0, 0

    async def deaf(end: End) -> None:
        nonlocal taken
        await end.says(SWITCHED)
        await let.wait()
        while taken < MEGABYTES * len(MEGABYTE):
            taken += len(await end.reader.read(1 << 20))

    async def send(caller: End) -> None:
        nonlocal sent
        for _ in range(MEGABYTES):
            await caller.says(MEGABYTE)
            sent += 1

    door.far.talks |= {"/deaf": deaf, "/echo": echo}
    async with door.call("/deaf") as stuck, door.call("/echo") as quick, TaskOwner("test") as owner:
        owner.spawn(send(stuck), "send")
        for number in range(200):
            await quick.says(b"%03d" % number)
            await quick.hears(b"%03d" % number)
        assert sent < MEGABYTES, "somewhere on the way all of it was taken in"
        let.set()
        assert await stuck.rest() == b""
    assert taken == MEGABYTES * len(MEGABYTE)


class Waits:
    """Switches, and waits for the end."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def __call__(self, end: End) -> None:
        await end.says(SWITCHED)
        await end.rest()
        self.over.set()


async def over(waits: Waits) -> None:
    async with asyncio.timeout(60):
        await waits.over.wait()


async def test_a_caller_who_breaks_off_ends_it_at_the_far_end(door: Door) -> None:
    door.far.talks["/waits"] = waits = Waits()
    async with door.call("/waits") as caller:
        caller.writer.transport.abort()
        await over(waits)


async def test_a_cluster_that_breaks_off_ends_it_for_the_caller(door: Door) -> None:
    async def breaks(end: End) -> None:
        await end.says(SWITCHED)
        await end.hears(b"x")
        end.writer.transport.abort()

    door.far.talks["/breaks"] = breaks
    async with door.call("/breaks") as caller:
        await caller.says(b"x")
        assert await caller.rest() == b""


async def test_a_cluster_that_talks_on_after_its_caller_hung_up_is_cut_off(door: Door) -> None:
    ended = asyncio.Event()

    async def never_stops(end: End) -> None:
        await end.says(SWITCHED)
        try:
            while True:
                await end.says(b"more" * 1000)
        except ConnectionError:
            ended.set()

    door.far.talks["/more"] = never_stops
    async with door.call("/more") as caller:
        await caller.hears(b"more")
        caller.writer.transport.abort()
        async with asyncio.timeout(60):
            await ended.wait()


async def test_a_link_that_is_cut_ends_it_for_both(door: Door) -> None:
    door.far.talks["/waits"] = waits = Waits()
    async with door.call("/waits") as caller:
        door.fleet.wire.cut()
        assert await caller.rest() == b""
        await over(waits)


class Right:
    """A right to everything, which can be taken away."""

    def __init__(self) -> None:
        self.held, self.told = True, list[Callable[[str], None]]()

    def authorize(self, _: Attributes) -> Decision:
        return Decision(self.held, sight=self)  # type: ignore[arg-type] # it is followed, and not asked

    def follow(self, changed: Callable[[str], None]) -> Callable[[], None]:
        self.told.append(changed)
        return lambda: self.told.remove(changed)

    def take_away(self) -> None:
        self.held = False
        for each in list(self.told):
            each("")


async def test_a_right_that_is_taken_away_ends_what_was_opened_by_it(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Right()
    monkeypatch.setattr(door.asked.api, "_authorizer", right)
    door.far.talks["/waits"] = waits = Waits()
    async with door.call("/waits") as caller:
        assert caller.code == 101
        right.take_away()
        assert await caller.rest() == b""
        await over(waits)
    async with door.call("/waits") as caller:
        assert caller.code == 403


async def test_what_the_cluster_answers_instead_is_passed_on(door: Door) -> None:
    async def refuses(end: End) -> None:
        await end.says(b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/x\r\nContent-Length: 4\r\n\r\nnono")

    async def switches_to_something_else(end: End) -> None:
        await end.says(SWITCHED.replace(b"websocket", b"whatever"))

    door.far.talks |= {"/refuses": refuses, "/else": switches_to_something_else, "/switches": switches}
    async with door.call("/refuses") as caller:
        assert (caller.code, caller.all("content-type")) == (403, ["text/x"])
        assert b"nono" in await caller.rest()
    async with door.call("/else") as caller:
        assert caller.code == 503
    async with door.call("/switches", asks="") as caller:
        assert caller.code == 503, "nobody asked for that"


async def status(caller: End) -> dict[str, Any]:
    async with asyncio.timeout(60):
        found: dict[str, Any] = json.loads(await caller.reader.readexactly(int(caller.all("content-length")[0])))
    return found


async def test_who_asks_for_spdy_is_told_what_to_use(door: Door) -> None:
    async def kubernetes(end: End) -> None:
        assert not end.all("upgrade")
        body = b'{"kind":"Status","message":"Upgrade request required","code":400}'
        await end.says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    door.far.talks["/api/v1/namespaces/a/pods/b/exec"] = kubernetes
    for target in ("/api/v1/namespaces/a/pods/b/exec?command=sh", "/api/v1/namespaces/a/pods/b/proxy/x"):
        async with door.call(target, asks=SPDY, method="POST") as caller:
            told = await status(caller)
            assert (caller.code, told["kind"], told["reason"], told["message"]) == (400, "Status", "BadRequest", MESSAGE)
            assert "kubectl 1.31" in told["message"]
    assert len(door.far.ends) == 1, "what a request without an upgrade might start is not asked"


async def test_who_asks_for_spdy_because_his_websocket_was_refused_is_told_why_it_was(door: Door) -> None:
    answers = {403: '{"message":"pods \\"b\\" is forbidden"}', 400: '{"message":"container x is not valid for pod b"}'}

    async def refuses(end: End) -> None:
        code = 403 if "container" not in end.head.split()[1] else 400
        await end.says(f"HTTP/1.1 {code} No\r\nContent-Length: {len(answers[code])}\r\n\r\n{answers[code]}".encode())

    door.far.talks["/api/v1/namespaces/a/pods/b/exec"] = refuses
    for code, query in ((403, ""), (400, "?container=x")):
        async with door.call(f"/api/v1/namespaces/a/pods/b/exec{query}", asks=SPDY, method="POST") as caller:
            assert (caller.code, await status(caller)) == (code, json.loads(answers[code]))


@pytest.mark.parametrize("asks", [ASKS, SPDY])
async def test_an_agent_of_an_older_release_is_to_be_updated(tmp_path: Path, asks: str) -> None:
    async with installation(tmp_path, identity="one") as fleet, beside(fleet, "two") as other:
        await fleet.management_cluster()
        async with stranger(fleet):
            await eventually(lambda: known(other, here=False))
            for asked in (fleet, other):
                target = "/k8s/sv-1/api/v1/namespaces/a/pods/b/exec"
                async with calling(asked.front, target, asks=asks, method="POST" if asks == SPDY else "GET") as caller:
                    told = await status(caller)
                    assert (caller.code, told["reason"]) == (501, "NotImplemented")
                    assert "update it" in told["message"]


async def test_an_agent_that_is_away_is_said(tmp_path: Path) -> None:
    async with installation(tmp_path) as fleet:
        await fleet.management_cluster()
        for asks in (ASKS, SPDY):
            async with calling(fleet.front, "/k8s/sv-1/api/v1/namespaces/a/pods/b/attach", asks=asks) as caller:
                assert (caller.code, (await status(caller))["reason"]) == (503, "ServiceUnavailable")


@asynccontextmanager
async def tunnels() -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that makes tunnels to wherever it is asked to: its address, and what it was asked."""
    asked: list[str] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        host, _, port = head.split()[1].rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        async with TaskOwner("tunnel") as owner:
            owner.spawn(pump(reader, far_writer), "up")
            await pump(far_reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://user:word@127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()


async def test_an_agent_reaches_its_cluster_through_a_proxy_and_proves_itself_by_a_certificate(tmp_path: Path) -> None:
    root, now = Authority(make_root("far", datetime.now(UTC))), datetime.now(UTC)
    shown, proof = root.issue(policy.SERVER, "far", now, hosts=("127.0.0.1",)), root.issue(policy.CLIENT, "agent", now)
    tls = server_context(shown.pem, root.bundle)
    tls.verify_mode = ssl.CERT_REQUIRED
    async with switcher(tls) as far, tunnels() as (proxy, asked), installation(tmp_path) as fleet:
        far.talks["/echo"] = echo
        await fleet.management_cluster()
        target = Connection(far.address, ca=root.bundle, certificate=proof.certificate, key=proof.key, proxy=proxy)
        async with fleet.agent(target), calling(fleet.front, "/k8s/sv-1/echo") as caller:
            before = len(asked)
            assert caller.code == 101
            await caller.says(b"x" * 3_000_000)
            await caller.hears(b"x" * 3_000_000)
            assert before
            assert all(each.startswith(f"CONNECT {far.address.removeprefix('https://')} ") for each in asked)
            assert "Proxy-Authorization: Basic" in asked[-1]
        assert not far.ends[-1].all("proxy-authorization")


async def test_a_page_of_another_site_opens_nothing_by_the_certificate_of_a_browser(tmp_path: Path) -> None:
    async with switcher() as far, installation(tmp_path) as fleet:
        far.talks["/stream"] = switches
        await fleet.management_cluster()
        authority, now = fleet.authority, datetime.now(UTC)
        tls = server_context(authority.issue(policy.SERVER, "skerry", now, hosts=("127.0.0.1",)).pem, authority.bundle)
        door = HttpDoor(fleet.app, host="127.0.0.1", port=0, tls=tls, clock=SystemClock(), upgrades=PROXY_PREFIX)
        browser = client_context(authority.bundle, authority.issue(policy.CLIENT, "maria", now).pem)
        async with fleet.agent(Connection(far.address)), door.open():
            address = f"https://127.0.0.1:{door.port}"
            for origin, certificate, code in (
                ("https://evil.example", True, 403),
                ("null", True, 403),
                (address, True, 101),
                ("https://evil.example", False, 101),
            ):
                shows = browser if certificate else client_context(authority.bundle)
                async with calling(address, "/k8s/sv-1/stream", more=f"Origin: {origin}\r\n", tls=shows) as caller:
                    assert caller.code == code, (origin, certificate)
