"""How long five thousand watchers hold the event loop: `python -m bench.crowd [--watchers 5000]`.

The server is the one of the comparison (``sides.py``), over SQLite. The watchers, each on a TLS
connection of its own, are one process beside it. Then one event comes, then twenty and a hundred
a second, and at last all connections end at once: they are reset, closed with TLS's goodbye, or their
process is killed, with a crowd of its own for each. The server says by how much a tick of 5 ms was late
at worst. The crowd shares the machine's cores with it: of several tries the median is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvloop

from bench.hostile import BUDGET
from bench.sides import NAMESPACE, ROOT, Side, skerry

MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
OPENED_AT_ONCE = 100
SETTLE_SECONDS = 2.0
TRIES = 3
ENDINGS = ("reset", "closed", "killed")


class _Watcher(asyncio.Protocol):
    """One watch, whose events are dropped as they come."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.stands = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Something was told."""
        if not self.stands.done():
            self.stands.set_result(data.split(b" ", 2)[1])


async def crowd(plan: dict[str, Any]) -> None:
    """Open the watches, say so, and end them all in the way that whoever started us asks for."""
    context, loop = ssl.create_default_context(cafile=plan["ca"]), asyncio.get_running_loop()
    path = f"{MAPS}?watch=1&resourceVersion={plan['since']}&timeoutSeconds=3600"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {plan['token']}\r\n\r\n"
    made: list[_Watcher] = []
    while len(made) < plan["watchers"]:
        some = min(OPENED_AT_ONCE, plan["watchers"] - len(made))
        opening = (
            loop.create_connection(lambda: _Watcher(head.encode()), "127.0.0.1", plan["port"], ssl=context, server_hostname="127.0.0.1")
            for _ in range(some)
        )
        found = [protocol for _, protocol in await asyncio.gather(*opening)]
        codes = await asyncio.gather(*(each.stands for each in found))
        if set(codes) != {b"200"}:
            raise RuntimeError(f"a watch was refused: {set(codes)}")
        made += found
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ending = (await asyncio.to_thread(sys.stdin.readline)).strip()
    if ending == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    for each in made:
        if ending == "reset":
            each.transport.abort()
        else:
            each.transport.close()
    await asyncio.sleep(SETTLE_SECONDS)


@contextmanager
def gathered(side: Side, watchers: int) -> Iterator[subprocess.Popen[str]]:
    """A crowd that watches; one of ``ENDINGS`` on its input ends every connection."""
    since = side.client.ask("GET", f"{MAPS}?limit=1")["metadata"]["resourceVersion"]
    host, port = side.client.url.removeprefix("https://").split(":")
    plan = {
        "ca": str(side.client.ca_file),
        "token": side.client.token,
        "port": int(port),
        "host": host,
        "since": since,
        "watchers": watchers,
    }
    command = [sys.executable, "-m", "bench.crowd", "--crowd", json.dumps(plan)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError("the crowd did not gather")
        time.sleep(SETTLE_SECONDS)
        yield process


def told(side: Side, events: int, per_second: float) -> float:
    """How long the loop is held while events come."""
    side.worst_stall_ms()
    begun = time.monotonic()
    for number in range(events):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "told"}, "data": {"n": f"{begun}-{number}"}}
        side.client.call(
            "PATCH",
            f"{MAPS}/told?fieldManager=bench&force=true",
            json.dumps(body).encode(),
            {"content-type": "application/apply-patch+yaml"},
        )
        time.sleep(max(0.0, begun + (number + 1) / per_second - time.monotonic()))
    time.sleep(SETTLE_SECONDS)
    return side.worst_stall_ms()


def measure(side: Side, watchers: int) -> dict[str, float]:
    """The worst stalls, in milliseconds."""
    found: dict[str, float] = {}
    for ending in ENDINGS:
        with gathered(side, watchers) as process:
            if not found:
                found = {
                    "one event": statistics.median(told(side, 1, 1) for _ in range(TRIES)),
                    "20 events a second": told(side, 200, 20),
                    "100 events a second": told(side, 1000, 100),
                }
            side.worst_stall_ms()
            if process.stdin is not None:
                process.stdin.write(f"{ending}\n")
                process.stdin.flush()
            time.sleep(2 * SETTLE_SECONDS)
            found[f"all connections {ending} at once"] = side.worst_stall_ms()
    return found


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description="Show how long thousands of watchers hold the event loop.")
    parser.add_argument("--watchers", type=int, default=5000)
    parser.add_argument("--crowd", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.crowd:
        uvloop.run(crowd(json.loads(asked.crowd)))
        return
    with skerry() as side:
        tries = [measure(side, asked.watchers) for _ in range(TRIES)]
        for name in tries[0]:
            median = statistics.median(each[name] for each in tries)
            print(f"{asked.watchers} watchers, {name:34} {median:8.1f} ms  {'' if median <= BUDGET else f'MISS ({BUDGET:g})'}")


if __name__ == "__main__":
    main()
