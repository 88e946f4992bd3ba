from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from skerry.apiserver.http import Door, listen
from skerry.apiserver.protocol import TOLD_AT_ONCE, Application, Limits, Receive, Scope, Send, Shared
from skerry.kit.aio import Pulse
from skerry.kit.clock import SystemClock
from skerry.pki import policy
from skerry.pki.authority import Authority, KeyPair, make_root
from skerry.pki.tls import client_context, server_context

NOW = datetime.now(UTC)
INTERNAL = Authority(make_root("internal", NOW))
EXTERNAL = Authority(make_root("external", NOW))
FOREIGN = Authority(make_root("foreign", NOW))
FRONT = EXTERNAL.issue(policy.SERVER, "skerry", NOW, hosts=("localhost", "127.0.0.1"))


def client(root: Authority = INTERNAL, name: str = "admin", now: datetime = NOW) -> KeyPair:
    return root.issue(policy.CLIENT, name, now, groups=("g1", "g2"))


async def whoami(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer who is there and how long the body was."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    peer = scope["extensions"]["skerry.peer"]
    told = {
        "name": peer.common_name if peer else None,
        "groups": peer.organizations if peer else None,
        "der": len(scope["extensions"]["tls"]["client_cert_der"] or b""),
        "path": scope["path"],
        "size": size,
        "headers": [name.decode() for name, _ in scope["headers"]],
    }
    await answer(send, json.dumps(told).encode())


async def answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Caller:
    """A connection that speaks HTTP byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    seen: bytes = field(default=b"", init=False)

    async def ask(self, path: str = "/", *, head: str = "", body: bytes = b"") -> tuple[int, dict[str, Any]]:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        await self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{length}{head}\r\n".encode() + body)
        return await self.hear()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self) -> tuple[int, dict[str, Any]]:
        """The next answer: its code and its JSON."""
        async with asyncio.timeout(60):
            self.seen = await self.reader.readuntil(b"\r\n\r\n")
            size = next(line for line in self.seen.lower().split(b"\r\n") if line.startswith(b"content-length"))
            return int(self.seen.split()[1]), json.loads(await self.reader.readexactly(int(size.split(b":")[1])))

    async def ended(self) -> bool:
        """Whether the server closes the connection without another word."""
        async with asyncio.timeout(60):
            return await self.reader.read() == b""


@asynccontextmanager
async def door(app: Application = whoami, limits: Limits | None = None, **options: Any) -> AsyncIterator[Door]:
    tls = server_context(FRONT.pem, INTERNAL.bundle)
    made = Door(app, host="127.0.0.1", port=0, tls=tls, clock=SystemClock(), limits=limits or Limits(grace_seconds=1), **options)
    async with made.open():
        yield made


@asynccontextmanager
async def calling(server: Door, pair: KeyPair | None = None, roots: Authority = EXTERNAL, **options: Any) -> AsyncIterator[Caller]:
    context = client_context(roots.bundle, pair.pem if pair else b"")
    for name, value in options.items():
        setattr(context, name, value)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname="localhost")
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


async def refused(server: Door, pair: KeyPair) -> bool:
    """Whether the server ends the handshake; with TLS 1.3 the client learns of it when it reads."""
    try:
        async with calling(server, pair) as caller:
            await caller.ask()
    except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
        return True
    return False


async def test_a_client_without_a_certificate_is_served_as_nobody() -> None:
    async with door() as server, calling(server) as caller:
        code, told = await caller.ask("/a%20b")
        assert (code, told["name"], told["der"], told["path"]) == (200, None, 0, "/a b")


async def test_the_holder_of_a_certificate_is_told_with_every_request_of_the_connection() -> None:
    async with door() as server, calling(server, client()) as caller:
        for _ in range(3):
            _, told = await caller.ask()
            assert (told["name"], told["groups"], told["der"] > 300) == ("admin", ["g1", "g2"], True)
        counts = {"connections": 1, "running": 0, "upgraded": 0, "requests": 3, "refused": 0, "failed_handshakes": 0}
        assert server.statistics() == counts


async def test_two_connections_are_two_callers() -> None:
    async with door() as server, calling(server, client(name="one")) as one, calling(server, client(name="two")) as two:
        assert (await one.ask())[1]["name"] == "one"
        assert (await two.ask())[1]["name"] == "two"
        assert (await one.ask())[1]["name"] == "one"


async def test_a_certificate_of_a_foreign_root_ends_the_handshake() -> None:
    async with door() as server:
        assert await refused(server, client(FOREIGN))
        assert not await refused(server, client())


async def test_a_certificate_that_has_ended_or_not_begun_ends_the_handshake() -> None:
    old = Authority(make_root("old", NOW - timedelta(days=400)))
    async with door() as server:
        server.reload(server_context(FRONT.pem, old.bundle + INTERNAL.bundle))
        assert await refused(server, client(old, now=NOW - timedelta(days=300)))
        assert await refused(server, client(INTERNAL, now=NOW + policy.BACKDATE + timedelta(hours=1)))
        assert not await refused(server, client(old))


async def test_a_server_certificate_is_no_proof_of_a_client() -> None:
    async with door() as server:
        assert await refused(server, INTERNAL.issue(policy.SERVER, "admin", NOW, groups=("g1",)))


async def test_tls_1_2_is_spoken_and_is_the_least() -> None:
    assert server_context(FRONT.pem, INTERNAL.bundle).minimum_version == ssl.TLSVersion.TLSv1_2
    async with door() as server, calling(server, client(), maximum_version=ssl.TLSVersion.TLSv1_2) as caller:
        assert (await caller.ask())[1]["name"] == "admin"


async def test_http_1_1_is_what_alpn_agrees_on() -> None:
    async with door() as server, calling(server) as caller:
        assert caller.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


async def test_a_reload_shows_the_new_certificate_and_leaves_open_connections_alone() -> None:
    async with door() as server, calling(server, client()) as before:
        assert (await before.ask())[0] == 200
        fresh = EXTERNAL.issue(policy.SERVER, "skerry", NOW, hosts=("localhost",))
        server.reload(server_context(fresh.pem, INTERNAL.bundle))
        async with calling(server) as after:
            shown = after.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert shown == ssl.PEM_cert_to_DER_cert(fresh.certificate.decode())
        assert (await before.ask())[1]["name"] == "admin"


async def test_a_root_that_is_taken_out_is_gone_for_new_connections_while_open_ones_live_on() -> None:
    async with door() as server, calling(server, client()) as before:
        assert (await before.ask())[1]["name"] == "admin"
        server.reload(server_context(FRONT.pem, FOREIGN.bundle))
        assert await refused(server, client())
        assert not await refused(server, client(FOREIGN))
        assert (await before.ask())[1]["name"] == "admin"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_from_before_a_reload_does_not_outlive_the_root_that_vouched_for_it(version: ssl.TLSVersion) -> None:
    context = client_context(EXTERNAL.bundle, client().pem)
    context.maximum_version = version

    def ask(port: int, session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
        plain = socket.create_connection(("127.0.0.1", port), 5)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as secure:
            secure.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert secure.recv(65536).startswith(b"HTTP/1.1 200")
            return secure.session, bool(secure.session_reused)

    async with door() as server:
        session, _ = await asyncio.to_thread(ask, server.port, None)
        server.reload(server_context(FRONT.pem, INTERNAL.bundle))
        assert not (await asyncio.to_thread(ask, server.port, session))[1]
        server.reload(server_context(FRONT.pem, FOREIGN.bundle))
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            await asyncio.to_thread(ask, server.port, session)


async def test_nobody_is_refused_while_certificates_change() -> None:
    async with door() as server:
        done, served = asyncio.Event(), Pulse()

        async def call() -> None:
            while not done.is_set():
                async with calling(server, client()) as caller:
                    assert (await caller.ask())[0] == 200
                    served.beat()

        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(call())
            for _ in range(20):
                server.reload(server_context(FRONT.pem, INTERNAL.bundle))
                await served.after(served.count)
            done.set()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01garbage\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT example:443 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_not_http_gets_a_status_and_a_closed_connection(garbage: bytes) -> None:
    async with door() as server, calling(server) as caller:
        await caller.send(garbage)
        code, told = await caller.hear()
        assert (code, told["kind"], told["reason"]) == (400, "Status", "BadRequest")
        assert await caller.ended()


async def test_what_is_not_tls_is_dropped_and_the_server_lives_on() -> None:
    async with door() as server:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 10):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(garbage)
            async with asyncio.timeout(60):
                try:
                    await reader.read()
                except ConnectionError:
                    pass  # dropped so
            writer.transport.abort()
        async with calling(server) as caller:
            assert (await caller.ask())[0] == 200


@pytest.mark.parametrize("head", ["X: " + "a" * 5000 + "\r\n", "X: a\r\n" * 2000])
async def test_a_head_beyond_the_bound_is_refused(head: str) -> None:
    async with door(limits=Limits(head_bytes=1000)) as server, calling(server) as caller:
        await caller.send(b"GET / HTTP/1.1\r\n")
        await caller.send(head.encode()[:-1])
        assert (await caller.hear())[0] == 431
        assert await caller.ended()


async def test_a_body_beyond_the_bound_is_refused_even_if_the_application_does_not_read_it() -> None:
    async def deaf(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.sleep(300)

    async with door(deaf, Limits(message_bytes=10_000, grace_seconds=0.1)) as server, calling(server) as caller:
        await caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        await caller.send(b"2000\r\n" + b"x" * 0x2000 + b"\r\n" + b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
        assert (await caller.hear())[1]["reason"] == "RequestEntityTooLarge"


async def test_a_head_that_does_not_come_in_time_is_refused_on_a_new_and_on_a_kept_connection() -> None:
    async with door(limits=Limits(head_seconds=0.1)) as server:
        async with calling(server) as silent:
            assert await silent.ended()
        async with calling(server) as slow:
            assert (await slow.ask())[0] == 200
            await slow.send(b"GET / HT")
            assert (await slow.hear())[0] == 408
            assert await slow.ended()


async def test_a_trailer_does_not_become_a_header() -> None:
    async with door() as server, calling(server) as caller:
        await caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nImpersonate-User: root\r\n\r\n")
        _, told = await caller.hear()
        assert (told["size"], "impersonate-user" in told["headers"]) == (1, False)
        assert (await caller.ask())[1]["headers"] == ["host"]


async def test_requests_that_are_sent_together_are_answered_in_order() -> None:
    async with door() as server, calling(server) as caller:
        await caller.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(20)))
        assert [(await caller.hear())[1]["path"] for _ in range(20)] == [f"/{number}" for number in range(20)]


@pytest.mark.parametrize("protocol", ["websocket", "SPDY/3.1"])
async def test_an_upgrade_is_refused_with_a_status(protocol: str) -> None:
    async with door() as server, calling(server) as caller:
        code, told = await caller.ask(head=f"Connection: Upgrade\r\nUpgrade: {protocol}\r\n")
        assert (code, told["kind"]) == (400, "Status")
        assert "upgraded" in told["message"]
        assert await caller.ended()


async def test_an_offer_of_http_2_is_left_alone() -> None:
    async with door() as server, calling(server) as caller:
        code, told = await caller.ask(head="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n")
        assert (code, told["path"]) == (200, "/")


async def test_an_answer_has_a_date() -> None:
    async with door() as server, calling(server) as caller:
        await caller.ask()
        assert b"date: " in caller.seen


async def test_an_idle_connection_is_closed_in_time() -> None:
    async with door(limits=Limits(idle_seconds=0)) as server, calling(server) as caller:
        await caller.ask()
        assert await caller.ended()


async def test_stopping_closes_idle_connections_lets_requests_finish_and_ends_watches() -> None:
    entered, stopped = asyncio.Event(), asyncio.Event()

    async def watch(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/watch":
            entered.set()
            await stopped.wait()
        await answer(send, b"{}")

    async with AsyncExitStack() as callers:
        async with door(watch, Limits(grace_seconds=300), on_stop=stopped.set) as server, asyncio.timeout(60):
            idle, watcher = [await callers.enter_async_context(calling(server)) for _ in range(2)]
            await idle.ask()
            await watcher.send(b"GET /watch HTTP/1.1\r\nHost: x\r\n\r\n")
            await entered.wait()
            heard = await callers.enter_async_context(asyncio.TaskGroup())
            last = heard.create_task(watcher.hear())
            closed = heard.create_task(idle.ended())
        assert (await last)[0] == 200
        assert await closed
        assert await watcher.ended()
        assert server.statistics()["connections"] == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_client_that_does_not_answer_the_goodbye_of_tls_holds_up_nobody() -> None:
    async with asyncio.timeout(60), door(limits=Limits(grace_seconds=300, shutdown_seconds=300, linger_seconds=0.1)) as server:
        deaf = await asyncio.to_thread(_asked_once, server.port)
    assert server.statistics()["connections"] == 0
    deaf.close()


def _asked_once(port: int) -> ssl.SSLSocket:
    """A connection that is kept, and not read from any more."""
    made = client_context(EXTERNAL.bundle).wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
    made.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert made.recv(4) == b"HTTP"
    return made


async def test_a_body_that_stopped_coming_is_not_waited_for() -> None:
    entered, heard = asyncio.Event(), list[str]()

    async def reading(_scope: Scope, receive: Receive, _send: Send) -> None:
        entered.set()
        while (message := await receive()).get("more_body"):
            pass
        heard.append(message["type"])

    async with asyncio.timeout(60), AsyncExitStack() as callers:
        async with door(reading, Limits(grace_seconds=300, stalled_seconds=0.1)) as server:
            caller = await callers.enter_async_context(calling(server))
            await caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12")
            await entered.wait()
        code, status = await caller.hear()
    assert (code, status["reason"], heard) == (408, "Timeout", ["http.disconnect"])


async def test_a_request_whose_client_stopped_sending_is_ended_as_gone_when_the_grace_is_over() -> None:
    entered = asyncio.Event()
    heard: list[str] = []

    async def reading(_scope: Scope, receive: Receive, _send: Send) -> None:
        entered.set()
        heard.append((await receive())["type"])

    async with asyncio.timeout(60), AsyncExitStack() as callers, door(reading, Limits(grace_seconds=0.1)) as server:
        caller = await callers.enter_async_context(calling(server))
        await caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        await entered.wait()
    assert heard == ["http.disconnect"]


async def test_what_does_not_finish_within_the_grace_is_cut() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def forever(_scope: Scope, _receive: Receive, _send: Send) -> None:
        entered.set()
        try:
            await asyncio.sleep(300)
        finally:
            cancelled.set()

    async with asyncio.timeout(60), AsyncExitStack() as callers:
        async with door(forever, Limits(grace_seconds=0.1)) as server:
            caller = await callers.enter_async_context(calling(server))
            await caller.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await entered.wait()
        assert cancelled.is_set()
        assert server.statistics()["running"] == 0


async def test_a_handshake_that_never_ends_holds_up_neither_the_others_nor_the_end() -> None:
    async with asyncio.timeout(60), door(limits=Limits(handshakes=2, handshake_seconds=0.2)) as server:
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
        async with calling(server) as caller:
            assert (await caller.ask())[0] == 200
        late = await asyncio.open_connection("127.0.0.1", server.port)
        assert server.statistics()["failed_handshakes"] >= 2
    for _, writer in (*silent, late):
        writer.transport.abort()


async def test_an_address_that_is_taken_is_an_error() -> None:
    async with door() as server:
        other = Door(whoami, host="127.0.0.1", port=server.port, tls=None, clock=SystemClock())
        with pytest.raises(OSError, match=r"cannot listen on 127\.0\.0\.1 port \d+: .*in use; .* choose another"):
            async with other.open():
                pass


async def test_every_address_of_a_name_has_the_same_port() -> None:
    for host in ("localhost", "::", ""):
        sockets = await listen(host, 0, 10)
        assert len({each.getsockname()[1] for each in sockets}) == 1
        for each in sockets:
            each.close()


async def test_an_answer_is_not_held_back_for_more() -> None:
    async with door() as server, calling(server) as caller:
        await caller.ask()
        (connection,) = server._shared.connections
        option = connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert option != 0


async def test_every_address_of_this_machine_is_served_where_the_host_says_so() -> None:
    for host in ("", "::"):
        made = Door(whoami, host=host, port=0, tls=None, clock=SystemClock())
        async with made.open():
            for address in ("127.0.0.1", "::1"):
                _, writer = await asyncio.open_connection(address, made.port)
                writer.close()


async def test_without_tls_everybody_is_nobody() -> None:
    plain = Door(whoami, host="127.0.0.1", port=0, tls=None, clock=SystemClock())
    async with plain.open():
        reader, writer = await asyncio.open_connection("127.0.0.1", plain.port)
        assert (await Caller(reader, writer).ask())[1]["name"] is None
        writer.close()


async def test_of_many_requests_whose_clients_go_at_once_some_are_told_in_each_turn_of_the_loop() -> None:
    shared, events = Shared(Limits(), SystemClock()), [asyncio.Event() for _ in range(3 * TOLD_AT_ONCE)]
    for event in events:
        shared.tell(event)
    told = []
    while not all(event.is_set() for event in events):
        before = sum(event.is_set() for event in events)
        await asyncio.sleep(0)
        told.append(sum(event.is_set() for event in events) - before)
    assert max(told) <= TOLD_AT_ONCE
    shared.tell(again := asyncio.Event())
    await asyncio.sleep(0)
    assert again.is_set()


async def test_of_an_answer_that_nobody_takes_little_waits_in_memory() -> None:
    stalled = asyncio.Event()

    async def endless(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        sent = 0

        async def look() -> None:
            seen = -1
            while seen != sent:
                seen = sent
                await asyncio.sleep(2)
            stalled.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(look())
            while True:
                await send({"type": "http.response.body", "body": bytes(16 * 1024), "more_body": True})
                sent += 1
                await asyncio.sleep(0)  # once the client is gone, nothing else lets others have their turn

    limits = Limits(grace_seconds=0.1, unsent_bytes=64 * 1024)
    async with asyncio.timeout(60), door(endless, limits) as server, calling(server) as caller:
        await caller.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await stalled.wait()
        [connection] = server._shared.connections
        assert connection.transport.get_write_buffer_size() < 2 * limits.unsent_bytes
