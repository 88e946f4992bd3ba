"""The database as this process knows it: sessions with it, whether it answers, and what its errors mean.

* Every session is told its limits when it begins (lock, statement, idle transaction), so that
  nothing that this process starts can hold others up for long; ``synchronous_commit`` is never off.
* A session is used only if the server takes writes. The *history* that the server writes (its
  cluster and timeline) is held against the one in the database: after a failover, a restore to
  a point in time or a move they differ, the tail may be lost, and a new epoch is opened.
* A session may go deaf without an end: a host is gone, or something on the way forgot the connection. The database ends a
  statement before we cut the call off, so a call that must be cut off tells that nobody hears it; then all sessions
  are made anew, also those that would have waited for longer.
* What breaks is made anew. Whoever works with the database goes on trying for as long as it has not
  been away for longer than the limit, and is then told that it is away (``StoreUnavailable``). While it
  is away only the watch (``watch.py``) knocks; everybody else is refused at once.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg

from skerry.kit.backoff import Backoff
from skerry.kit.log import get
from skerry.store.contract import EPOCH_JUMP, StoreClosed, StoreDamaged, StoreError, StoreFull, StoreUnavailable
from skerry.store.postgres.schema import MIGRATIONS, show
from skerry.store.schema import Migration
from skerry.store.sql import queries

T = TypeVar("T")

SQL = queries("postgres/queries.sql")
OLDEST_VERSION = 15
HIDDEN = frozenset(("password", "sslpassword"))

log = get("store.postgres")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds.

    ``call``: one batch, its answer included (less than ``away``, so that it is tried twice, and less than the 5 s for which the API
    may be away); ``read``: a long list; ``away``: how long the database may be gone before callers are told; ``connect``: one
    attempt; ``poll``: how often the head is looked at where no notice comes.
    """

    call: float = 4.0
    read: float = 60.0
    away: float = 10.0
    connect: float = 4.0
    poll: float = 1.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is: a URL as libpq reads it, and a password that stands elsewhere."""

    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """The URL without anything secret: for logs and messages."""
        parts = urlsplit(self.url)
        user, at, host = parts.netloc.rpartition("@")
        query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name not in HIDDEN], safe="/")
        return f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}{'?' if query else ''}{query}"


@dataclass(slots=True)
class Known:
    """What this process has seen acknowledged; it never goes back."""

    revision: int = 0
    epoch: int = 0
    objects: int = 0
    compacted: int = 0
    sequence: int = 0


class TailLost(Exception):
    """The database lacks what it acknowledged before."""


class Server:
    """One database."""

    def __init__(self, address: Address, limits: Limits, schema: Sequence[Migration] = MIGRATIONS) -> None:
        """Nothing is done yet; ``schema`` is what is known of the database's."""
        self.address = address
        self.schema = schema
        self.limits = limits
        self.known = Known()
        self.closed = False
        self._away_since: float | None = None
        self._lanes: weakref.WeakSet[Lane] = weakref.WeakSet()

    async def connect(self, seconds: float) -> Any:
        """Begin a session in which a statement may take so long; raises what ``explain`` understands."""
        connection = await asyncpg.connect(
            self.address.url, password=self.address.password, timeout=self.limits.connect, server_settings={"application_name": "skerry"}
        )
        try:
            async with asyncio.timeout(self.limits.connect):
                await self._begin(connection, seconds)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _begin(self, connection: Any, seconds: float) -> None:
        version = connection.get_server_version()
        if version.major < OLDEST_VERSION:
            raise StoreError(f"{self.address} runs PostgreSQL {version.major}; Skerry needs {OLDEST_VERSION} or newer")
        settings = {
            "search_path": "skerry",
            "lock_timeout": f"{seconds * 500:.0f}",  # milliseconds: half the time that a call may take
            "statement_timeout": f"{seconds * 800:.0f}",
            "idle_in_transaction_session_timeout": f"{seconds * 1000:.0f}",
            "default_transaction_isolation": "read committed",
            "jit": "off",  # every statement is short; compiling one takes longer than running it
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
        }
        if version.major >= 17:
            settings["transaction_timeout"] = settings["idle_in_transaction_session_timeout"]
        await connection.fetch(SQL["settings"], list(settings), list(settings.values()))

    async def ready(self, seconds: float) -> Any:
        """Begin a session with a database that was migrated, and see that its history is the one that it was written on."""
        connection = await self.connect(seconds)
        try:
            async with asyncio.timeout(self.limits.connect):
                await show(connection, self.address, self.schema)
                history = await _history(connection)
                if history != (await connection.fetchrow(SQL["head"]))["history"]:
                    await self.open_epoch(connection, history)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def open_epoch(self, connection: Any, history: str) -> None:
        """Let revisions jump if this database may lack what was acknowledged; whoever comes second finds it done."""
        known = self.known
        epoch = await connection.fetchval(SQL["open_epoch"], known.revision, known.sequence, history, EPOCH_JUMP, False)
        if epoch > 1:
            log.warning("the database has another history than before, or lost its newest entries; every watch starts anew", epoch=epoch)

    async def heal(self, connection: Any) -> None:
        """The same for a session in which it was noticed."""
        await self.open_epoch(connection, await _history(connection))

    # whether it answers

    def join(self, lane: Lane) -> None:
        """Take note of a session."""
        self._lanes.add(lane)

    def deaf(self) -> None:
        """Make every session anew: one of them did not even hear that its time was up."""
        for lane in list(self._lanes):
            lane.drop()

    def answered(self) -> None:
        """Take note that the database works."""
        if self._away_since is not None:
            log.info("the database answers again", database=str(self.address), away=round(time.monotonic() - self._away_since, 1))
            self._away_since = None

    def failed(self, since: float, error: BaseException) -> None:
        """Take note that a look at it that began at ``since`` (monotonic) came to nothing."""
        if self._away_since is None:
            self._away_since = since
            log.warning(
                "the database does not answer; will try again", database=str(self.address), error=f"{type(error).__name__}: {error}"
            )

    def away(self, since: float | None = None) -> bool:
        """Whether the database has been away for longer than the limit, or a call that began at ``since`` has waited for as long."""
        began = min((each for each in (since, self._away_since) if each is not None), default=None)
        return began is not None and time.monotonic() - began >= self.limits.away

    def refuse_when_away(self, since: float | None = None) -> None:
        """Raise StoreUnavailable if the database has been away for longer than the limit, StoreClosed at the end."""
        if self.closed:
            raise StoreClosed("the store is closed")
        if self.away(since):
            raise StoreUnavailable(f"the database {self.address} does not answer; a write that was under way may or may not have been made")

    async def persist(self, lane: Lane, operation: Callable[[Any], Awaitable[T]]) -> T:
        """Run an operation that may be repeated until the database has answered it; raises StoreError."""
        backoff, since = Backoff(base=0.1, limit=1.0, floor=0.02), None
        while True:
            self.refuse_when_away(since)
            began = time.monotonic()
            try:
                return await lane.run(operation)
            except TailLost:
                await self.persist(lane, self.heal)
            except Exception as error:
                if not passing(error):
                    raise explain(error, self.address) from error
                since = since or began
                self.refuse_when_away(since)
                await asyncio.sleep(backoff.next())


