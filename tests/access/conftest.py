from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.access.people import People, people


@pytest.fixture
async def server() -> AsyncIterator[People]:
    async with people() as found:
        yield found
