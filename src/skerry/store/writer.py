"""The one connection that writes: a batch of writes becomes one transaction and one fsync.

* Writes are judged in turn, each against what the earlier ones of its batch did; one that
  conflicts or whose check refuses leaves its neighbours alone.
* So does one that the database cannot take at all (a name that is no text, a value too big):
  such a batch is rolled back and halved until the culprit stands alone.
* When the disk itself fails, nobody knows what an fsync left behind. Nothing more is written
  until the database is opened anew, which reads what is really there.
* Compaction goes in slices between batches, so that no write waits long for it. The slice's
  end is recorded with its deletions: a crash leaves a shorter log, never a wrong one.

Everything here is synchronous and runs on the writer's thread; ``sqlite.py`` owns that thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from skerry.store.batch import Landed, judge
from skerry.store.contract import Change, Key, Row, Verb, Write
from skerry.store.files import MIGRATIONS, SQL, concerns_all, connect, disk_failed, explain, migrate

Outcome = Change | BaseException

TABLES = {
    "log": "revision, verb, organization, resource, namespace, name, previous, value",
    "current": "organization, resource, namespace, name, revision",
    "meta": "key, value",
}
"""All of the schema, with the columns of each table."""


class Writer:
    """The writing side of one database; also the present that a batch is judged against."""

    def __init__(self, path: Path) -> None:
        """Open or create, and migrate; blocks. Raises sqlite3.Error, or NewerSchema."""
        self.path = path
        self._connection = connect(path, durable=True)
        try:
            self._connection.execute("PRAGMA secure_delete=ON")  # what is gone is overwritten: it may have been a secret
            migrate(self._connection, path, MIGRATIONS)
            self._look()
        except BaseException:
            self._connection.close()
            raise
        self._failure: sqlite3.Error | None = None

    def _look(self) -> None:
        """Learn how far the database has come."""
        self.newest = self._number("newest")
        self.compacted = self._number("compacted")
        self.epoch = self._number("epoch")
        self.objects = self._number("count")

    def trouble(self) -> str:
        """Why nothing can be written until the database is opened anew; empty if it can."""
        return "" if self._failure is None else str(explain(self._failure, self.path))

    def row(self, key: Key) -> Row | None:
        """Return the current row of a key."""
        found = self._connection.execute(SQL["present"], key).fetchone()
        return Row(key, found[0], found[1]) if found else None

    def under(self, organization: str, namespace: str) -> bool:
        """Tell whether any object lives in a namespace."""
        found = self._connection.execute(SQL["anything_under"], {"organization": organization, "namespace": namespace})
        return found.fetchone() is not None

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Run a batch; return for each write the change that it made, or why it made none."""
        if self._failure is not None:
            return [explain(self._failure, self.path) for _ in writes]
        try:
            return self._run(writes)
        except Exception as error:  # noqa: BLE001 whatever a write or the database raises is the answer to somebody who waits
            if isinstance(error, sqlite3.Error) and disk_failed(error):
                self._failure = error
            if len(writes) == 1 or concerns_all(error):
                return [explain(error, self.path) for _ in writes]
        half = len(writes) // 2
        return self.commit(writes[:half]) + self.commit(writes[half:])

    def _run(self, writes: Sequence[Write]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        newest, objects = self.newest, self.objects
        execute = self._connection.execute
        with self._transaction():
            for outcome in judge(writes, self, newest):
                if isinstance(outcome, Landed):
                    change = outcome.change
                    execute(SQL["append"], (change.revision, change.verb.value, *change.key, outcome.replaces, change.value))
                    if change.verb is Verb.DELETE:
                        execute(SQL["forget"], change.key)
                    else:
                        execute(SQL["point"], (*change.key, change.revision))
                    objects += (change.verb is Verb.CREATE) - (change.verb is Verb.DELETE)
                    newest = change.revision
                    outcomes.append(change)
                else:
                    outcomes.append(outcome)
        self.newest, self.objects = newest, objects
        return outcomes

    def compact(self, until: int) -> int:
        """Forget what only revisions in (compacted, ``until``] need; return how far the log is compacted now."""
        until = min(until, self.newest)
        if until > self.compacted:
            bounds = {"from": self.compacted, "until": until}
            with self._transaction():
                self._connection.execute(SQL["compact"], bounds)
                self._connection.execute(SQL["set_compacted"], bounds)
            self.compacted = until
        return self.compacted

    def rewrite(self, values: Sequence[tuple[Row, bytes]]) -> int:
        """Put other bytes in the place of stored ones, where these still stand; return how many."""
        with self._transaction():
            done = [self._connection.execute(SQL["rewrite"], (fresh, row.revision, row.value)).rowcount for row, fresh in values]
        return sum(done)

    def fold(self) -> None:
        """Fold the write-ahead log back into the database and cut it off, as soon as no reader needs it."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def open_epoch(self, revision: int) -> int:
        """Forget the past and go on behind ``revision``; return the number of the new epoch."""
        self.compact(self.newest)
        with self._transaction():
            self._connection.execute(SQL["open_epoch"], {"revision": revision})
        self.newest, self.compacted, self.epoch = revision, revision, self._number("epoch")
        return self.epoch

    def exchange(self, part: Path) -> int:
        """Put what another database of the same schema holds in the place of everything, at once; return the newest revision then."""
        self._connection.execute("ATTACH ? AS part", (str(part),))
        try:
            with self._transaction():
                for table, columns in TABLES.items():
                    self._connection.execute(f"DELETE FROM main.{table}")  # noqa: S608 the same
                    self._connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM part.{table}")  # noqa: S608 names of ours
        finally:
            self._connection.execute("DETACH part")
        self._look()
        return self.newest

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise

    def _number(self, query: str) -> int:
        return int(self._connection.execute(SQL[query]).fetchone()[0])
