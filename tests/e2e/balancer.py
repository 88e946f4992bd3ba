"""What stands before several servers and passes TCP on, as a site's load balancer does: a test says to which of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple, Self

from tests.pumping import pump


class Ports(NamedTuple):
    """The ports of a server, or of what stands before it."""

    front: int
    gateway: int
    tokens: int


class Balancer:
    """Listens on three ports, and leads each to that of one server at a time."""

    def __init__(self) -> None:
        self.ports = Ports(0, 0, 0)
        self.led: set[int] = set()
        """The ports of servers to which it has led somebody."""
        self._target = Ports(0, 0, 0)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Listen until the block is left."""
        async with AsyncExitStack() as stack:
            listening = [await asyncio.start_server(partial(self._lead, which), "127.0.0.1", 0) for which in range(len(self.ports))]
            for each in listening:
                stack.callback(each.close)
            self.ports = Ports(*(each.sockets[0].getsockname()[1] for each in listening))
            yield self

    def lead_to(self, target: Ports) -> None:
        """Bring who connects from now on to another server; connections that stand go on until one of their ends is gone."""
        self._target = target

    async def _lead(self, which: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target[which])
        except OSError:
            writer.transport.abort()
            return
        self.led.add(far_writer.get_extra_info("peername")[1])
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, far_writer))
            group.create_task(pump(far_reader, writer))
