"""The PostgreSQL dialect: any number of processes over one database, each at any time.

A batch of writes is one call of the database (``commit_batch``), which takes the counter row, so that
commit order is revision order is the order in which anybody can see it. Group commit comes
from waiting, as in the embedded dialect: while one batch is under way, whatever arrives gathers
into the next. What others wrote is learnt from the log; notices only wake (``watch.py``).

This module is the shell: it gathers batches and answers who waits. What a batch does is
``writer.py``'s, reading ``readers.py``'s, sessions and errors ``server.py``'s, the schema ``schema.py``'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import asyncpg

from skerry.kit.aio import Pulse, TaskOwner
from skerry.kit.backoff import Backoff
from skerry.kit.log import get
from skerry.store.contract import (
    Change,
    Compacted,
    FutureRevision,
    Guard,
    Key,
    LatestRow,
    Page,
    Row,
    Statistics,
    StoreClosed,
    StoreError,
    Write,
)
from skerry.store.postgres import readers
from skerry.store.postgres.readers import Readers
from skerry.store.postgres.schema import MIGRATIONS, finish, migrate
from skerry.store.postgres.server import SQL, Address, Limits, Server, explain
from skerry.store.postgres.watch import Watch
from skerry.store.postgres.writer import Wanted, Writer
from skerry.store.schema import Migration

MOST_IN_A_BATCH = 512
MOST_BYTES = 8 * 1024 * 1024
COMPACTION_SLICE = 500  # entries
TOMBSTONES = 100_000  # sequence numbers behind the newest for which removals can be followed
BURY_EVERY = 10_000
MIGRATION_SECONDS = 600.0
FINISHING_SECONDS = 60.0
"""How often it is looked whether the last server of an older release has gone."""

log = get("store.postgres")

Waiting = tuple[Wanted, asyncio.Future[int]]


class PostgresStore:
    """See ``contract.Store``. Make one with :meth:`open`."""

    def __init__(self, server: Server) -> None:
        """Nothing is asked yet."""
        self._server = server
        self._writer = Writer(server)
        self._readers = Readers(server)
        self._watch = Watch(server)
        self._owner = TaskOwner("store")
        self._waiting: list[Waiting] = []
        self._arrived = Pulse()
        self._idle = Pulse()
        self._busy = False
        self._closing = False
        self._commits = self._writes = 0

    @classmethod
    async def open(cls, address: Address, limits: Limits | None = None, schema: Sequence[Migration] = MIGRATIONS) -> PostgresStore:
        """Bring the schema up to date and begin; raises StoreError that says what is wrong. Close it in the same task."""
        server = Server(address, limits or Limits(), schema)
        migrated = await _prepare(server)
        store = cls(server)
        await store._owner.__aenter__()
        try:
            store._owner.spawn(store._watch.work(), "watch")
            store._owner.spawn(store._work(), "writer")
            if not migrated:
                store._owner.spawn(_finish(server), "schema")
            await store.head()
        except BaseException:
            await store.close()
            raise
        return store

    # writing

    async def write(self, write: Write) -> int:
        """Commit one write, together with whoever else waits."""
        self._refuse_when_closed()
        self._server.refuse_when_away()
        _text(write)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((Wanted(write), future))
        self._arrived.beat()
        return await future

    async def _work(self) -> None:
        while True:
            seen = self._arrived.count
            batch = self._take()
            self._busy = bool(batch)
            if batch:
                self._settle(batch, await self._writer.commit([wanted for wanted, _ in batch]))
            else:
                self._idle.beat()
                await self._arrived.after(seen)

    def _take(self) -> list[Waiting]:
        self._waiting = [waiting for waiting in self._waiting if not waiting[1].done()]  # who went away needs no write
        size = count = 0
        for wanted, _ in self._waiting[:MOST_IN_A_BATCH]:
            size += len(wanted.write.value.head) + len(wanted.write.value.tail)
            if count and size > MOST_BYTES:
                break
            count += 1
        taken = self._waiting[:count]
        del self._waiting[:count]
        return taken

    def _settle(self, batch: Sequence[Waiting], newest: int) -> None:
        self._watch.note(newest)
        self._commits += 1
        again: list[Waiting] = []
        for wanted, future in batch:
            if wanted.outcome is None:
                again.append((wanted, future))
            elif isinstance(wanted.outcome, int):
                self._writes += 1
                if not future.done():
                    future.set_result(wanted.outcome)
            elif not future.done():
                future.set_exception(wanted.outcome)
        self._waiting[:0] = again

    async def compact(self, revision: int) -> None:
        """Drop log entries that no current object needs, a slice at a time beside the batches."""
        while not await self._readers.run(lambda connection: connection.fetchval(SQL["compact"], revision, COMPACTION_SLICE)):
            pass  # more is left
        await self._watch.ask()

    async def rewrite(self, values: Sequence[tuple[Row, bytes]]) -> int:
        """Put other bytes in the place of stored ones."""
        return await self._readers.run(lambda connection: readers.rewrite(connection, values))

    async def erase(self) -> None:
        """What was rewritten goes with the database's own vacuum; its write-ahead log and archives keep it longer."""

    # reading

    async def get(self, key: Key) -> Row | None:
        """Return the current row."""
        return await self._readers.run(lambda connection: readers.row(connection, key))

    async def page(
        self, organization: str, resource: str, namespace: str | None = None, *, at: int = 0, after: Key | None = None, limit: int = 0
    ) -> Page:
        """Rows of one resource as of a revision."""
        return await self._readers.run(lambda connection: readers.page(connection, organization, resource, namespace, at, after, limit))

    async def head(self) -> int:
        """Return the newest committed revision, of whatever process."""
        self._refuse_when_closed()
        return (await self._watch.ask()).revision

    async def changes(self, after: int, limit: int = 1000) -> Sequence[Change]:
        """Log entries above a revision."""
        self._refuse_when_closed()
        if after == self._server.known.revision:
            return []
        seen = self._server.known.revision
        try:
            return await self._readers.run(lambda connection: readers.changes(connection, after, limit))
        except FutureRevision as error:
            if error.current >= seen:
                raise
            known = await self._watch.ask()  # the tail is lost: looking opens a new epoch
            raise Compacted(known.compacted) from error

    async def held(self, resources: Collection[str], after: int = 0, limit: int = 1000) -> Sequence[Row]:
        """Values that are kept."""
        return await self._readers.run(lambda connection: readers.held(connection, resources, after, limit))

    async def wait(self, after: int) -> None:
        """Return as soon as there is a newer revision."""
        while self._server.known.revision <= after:
            self._refuse_when_closed()
            await self._watch.log.after(self._watch.log.count)

    # latest values

    async def latest_put(self, values: Mapping[Key, bytes | None], guard: Guard | None = None) -> int:
        """Upsert latest values in one batch."""
        self._refuse_when_closed()
        keys = [list(part) for part in zip(*values, strict=True)] or [[], [], [], []]
        batch = (self._server.known.sequence, *keys, list(values.values()), TOMBSTONES, BURY_EVERY)
        if guard is None:
            last: int = await self._readers.run(lambda connection: connection.fetchval(SQL["put_latest"], *batch))
        else:
            last = await self._readers.run(partial(readers.put_guarded, guard=guard, batch=batch))
        self._watch.note_latest(last)
        return last

    async def latest_head(self) -> int:
        """Return the last sequence number taken, by whatever process."""
        self._refuse_when_closed()
        return (await self._watch.ask()).sequence

    async def latest_changes(self, organization: str, resource: str, after: int = 0, limit: int = 0) -> Sequence[LatestRow]:
        """Latest values that changed since a sequence number."""
        return await self._readers.run(lambda connection: readers.latest(connection, organization, resource, after, limit))

    async def latest_wait(self, after: int) -> None:
        """Return as soon as there is a newer latest value."""
        while self._server.known.sequence <= after:
            self._refuse_when_closed()
            await self._watch.latest.after(self._watch.latest.count)

    # the end

    def trouble(self) -> str:
        """A database that is away comes back by itself; until then this server cannot even read, and another one perhaps can."""
        return "the database does not answer; will try again" if self._server.away() else ""

    def statistics(self) -> Statistics:
        """Return counters, as of when the database last answered."""
        known = self._server.known
        extra = {"waiting": len(self._waiting), "epoch": known.epoch, "away": int(self._server.away())}
        return Statistics(known.revision, known.compacted, known.objects, self._commits, self._writes, extra)

    def _refuse_when_closed(self) -> None:
        if self._closing:
            raise StoreClosed("the store is closed")

    async def close(self) -> None:
        """Finish the writes that were accepted, then close."""
        if self._closing:
            return
        self._closing = True
        while self._busy or self._waiting:
            await self._idle.after(self._idle.count)
        self._server.closed = True
        await self._owner.__aexit__(None, None, None)
        await self._watch.close(StoreClosed("the store is closed"))
        await self._readers.close()
        await self._writer.close()


