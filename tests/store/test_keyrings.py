"""Which keyring belongs to a database: found out at the start, also by several that start at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from skerry.compose.encryption import encrypted
from skerry.kit.clock import SystemClock
from skerry.store.memory import MemoryStore


async def test_the_first_start_makes_a_keyring_and_every_later_one_finds_it_right(tmp_path: Path) -> None:
    store = MemoryStore()
    for _ in range(3):
        sealed, rewriting = await encrypted(store, tmp_path / "keyring.json", SystemClock())
        assert sealed.refusal == ""
        assert (await rewriting.usage()).total() == 1
    assert await store.head() == 1


async def test_of_servers_that_start_at_once_with_keyrings_of_their_own_one_serves_and_the_others_say_why_not(tmp_path: Path) -> None:
    store, clock = MemoryStore(), SystemClock()
    made = await asyncio.gather(*(encrypted(store, tmp_path / f"{number}.json", clock) for number in range(5)))
    refusals = [sealed.refusal for sealed, _ in made]
    assert refusals.count("") == 1
    assert all("which the keyring does not hold" in each for each in refusals if each)


async def test_servers_that_share_the_file_all_serve(tmp_path: Path) -> None:
    store, clock = MemoryStore(), SystemClock()
    made = await asyncio.gather(*(encrypted(store, tmp_path / "keyring.json", clock) for _ in range(5)))
    assert [sealed.refusal for sealed, _ in made] == [""] * 5
