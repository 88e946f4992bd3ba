"""Connections that leave HTTP at the door: raw bytes both ways after a 101, bounded, and nothing lost at an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from skerry.apiserver.http import Door
from skerry.apiserver.protocol import Limits, Receive, Scope, Send
from skerry.kit.aio import TaskOwner
from tests.apiserver.test_http import Caller, answer, calling, door
from tests.gateway.fleet import eventually

PATH = "/raw/"
MEGABYTES = 24
"""More than the buffers of a connection hold together."""
ASKED = "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"

Talk = Callable[[Receive, Send], Awaitable[None]]


def switching(talk: Talk) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """An application that answers an upgrade with a 101 and then talks, and everything else with OK."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if "skerry.upgrade" not in scope["extensions"]:
            await answer(send, b'{"ordinary": true}')
            return
        await send(
            {"type": "http.response.start", "status": 101, "headers": [(b"upgrade", scope["extensions"]["skerry.upgrade"].encode())]}
        )
        await talk(receive, send)

    return app


async def chunks(receive: Receive) -> AsyncIterator[bytes]:
    while (message := await receive())["type"] != "http.disconnect":
        yield message["body"]


async def echo(receive: Receive, send: Send) -> None:
    async for chunk in chunks(receive):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


@asynccontextmanager
async def served(talk: Talk, limits: Limits | None = None) -> AsyncIterator[Door]:
    async with door(switching(talk), limits, upgrades=PATH) as made:
        yield made


async def switch(caller: Caller, behind: bytes = b"", protocol: str = "websocket") -> None:
    """Ask for another protocol and see it granted; ``behind`` is sent with the request."""
    await caller.send(ASKED.format(path=PATH, protocol=protocol).encode() + behind)
    async with asyncio.timeout(60):
        head = await caller.reader.readuntil(b"\r\n\r\n")
    assert head == f"HTTP/1.1 101 Switching Protocols\r\nupgrade: {protocol.lower()}\r\n\r\n".encode()


async def test_after_a_101_bytes_pass_as_they_are_from_the_first_behind_the_request() -> None:
    said = b"GET / HTTP/1.1\r\n\r\n"  # which is no request any more
    async with served(echo) as server, calling(server) as caller:
        await switch(caller, said)
        assert await caller.reader.readexactly(len(said)) == said
        for word in (b"\x00\xff", b"HTTP/1.1 200 OK\r\n\r\n"):
            await caller.send(word)
            assert await caller.reader.readexactly(len(word)) == word
        assert server.statistics()["upgraded"] == 1
    assert server.statistics()["upgraded"] == 0


