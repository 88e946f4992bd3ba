"""The session that knows how far the database has come: it listens for notices, and asks.

A notice only wakes; what is true is asked. One question is shared by all who wait for it, and
who comes while one is under way waits for the next, so that the answer is never older than the
question. The same question is asked now and then without anybody waiting: it finds a lost
notice, a dead connection, and a database that lacks what it acknowledged.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from skerry.kit.aio import Pulse
from skerry.kit.backoff import Backoff
from skerry.store.contract import StoreError
from skerry.store.postgres.server import SQL, Known, Lane, Server, explain, passing


class Watch:
    """How far log and latest values have come, and a pulse for each."""

    def __init__(self, server: Server) -> None:
        """Nothing is asked before ``work`` runs."""
        self._server = server
        self._known = server.known
        self.log = Pulse()
        self.latest = Pulse()
        self._lane = Lane(server, server.limits.call, self._listen)
        self._waiting: list[asyncio.Future[None]] = []
        self._wanted = asyncio.Event()

    async def ask(self) -> Known:
        """Learn how far the database has come, no earlier than now; raises StoreError."""
        self._server.refuse_when_away()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wanted.set()
        await future
        return self._known

    def note(self, revision: int) -> None:
        """Take note of a committed revision."""
        if revision > self._known.revision:
            self._known.revision = revision
            self.log.beat()

    def note_latest(self, sequence: int) -> None:
        """Take note of a committed sequence number."""
        if sequence > self._known.sequence:
            self._known.sequence = sequence
            self.latest.beat()

    async def work(self) -> None:
        """Ask whenever somebody wants to know, and now and then."""
        backoff = Backoff(base=0.1, limit=1.0, floor=0.02)
        while True:
            self._wanted.clear()
            waiting, self._waiting = self._waiting, []
            began = time.monotonic()
            try:
                await self._lane.run(self._look)
            except Exception as error:  # noqa: BLE001 it is the answer to whoever waits, and is tried again
                self._missed(began, error, waiting)
                await asyncio.sleep(backoff.next())
                continue
            backoff.reset()
            self._server.answered()
            for future in waiting:
                if not future.done():
                    future.set_result(None)
            if not self._wanted.is_set():
                await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._server.limits.poll):
                await self._wanted.wait()
        except TimeoutError:
            pass  # time to look

    def _missed(self, began: float, error: Exception, waiting: list[asyncio.Future[None]]) -> None:
        self._server.failed(began, error)
        try:
            self._server.refuse_when_away()
            if not passing(error):
                raise explain(error, self._server.address)
        except StoreError as why:
            self._refuse([*waiting, *self._waiting], why)
            self._waiting.clear()
        else:
            self._waiting = [*waiting, *self._waiting]
            self._wanted.set()

    def _refuse(self, waiting: list[asyncio.Future[None]], why: StoreError) -> None:
        for future in waiting:
            if not future.done():
                future.set_exception(why)

    async def _look(self, connection: Any) -> None:
        before, before_latest = self._known.revision, self._known.sequence
        found = await connection.fetchrow(SQL["head"])
        if found["revision"] < before or found["sequence"] < before_latest:
            await self._server.heal(connection)
            found = await connection.fetchrow(SQL["head"])
        self._known.epoch, self._known.objects, self._known.compacted = found["epoch"], found["objects"], found["compacted"]
        self.note(found["revision"])
        self.note_latest(found["sequence"])

    async def _listen(self, connection: Any) -> None:
        connection.add_termination_listener(lambda _: self._wanted.set())
        await connection.add_listener("skerry_log", lambda *notice: self.note(int(notice[-1])))
        await connection.add_listener("skerry_latest", lambda *notice: self.note_latest(int(notice[-1])))

    async def close(self, why: StoreError) -> None:
        """Wake whoever waits; ``work`` has ended."""
        self._refuse(self._waiting, why)
        self.log.beat()
        self.latest.beat()
        await self._lane.close()
