"""Every test of the contract runs on every dialect: a new one joins by a line in STORES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from skerry.pki.keyring import KeyringFile
from skerry.store.contract import Store
from skerry.store.memory import MemoryStore
from skerry.store.postgres.store import PostgresStore
from skerry.store.sealed import SealedStore
from skerry.store.sqlite import SqliteStore
from tests.store.databases import PATIENT, RELEASES, Databases, databases, why_not


async def _memory(_: Path, __: Databases) -> Store:
    return MemoryStore()


async def _sqlite(folder: Path, _: Databases) -> Store:
    return await SqliteStore.open(folder / "store.db")


def _postgres(release: str) -> Callable[[Path, Databases], Awaitable[Store]]:
    async def opened(_: Path, servers: Databases) -> Store:
        return await PostgresStore.open(await servers.fresh(release), PATIENT)

    return opened


async def _sealed(folder: Path, servers: Databases) -> Store:
    keyring = KeyringFile.create(folder / "keyring.json", "2026-01-01T00:00:00Z")
    return SealedStore(await _sqlite(folder, servers), keyring, {"things", "others"})


STORES: dict[str, Callable[[Path, Databases], Awaitable[Store]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "sealed": _sealed,
    **{f"postgres-{release}": _postgres(release) for release in RELEASES},
}


@pytest.fixture(scope="session")
def servers() -> Iterator[Databases]:
    with databases() as made:
        yield made


def _skip_where_missing(store: str) -> None:
    why = why_not(store.removeprefix("postgres-")) if store.startswith("postgres-") else ""
    if why:
        pytest.skip(why)


@pytest.fixture(params=sorted(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path, servers: Databases) -> AsyncIterator[Store]:
    _skip_where_missing(request.param)
    opened = await STORES[request.param](tmp_path, servers)
    yield opened
    await opened.close()


@pytest.fixture
def wheel() -> None:
    """For tests of what is PostgreSQL's own, on the newest release."""
    _skip_where_missing("postgres-wheel")