async def test_a_request_behind_another_one_is_upgraded_in_its_turn() -> None:
    async with served(echo) as server, calling(server) as caller:
        await caller.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await caller.send(ASKED.format(path=PATH, protocol="websocket").encode() + b"early")
        assert (await caller.hear())[0] == 200
        assert (await caller.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await caller.reader.readexactly(5) == b"early"


async def test_an_application_may_refuse_and_the_connection_ends() -> None:
    async def refuses(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    async with door(refuses, upgrades=PATH) as server, calling(server) as caller:
        await caller.send(ASKED.format(path=PATH, protocol="websocket").encode() + b"early")
        assert await caller.hear() == (403, {})
        assert await caller.ended()


@pytest.mark.parametrize(
    "request_", [ASKED.format(path="/other", protocol="websocket"), ASKED.format(path=PATH, protocol="websocket").replace("1.1\r", "1.0\r")]
)
async def test_elsewhere_an_upgrade_is_refused_as_ever(request_: str) -> None:
    async with served(echo) as server, calling(server) as caller:
        await caller.send(request_.encode())
        code, told = await caller.hear()
        assert (code, told["kind"]) == (400, "Status")
        assert await caller.ended()


async def test_an_ordinary_request_under_the_path_is_one() -> None:
    async with served(echo) as server, calling(server) as caller:
        assert await caller.ask(PATH) == (200, {"ordinary": True})
        assert await caller.ask(PATH, head="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n") == (200, {"ordinary": True})


async def test_what_the_client_said_before_his_end_arrives_before_it_even_if_nobody_listened_yet() -> None:
    heard, gone = bytearray(), asyncio.Event()
    left = asyncio.Event()

    async def late(receive: Receive, _send: Send) -> None:
        await left.wait()
        async for chunk in chunks(receive):
            heard.extend(chunk)
        gone.set()

    async with served(late) as server, calling(server) as caller:
        await switch(caller)
        await caller.send(b"last words" * 40_000)
        caller.writer.close()
        await asyncio.sleep(0.2)
        left.set()
        async with asyncio.timeout(60):
            await gone.wait()
    assert bytes(heard) == b"last words" * 40_000


async def test_what_the_application_said_before_its_end_arrives_before_it() -> None:
    async def farewell(_receive: Receive, send: Send) -> None:
        await send({"type": "http.response.body", "body": b"x" * 3_000_000, "more_body": True})
        await send({"type": "http.response.body", "body": b"bye"})

    async with served(farewell) as server, calling(server) as caller:
        await switch(caller)
        async with asyncio.timeout(60):
            assert await caller.reader.read(-1) == b"x" * 3_000_000 + b"bye"


async def test_who_does_not_read_makes_the_other_wait_in_both_directions_and_others_do_not_wait() -> None:
    megabyte, let = b"m" * 1024 * 1024, asyncio.Event()
    written = taken = 0

    async def pours(receive: Receive, send: Send) -> None:
        nonlocal written, taken
        for _ in range(MEGABYTES):
            await send({"type": "http.response.body", "body": megabyte, "more_body": True})
            written += 1
        await let.wait()
        async for chunk in chunks(receive):
            taken += len(chunk)
            if taken == MEGABYTES * len(megabyte):
                return

    async with served(pours) as server, calling(server) as slow, TaskOwner("test") as owner:
        await switch(slow)
        sending = owner.spawn(send_all(slow, [megabyte] * MEGABYTES), "send")
        async with calling(server) as other:
            for _ in range(20):
                assert await other.ask() == (200, {"ordinary": True})
        await asyncio.sleep(0.2)
        assert written < MEGABYTES
        assert not sending.done()
        async with asyncio.timeout(60):
            await slow.reader.readexactly(len(megabyte) * MEGABYTES)
            let.set()
            await sending
            assert await slow.ended()
    assert taken == MEGABYTES * len(megabyte)


async def send_all(caller: Caller, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        await caller.send(piece)


async def test_silence_has_no_limit() -> None:
    limits = Limits(head_seconds=0.05, idle_seconds=0, message_bytes=10, grace_seconds=1)
    async with served(echo, limits) as server, calling(server) as caller:
        await switch(caller)
        await asyncio.sleep(0.3)
        await caller.send(b"still here, and saying more than a message may be long")
        assert await caller.reader.readexactly(10) == b"still here"


async def test_there_are_so_many_and_one_more_is_told_to_wait() -> None:
    async with served(echo, Limits(upgraded=1, grace_seconds=1)) as server, calling(server) as second:
        async with calling(server) as first:
            await switch(first)
            await second.send(ASKED.format(path=PATH, protocol="websocket").encode())
            code, told = await second.hear()
            assert (code, told["reason"]) == (429, "TooManyRequests")
            assert b"retry-after" in second.seen
            assert await second.ended()

        async def nobody() -> bool:
            return not server.statistics()["upgraded"]

        await eventually(nobody)
        async with calling(server) as third:
            await switch(third)


async def test_a_server_that_stops_tells_the_application_that_it_is_over_and_cuts_nobody_short() -> None:
    async def says_goodbye(receive: Receive, send: Send) -> None:
        async for _ in chunks(receive):
            pass
        await send({"type": "http.response.body", "body": b"goodbye"})

    async with served(says_goodbye, Limits(grace_seconds=30)) as server, calling(server) as caller:
        await switch(caller)
        stopping = asyncio.get_running_loop().time()
        async with TaskOwner("test") as owner:
            hearing = owner.spawn(caller.reader.read(-1), "hear")
            await server._stop()
            assert await hearing == b"goodbye"
        assert asyncio.get_running_loop().time() - stopping < 10
