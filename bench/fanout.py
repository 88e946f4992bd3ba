"""Watch fan-out: many watchers of one collection, a steady stream of updates, and how long each event takes to reach each.

``run`` starts ``python -m bench.fanout`` as a process of its own, as ``bench.load`` does. One
loop sends the updates, paced, each with the moment in it, and reads all watches: both ends of a
delay are read from one clock. Every watcher must get every event exactly once and in order.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

from bench.objects import AT, CLUSTERS, NUMBER, a_cluster, text
from peers.door import Door

ROOT = Path(__file__).resolve().parents[1]
SENT = re.compile(rb'"bench/sent":"(\d+)/(\d+)"')
PATCH = b'{"metadata":{"annotations":{"bench/sent":"%d/%d"}}}'
WRITERS = 8
PATIENCE = 60
"""Seconds that late events get."""


class Plan(msgspec.Struct, kw_only=True):
    """``watchers`` of the collection from the revision ``since`` on.

    ``rate`` updates a second for ``seconds``, in turn on as many objects as there are writers.
    """

    url: str
    ca: str
    token: str
    since: str
    watchers: int = 100
    rate: int = 200
    seconds: int = 10


class Outcome(msgspec.Struct, kw_only=True):
    """Events that arrived and that had to; delays in ms from the sending of the update; seconds in all; CPU seconds of the generator."""

    arrived: int
    expected: int
    p50: float
    p99: float
    seconds: float
    cpu: float


def run(client: Door, **plan: Any) -> Outcome:
    """Make the objects, then run; raises RuntimeError if an update failed or an event came twice or out of order."""
    for writer in range(WRITERS):
        body = json.loads(text(a_cluster()).replace(AT, f"watched-{writer}").replace(NUMBER, "0"))
        answer = client.call("POST", CLUSTERS, body)
        if answer.status not in {201, 409}:
            raise RuntimeError(f"the watched objects could not be made: {answer}")
    since = client.ask("GET", f"{CLUSTERS}?limit=1")["metadata"]["resourceVersion"]  # what is there already is nobody's to tell
    whole = {"url": client.url, "ca": str(client.ca_file), "token": client.token, "since": since, **plan}
    command = [sys.executable, "-m", "bench.fanout"]
    done = subprocess.run(command, input=msgspec.json.encode(whole), capture_output=True, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace")[-2000:])
    return msgspec.json.decode(done.stdout, type=Outcome)


class _Channel(asyncio.Protocol):
    """A connection with one request in flight at a time."""

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Something of an answer."""
        self._parser.feed_data(data)

    def send(self, request: bytes) -> asyncio.Future[int]:
        """Send a request; the status code comes when the answer is whole, or with a watcher when it begins."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answered

    def on_message_complete(self) -> None:
        """The answer is whole."""
        code = self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(code)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionError("the server closed the connection"))


class _Watcher(_Channel):
    """A watch: its events are looked at as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[int] = []
        self._rest = b""
        self._last: dict[int, int] = {}

    def on_headers_complete(self) -> None:
        """The watch stands."""
        if self._answered is not None:
            self._answered.set_result(self._parser.get_status_code())

    def on_body(self, body: bytes) -> None:
        """A part of the stream: whole lines are events."""
        *lines, self._rest = (self._rest + body).split(b"\n")
        now = time.monotonic_ns()
        for line in lines:
            found = SENT.search(line)
            if found:
                number, sent = int(found.group(1)), int(found.group(2))
                writer = number % WRITERS
                if number <= self._last.get(writer, -1):
                    raise RuntimeError(f"event {number} came after {self._last[writer]}")
                self._last[writer] = number
                self.delays.append(now - sent)


async def _play(plan: Plan) -> Outcome:
    url, loop = urlsplit(plan.url), asyncio.get_running_loop()
    context = ssl.create_default_context(cafile=plan.ca)
    head = f"HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {plan.token}\r\n"

    async def connect(kind: type[_Channel]) -> Any:
        _, made = await loop.create_connection(kind, url.hostname or "", url.port or 443, ssl=context)
        return made

    watchers: list[_Watcher] = [await connect(_Watcher) for _ in range(plan.watchers)]
    for watcher in watchers:
        code = await watcher.send(f"GET {CLUSTERS}?watch=true&resourceVersion={plan.since} {head}\r\n".encode())
        if code != 200:
            raise RuntimeError(f"a watch was answered with {code}")
    writers: list[_Channel] = [await connect(_Channel) for _ in range(WRITERS)]
    count = plan.rate * plan.seconds
    began, cpu = time.perf_counter(), time.process_time()

    async def write(number: int) -> None:
        for place in range(number, count, WRITERS):
            await asyncio.sleep(began + place / plan.rate - time.perf_counter())
            body = PATCH % (place, time.monotonic_ns())
            start = f"PATCH {CLUSTERS}/team-a.watched-{number} {head}Content-Type: application/merge-patch+json\r\n"
            code = await writers[number].send(start.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            if code != 200:
                raise RuntimeError(f"an update was answered with {code}")

    await asyncio.gather(*map(write, range(WRITERS)))
    seconds = time.perf_counter() - began
    expected = count * plan.watchers
    for _ in range(PATIENCE * 10):
        if sum(len(each.delays) for each in watchers) >= expected:
            break
        await asyncio.sleep(0.1)
    cpu = time.process_time() - cpu
    delays = sorted(delay / 1e6 for each in watchers for delay in each.delays)
    return Outcome(
        arrived=len(delays),
        expected=expected,
        p50=delays[len(delays) // 2],
        p99=delays[int(len(delays) * 0.99)],
        seconds=seconds,
        cpu=cpu,
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(_play(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)))))
