"""Many light agents in one process: the load of ``bench.agents``.

Each speaks the real protocol as the real agent does, by the same machine (``tunnel/session.py``), over
a connection of its own with its own certificate: hello, heartbeats, one inventory delta for each kind, an answer
to every desired state. What it lacks is a cluster: its inventory is made up, and nothing is applied.

``python -m bench.swarm`` takes orders as lines of JSON and answers each with one (:class:`Orders`). Moments
are of the machine's monotonic clock, which all its processes share.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import resource
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import uvloop

from bench.objects import Json, text
from bench.turns import crowd
from skerry.agent import identity as identities
from skerry.agent.identity import Identity
from skerry.client.connection import Connection
from skerry.client.http import HttpClient
from skerry.kit.aio import TaskOwner
from skerry.pki import policy
from skerry.pki.authority import Authority, KeyPair
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel import wire
from skerry.tunnel.rules import Fence, KindName, digest_of
from skerry.tunnel.session import Again, AgentSession, AgentStep, Enforce, Follow, Over, Say, Welcomed

TICK_SECONDS = 0.05
BEAT = pb.Heartbeat(api_reachable=True)
PATIENCE = 180.0
VERSION = "v1.34.2"


class Ticks:
    """The clocks of all agents of a process, in one task."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Light]] = []
        self._order = itertools.count()

    def add(self, agent: Light) -> None:
        """Look at an agent when its machine wants it."""
        now = time.monotonic()
        heapq.heappush(self._due, (now + agent.machine.wait(now), next(self._order), agent))

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                agent = heapq.heappop(self._due)[2]
                if not agent.over:
                    agent.take(agent.machine.tick(now, BEAT))
                    self.add(agent)
            await asyncio.sleep(TICK_SECONDS)


class Light:
    """One agent."""

    def __init__(self, name: str, objects: int, ticks: Ticks) -> None:
        """``objects`` is how many it reports of its cluster."""
        self.name = name
        self.over = ""
        self.welcomed = 0.0
        self.reported = False
        self.states: dict[str, tuple[float, int]] = {}
        """When each set came last, and its generation."""
        self.machine: AgentSession
        self._objects, self._ticks = objects, ticks
        self._lines: deque[pb.ControlRequest] = deque()
        self._more = asyncio.Event()

    async def run(self, identity: Identity) -> None:
        """Hold one session until it ends, or until cancelled."""
        hello = pb.Hello(
            management_cluster=self.name,
            agent_version="bench",
            kubernetes_version=VERSION,
            features=("heartbeat-ack", "listings", "trust"),
            trust_digest=digest_of(identity.bundle),
        )
        self.machine = AgentSession(hello, Fence(), time.monotonic())
        async with wire.channel(identity.gateway, identity.bundle, identity.certificate, identity.key) as channel:
            self.take(self.machine.opened())
            stream = wire.stub(channel).Control(self._said())
            self._ticks.add(self)
            try:
                while not self.over and isinstance(message := await stream.read(), pb.ControlResponse):
                    self.take(self.machine.heard(message, time.monotonic()))
                self.over = self.over or "the gateway ended it"
            except grpc.aio.AioRpcError as error:
                self.over = self.over or f"{error.code().name}: {error.details()}"
            finally:
                self.over = self.over or "cancelled"
                stream.cancel()

    async def _said(self) -> AsyncIterator[pb.ControlRequest]:
        while not self.over:
            while self._lines:
                yield self._lines.popleft()
            self._more.clear()
            await self._more.wait()

    def say(self, message: pb.ControlRequest) -> None:
        """Send a message."""
        self._lines.append(message)
        self._more.set()

    def take(self, steps: Sequence[AgentStep]) -> None:
        """Do what the machine wants."""
        for step in steps:
            match step:
                case Say(message):
                    self.say(message)
                case Welcomed():
                    self.welcomed = time.monotonic()
                    self._ticks.add(self)
                case Follow(kinds):
                    self._kinds = kinds
                    self._report()
                case Again():
                    self._report()
                case Enforce(state):
                    self.states[state.set] = (time.monotonic(), state.generation)
                    self.say(pb.ControlRequest(result=_applied(state)))
                case Over(reason):
                    self.over = reason
                    self._more.set()
                case _:
                    pass

    def _report(self) -> None:
        for number, delta in enumerate(_inventory(self._kinds, self._objects), 1):
            delta.sequence = number
            self.say(pb.ControlRequest(inventory=delta))
        self.reported = True


def _inventory(kinds: Iterable[KindName], count: int) -> Iterable[pb.InventoryDelta]:
    """A listing of every kind, as the real agent sends them; objects fall to the kinds in turn."""
    known = list(kinds)
    for place, (group, plural) in enumerate(known):
        kind = pb.ResourceKind(group=group, plural=plural)
        numbers = range(place, count, len(known))
        items = [pb.InventoryItem(kind=kind, name=f"o{number}", object=_object(group, plural, number)) for number in numbers]
        yield pb.InventoryDelta(begins=[kind], items=items, complete=[kind])


