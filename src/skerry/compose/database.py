"""Which store a server runs on: the embedded file of its data folder, or a PostgreSQL database that several may share.

The data folder belongs to one process either way: keys, tokens and the audit log are in it.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from skerry.compose.settings import ServerSettings
from skerry.pki.files import write_secret
from skerry.store.contract import Store, StoreError
from skerry.store.files import FileLock
from skerry.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from skerry.store.postgres.server import Address

SCHEMES = ("postgresql://", "postgres://")


@contextlib.asynccontextmanager
async def opened(settings: ServerSettings) -> AsyncIterator[Store]:
    """Open the store, and close it at the end; raises StoreError or OSError that says what is wrong."""
    with contextlib.ExitStack() as stack:
        if settings.shared:
            stack.callback(FileLock(settings.database).release)  # the embedded file brings its own
        store = await (_postgres(settings) if settings.shared else SqliteStore.open(settings.database))
        try:
            yield store
        finally:
            await store.close()


def replica(folder: Path) -> str:
    """The name of this server among those that share a database: made once, and kept in its data folder."""
    path = folder / "replica"
    if not path.exists():
        write_secret(path, secrets.token_hex(4).encode())
    return path.read_text()


async def _postgres(settings: ServerSettings) -> Store:
    from skerry.store.postgres.store import PostgresStore

    return await PostgresStore.open(address(settings))


def shown(settings: ServerSettings) -> str:
    """The address of a database that is shared, without anything secret; empty for an embedded one."""
    if not settings.shared:
        return ""
    from skerry.store.postgres.server import Address

    return str(Address(settings.database_url))


def address(settings: ServerSettings) -> Address:
    """Where a database that is shared is; raises StoreError or OSError."""
    from skerry.store.postgres.server import Address

    if not settings.database_url.startswith(SCHEMES):
        raise StoreError("the address of a database begins with postgresql://")
    password = None
    if settings.database_password is not None:
        password = settings.database_password.read_text().rstrip("\r\n")
    return Address(settings.database_url, password)