async def _prepare(server: Server) -> bool:
    """Migrate; a server that is only just starting is waited for. Returns whether every step was taken."""
    backoff, patience = Backoff(base=0.2, limit=1.0), server.limits.away
    loop = asyncio.get_running_loop()
    ends = loop.time() + patience
    while True:
        try:
            connection = await server.connect(MIGRATION_SECONDS)
            try:
                migrated = await migrate(connection, server.address, server.schema)
                await connection.execute(SQL["forget_writers"])
            finally:
                await connection.close(timeout=5)
        except asyncpg.CannotConnectNowError as error:
            if loop.time() >= ends:
                raise explain(error, server.address) from error
            await asyncio.sleep(backoff.next())
        except Exception as error:
            raise explain(error, server.address) from error
        else:
            return migrated


async def _finish(server: Server) -> None:
    """Take the post steps of the schema once no server of an older release is left."""
    finished = False
    while not finished:
        try:
            connection = await server.connect(MIGRATION_SECONDS)
            try:
                finished = await finish(connection, server.schema)
            finally:
                await connection.close(timeout=5)
        except Exception as error:  # noqa: BLE001 whatever it is, there is time
            log.info("the schema's last steps could not be taken; will try again", error=f"{type(error).__name__}: {error}")
        if not finished:
            await asyncio.sleep(FINISHING_SECONDS)


def _text(write: Write) -> None:
    """Refuse what PostgreSQL cannot hold as text, before it meets its neighbours; raises UnicodeEncodeError or StoreError."""
    for key in (write.key, *(check.key for check in write.checks)):
        for part in key:
            if "\0" in part:
                raise StoreError("a name must not hold the character NUL")
            part.encode()
