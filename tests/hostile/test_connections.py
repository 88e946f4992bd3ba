"""Connections that say nothing, the wrong thing, half of it, or two things at once."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from skerry.apiserver.protocol import MOST_AHEAD, Limits
from tests.hostile.caller import CONFIGMAPS, PATIENCE, Hostile, Line, config_map

WATCHES = 5000
"""Fewer where both ends may not have so many open files."""

LEFT_FOR_OTHERS = 400


def eventually(state: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not state():
        assert time.monotonic() < ends
        time.sleep(0.05)


GARBAGE = {
    "plain HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "random bytes": os.urandom(4096),
    "zeros": bytes(4096),
    "a record of the wrong length": b"\x16\x03\x01\xff\xff" + b"x" * 4096,
    "SSLv2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"x" * 40,
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "application data": b"\x17\x03\x03\x00\x20" + b"x" * 32,
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_not_tls_ends_the_connection(hostile: Hostile, data: bytes) -> None:
    before = hostile.statistics()["door"]["failed_handshakes"]
    with hostile.plain() as opened, contextlib.suppress(ConnectionError):
        opened.sendall(data)
        opened.shutdown(socket.SHUT_WR)
        while opened.recv(4096):
            pass  # at most an alert
    eventually(lambda: hostile.statistics()["door"]["failed_handshakes"] > before)


def test_connections_that_never_shake_hands_keep_nobody_out(hostile: Hostile) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(Limits().handshakes + 50):
            stack.enter_context(hostile.plain())
        assert hostile.is_well()


HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def test_garbage_inside_tls_is_answered_and_ends_the_connection(hostile: Hostile) -> None:
    for data in (b"\x00" * 100, b"\x16\x03\x01" + os.urandom(300), b"GARBAGE\r\n\r\n", HTTP_2, b"\r\n" * 40_000):
        with hostile.line() as line:
            line.send(data)
            rest = line.rest()
            assert rest == b"" or rest.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")), rest[:200]


HIDDEN = f"GET {CONFIGMAPS}/hidden HTTP/1.1\r\nHost: x\r\n\r\n"
POST = f"POST {CONFIGMAPS} HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = {
    "length and chunks": f"{POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunks and length": f"{POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{HIDDEN}",
    "two lengths": f"{POST}Content-Length: 4\r\nContent-Length: 40\r\n\r\n{HIDDEN}",
    "a list of lengths": f"{POST}Content-Length: 4, 4\r\n\r\nabcd{HIDDEN}",
    "a length below zero": f"{POST}Content-Length: -1\r\n\r\n{HIDDEN}",
    "a length with a plus": f"{POST}Content-Length: +4\r\n\r\nabcd{HIDDEN}",
    "a length in hexadecimal": f"{POST}Content-Length: 0x4\r\n\r\nabcd{HIDDEN}",
    "a length of 64 bits and more": f"{POST}Content-Length: 99999999999999999999\r\n\r\n{HIDDEN}",
    "a name and a space": f"{POST}Content-Length : 4\r\n\r\nabcd{HIDDEN}",
    "an encoding that is no encoding": f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunks not last": f"{POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a folded header": f"{POST}X: a\r\n b\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a line that ends too early": f"{POST}X: a\nContent-Length: 4\r\n\r\nabcd{HIDDEN}",
    "a zero in a header": f"{POST}X: a\0b\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "a chunk of no number": f"{POST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n{HIDDEN}",
    "a chunk of more than 64 bits": f"{POST}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{HIDDEN}",
    "a chunk that is longer than it says": f"{POST}Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n{HIDDEN}",
    "a header without a name": f"{POST}: x\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "a version that is none": f"POST {CONFIGMAPS} HTTP/9.9\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
}


@pytest.mark.parametrize("text", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_a_request_that_two_servers_could_read_in_two_ways_is_not_followed_by_another(hostile: Hostile, text: str) -> None:
    with hostile.line() as line:
        line.send(text.encode("latin-1"))
        answer = line.hear()
        rest = line.rest()
    assert answer is None or answer.code in {400, 413, 501}, answer
    assert b"hidden" not in rest, rest
    assert b"HTTP/1.1 2" not in rest, rest


def test_requests_far_ahead_of_their_answers_end_the_connection(hostile: Hostile) -> None:
    with hostile.line() as line:
        line.send(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n" * (50 * MOST_AHEAD))
        answers = line.rest().count(b"HTTP/1.1 ")
    assert answers <= 2 * MOST_AHEAD


def test_a_watch_behind_which_another_request_waits_ends_with_its_connection(hostile: Hostile) -> None:
    before = hostile.statistics()["api"]["crowd"]["watches"]
    with hostile.line() as line:
        line.send(f"GET {CONFIGMAPS}?watch=true HTTP/1.1\r\nHost: x\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert line.hear() is not None
        eventually(lambda: hostile.statistics()["api"]["crowd"]["watches"] == before + 1)
    eventually(lambda: hostile.statistics()["api"]["crowd"]["watches"] == before)


def test_bodies_that_come_slowly_keep_nobody_waiting(hostile: Hostile) -> None:
    """More slow senders than there are seats: each has sent a head and a byte."""
    head = f"POST {CONFIGMAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{{".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(hostile.line()).send(head)
        eventually(lambda: hostile.statistics()["api"]["crowd"]["body_bytes"] >= 150)
        assert hostile.is_well()
        assert hostile.statistics()["api"]["crowd"]["seated"] == 0
    eventually(lambda: hostile.statistics()["api"]["crowd"]["body_bytes"] == 0)


def test_heads_that_come_byte_by_byte_keep_nobody_waiting_and_have_an_end(hostile: Hostile) -> None:
    head = f"GET {CONFIGMAPS} HTTP/1.1\r\nHost: x\r\nX-Slow: {'y' * 10_000}".encode()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(hostile.line()) for _ in range(300)]
        kept = [stack.enter_context(hostile.line()) for _ in range(300)]
        for line in kept:
            answer = line.ask("GET", "/version")
            assert answer is not None
            assert answer.code == 200
        refused = hostile.statistics()["door"]["refused"]
        sent = 0
        while hostile.statistics()["door"]["refused"] < refused + len(slow) + len(kept):
            for line in (*slow, *kept):
                line.send(head[sent : sent + 1])
            sent += 1
            assert sent < len(head), "they were waited for all the time"
            assert hostile.is_well()
        for line in (*slow, *kept):
            answer = line.hear()
            assert answer is None or answer.code == 408  # None: the next byte met a closed connection


def test_watchers_that_never_read_are_ended_and_hold_little(hostile: Hostile) -> None:
    """Each event is half a megabyte, and would be kept for all of them if it were kept."""
    watchers, events, size = 60, 40, 500_000
    assert hostile.ask("POST", CONFIGMAPS, config_map("fat")).code == 201
    before, watches = hostile.memory(), hostile.statistics()["api"]["crowd"]["watches"]
    head = hostile.ask("GET", CONFIGMAPS).json["metadata"]["resourceVersion"]
    request = f"GET {CONFIGMAPS}?watch=true&resourceVersion={head} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(hostile.line()) for _ in range(watchers)]
        for line in lines:
            line.send(request)
        eventually(lambda: hostile.statistics()["api"]["crowd"]["watches"] == watches + watchers)
        for number in range(events):
            assert hostile.patch(f"{CONFIGMAPS}/fat", {"data": {"fat": str(number) + "x" * size}}).code == 200
        assert hostile.is_well()
        grown = hostile.memory() - before
        print(f"{watchers} that never read hold {grown >> 20} MB of {watchers * events * size >> 20}")
        assert grown < watchers * events * size / 4
    eventually(lambda: hostile.statistics()["api"]["crowd"]["watches"] == watches)
    assert hostile.ask("DELETE", f"{CONFIGMAPS}/fat").code == 200


def test_a_body_that_comes_byte_by_byte_is_taken(hostile: Hostile) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"slow-"}}'
    with hostile.line() as line:
        line.send(f"POST {CONFIGMAPS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for byte in body:
            line.send(b"1\r\n%c\r\n" % byte)
        line.send(b"0\r\n\r\n")
        answer = line.hear()
        assert answer is not None
        assert answer.code == 201


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_behind(hostile: Hostile) -> None:
    whole = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"half"}}'
    head = f"POST {CONFIGMAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(whole)}\r\n\r\n".encode()
    for end in (10, len(head) - 1, len(head), len(head) + 1, len(head) + len(whole) - 1):
        line = hostile.open()
        line.send((head + whole)[:end])
        line.close()
    eventually(lambda: hostile.statistics()["door"]["running"] <= 1 + component_requests(hostile))
    assert hostile.ask("GET", f"{CONFIGMAPS}/half").code == 404


def component_requests(hostile: Hostile) -> int:
    """Watches of the server's own controllers, which run all the time."""
    return sum(cache["watchers"] for cache in hostile.statistics()["api"]["caches"].values())


