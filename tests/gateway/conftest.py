from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.fleet import Fleet
from tests.gateway.fleet import fleet as run_fleet


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """An installation with one management cluster, ``sv-1``, whose agent is yet to come."""
    async with run_fleet(tmp_path) as made:
        await made.management_cluster()
        yield made
