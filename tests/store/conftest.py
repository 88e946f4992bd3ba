"""Every test of the contract runs on every dialect: a new one joins by a line in STORES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from skerry.pki.keyring import KeyringFile
from skerry.store.contract import Store
from skerry.store.memory import MemoryStore
from skerry.store.sealed import SealedStore
from skerry.store.sqlite import SqliteStore


async def _memory(_: Path) -> Store:
    return MemoryStore()


async def _sqlite(folder: Path) -> Store:
    return await SqliteStore.open(folder / "store.db")


async def _sealed(folder: Path) -> Store:
    keyring = KeyringFile.create(folder / "keyring.json", "2026-01-01T00:00:00Z")
    return SealedStore(await _sqlite(folder), keyring, {"things", "others"})


STORES: dict[str, Callable[[Path], Awaitable[Store]]] = {"memory": _memory, "sqlite": _sqlite, "sealed": _sealed}


@pytest.fixture(params=sorted(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await STORES[request.param](tmp_path)
    yield opened
    await opened.close()