class Lane:
    """One session, for one caller at a time; made anew when it breaks. A call that takes too long is cut off."""

    def __init__(self, server: Server, seconds: float, on_connect: Callable[[Any], Awaitable[None]] | None = None) -> None:
        """``seconds``: how long a call may take."""
        self._server = server
        self._seconds = seconds
        self._on_connect = on_connect
        self._connection: Any = None
        server.join(self)

    async def run(self, operation: Callable[[Any], Awaitable[T]]) -> T:
        """Run one call. Whatever goes wrong on the way ends the session, except what the database itself answers."""
        try:
            connection = self._connection
            if connection is None or connection.is_closed():
                connection = self._connection = await self._server.ready(self._seconds)
                if self._on_connect is not None:
                    await self._on_connect(connection)
            cut = asyncio.get_running_loop().call_later(self._seconds, self._server.deaf)
            try:
                return await operation(connection)
            finally:
                cut.cancel()
        except asyncpg.PostgresError as error:
            if error.sqlstate == "SK002":
                raise TailLost from error
            if passing(error):
                self.drop()
            raise
        except BaseException:
            self.drop()
            raise

    def drop(self) -> None:
        """End the session at once."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """End the session in good order where that is quick."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=1)
            except Exception:  # noqa: BLE001 it ends either way
                connection.terminate()


async def _history(connection: Any) -> str:
    history: str = await connection.fetchval(SQL["standing"])
    if not history:
        raise asyncpg.ReadOnlySQLTransactionError("the server is a standby")
    return history


PASSING = ("08", "53300", "55P03", "57", "40", "25006", "25P", "58000", "58030")
"""Classes and codes of SQLSTATE that pass: connection, too many of them, locks, operator's intervention, a standby, the system."""


def passing(error: BaseException) -> bool:
    """Tell whether trying again may help."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "").startswith(PASSING)
    return isinstance(error, (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)) and not isinstance(
        error, ValueError
    )


def concerns_all(error: BaseException) -> bool:
    """Tell whether an error is the database's (every write of a batch shares it) and not one write's own."""
    return isinstance(error, StoreError) and type(error) is not StoreError


def explain(error: BaseException, address: Address) -> BaseException:
    """Turn PostgreSQL's errors into ours, with what to do; others stay what they are."""
    if not isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)) or isinstance(error, StoreError):
        return error
    code = str(getattr(error, "sqlstate", None) or "")
    if code == "53100":
        return StoreFull(f"the disk of {address} is full; nothing was lost, writes go on once there is room")
    if code.startswith("XX00") and code != "XX000":
        return StoreDamaged(f"{address} is damaged ({error}); keep a copy of it and restore the last backup")
    if code in {"28000", "28P01", "3D000", "42501"}:
        return StoreError(f"{address} refuses: {error}")
    if passing(error):
        return StoreUnavailable(f"the database {address} cannot be reached: {error or type(error).__name__}")
    return StoreError(f"{address}: {error}")
