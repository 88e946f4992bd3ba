"""A fleet of agents on one gateway process: `python -m bench.agents`.

The server is `skerry up` as users run it. The agents are light ones in processes of their own
(``swarm.py``), each for an attached cluster in one namespace, each with a connection and a certificate
of its own. Measured is process time of the server, which noise on the machine hardly moves, and
memory between two moments at which the server has nothing to do.

* ``connected``: what each agent costs in memory, and all of them in CPU at one heartbeat in ten seconds.
* ``desired``: how long one object takes to reach every cluster: one ManifestSet for each is made, and then changed.
* ``registration``: clusters that are made, attached, registered and connected, at a steady rate and as fast as they can.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.objects import Json, text
from bench.sides import Side
from bench.turns import crowd
from peers.door import Door
from peers.processes import Processes, clean_environment, free_port
from skerry.client.contract import PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import read
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.kinds.fullname import of_key
from skerry.kit.aio import TaskOwner
from skerry.runtime.informer import Informer

ROOT = Path(__file__).resolve().parents[1]
SKERRY = Path(sys.executable).parent / "skerry"
NAMESPACE = "attached"
CLUSTERS, SETS = Ref(GROUP, VERSION, "clusters"), Ref(GROUP, VERSION, "manifestsets")
QUIET_SECONDS, QUIET_CPU = 2.0, 0.15
STEADY, STEADY_CPU = 5, 0.1
"""So many times in a row the share of a core that it took was the same but for this."""
PER_SWARM = 2500
PATIENCE = 1200.0


@dataclass(frozen=True)
class Server:
    """A server under measurement."""

    side: Side
    client: HttpClient
    plan: Json
    """What a swarm is told of it."""

    async def statistics(self) -> Json:
        """What it says of itself."""
        return await self.client.raw("GET", "/skerry/v1/statistics")

    async def quiet(self) -> float:
        """Wait until it has little to do, or for a while as much as before, for ten thousand agents are never silent; its memory in MB."""
        ends, rates = time.monotonic() + PATIENCE, [*[0.0] * (STEADY - 1), math.inf]
        while time.monotonic() < ends and max(rates) - min(rates) > STEADY_CPU and not rates[-1] < QUIET_CPU:
            before, began = self.side.cpu_seconds(), time.monotonic()
            await asyncio.sleep(QUIET_SECONDS)
            rates = [*rates[1:], (self.side.cpu_seconds() - before) / (time.monotonic() - began)]
        return self.side.memory_mb()


@contextlib.asynccontextmanager
async def server(command: Sequence[str | Path] = (SKERRY,)) -> AsyncIterator[Server]:
    """Run a server until the block is left; raises PeerFailed."""
    folder = Path(tempfile.mkdtemp(prefix="skerry-bench-"))
    try:
        with Processes(folder) as processes:
            data, port = folder / "data", free_port(2)
            program = processes.start(
                "skerry", [*command, "up", "--data", data, "--port", str(port), "--log-level", "warning"], clean_environment(folder)
            )
            processes.wait_until("skerry", (data / "admin.kubeconfig").exists)
            connection = read(data / "admin.kubeconfig")
            ca, certificate, key = connection.ca or b"", connection.certificate or b"", connection.key or b""
            (folder / "ca.crt").write_bytes(ca)
            door = Door(connection.server, folder / "ca.crt", (data / "pki" / "admin.token").read_text())
            plan = {"authority": str(data / "pki" / "internal.pem"), "gateway": f"127.0.0.1:{port + 1}", "front": connection.server}
            plan |= {"ca": ca.decode(), "certificate": certificate.decode(), "key": key.decode()}
            processes.wait_until("the namespace", lambda: door.call("GET", f"/api/v1/namespaces/{NAMESPACE}").status == 200)
            async with HttpClient(connection) as client:
                yield Server(Side("skerry", door, lambda: [program.process.pid]), client, plan)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Swarms:
    """The processes with the agents."""

    def __init__(self, made: list[asyncio.subprocess.Process]) -> None:
        """They were told of the server."""
        self._made = made

    async def order(self, orders: Sequence[Json]) -> list[Json]:
        """Give each process an order; returns their answers. Raises RuntimeError for one that has ended."""
        for process, order in zip(self._made, orders, strict=True):
            assert process.stdin is not None
            process.stdin.write(text(order).encode() + b"\n")
        answers = await asyncio.gather(*(process.stdout.readline() for process in self._made if process.stdout))
        if not all(answers):
            raise RuntimeError("a swarm has ended")
        return [json.loads(answer) for answer in answers]

    async def all(self, **order: Any) -> list[Json]:
        """Give all the same order."""
        return await self.order([order] * len(self._made))

    async def dealt(self, names: Sequence[str], **order: Any) -> list[Json]:
        """Deal names out."""
        return await self.order([{**order, "names": list(names[place :: len(self._made)])} for place in range(len(self._made))])

    async def cpu(self) -> float:
        """CPU seconds that they took so far, each."""
        return float(sum(each["cpu"] for each in await self.all(do="cost")))

    async def lost(self) -> Json:
        """Agents that are not connected any more, and why."""
        return {name: why for each in await self.all(do="cost") for name, why in each["lost"].items()}


@contextlib.asynccontextmanager
async def swarms(at: Server, count: int) -> AsyncIterator[Swarms]:
    """Processes for agents, until the block is left."""
    made = []
    for _ in range(count):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.swarm", stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, limit=1 << 26
        )
        assert process.stdin is not None
        process.stdin.write(text(at.plan).encode() + b"\n")
        made.append(process)
    try:
        yield Swarms(made)
    finally:
        for process in made:
            if process.returncode is None:
                process.kill()
            await process.wait()


def full_names(prefix: str, count: int) -> list[str]:
    """Full names of attached clusters."""
    return [f"{NAMESPACE}.{NAMESPACE}.{prefix}-{number}" for number in range(count)]


async def make_clusters(at: Server, names: Sequence[str]) -> None:
    """Make attached clusters."""
    bodies = [
        {"apiVersion": API_VERSION, "kind": "Cluster", "metadata": {"name": name.partition(".")[2], "namespace": NAMESPACE}}
        for name in names
    ]
    await crowd([partial(at.client.create, CLUSTERS, body) for body in bodies])


@dataclass(frozen=True)
class Connected:
    """What agents cost; memory in KB and CPU in ms for each, ``beating`` as a share of a core."""

    stored: float
    memory: float
    joining: float
    seconds: float
    beats: float
    beating: float
    lost: int


async def connected(at: Server, load: Swarms, names: Sequence[str], objects: int, seconds: float) -> Connected:
    """Connect agents, and let them be."""
    count, empty = len(names), await at.quiet()
    await make_clusters(at, names)
    before, spent = await at.quiet(), at.side.cpu_seconds()
    stored = (before - empty) * 1024 / count
    tell(f"{count:,} clusters: {stored:.1f} KB each before their agents come ({empty:.0f} MB, {before:.0f} MB)")
    answers = await load.dealt(names, do="dial", objects=objects, at_once=32)
    took, generator = max(each["seconds"] for each in answers), sum(each["cpu"] for each in answers)
    await until(at, lambda found: found["gateway"]["connected"] == count and not found["queues"]["health"]["ready"])
    after = await at.quiet()
    cpu, memory = (at.side.cpu_seconds() - spent) / count * 1000, (after - before) * 1024 / count
    tell(
        f"    dialled in {took:.1f} s, {count / took:.0f}/s; CPU {cpu:.1f} ms each until all statuses are written, the generator's"
        f" {generator / count * 1000:.1f} ms; memory {memory:.1f} KB each ({after:.0f} MB), with {objects} objects each"
    )
    idle = await beating(at, load, seconds)
    lost = await load.lost()
    tell(
        f"    {idle.beats:.0f} heartbeats/s: {idle.share:.1%} of a core, {idle.share / max(idle.beats, 0.1) * 1000:.3f} ms each;"
        f" the generator {idle.generator:.1%}; the loop was late by {idle.late} ms at worst so far,"
        f" by over 50 ms {idle.stalls} times meanwhile"
    )
    if lost:
        tell(f"    {len(lost)} lost their session: {next(iter(lost.items()))}")
    return Connected(stored, memory, cpu, took, idle.beats, idle.share, len(lost))


@dataclass(frozen=True)
class Idle:
    """A while in which nothing happens but heartbeats."""

    beats: float
    share: float
    generator: float
    late: int
    stalls: int


async def beating(at: Server, load: Swarms, seconds: float) -> Idle:
    """Let heartbeats come."""
    first, spent, others, began = await at.statistics(), at.side.cpu_seconds(), await load.cpu(), time.monotonic()
    await asyncio.sleep(seconds)
    passed, spent, others = time.monotonic() - began, at.side.cpu_seconds() - spent, await load.cpu() - others
    last = await at.statistics()
    beats = last["gateway"]["heartbeats"] - first["gateway"]["heartbeats"]
    late = ("within_100_ms", "within_250_ms", "within_1000_ms", "over_1000_ms")
    stalls = sum(last["loop"][each] - first["loop"][each] for each in late)
    return Idle(beats / passed, spent / passed, others / passed, last["loop"]["worst_ms"], stalls)


async def until(at: Server, state: Callable[[Json], bool]) -> None:
    """Wait until its statistics say so."""
    ends = time.monotonic() + PATIENCE
    while not state(found := await at.statistics()):
        if time.monotonic() > ends:
            raise TimeoutError(f"not within {PATIENCE} s: {found['gateway']}, {found['queues']}")
        await asyncio.sleep(0.5)


def share(ordered: Sequence[float], part: float) -> float:
    """A quantile."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


