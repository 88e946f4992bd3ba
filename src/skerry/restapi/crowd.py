"""Who is served when more is asked for than can be answered: seats, queues, and who needs neither.

In the spirit of Kubernetes' API priority and fairness, and smaller: three kinds of callers.

* **Our own components** always pass: they renew leases, report heartbeats and are few; what
  they ask for at once is bounded by themselves. Health and version are answered before any of this.
* **Watches** take a seat until their stream begins. Then they are counted apart, in all and for
  each user: they cost memory, not time.
* **Everybody else** takes a seat while a request is handled. Who finds none waits in his own
  queue; a seat that becomes free goes to the users in turn, so that one who sends a thousand
  requests delays himself. Who would wait too long, or behind too many, is told 429 with Retry-After.

A seat is taken once the body is there and left before the answer is sent: slow lines keep none.
The bytes of the bodies that are here are bounded on their own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from skerry.machinery.errors import TooManyRequests
from skerry.pki.policy import COMPONENTS
from skerry.restapi.context import Call
from skerry.restapi.response import Response

Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken on at once.

    * ``seats``: enough that commits are shared by many writers; a request needs about a millisecond
      of the event loop, so those before a component's are done within a tenth of a second.
    * ``waiting`` in all, ``waiting_of_one`` user, and ``seconds``: what all seats get done in the time
      that people wait for an answer.
    * ``watches`` in all and ``watches_of_one`` user: a connection with TLS and its watch hold about 100 kB.
    * ``body_bytes``: what bodies may hold in memory; decoded, they hold ten times as much.
    """

    seats: int = 64
    waiting: int = 1024
    waiting_of_one: int = 256
    seconds: float = 15.0
    watches: int = 10_000
    watches_of_one: int = 7_500
    body_bytes: int = 128 * 1024 * 1024


class Bodies:
    """The bytes of request bodies that are in memory."""

    def __init__(self, most: int) -> None:
        """``most`` is in bytes."""
        self._most = most
        self.held = 0

    def take(self, size: int) -> None:
        """Count bytes that came; raises TooManyRequests."""
        if self.held + size > self._most:
            raise TooManyRequests("the bodies of too many requests are being read; try again later", retry_after=2)
        self.held += size

    def give_back(self, size: int) -> None:
        """Count bytes that went."""
        self.held -= size


class Crowd:
    """Everybody who asks for something."""

    def __init__(self, limits: Limits | None = None) -> None:
        """Nobody is here."""
        self._limits = limits or Limits()
        self.bodies = Bodies(self._limits.body_bytes)
        self._seated = 0
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0
        self._watches: dict[str, int] = {}
        self._refused = 0

    async def answer(self, handler: Handler, call: Call) -> Response:
        """Let a request be handled when its turn comes; raises TooManyRequests."""
        if call.request.method not in {"GET", "HEAD"}:
            await call.body()
        if COMPONENTS in call.user.groups:
            return await handler(call)
        name = call.user.name
        if call.verb == "watch":
            self._count_watch(name)
        try:
            response = await self._seat(name, handler, call)
        except BaseException:
            if call.verb == "watch":
                self._end_watch(name)
            raise
        if call.verb == "watch":
            response.after = lambda: self._end_watch(name)
        return response

    async def _seat(self, name: str, handler: Handler, call: Call) -> Response:
        if self._seated < self._limits.seats and not self._waiting:
            self._seated += 1
        else:
            await self._turn(name)
        try:
            return await handler(call)
        finally:
            self._leave()

    async def _turn(self, name: str) -> None:
        """Wait until a seat is handed over."""
        limits, queue = self._limits, self._queues.get(name, ())
        if self._waiting >= limits.waiting or len(queue) >= limits.waiting_of_one:
            raise self._refusal("the server has more to do than it can, and too many requests wait already; try again later")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(name, deque()).append(turn)
        self._waiting += 1
        try:
            async with asyncio.timeout(limits.seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._leave()  # the seat came in the same moment
            else:
                self._forget(name, turn)
            if isinstance(error, TimeoutError):
                raise self._refusal(f"the server was too busy for {limits.seconds:g} seconds; try again later") from None
            raise

    def _forget(self, name: str, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(name)
        if queue is None or turn not in queue:
            return  # it was passed over when a seat became free
        queue.remove(turn)
        self._waiting -= 1
        if not queue:
            del self._queues[name]

    def _leave(self) -> None:
        """Hand a seat to the next user in turn, or leave it empty."""
        while self._queues:
            name, queue = self._queues.popitem(last=False)
            turn = queue.popleft()
            self._waiting -= 1
            if queue:
                self._queues[name] = queue
            if not turn.done():
                turn.set_result(None)
                return
        self._seated -= 1

    def _refusal(self, why: str) -> TooManyRequests:
        self._refused += 1
        return TooManyRequests(why, retry_after=1)

    def _count_watch(self, name: str) -> None:
        limits, own = self._limits, self._watches.get(name, 0)
        if own >= limits.watches_of_one or self._watching() >= limits.watches:
            self._refused += 1
            raise TooManyRequests("too many watches are open; end some, or try again later", retry_after=5)
        self._watches[name] = own + 1

    def _end_watch(self, name: str) -> None:
        left = self._watches[name] - 1
        if left:
            self._watches[name] = left
        else:
            del self._watches[name]

    def _watching(self) -> int:
        return sum(self._watches.values())

    def statistics(self) -> dict[str, int]:
        """Seats taken, requests that wait, watches, bytes of bodies, and how many were refused."""
        return {
            "seated": self._seated,
            "waiting": self._waiting,
            "watches": self._watching(),
            "body_bytes": self.bodies.held,
            "refused": self._refused,
        }