def _object(group: str, plural: str, number: int) -> bytes:
    """An object of about a kilobyte."""
    body: Json = {
        "apiVersion": f"{group}/v1" if group else "v1",
        "kind": plural.removesuffix("es").removesuffix("s").capitalize(),
        "metadata": {"name": f"o{number}", "uid": f"{plural}-{number}", "resourceVersion": "1", "labels": {"app": "bench"}},
        "status": {f"field{each}": "x" * 40 for each in range(16)},
    }
    return text(body).encode()


def _applied(state: pb.DesiredState) -> pb.DesiredResult:
    result = pb.DesiredResult(set=state.set, owner_epoch=state.owner_epoch, generation=state.generation, gone=state.remove)
    for manifest in state.manifests:
        found = json.loads(manifest)
        metadata = found["metadata"]
        result.objects.append(
            pb.ObjectResult(
                api_version=found["apiVersion"],
                kind=found["kind"],
                namespace=metadata.get("namespace", ""),
                name=metadata["name"],
                outcome=pb.OUTCOME_APPLIED,
            )
        )
    return result


class Swarm:
    """All agents of a process, and what they are ordered."""

    def __init__(self, plan: Json, owner: TaskOwner) -> None:
        """``plan`` names the gateway, the front door, and who may make tokens there."""
        self._plan, self._owner = plan, owner
        self._agents: dict[str, Light] = {}
        self._ticks = Ticks()
        owner.spawn(self._ticks.run(), "ticks")

    async def dial(self, order: Json) -> Json:
        """Connect agents whose certificates are issued here, ``at_once`` at a time; answers when all were welcomed."""
        authority, now = Authority(KeyPair.split(Path(self._plan["authority"]).read_bytes())), datetime.now(UTC)
        made = {}
        for name in order["names"]:
            pair = authority.issue(policy.AGENT, policy.agent(name), now, groups=(policy.AGENTS,), hosts=(policy.agent_uri(name),))
            made[name] = Identity(name, pair.certificate, pair.key, authority.bundle, self._plan["gateway"])
        began, spent = time.monotonic(), time.process_time()

        async def one(name: str) -> None:
            await self._welcomed(self._start(made[name], order["objects"]))

        await crowd([partial(one, name) for name in made], order["at_once"])
        return {"seconds": time.monotonic() - began, "cpu": time.process_time() - spent}

    async def register(self, order: Json) -> Json:
        """Attach and register clusters, each at its moment (``rate`` a second; 0: as fast as ``at_once`` allow), and connect their agents.

        Answers when each began.
        """
        began, spent, moments = time.monotonic(), time.process_time(), {}
        admin = Connection(self._plan["front"], ca=self._plan["ca"].encode(), **{k: self._plan[k].encode() for k in ("certificate", "key")})
        async with HttpClient(admin) as client:

            async def one(number: int, name: str) -> None:
                if order["rate"]:
                    await asyncio.sleep(began + number / order["rate"] - time.monotonic())
                moments[name] = time.monotonic()
                _, namespace, provisioner, plain = ("", *name.split("."))
                body = {
                    "apiVersion": "fleet.skerry.dev/v1alpha1",
                    "kind": "Cluster",
                    "metadata": {"name": f"{provisioner}.{plain}", "namespace": namespace},
                }
                await client.raw("POST", f"/apis/fleet.skerry.dev/v1alpha1/namespaces/{namespace}/clusters", body)
                offer = await client.raw("POST", f"/attach/{name}", {})
                identity = await identities.register(self._plan["front"], self._plan["ca"].encode(), offer["token"])
                await self._welcomed(self._start(identity, order["objects"]))

            callers = [partial(one, number, name) for number, name in enumerate(order["names"])]
            await crowd(callers, order["at_once"] or len(callers))
        return {"seconds": time.monotonic() - began, "cpu": time.process_time() - spent, "began": moments}

    def _start(self, identity: Identity, objects: int) -> Light:
        agent = self._agents[identity.name] = Light(identity.name, objects, self._ticks)
        self._owner.spawn(agent.run(identity), identity.name)
        return agent

    async def _welcomed(self, agent: Light) -> None:
        ends = time.monotonic() + PATIENCE
        while not agent.reported:
            if agent.over or time.monotonic() > ends:
                raise RuntimeError(f"{agent.name}: {agent.over or 'not welcomed'}")
            await asyncio.sleep(TICK_SECONDS)

    async def states(self, order: Json) -> Json:
        """When each set of a prefix came, by its name, and of which generation it was."""
        found = {
            name: moment for agent in self._agents.values() for name, moment in agent.states.items() if name.startswith(order["prefix"])
        }
        return {"states": found}

    async def cost(self, order: Json) -> Json:  # noqa: ARG002 every order has one
        """CPU and memory so far, and who is not connected any more."""
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        lost = {name: agent.over for name, agent in self._agents.items() if agent.over}
        return {"cpu": time.process_time(), "memory_kb": memory, "agents": len(self._agents), "lost": lost}


async def _main() -> None:
    reader = asyncio.StreamReader(limit=1 << 26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with TaskOwner("swarm") as owner:
        swarm = Swarm(json.loads(await reader.readline()), owner)
        while line := await reader.readline():
            order = json.loads(line)
            does: Callable[[Json], Awaitable[Any]] = getattr(swarm, order["do"])
            answer = await does(order)
            sys.stdout.write(text(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_main())