@dataclass(frozen=True)
class Reached:
    """One object for every cluster: seconds from the first request until agents have it, until all reports are written; CPU in ms each."""

    p50: float
    p99: float
    reported: float
    cpu: float


async def desired(at: Server, load: Swarms, names: Sequence[str], generation: int) -> Reached:
    """Have one object reach every cluster: made in the first generation, changed in those that follow."""
    idle = await beating(at, load, QUIET_SECONDS * 2)
    began, spent = time.monotonic(), at.side.cpu_seconds()
    await crowd([partial(_set, at, name, generation) for name in names])
    wrote = time.monotonic() - began
    moments: list[float] = []
    while len(moments) < len(names):
        await asyncio.sleep(0.5)
        found = [each for answer in await load.all(do="states", prefix="bench-") for each in answer["states"].values()]
        moments = sorted(moment - began for moment, of in found if of >= generation)
    while not all(_reported(each, generation) for each in (await at.client.list(SETS, NAMESPACE))["items"]):
        await asyncio.sleep(0.5)
    said = time.monotonic() - began
    cpu = (at.side.cpu_seconds() - spent - idle.share * said) / len(names) * 1000
    what = "made" if generation == 1 else "changed"
    made = Reached(share(moments, 0.5), share(moments, 0.99), said, cpu)
    tell(
        f"one object for {len(names):,} clusters, {what} (written in {wrote:.1f} s): reached p50 {made.p50:.2f} s, p99 {made.p99:.2f} s;"
        f" all have reported after {said:.1f} s; CPU {cpu:.2f} ms each beside the heartbeats"
    )
    return made


