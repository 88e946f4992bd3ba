from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.restapi.door import Caller, door


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    async with door() as caller:
        yield caller
