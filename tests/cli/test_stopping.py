"""A process that should have stopped says what keeps it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
import structlog

from skerry.cli.common import tell_what_runs
from skerry.kit import log
from skerry.kit.aio import TaskOwner


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """The log that is configured here ends with the test's output: whoever logs later would find it closed."""
    yield
    structlog.reset_defaults()


async def test_what_keeps_a_process_from_stopping_is_logged_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    async with TaskOwner("test") as owner:
        owner.spawn(asyncio.Event().wait(), "stubborn")
        await asyncio.sleep(0)
        tell_what_runs()
    captured = capsys.readouterr()
    [line] = [json.loads(line) for line in (captured.err + captured.out).splitlines() if "has not stopped yet" in line]
    assert "locks.py" in line["tasks"]["test/stubborn"]
