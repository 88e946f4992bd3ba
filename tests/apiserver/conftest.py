from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from skerry.apiserver.http import new_loop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Whatever happens on a socket happens on both loops: the one we serve on, and the one that tests elsewhere use."""
    return {"uvloop": new_loop, "asyncio": asyncio.new_event_loop}
