"""Skerry's API beside a real kube-apiserver over etcd, in one run: `make bench`.

Ours runs twice, over SQLite and over PostgreSQL. All are driven in turn with the same requests; printed are medians over the rounds, as
ratios, with the budgets of DESIGN §11. CPU is process time of the servers (etcd's included),
which noise on the machine hardly moves, unlike operations per second: on two cores the
generator competes with the server, and ``gen`` says what it took.
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import fanout
from bench.load import Outcome, run
from bench.objects import AT, CLUSTERS, CONFIGMAPS, NAMESPACE, a_cluster, a_config_map, a_status, text
from bench.sides import Side, kubernetes, skerry
from peers.postgresql import PostgreSql, programs

JSON = {"Content-Type": "application/json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"}
ONE = f"{CLUSTERS}/team-a.{AT}"


@dataclass(frozen=True)
class Operation:
    """One kind of request. ``seed`` objects must exist before; ``budget`` is how many times the peer's rate is asked for."""

    name: str
    plan: dict[str, Any]
    budget: float = 0.0
    theirs: dict[str, Any] = field(default_factory=dict)
    """What the peer is asked instead, where its built-in kinds are the measure."""


def operations() -> Iterator[Operation]:
    """What is measured, in order."""
    create = {"method": "POST", "path": CLUSTERS, "body": text(a_cluster()), "headers": JSON}
    maps = {"method": "POST", "path": CONFIGMAPS, "body": text(a_config_map()), "headers": JSON}
    get = {"method": "GET", "path": ONE, "prefix": "s", "names": 64}
    own = {"own": True, "prefix": "s", "first": ONE}
    yield Operation("create", create, 5.0)
    yield Operation("create / ConfigMap", create, 1.5, maps)
    yield Operation("get", get, 10.0)
    yield Operation("get / ConfigMap", get, 3.0, {**get, "path": f"{CONFIGMAPS}/{AT}"})
    yield Operation("status", {"method": "PUT", "path": f"{ONE}/status", "body": text(a_status()), "headers": JSON, **own}, 8.0)
    query = "?fieldManager=bench&force=true"
    yield Operation("apply", {"method": "PATCH", "path": f"{ONE}{query}", "body": text(a_cluster()), "headers": APPLY, **own}, 5.0)


@dataclass
class Measured:
    """What one side did in one round: operations per second, CPU ms of the server each, share of one core that the generator took."""

    rate: float
    cpu: float
    generator: float
    p99: float


class Bench:
    """One run."""

    def __init__(self, ours: Sequence[Side], theirs: Side, arguments: argparse.Namespace) -> None:
        """All sides are empty. Reads of ours come from memory on any database, once PostgreSQL was asked how far it has come."""
        self.ours, self.theirs = ours, theirs
        self._arguments = arguments
        self._round = 0

    @property
    def sides(self) -> Sequence[Side]:
        """All of them, in the order in which they take turns."""
        return (*self.ours, self.theirs)

    def seed(self) -> None:
        """Make the objects that reads and updates work on."""
        for side in self.sides:
            for body, path in ((text(a_cluster()), CLUSTERS), (text(a_config_map()), CONFIGMAPS)):
                plan = {"method": "POST", "path": path, "body": body, "headers": JSON, "prefix": "s"}
                run(side.client, {**plan, "callers": 8, "count": 64})

    def one(self, side: Side, plan: dict[str, Any], callers: int, count: int) -> Measured:
        """One round of one side."""
        self._round += 1
        fresh = {"prefix": f"r{self._round}"} if plan["method"] == "POST" else {}
        before = side.cpu_seconds()
        outcome: Outcome = run(side.client, {**plan, **fresh, "callers": callers, "count": count})
        cpu = side.cpu_seconds() - before
        return Measured(count / outcome.seconds, cpu / count * 1000, outcome.cpu / outcome.seconds, outcome.p99)

    def compare(self, operation: Operation, callers: int) -> None:
        """Take turns, and print one line for each of ours."""
        mine: dict[str, list[Measured]] = {side.name: [] for side in self.ours}
        other: list[Measured] = []
        for _ in range(self._arguments.rounds):
            for side in self.ours:
                mine[side.name].append(self.one(side, operation.plan, callers, self._arguments.count * (4 if callers > 1 else 1)))
            other.append(self.one(self.theirs, operation.theirs or operation.plan, callers, self._arguments.count))
        for side in self.ours:
            _line(self._named(operation.name, side), str(callers), mine[side.name], other, operation.budget if callers == 64 else 0.0)

    def _named(self, name: str, side: Side) -> str:
        return name if side is self.ours[0] else f"{name}, {side.name}"

    def lists(self, number: int) -> None:
        """Fill a namespace with clusters, and list it."""
        namespace = f"list-{number}"
        path, body = (each.replace(NAMESPACE, namespace) for each in (CLUSTERS, text(a_cluster())))
        for side in self.sides:
            side.client.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
            run(side.client, {"method": "POST", "path": path, "body": body, "headers": JSON, "callers": 32, "count": number})
        for name, headers in (("JSON", {"Accept": "application/json"}), ("Table", TABLE)):
            plan = {"method": "GET", "path": path, "headers": headers}
            for side in self.ours:
                side.worst_stall_ms()
            rounds = [[self.one(side, plan, 1, 3) for side in self.sides] for _ in range(self._arguments.rounds)]
            *mine, other = zip(*rounds, strict=True)
            for side, measured in zip(self.ours, mine, strict=True):
                _line(self._named(f"list {number:,} {name}", side), "1", measured, other, 30.0 if number >= 10_000 else 0.0)
                print(f"    the event loop was held for {side.worst_stall_ms():.0f} ms at worst (budget: 50)")

    def large_body(self) -> None:
        """Send 10 MB, which is refused, and a document of 1 MB, which is not."""
        side = self.ours[0]
        for size in (10_000_000, 1_000_000):
            side.worst_stall_ms()
            items = {f"key{number}": "x" * 20 for number in range(size // 32)}
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"large-{size}", "namespace": NAMESPACE}, "data": items}
            answer = side.client.call("POST", CONFIGMAPS, body)
            held = side.worst_stall_ms()
            print(f"a body of {size:,} bytes: {answer.status}, the event loop was held for {held:.0f} ms at worst (budget: 50)")

    def fan_out(self) -> None:
        """200 updates a second to 100 watchers."""
        costs = []
        for side in self.sides:
            before = side.cpu_seconds()
            outcome = fanout.run(side.client, seconds=self._arguments.seconds)
            costs.append(side.cpu_seconds() - before)
            rate, generator = outcome.arrived / 100 / outcome.seconds, outcome.cpu / outcome.seconds
            print(
                f"watch, 100 watchers, {side.name:10}  {rate:6.0f} of 200 updates/s, {outcome.arrived:,} of {outcome.expected:,} events;"
                f" delay p50 {outcome.p50:.1f} ms, p99 {outcome.p99:.1f} ms; CPU {costs[-1]:.1f} s; gen {generator:.0%}",
                flush=True,
            )
        print(f"    the peer's CPU is {costs[-1] / costs[0]:.1f} times ours (budget: 2); p99 budget: 20 ms")


