"""An agent's memory over days in which little happens: `python -m bench.idle --hours 24`, in as many seconds as it takes.

First an agent as users run it, in a process of its own, is left alone for half a minute: what is resident of it then is what an idle
agent costs.

Then an agent lives for days. It is the real one, in this process, over a real connection to a server, beside a simulated site; only
its time is virtual (``testing/clock.py``): it is moved from heartbeat to heartbeat, and stands still while what it said is on its way.
Each hour what is asked of it changes, and is changed behind its back. What must be flat is what Python holds; resident memory is said
as well, and is more than an agent's, for this process holds the benchmark and what traces it, too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.agents import Server, machine, server, tell
from bench.clusters import MANAGEMENT, NAME, join, simulated
from bench.sides import Side
from bench.site import PROVISIONER
from peers.processes import Processes
from skerry.agent import identity as identities
from skerry.agent.keeping import Folder
from skerry.agent.main import Agent, AgentSettings
from skerry.client.contract import PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import read
from skerry.kinds.common import API_VERSION, GROUP, VERSION
from skerry.kit import log
from skerry.kit.aio import TaskOwner
from skerry.machinery.errors import NotFound
from skerry.testing.clock import VirtualClock
from skerry.tunnel.session import HEARTBEAT_SECONDS

SETS, MAPS = Ref(GROUP, VERSION, "manifestsets"), Ref("", "v1", "configmaps")
BREATH = 0.002
"""Real seconds in which the answer to a heartbeat comes that the server has heard."""
MOST_BREATHS = 500
REST_SECONDS = 30.0
"""Three heartbeats: what coming took is done with by then."""


@dataclass(frozen=True)
class Hour:
    """What stood after one: KB that Python holds, MB that are resident, sessions and heartbeats so far."""

    held: float
    resident: float
    sessions: int
    heartbeats: int


@dataclass(frozen=True)
class Resident:
    """What is resident of a process, in MB."""

    anonymous: float
    files: float


async def alone(rest: float = REST_SECONDS) -> Resident:
    """Leave an agent in a process of its own alone for a while; what is resident of it then."""
    async with server() as at:
        with simulated(at) as site, tempfile.TemporaryDirectory(prefix="skerry-bench-") as folder, Processes(Path(folder)) as processes:
            agent = await join(at, site, processes)
            await asyncio.sleep(rest)
            [pid] = agent.pids()
            return _resident(pid)


def _resident(pid: int) -> Resident:
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    kilobytes = {words[0]: int(words[1]) for words in lines if words[0].startswith("Rss")}
    return Resident(kilobytes["RssAnon:"] / 1024, (kilobytes["RssFile:"] + kilobytes["RssShmem:"]) / 1024)


async def live(at: Server, kubeconfig: Path, hours: int, say: Callable[[str], None] = tell) -> list[Hour]:
    """Let an agent live."""
    await at.client.create(MANAGEMENT, {"apiVersion": API_VERSION, "kind": "ManagementCluster", "metadata": {"name": NAME}})
    offer = await at.client.raw("POST", f"/attach/{NAME}", {})
    identity = await identities.register(at.plan["front"], at.plan["ca"].encode(), offer["token"])
    clock, target, found = VirtualClock(datetime.now(UTC)), read(kubeconfig), []
    own = Side("agent", at.side.client, lambda: [os.getpid()])
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as folder:
        await Folder(Path(folder)).store(identity)
        async with HttpClient(target) as client, TaskOwner("bench") as owner:
            agent = Agent(identity, AgentSettings(target, Path(folder)), client, clock)
            owner.spawn(agent.run(), "agent")
            await agent.connected.wait()
            tracemalloc.start()
            heard = 0
            for hour in range(hours):
                await _disturb(at, client, hour)
                for _ in range(3600 // HEARTBEAT_SECONDS):
                    await clock.advance(HEARTBEAT_SECONDS)
                    heard = await _heard(at, heard)
                gc.collect()
                counts = agent.statistics()["agent"]
                found.append(Hour(tracemalloc.get_traced_memory()[0] / 1024, own.memory_mb(), counts["sessions"], counts["heartbeats"]))
                last = found[-1]
                say(f"hour {hour + 1:3}: {last.held:7.0f} KB held, {last.resident:.1f} MB resident, {last.heartbeats} heartbeats")
            tracemalloc.stop()
    return found


async def _heard(at: Server, before: int) -> int:
    """Wait until one more heartbeat was heard, or for a second: between two sessions there is none."""
    heard = before
    for _ in range(MOST_BREATHS):
        heard = (await at.statistics())["gateway"]["heartbeats"]
        await asyncio.sleep(BREATH)
        if heard > before:
            break
    return heard


async def _disturb(at: Server, client: HttpClient, hour: int) -> None:
    metadata = {"name": "bench", "namespace": PROVISIONER}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"hour": str(hour)}}
    body = {
        "apiVersion": API_VERSION,
        "kind": "ManifestSet",
        "metadata": {"name": "bench", "namespace": NAME},
        "spec": {"ownerEpoch": 1, "manifests": [manifest]},
    }
    await at.client.apply(SETS, body, manager="bench", force=True)
    with contextlib.suppress(NotFound):  # the first time it is yet to come
        await client.patch(MAPS, "bench", PROVISIONER, PatchKind.MERGE, {"data": {"hour": "drifted"}})


def growth(hours: list[Hour]) -> float:
    """KB by which what Python holds grew in a day, from the median of the second quarter to that of the last."""
    quarter = max(1, len(hours) // 4)
    second, last = (sorted(each.held for each in part)[quarter // 2] for part in (hours[quarter : 2 * quarter], hours[-quarter:]))
    return (last - second) / max(1, len(hours) - 2 * quarter) * 24


async def run(hours: int) -> None:
    """Print what comes of it."""
    log.configure(level="warning")
    own = await alone()
    tell(f"an idle agent: {own.anonymous + own.files:.1f} MB resident, {own.anonymous:.1f} of them anonymous, {own.files:.1f} of files")
    if not hours:
        return
    async with server() as at:
        with simulated(at) as site:
            found = await live(at, site.kubeconfig, hours)
    first, last = found[0], found[-1]
    resident = f"resident {first.resident:.0f} MB after the first hour, {last.resident:.0f} MB after the last"
    tell(f"{hours} hours, {last.sessions} sessions: {growth(found):+.0f} KB a day held; {resident}")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description="Let an agent live for a while.")
    parser.add_argument("--hours", type=int, default=24, help="how long the second one lives; 0: only the first")
    arguments = parser.parse_args()
    tell(machine())
    asyncio.run(run(arguments.hours))


if __name__ == "__main__":
    main()
