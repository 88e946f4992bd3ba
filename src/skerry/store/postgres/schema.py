"""Making and migrating the schema, while servers of this release and of the one before run.

* One program migrates at a time, and each step is there whole or not at all, with its level.
* Every session shows which schema its server knows, by a shared advisory lock that ends with it: no
  clock tells who is there. A post step takes the locks of all who know less, so it runs only when
  none of them has a session, and who comes while it runs waits, and is then refused.
* The pre steps are taken at the start, the post steps as soon as they may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skerry.store.contract import StoreError
from skerry.store.schema import Level, Migration, migrations, refuse_newer, steps

MIGRATIONS = migrations("postgres")
LOCK = 0x736B65727279  # "skerry": the advisory lock of whoever migrates
SERVERS = 0x736B7279  # "skry": the advisory locks, by number of the newest schema, of those who know no newer one


async def migrate(connection: Any, where: object, known: Sequence[Migration] = MIGRATIONS) -> bool:
    """Take the pre steps, and the post steps that may be taken; returns whether all are. Raises NewerSchema. The session shows itself."""
    await show(connection, where, known)
    if (await _found(connection)).pre < len(known):
        async with connection.transaction():
            await _lock(connection)
            found = await _found(connection)  # another replica may have been quicker
            refuse_newer(found, known, where)
            if found == Level(0, 0):
                await _begin(connection)
            for level, script in steps(known, found, post=False):
                await _step(connection, level, script)
    return await finish(connection, known)


async def finish(connection: Any, known: Sequence[Migration] = MIGRATIONS) -> bool:
    """Take the post steps that nobody who is there would miss anything by; returns whether all are taken."""
    if (await _found(connection)).post >= len(known):
        return True
    async with connection.transaction():
        await _lock(connection)
        for level, script in steps(known, await _found(connection), post=True):
            for older in range(1, level.post):
                if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1, $2)", SERVERS, older):
                    return False
            await _step(connection, level, script)
    return True


async def show(connection: Any, where: object, known: Sequence[Migration] = MIGRATIONS) -> None:
    """Show for as long as the session lasts what schema is known; raises NewerSchema for a database that has gone beyond."""
    await connection.fetchval("SELECT pg_advisory_lock_shared($1, $2)", SERVERS, len(known))
    refuse_newer(await _found(connection), known, where)


async def existing(connection: Any, where: object) -> Level:
    """How far the schema of a database has come that has one of ours; raises StoreError, NewerSchema. The session shows itself."""
    await show(connection, where)
    found = await _found(connection)
    if found == Level(0, 0):
        raise StoreError(f"{where} holds no database of Skerry's; see whether it is the one that the servers are started with")
    return found


async def _lock(connection: Any) -> None:
    await connection.fetchval("SELECT pg_advisory_xact_lock($1)", LOCK)


async def _found(connection: Any) -> Level:
    """How far the schema of a database has come; 0, 0 where there is none of ours."""
    # from the catalogue itself: a name that was looked up in vain is remembered until the transaction ends
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'skerry' AND tablename = 'schema_level')"):
        return Level(0, 0)
    return Level(*await connection.fetchrow("SELECT pre, post FROM skerry.schema_level"))


async def _begin(connection: Any) -> None:
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'skerry')"):
        await connection.execute("CREATE SCHEMA skerry")
    await connection.execute("CREATE TABLE skerry.schema_level (pre integer NOT NULL, post integer NOT NULL)")
    await connection.execute("INSERT INTO skerry.schema_level VALUES (0, 0)")


async def _step(connection: Any, level: Level, script: str) -> None:
    await connection.execute(script or "SELECT")
    await connection.execute("UPDATE skerry.schema_level SET pre = $1, post = $2", level.pre, level.post)