def _reported(obj: Json, generation: int) -> bool:
    return bool((obj.get("status") or {}).get("observedGeneration", 0) >= generation)


async def _set(at: Server, name: str, generation: int) -> None:
    metadata = {"name": f"bench-{name.rpartition('.')[2]}", "namespace": NAMESPACE}
    data = {"generation": str(generation)}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bench", "namespace": "default"}, "data": data}
    spec = {"ownerEpoch": 1, "cluster": name.partition(".")[2], "manifests": [manifest]}
    if generation > 1:
        await at.client.patch(SETS, metadata["name"], NAMESPACE, PatchKind.MERGE, {"spec": spec})
    else:
        await at.client.create(SETS, {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": metadata, "spec": spec})


@dataclass(frozen=True)
class Registered:
    """Clusters that joined: how many a second, seconds from the first request until each is Ready, CPU in ms each."""

    rate: float
    p50: float
    p99: float
    cpu: float


async def registration(at: Server, load: Swarms, names: Sequence[str], rate: float, at_once: int = 8) -> Registered:
    """Have clusters join."""
    ready: dict[str, float] = {}
    spent, others, processes = at.side.cpu_seconds(), await load.cpu(), len(await load.all(do="cost"))
    async with TaskOwner("ready") as owner:
        owner.spawn(_ready(at, ready), "watch")
        answers = await load.dealt(names, do="register", objects=8, rate=rate / processes, at_once=0 if rate else at_once)
        ends = time.monotonic() + PATIENCE
        while not ready.keys() >= set(names) and time.monotonic() < ends:
            await asyncio.sleep(0.1)
    began = {name: moment for each in answers for name, moment in each["began"].items()}
    delays = sorted(ready[name] - moment for name, moment in began.items())
    took = max(ready[name] for name in names) - min(began.values())
    await at.quiet()
    cpu, others = (at.side.cpu_seconds() - spent) / len(names) * 1000, (await load.cpu() - others) / len(names) * 1000
    how = f"at {rate:.0f}/s" if rate else f"by {at_once * processes} at once"
    made = Registered(len(names) / took, share(delays, 0.5), share(delays, 0.99), cpu)
    tell(
        f"registration of {len(names):,} clusters {how}: {made.rate:.1f}/s; to Ready p50 {made.p50:.2f} s, p99 {made.p99:.2f} s;"
        f" CPU {cpu:.1f} ms each, the generator's {others:.1f} ms"
    )
    return made


async def _ready(at: Server, ready: dict[str, float]) -> None:
    informer = Informer(at.client, CLUSTERS, namespace=NAMESPACE)

    def changed(key: str) -> None:
        conditions = ((informer.get(key) or {}).get("status") or {}).get("conditions") or ()
        if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
            ready.setdefault(str(of_key(key)), time.monotonic())

    informer.listen(changed)
    await informer.run()


def tell(line: str) -> None:
    """Print, at once."""
    print(line, flush=True)


def machine() -> str:
    """What this is measured on."""
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?")
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    return f"{cores} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"


async def run(arguments: argparse.Namespace) -> None:
    """Run what was asked for."""
    wanted = set(arguments.only.split(","))
    command: Sequence[str | Path] = (SKERRY,)
    if arguments.profile:
        command = (sys.executable, "-m", "cProfile", "-o", arguments.profile.absolute(), SKERRY)
    for count in arguments.counts if {"connected", "desired"} & wanted else ():
        async with server(command) as at, swarms(at, -(-count // PER_SWARM)) as load:
            names = full_names("c", count)
            await connected(at, load, names, arguments.objects, arguments.seconds)
            for generation in (1, 2, 3) if "desired" in wanted else ():
                await desired(at, load, names[:1000], generation)
    if "registration" in wanted:
        async with server(command) as at, swarms(at, 1) as load:
            for rate in arguments.rates:
                await registration(at, load, full_names(f"r{rate}", arguments.registrations), rate)


def numbers(text: str) -> list[int]:
    """Read a list of numbers."""
    return [int(each) for each in text.split(",")]


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description="Measure one gateway process with many agents.")
    parser.add_argument("--only", default="connected,desired,registration", help="what to measure, comma-separated")
    parser.add_argument("--counts", type=numbers, default=[1000, 3000, 10000], help="how many agents")
    parser.add_argument("--objects", type=int, default=8, help="how many objects of a kilobyte each agent reports")
    parser.add_argument("--seconds", type=float, default=30, help="how long heartbeats are watched")
    parser.add_argument("--registrations", type=int, default=1000, help="how many clusters register, in each round")
    parser.add_argument("--rates", type=numbers, default=[50, 0], help="registrations a second; 0: as many as can")
    parser.add_argument("--quick", action="store_true", help="300 agents and 200 registrations: under two minutes")
    parser.add_argument("--profile", type=Path, help="write a cProfile of the server here (its figures are then worth little)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.counts, arguments.seconds, arguments.registrations, arguments.rates = [300], 10, 200, [50]
    tell(machine())
    asyncio.run(run(arguments))


if __name__ == "__main__":
    main()