def _line(name: str, callers: str, mine: Sequence[Measured], other: Sequence[Measured], budget: float) -> None:
    rate, peer = (statistics.median(each.rate for each in side) for side in (mine, other))
    cpu, peer_cpu = (statistics.median(each.cpu for each in side) for side in (mine, other))
    p99, peer_p99 = (statistics.median(each.p99 for each in side) for side in (mine, other))
    generator = max(statistics.median(each.generator for each in side) for side in (mine, other))
    verdict = "" if not budget else f"{budget:g} ok" if rate / peer >= budget else f"{budget:g} MISS"
    figures = f"{rate:9,.1f} {peer:9,.1f} {rate / peer:6.1f}x  {cpu:8.3f} {peer_cpu:8.3f} {peer_cpu / max(cpu, 1e-6):6.1f}x"
    print(f"{name:28} {callers:>3}  {figures}  {p99:8.1f} {peer_p99:8.1f}  {generator:4.0%}  {verdict}", flush=True)


def _machine() -> str:
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?")
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    return f"{cores} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description="Compare Skerry's API with a real kube-apiserver.")
    parser.add_argument(
        "--only", default="", help="names of operations that hold one of these, comma-separated (create,get,status,apply,watch,list)"
    )
    parser.add_argument("--callers", default="1,16,64", help="how many callers at once")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each side")
    parser.add_argument("--count", type=int, default=1000, help="requests a round of the peer; ours gets four times as many")
    parser.add_argument("--objects", default="1000,10000", help="how many objects are listed")
    parser.add_argument("--seconds", type=int, default=10, help="how long updates are sent to watchers")
    parser.add_argument("--embedded", action="store_true", help="leave PostgreSQL out")
    parser.add_argument("--quick", action="store_true", help="one round, fewer requests, 1,000 objects: under two minutes")
    parser.add_argument("--profile", type=Path, help="write a cProfile of our server here (its figures are then worth little)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.count, arguments.callers, arguments.objects, arguments.seconds = 1, 500, "64", "1000", 2
    wanted = [each for each in arguments.only.split(",") if each]
    print(_machine())
    print(f"{'':32}  {'ops/s':>9} {'peer':>9} {'ratio':>7}  {'CPU ms':>8} {'peer':>8} {'ratio':>7}", end="")
    print(f"  {'p99 ms':>8} {'peer':>8}  gen   budget")
    with ExitStack() as stack:
        ours = [stack.enter_context(skerry(arguments.profile))]
        if not arguments.embedded and programs("wheel"):
            ours.append(stack.enter_context(skerry(None, stack.enter_context(PostgreSql("wheel", fsync="on", full_page_writes="on")))))
        bench = Bench(ours, stack.enter_context(kubernetes()), arguments)
        bench.seed()
        for operation in operations():
            if not wanted or any(each in operation.name for each in wanted):
                for callers in map(int, arguments.callers.split(",")):
                    bench.compare(operation, callers)
        if not wanted or "watch" in wanted:
            bench.fan_out()
        if not wanted or "list" in wanted:
            for number in map(int, arguments.objects.split(",")):
                bench.lists(number)
            bench.large_body()
        held = " ".join(f"{side.name} {side.memory_mb():.0f} MB;" for side in bench.sides)
        print(f"memory at the end, databases included: {held}")


if __name__ == "__main__":
    main()
