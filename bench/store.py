"""How many durable writes a store takes, and what one costs: `python -m bench.store`.

64 callers in one process create, update and read objects of 2 KB, each caller one after the
other, as requests do. Printed are operations per second (which depend on the machine's fsync)
and CPU time per operation, which hardly does: of the whole process, and of the embedded store's
writer thread or of PostgreSQL's processes. The budgets: 3,000 creates/s and 0.12 ms of the
writer's CPU per write on two cores. PostgreSQL is measured where its programs are, with fsync.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from peers.postgresql import PostgreSql, programs
from skerry.store.contract import Key, Store, Value, Write
from skerry.store.postgres.server import Address
from skerry.store.postgres.store import PostgresStore
from skerry.store.sqlite import SqliteStore

CALLERS = 64
BODY = 2048


def _key(number: int) -> Key:
    return Key("default", "clusters.fleet.skerry.dev", f"site-{number % 10}", f"team-{number % 7}.cluster-{number}")


def _value(number: int) -> Value:
    return Value(b'{"metadata":{"resourceVersion":"', b'"},"n":%d,"pad":"' % number + b"x" * (BODY - 60) + b'"}')


def _thread_clock(prefix: str) -> Callable[[], float]:
    """CPU seconds of the threads whose names begin so."""
    clocks = [time.pthread_getcpuclockid(t.ident) for t in threading.enumerate() if t.ident and t.name.startswith(prefix)]
    return lambda: sum(map(time.clock_gettime, clocks))


Clock = tuple[str, Callable[[], float]]


async def _measure(name: str, count: int, operation: Callable[[int], Awaitable[object]], clock: Clock) -> None:
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await operation(number)

    label, beside = clock
    began, cpu, alone = time.perf_counter(), time.process_time(), beside()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    seconds, cpu, alone = time.perf_counter() - began, time.process_time() - cpu, beside() - alone
    print(f"{name:<22}{count / seconds:>9,.0f}/s   CPU {cpu / count * 1000:.3f} ms, {label} {alone / count * 1000:.3f} ms")


async def _bench(store: Store, count: int, clock: Callable[[], Clock]) -> None:
    revisions: dict[int, int] = {}

    async def create(number: int) -> None:
        revisions[number] = await store.write(Write(_key(number), 0, _value(number)))

    async def update(number: int) -> None:
        revisions[number] = await store.write(Write(_key(number), revisions[number], _value(number)))

    async def page(number: int) -> None:
        await store.page("default", "clusters.fleet.skerry.dev", f"site-{number % 10}", limit=500)

    async def old_page(_: int) -> None:
        await store.page("default", "clusters.fleet.skerry.dev", at=revisions[0], limit=500)

    await store.write(Write(_key(-1), 0, _value(-1)))  # threads begin with their first work
    beside = clock()
    await _measure("create", count, create, beside)
    await _measure("update", count, update, beside)
    await _measure("get", count, lambda number: store.get(_key(number)), beside)
    await _measure("page of 500", 200, page, beside)
    await _measure("page of 500, older", 20, old_page, beside)
    head = await store.head()
    began = time.perf_counter()
    await store.compact(head - 100)
    print(f"compaction of {head:,} entries: {time.perf_counter() - began:.3f} s")


def main() -> None:
    """Run on a fresh database."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, help="where the database goes (its disk is what is measured)")
    arguments.add_argument("--count", type=int, default=20_000)
    given = arguments.parse_args()

    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        Path(folder).chmod(0o755)  # a PostgreSQL server may run as somebody else
        uvloop.run(_sqlite(Path(folder), given.count))
        for release in ("wheel", "debian-15"):
            if programs(release):
                uvloop.run(_postgres(Path(folder), release, given.count))


async def _sqlite(folder: Path, count: int) -> None:
    print("SQLite")
    store = await SqliteStore.open(folder / "bench.db")
    try:
        await _bench(store, count, lambda: ("of it writer", _thread_clock("store-writer")))
        print(store.statistics())
    finally:
        await store.close()


async def _postgres(folder: Path, release: str, count: int) -> None:
    settings = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB", "max_wal_size": "1GB"}
    with PostgreSql(release, data=folder / release, **settings) as server:
        store = await PostgresStore.open(Address(server.dsn()))
        try:
            print(f"PostgreSQL ({release})")
            await _bench(store, count, lambda: ("server", server.cpu))
            print(store.statistics())
        finally:
            await store.close()


if __name__ == "__main__":
    main()
