"""Many agents come back to a server that was killed: `python -m bench.reconnects --agents 2000`.

The server is a real process with an embedded database. The agents are a process of their own and play the protocol alone:
each has a certificate, a connection, says hello, sends heartbeats, and waits as a real agent does (`kit/backoff.py` with the agent's
own numbers) when its session breaks. Nothing else of an agent is there, so what is measured is the gateway's side.

Printed: how long until all were connected the first time, and after the server was killed and started anew, counted from the
moment when it was started; what CPU the server took in that time, as a share of one core; and how many came in the busiest second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc

from peers.processes import free_port
from skerry.agent.main import backoff
from skerry.client import kubeconfig
from skerry.client.connection import Connection
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.pki.authority import Authority, KeyPair, key_pem, make_csr, new_key
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel import wire

SITES = Ref(GROUP, VERSION, "managementclusters", namespaced=False)
BEAT_SECONDS = 10.0
PATIENCE_SECONDS = 300.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Return:
    """How agents came: seconds until the last, CPU seconds of the server meanwhile, and the most that came in one second."""

    seconds: float
    cpu: float
    busiest: int

    def __str__(self) -> str:
        return (
            f"{self.seconds:.1f} s, {self.cpu:.1f} s of CPU ({self.cpu / self.seconds:.0%} of a core), {self.busiest} in the busiest second"
        )


def name_of(number: int) -> str:
    return f"site-{number}"


class Herd:
    """A server and its agents, each a process."""

    def __init__(self, folder: Path, agents: int) -> None:
        self.folder, self.agents = folder, agents
        self.port = free_port(2)
        self.server: subprocess.Popen[bytes]
        self.log = (folder / "server.log").open("ab")

    def start(self) -> None:
        command = [str(Path(sys.executable).parent / "skerry"), "server", "--data", str(self.folder / "data")]
        command += ["--port", str(self.port), "--gateway-port", str(self.port + 1)]
        self.server = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    @property
    def door(self) -> Connection:
        return kubeconfig.read(self.folder / "data" / "admin.kubeconfig")

    def wait_for_door(self) -> None:
        ends = time.monotonic() + 120
        while not (self.folder / "data" / "admin.kubeconfig").exists():
            if time.monotonic() > ends or self.server.poll() is not None:
                raise RuntimeError((self.folder / "server.log").read_text()[-3000:])
            time.sleep(0.05)

    async def populate(self) -> None:
        """Make the management clusters, a few at a time."""
        async with HttpClient(self.door) as client:
            for begin in range(0, self.agents, 50):
                bodies = [
                    {"apiVersion": API_VERSION, "kind": "ManagementCluster", "metadata": {"name": name_of(number)}}
                    for number in range(begin, min(begin + 50, self.agents))
                ]
                await asyncio.gather(*(client.create(SITES, body) for body in bodies))

    @contextmanager
    def load(self) -> Iterator[None]:
        """Run the agents until the block is left."""
        command = [sys.executable, "-m", "bench.reconnects", "--load", str(self.folder / "data" / "pki" / "internal.pem")]
        command += ["--agents", str(self.agents), "--gateway", f"127.0.0.1:{self.port + 1}"]
        with (self.folder / "agents.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=Path(__file__).resolve().parents[1])
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def connected(self) -> int:
        """How many agents the server holds now; -1 where it does not answer yet."""
        try:
            at = self.door
            context = at.tls()
            assert isinstance(context, ssl.SSLContext)
            with urllib.request.urlopen(f"{at.server}/skerry/v1/statistics", context=context, timeout=10) as answer:
                return int(json.load(answer)["gateway"]["connected"])
        except (OSError, KeyError, ValueError):
            return -1

    def cpu(self) -> float:
        """CPU seconds that the server has taken."""
        fields = Path(f"/proc/{self.server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def wait(self) -> Return:
        """Wait until all agents are connected, counted from now."""
        began, cpu, seen, busiest, last = time.monotonic(), self.cpu(), 0, 0, time.monotonic()
        while True:
            time.sleep(max(0.0, last + 1 - time.monotonic()))
            last = time.monotonic()
            now = max(0, self.connected())
            busiest, seen = max(busiest, now - seen), now
            if now >= self.agents:
                return Return(time.monotonic() - began, self.cpu() - cpu, busiest)
            if self.server.poll() is not None:
                raise RuntimeError(f"the server died: {(self.folder / 'server.log').read_text()[-2000:]}")
            if last > began + PATIENCE_SECONDS:
                raise RuntimeError(f"{now} of {self.agents} agents are connected after {PATIENCE_SECONDS:.0f} s")

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self.server.poll() is None:
            self.server.send_signal(number)
        self.server.wait(60)


def measure(folder: Path, agents: int) -> tuple[Return, Return]:
    """How agents came the first time, and after the server was killed."""
    herd = Herd(folder, agents)
    herd.start()
    try:
        herd.wait_for_door()
        asyncio.run(herd.populate())
        with herd.load():
            first = herd.wait()
            herd.stop()
            herd.start()
            return first, herd.wait()
    finally:
        herd.stop()
        herd.log.close()


# the agents


async def agents(root: bytes, count: int, gateway: str) -> None:
    """Play agents until killed."""
    authority, key, now = Authority(KeyPair.split(root)), new_key(), datetime.now(UTC)
    private, csr = key_pem(key), make_csr(key)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            certificate = authority.answer_agent(csr, name_of(number), now)
            group.create_task(_agent(name_of(number), gateway, authority.bundle, certificate, private))


async def _agent(name: str, gateway: str, roots: bytes, certificate: bytes, key: bytes) -> None:
    waits = backoff()
    while True:
        began = time.monotonic()
        try:
            async with wire.channel(gateway, roots, certificate, key) as channel:
                stream = wire.stub(channel).Control(_said(name))
                while isinstance(await stream.read(), pb.ControlResponse):
                    pass
        except grpc.aio.AioRpcError:
            pass  # it is tried again
        if time.monotonic() - began > 30:
            waits.reset()
        await asyncio.sleep(waits.next())


async def _said(name: str) -> AsyncIterator[pb.ControlRequest]:
    yield pb.ControlRequest(hello=pb.Hello(management_cluster=name, agent_version="bench", cluster_uid=name))
    while True:
        yield pb.ControlRequest(heartbeat=pb.Heartbeat(api_reachable=True))
        await asyncio.sleep(BEAT_SECONDS)


def main() -> None:
    """Measure, or be the agents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=2000)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--gateway", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        asyncio.run(agents(given.load.read_bytes(), given.agents, given.gateway))
        return
    with tempfile.TemporaryDirectory() as folder:
        first, again = measure(Path(folder), given.agents)
    sys.stdout.write(f"{given.agents} agents, the first time: {first}\n{given.agents} agents, after the server was killed: {again}\n")


if __name__ == "__main__":
    main()
