"""A wide-area network between two network namespaces, whose delay, loss, rate and mood a test decides.

Not every kernel has netem, so the packets are carried by a process of ours: each namespace has a TUN device, what goes into one
comes out of the other, later, or never. TCP at both ends is the kernel's, and sees what it would see on a bad line. Only addresses
of these two namespaces are in it.

Each direction is a queue of its own: a packet leaves when the ones before it have left and its bits have been sent at the
rate, and arrives after the delay. A queue that is longer than a quarter of a second drops what comes (a router's buffer).
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import secrets
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
NEAR, FAR = "10.203.0.1", "10.203.0.2"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
LONGEST_QUEUE = 0.25
HOME = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """Why this machine cannot have such a network; empty if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the program ip is missing: apt-get install iproute2"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    done = subprocess.run(["unshare", "-n", "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"network namespaces cannot be made here: {done.stderr.strip()}"


def enter(namespace: str) -> None:
    """Make every socket that this thread opens from now on belong to a namespace; empty: the one in which this process began."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC) if namespace else HOME
    try:
        if _libc.setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace or 'the namespace of before'}")
    finally:
        if namespace:
            os.close(descriptor)


def inside(namespace: str, work: Callable[[], T]) -> T:
    """Do something in a namespace, in a thread of its own."""
    answer: list[T] = []

    def run() -> None:
        enter(namespace)
        answer.append(work())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return answer[0]


class Wan:
    """Two namespaces, ``near`` and ``far``, and what lies between them."""

    def __init__(self) -> None:
        mark = secrets.token_hex(3)
        self.near, self.far = f"skn-{mark}", f"skf-{mark}"
        self._carrier: subprocess.Popen[str]

    @contextmanager
    def running(self) -> Iterator[Wan]:
        """Make it, with nothing in the way."""
        for each in (self.near, self.far):
            _ip("netns", "add", each)
        try:
            self._carrier = subprocess.Popen(
                [sys.executable, "-m", "tests.wan", self.near, self.far],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).resolve().parents[1],
            )
            assert self._carrier.stdout is not None
            assert self._carrier.stdout.readline() == "ready\n"
            for name, here in ((self.near, NEAR), (self.far, FAR)):
                _ip("-n", name, "link", "set", "lo", "up")
                _ip("-n", name, "addr", "add", f"{here}/24", "dev", "wan")
                _ip("-n", name, "link", "set", "wan", "up", "mtu", "1400")
            yield self
            self._carrier.stdin.close()  # type: ignore[union-attr]
            self._carrier.wait(10)
        finally:
            if getattr(self, "_carrier", None) is not None and self._carrier.poll() is None:
                self._carrier.kill()
                self._carrier.wait()
            for each in (self.near, self.far):
                _ip("netns", "del", each)

    def be(self, *, delay: float = 0.0, loss: float = 0.0, rate: float = 0.0, dark: tuple[str, ...] = ()) -> None:
        """From now on: seconds one way, share of packets lost, bits a second (0: no bound), directions that carry nothing."""
        assert self._carrier.stdin is not None
        assert self._carrier.stdout is not None
        self._carrier.stdin.write(json.dumps({"delay": delay, "loss": loss, "rate": rate, "dark": dark}) + "\n")
        self._carrier.stdin.flush()
        assert self._carrier.stdout.readline() == "ready\n"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


# the process that carries packets


class _Direction:
    def __init__(self, name: str, source: int, sink: int) -> None:
        self.name, self.source, self.sink = name, source, sink
        self._free_at = 0.0
        self._order = 0
        self.waiting: list[tuple[float, int, bytes]] = []

    def take(self, packet: bytes, mood: dict[str, Any], now: float) -> None:
        if self.name in mood["dark"] or random.random() < mood["loss"]:
            return
        begins = max(now, self._free_at)
        if begins - now > LONGEST_QUEUE:
            return
        self._free_at = begins + (len(packet) * 8 / mood["rate"] if mood["rate"] else 0.0)
        self._order += 1
        heapq.heappush(self.waiting, (self._free_at + mood["delay"], self._order, packet))

    def give(self, now: float) -> None:
        while self.waiting and self.waiting[0][0] <= now:
            os.write(self.sink, heapq.heappop(self.waiting)[2])


def _tun(namespace: str) -> int:
    enter(namespace)
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH14x", b"wan", IFF_TUN | IFF_NO_PI))
    return descriptor


def _carry(near: int, far: int) -> None:
    mood: dict[str, Any] = {"delay": 0.0, "loss": 0.0, "rate": 0.0, "dark": []}
    ways = [_Direction("out", far, near), _Direction("in", near, far)]
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        due = min((way.waiting[0][0] for way in ways if way.waiting), default=now + 1)
        readable, _, _ = select.select([near, far, sys.stdin], [], [], max(0.0, due - now))
        if sys.stdin in readable:
            line = sys.stdin.readline()
            if not line:
                return
            mood = json.loads(line)
            print("ready", flush=True)
        for way in ways:
            if way.source in readable:
                _drain(way, mood)
            try:
                way.give(time.monotonic())
            except OSError:
                pass  # the device is not up yet


def _drain(way: _Direction, mood: dict[str, Any]) -> None:
    for _ in range(64):
        try:
            way.take(os.read(way.source, 2048), mood, time.monotonic())
        except BlockingIOError:
            return


if __name__ == "__main__":
    _carry(_tun(sys.argv[1]), _tun(sys.argv[2]))
