"""Real PostgreSQL for tests: one server of each release per session, a fresh database per test.

A database is copied from a template that was migrated once, which takes a twentieth of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

import asyncpg

from peers.postgresql import PostgreSql, programs
from skerry.store.postgres.server import Address, Limits
from skerry.store.postgres.store import PostgresStore

RELEASES = ("wheel", "debian-15")
PATIENT = Limits(call=30.0, away=120.0, connect=30.0)
"""For tests in which nothing breaks: a slow machine is no failure."""


def why_not(release: str) -> str:
    """Why a release cannot be tested here; empty if it can."""
    return "" if programs(release) else f"peer PostgreSQL ({release}) is missing: run `make peers` as root on Debian"


class Databases:
    """The servers of this session; they start with their first use and end with the session."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._servers: dict[str, PostgreSql] = {}
        self._numbers = count()

    async def fresh(self, release: str = "wheel") -> Address:
        """A migrated, empty database that nobody else uses."""
        server = self._servers.get(release)
        if server is None:
            server = self._servers[release] = self._stack.enter_context(PostgreSql(release))
            await self._sql(server, "CREATE DATABASE template_skerry")
            await (await PostgresStore.open(Address(server.dsn("template_skerry")), PATIENT)).close()
        name = f"test_{next(self._numbers)}"
        await self._sql(server, f"CREATE DATABASE {name} TEMPLATE template_skerry")
        return Address(server.dsn(name))

    async def empty(self, release: str = "wheel") -> Address:
        """A database without any schema."""
        await self.fresh(release)
        server, name = self._servers[release], f"test_{next(self._numbers)}"
        await self._sql(server, f"CREATE DATABASE {name}")
        return Address(server.dsn(name))

    async def _sql(self, server: PostgreSql, statement: str) -> None:
        connection = await asyncpg.connect(server.dsn(), timeout=60)
        await connection.execute(statement)
        await connection.close()


@contextmanager
def databases() -> Iterator[Databases]:
    with ExitStack() as stack:
        yield Databases(stack)
