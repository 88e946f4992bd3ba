"""A look at a PostgreSQL database from outside, whether servers run on it or not: nothing is changed."""

from __future__ import annotations

from typing import Any

from skerry.store.contract import Key
from skerry.store.examine import Examined
from skerry.store.postgres.schema import existing
from skerry.store.postgres.server import SQL, Address, Limits, Server, explain
from skerry.store.sealing import MAGIC, key_of

SECONDS = 600.0


async def examine(address: Address, mark: Key) -> Examined:
    """Look through a database (reads the heads of all its values), and fetch one value; raises StoreError that says what to do."""
    try:
        connection = await Server(address, Limits()).connect(SECONDS)
        try:
            return await _examined(connection, address, mark)
        finally:
            await connection.close(timeout=5)
    except Exception as error:
        raise explain(error, address) from error


async def _examined(connection: Any, address: Address, mark: Key) -> Examined:
    level = await existing(connection, address)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        head = await connection.fetchrow(SQL["head"])
        heads = await connection.fetch(SQL["sealed_heads"], MAGIC)
        marked = await connection.fetchrow(SQL["present"], *mark)
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
    return Examined(
        schema=level.pre,
        revision=head["revision"],
        compacted=head["compacted"],
        objects=head["objects"],
        epoch=head["epoch"],
        size=size,
        log_size=0,
        holder="",
        keys=tuple(sorted({key_of(each["head"]) for each in heads})),
        mark=marked and marked["value"],
    )
