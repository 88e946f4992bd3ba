from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.fleet import Fleet, beside
from tests.gateway.fleet import fleet as run_fleet


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """An installation with one management cluster, ``sv-1``, whose agent is yet to come."""
    async with run_fleet(tmp_path) as made:
        await made.management_cluster()
        yield made


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Fleet, Fleet]]:
    """Two gateways of one installation, with one management cluster."""
    async with run_fleet(tmp_path, identity="one") as one:
        await one.management_cluster()
        async with beside(one, "two") as two:
            yield one, two
