"""The load: callers that each send one request after the other over a kept connection, in a process of their own.

``run`` starts ``python -m bench.load``, hands it a :class:`Plan` as JSON and returns its
:class:`Outcome`. Requests are assembled from bytes and answers are parsed no further than their
length and, where the next request needs it, the resourceVersion: the generator must cost less
than what it measures, and says what it cost.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

from bench.objects import AT, NUMBER, REVISION
from peers.door import Door

ROOT = Path(__file__).resolve().parents[1]
REVISION_FIELD = re.compile(rb'"resourceVersion":"(\d+)"')


class Plan(msgspec.Struct, kw_only=True):
    """What to send. Texts may hold ``@NAME@``, ``@NUMBER@`` (counts up) and ``@RV@`` (of the caller's own object)."""

    url: str
    ca: str
    token: str
    method: str
    path: str
    body: str = ""
    headers: dict[str, str] = {}
    callers: int
    count: int
    prefix: str = "o"
    own: bool = False
    """Each caller works on one object of its own, named PREFIX-CALLER; else names are PREFIX-0, PREFIX-1, … modulo ``names``."""
    names: int = 1 << 60
    first: str = ""
    """Where each caller learns the revision of its object first."""


class Outcome(msgspec.Struct, kw_only=True):
    """What came of it: seconds in all, CPU seconds of the generator, answers by status code, bytes, and latencies in ms."""

    seconds: float
    cpu: float
    codes: dict[str, int]
    bytes: int
    p50: float
    p99: float


def run(client: Door, plan: dict[str, Any]) -> Outcome:
    """Run one plan against a server; raises RuntimeError if an answer was an error."""
    whole = {"url": client.url, "ca": str(client.ca_file), "token": client.token, **plan}
    command = [sys.executable, "-m", "bench.load"]
    done = subprocess.run(command, input=msgspec.json.encode(whole), capture_output=True, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace")[-2000:])
    outcome = msgspec.json.decode(done.stdout, type=Outcome)
    if any(not code.startswith("2") for code in outcome.codes):
        raise RuntimeError(f"{plan['method']} {plan['path']}: {outcome.codes}: {done.stderr.decode(errors='replace')}")
    return outcome


class Caller(asyncio.Protocol):
    """One connection and the requests that it sends."""

    def __init__(self, requests: Iterator[Callable[[bytes], bytes]], tally: Tally) -> None:
        """``requests`` give each next request for the revision that was seen last."""
        self._requests = requests
        self._tally = tally
        self._revision = b""
        self._sent = 0.0
        self._parser: Any = None
        self._kept = bytearray()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport: Any = transport
        self._next()

    def _next(self) -> None:
        make = next(self._requests, None)
        if make is None:
            self._transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self._parser = httptools.HttpResponseParser(self)
        self._kept.clear()
        self._sent = time.perf_counter()
        self._transport.write(make(self._revision))

    def data_received(self, data: bytes) -> None:
        """Something of the answer."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """A part of the body: its beginning is kept, which holds the metadata, or an error."""
        self._tally.bytes += len(body)
        if len(self._kept) < 8192:
            self._kept += body

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self._tally.add(self._parser.get_status_code(), time.perf_counter() - self._sent)
        found = REVISION_FIELD.search(self._kept)
        if found:
            self._revision = found.group(1)
        if self._parser.get_status_code() >= 400:
            self._tally.error = self._tally.error or bytes(self._kept)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))


class Tally:
    """What was answered."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.latencies: list[float] = []
        self.bytes = 0
        self.error = b""

    def add(self, code: int, seconds: float) -> None:
        """Count one answer."""
        self.codes[str(code)] = self.codes.get(str(code), 0) + 1
        self.latencies.append(seconds)


def _parts(plan: Plan, host: str, caller: int) -> Iterator[Callable[[bytes], bytes]]:
    """The requests of one caller."""
    head = f"{plan.method} %s HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {plan.token}\r\nUser-Agent: bench/1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in plan.headers.items())
    mine = f"{plan.prefix}-{caller}"
    if plan.first:
        path = plan.first.replace(AT, mine)
        yield lambda _: f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {plan.token}\r\n\r\n".encode()
    for number in range(caller, plan.count, plan.callers):
        name = mine if plan.own else f"{plan.prefix}-{number % plan.names}"
        body = plan.body.replace(AT, name).replace(NUMBER, str(number + 1)).encode()
        start = (head % plan.path.replace(AT, name)).encode()

        def make(revision: bytes, body: bytes = body, start: bytes = start) -> bytes:
            content = body.replace(REVISION.encode(), revision)
            return b"%s%s\r\n%s" % (start, b"Content-Length: %d\r\n" % len(content) if content else b"", content)

        yield make


async def _play(plan: Plan) -> Outcome:
    url, tally = urlsplit(plan.url), Tally()
    context = ssl.create_default_context(cafile=plan.ca)
    loop = asyncio.get_running_loop()
    began, cpu = time.perf_counter(), time.process_time()
    callers = []
    for number in range(plan.callers):
        requests = _parts(plan, url.netloc, number)
        _, caller = await loop.create_connection(partial(Caller, requests, tally), url.hostname or "", url.port or 443, ssl=context)
        callers.append(caller.done)
    await asyncio.gather(*callers)
    if tally.error:
        sys.stderr.write(tally.error.decode(errors="replace")[:1000])
    latencies = sorted(tally.latencies)
    return Outcome(
        seconds=time.perf_counter() - began,
        cpu=time.process_time() - cpu,
        codes=tally.codes,
        bytes=tally.bytes,
        p50=latencies[len(latencies) // 2] * 1000,
        p99=latencies[int(len(latencies) * 0.99)] * 1000,
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(_play(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)))))
