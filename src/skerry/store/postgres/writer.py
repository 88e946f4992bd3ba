"""The one session that writes: a batch of writes is one call of the database, which is one transaction.

* Batches have numbers, and the database remembers the last one of each process with its answers.
  An answer that got lost is fetched by sending the batch again: what was committed is answered from
  memory, what was not is done now, and a copy that is still on its way is refused later.
* A check that must see another object is judged here, on the bytes as last known, and sent with the
  revision that was judged. Where the object has changed since, the database tells what is there,
  and the write goes into the next batch.
* A write that the database cannot take at all leaves its neighbours alone: such a batch is halved until
  the culprit stands alone.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from skerry.store.contract import Check, Key, Require, RevisionConflict, Row, StoreError, StoreUnavailable, Write
from skerry.store.postgres import readers
from skerry.store.postgres.server import SQL, Lane, Server, concerns_all

MOST_TRIES = 50
"""So often a write is sent again because an object that it requires changed meanwhile."""

JUDGED = 1000
NO_PIN, UNKNOWN = -1, 0


@dataclass(slots=True)
class Wanted:
    """A write that waits: its outcome is a revision or the reason why there is none; None while it must be sent again."""

    write: Write
    tries: int = 0
    outcome: int | BaseException | None = None


@dataclass(slots=True)
class _Checks:
    """The checks of a batch as the database gets them: columns of equal length."""

    of: list[Check] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    pins: list[int] = field(default_factory=list)

    def columns(self) -> tuple[list[Any], ...]:
        keys = [check.key for check in self.of]
        kinds = [check.require.value for check in self.of]
        return (self.writes, kinds, self.pins, *(list(part) for part in zip(*keys, strict=True))) if keys else ([], [], [], [], [], [], [])


class Writer:
    """The writing side of one database."""

    def __init__(self, server: Server) -> None:
        """Nothing is sent yet."""
        self._server = server
        self._lane = Lane(server, server.limits.call, _plan_for_growth)
        self._id = uuid.uuid4()
        self._batch = 0
        self._judged: OrderedDict[Key, Row] = OrderedDict()

    async def commit(self, batch: Sequence[Wanted]) -> int:
        """Commit a batch and set its outcomes; return the newest revision afterwards (0: unknown)."""
        try:
            checks = self._checks(batch)
            answer = await self._send(batch, checks)
            await self._settle(batch, checks, answer)
        except Exception as error:  # noqa: BLE001 whatever the database says is the answer to somebody who waits
            if len(batch) == 1 or concerns_all(error):
                for wanted in batch:
                    wanted.outcome = error
                return 0
        else:
            self._server.known.objects, self._server.known.epoch = answer["now_objects"], answer["now_epoch"]
            return int(answer["newest"])
        half = len(batch) // 2
        return max([await self.commit(batch[:half]), await self.commit(batch[half:])])

    async def _send(self, batch: Sequence[Wanted], checks: _Checks) -> Any:
        self._batch += 1
        number, known = self._batch, self._server.known
        writes = [wanted.write for wanted in batch]
        keys = [list(part) for part in zip(*(write.key for write in writes), strict=True)]
        columns = (
            *keys,
            [write.expect for write in writes],
            [write.value.head for write in writes],
            [write.value.tail for write in writes],
            [write.delete for write in writes],
            *checks.columns(),
        )
        return await self._server.persist(
            self._lane, lambda connection: connection.fetchrow(SQL["commit"], self._id, number, known.revision, *columns)
        )

    # checks that see another object

    def _checks(self, batch: Sequence[Wanted]) -> _Checks:
        checks = _Checks()
        for place, wanted in enumerate(batch, 1):
            for check in wanted.write.checks:
                checks.of.append(check)
                checks.writes.append(place)
                checks.pins.append(self._pin(check) if check.accept and check.require is Require.EXISTS else NO_PIN)
        return checks

    def _pin(self, check: Check) -> int:
        """The revision at which a check is known to accept; UNKNOWN makes the database tell what is there."""
        row = self._judged.get(check.key)
        if row is None:
            return UNKNOWN
        self._judged.move_to_end(check.key)
        return row.revision if _refusal(check, row) is None else UNKNOWN

    def _remember(self, row: Row) -> None:
        self._judged[row.key] = row
        self._judged.move_to_end(row.key)
        while len(self._judged) > JUDGED:
            self._judged.popitem(last=False)

    # outcomes

    async def _settle(self, batch: Sequence[Wanted], checks: _Checks, answer: Any) -> None:
        told = zip(answer["told_writes"] or (), answer["told_revisions"] or (), answer["told_values"] or (), strict=True)
        rows = {place: (revision, value) for place, revision, value in told}
        for place, (wanted, code) in enumerate(zip(batch, answer["answers"], strict=True), 1):
            if code > 0:
                wanted.outcome = code
            elif code == 0:
                wanted.outcome = RevisionConflict(await self._row(wanted.write.key, rows.get(place)))
            elif code == -1:
                wanted.outcome = StoreError("a deletion must name the revision that it deletes")
            elif code % 2 == 0:
                check = checks.of[-code // 2 - 1]
                wanted.outcome = check.otherwise or StoreError(f"{check.key} is not {check.require}")
            else:
                check = checks.of[(-code - 1) // 2 - 1]
                wanted.outcome = self._judge(wanted, check, await self._row(check.key, rows.get(place)))

    async def _row(self, key: Key, told: tuple[int, bytes | None] | None) -> Row | None:
        """What stands at a key: as told, or read now."""
        if told is not None and told[0] == 0:
            return None
        if told is not None and told[1] is not None:
            return Row(key, told[0], told[1])
        return await self._server.persist(self._lane, lambda connection: readers.row(connection, key))

    def _judge(self, wanted: Wanted, check: Check, row: Row | None) -> BaseException | None:
        """Judge a check on what is there; None sends the write again."""
        if row is None:
            return check.otherwise or StoreError(f"{check.key} is not {check.require}")
        self._remember(row)
        wanted.tries += 1
        if wanted.tries > MOST_TRIES:
            return StoreUnavailable(f"{check.key} changes too often; try again")
        return _refusal(check, row)

    async def close(self) -> None:
        """End the session."""
        await self._lane.close()


def _refusal(check: Check, row: Row) -> BaseException | None:
    """Why a check refuses; a check that stumbles refuses with its own error."""
    try:
        return check.accept(row.value) if check.accept else None
    except Exception as error:  # noqa: BLE001 it is the answer to the write that brought the check
        return error


async def _plan_for_growth(connection: Any) -> None:
    """Look-ups are by key: a plan that was made while a table was small must not be kept when it has grown."""
    await connection.execute("SET enable_seqscan = off")
