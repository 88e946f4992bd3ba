"""What an agent has to say in one session, in the order in which it is sent.

Words (heartbeats, acknowledgements, requests) go first, then reports, then inventory. Each line is
bounded by its nature: words are few, reports are one per set and wait where they are made, and a
delta is handed over only when the one before it is on its way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from skerry.kit.aio import Pulse
from skerry.tunnel import link_pb2 as pb


class Outbox:
    """The lines of one session."""

    def __init__(self, take_report: Callable[[], pb.DesiredResult | None], pulse: Pulse) -> None:
        """Reports are taken when they can be sent; ``pulse`` beats when there is one."""
        self._take_report = take_report
        self._pulse = pulse
        self._words: deque[pb.ControlRequest] = deque()
        self._delta: pb.InventoryDelta | None = None
        self._sent = asyncio.Event()
        self._closed = False

    def close(self) -> None:
        """The session is over: take nothing more, above all no report, which belongs to the next one."""
        self._closed = True
        self._pulse.beat()

    def say(self, message: pb.ControlRequest) -> None:
        """Send a word."""
        self._words.append(message)
        self._pulse.beat()

    async def send_delta(self, delta: pb.InventoryDelta) -> None:
        """Send a delta; returns once it is on its way. One at a time."""
        self._sent.clear()
        self._delta = delta
        self._pulse.beat()
        await self._sent.wait()

    async def messages(self) -> AsyncIterator[pb.ControlRequest]:
        """Everything, as it comes, until the session is over."""
        while not self._closed:
            seen = self._pulse.count
            if self._words:
                yield self._words.popleft()
            elif (report := self._take_report()) is not None:
                yield pb.ControlRequest(result=report)
            elif self._delta is not None:
                delta, self._delta = self._delta, None
                yield pb.ControlRequest(inventory=delta)
                self._sent.set()
            else:
                await self._pulse.after(seen)
