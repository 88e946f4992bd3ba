"""Making and migrating the schema: one program at a time, all or nothing."""

from __future__ import annotations

from typing import Any

from skerry.store.contract import StoreError
from skerry.store.postgres.server import Address
from skerry.store.sql import queries

SCHEMA = 1
LOCK = 0x736B65727279  # "skerry": the advisory lock of whoever migrates

STEPS = queries("postgres/schema.sql")


async def migrate(connection: Any, address: Address) -> None:
    """Bring a database to this release's schema; raises StoreError for a newer one."""
    found = await _found(connection)
    if found < SCHEMA:
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
            found = await _found(connection)  # another replica may have been quicker
            if found < SCHEMA:
                await _bring(connection, found)
                return
    if found > SCHEMA:
        raise StoreError(f"{address} was written by a newer Skerry (schema {found}, this one knows {SCHEMA}); upgrade Skerry to use it")


async def _found(connection: Any) -> int:
    # from the catalogue itself: a name that was looked up in vain is remembered until the transaction ends
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'skerry' AND tablename = 'schema_version')"):
        return 0
    return int(await connection.fetchval("SELECT version FROM skerry.schema_version"))


async def _bring(connection: Any, found: int) -> None:
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'skerry')"):
        await connection.execute("CREATE SCHEMA skerry")
    for phase in ("pre", "post"):
        for number in range(found + 1, SCHEMA + 1):
            await connection.execute(STEPS[f"migration_{number}_{phase}"])
    await connection.execute("CREATE TABLE IF NOT EXISTS skerry.schema_version (version integer NOT NULL)")
    await connection.execute("DELETE FROM skerry.schema_version")
    await connection.execute("INSERT INTO skerry.schema_version VALUES ($1)", SCHEMA)
