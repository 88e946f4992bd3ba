"""Many agents come back to a server that was killed: spread, and without a hand. `python -m bench.reconnects` does it with 2,000."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.reconnects import measure

AGENTS = 250


async def test_many_agents_come_back_within_a_minute_and_not_all_at_once(tmp_path: Path) -> None:
    first, again = await asyncio.to_thread(measure, tmp_path, AGENTS)
    assert first.seconds < 60
    assert again.seconds < 60
    assert again.busiest < AGENTS