def open_files(pid: int) -> int:
    """How many files a process may have open, at most."""
    line = next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max open files"))
    return int(line.split()[3])


def as_many_as_fit(pid: int) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WATCHES + LEFT_FOR_OTHERS
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(100, min(WATCHES, soft - LEFT_FOR_OTHERS, open_files(pid) - LEFT_FOR_OTHERS))


def test_thousands_of_idle_watches_cost_a_bounded_amount_of_memory_and_all_see_a_change(hostile: Hostile) -> None:
    count = as_many_as_fit(hostile.pid)
    head = hostile.ask("GET", CONFIGMAPS).json["metadata"]["resourceVersion"]
    request = f"GET {CONFIGMAPS}?watch=true&resourceVersion={head} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    before = hostile.memory()
    lines: list[Line] = []
    try:
        for _ in range(count):
            lines.append(hostile.open())
            lines[-1].send(request)
        for line in lines:
            assert line.hear() is not None
        each = (hostile.memory() - before) / count
        told = f"{count} watches hold {each:.0f} bytes each"
        print(told)
        assert each < 400 * 1024, told
        assert hostile.is_well()
        hostile.ask("POST", CONFIGMAPS, config_map("", generateName="seen-by-all-"))
        assert all(b"ADDED" in line.more() for line in lines)
    finally:
        for line in lines:
            line.close()
    eventually(lambda: hostile.statistics()["api"]["crowd"]["watches"] == 0)
