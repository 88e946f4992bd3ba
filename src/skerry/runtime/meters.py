"""What is measured of work queues, under the names that Kubernetes' controllers use.

A meter belongs to a name, not to a queue: a controller that is begun anew, because its shares changed, goes on counting
where the one before it stood. Meters belong to a part of a process (a server, an agent): a queue that is made without
meters of its own takes those of the part in whose tasks it is made.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Protocol

from skerry.kit.measure import Histogram
from skerry.kit.metrics import Shows, Value, counter, gauge, histogram

BOUNDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds. A reconcile may wait for another cluster's API."""


class Measured(Protocol):
    """A queue as it is now."""

    def waiting(self) -> int:
        """How many keys are ready to be worked on."""
        ...

    def working(self) -> list[float]:
        """How long each key that is worked on has been, in seconds."""
        ...


class Meter:
    """What became of the keys of all queues of one name."""

    __slots__ = ("adds", "newest", "retries", "waited", "worked")

    def __init__(self) -> None:
        """Nothing was asked for."""
        self.adds = self.retries = 0
        self.waited, self.worked = Histogram(BOUNDS), Histogram(BOUNDS)
        self.newest: Callable[[], Measured | None] = lambda: None

    def serve(self, queue: Measured) -> None:
        """Look at this queue from now on."""
        self.newest = weakref.ref(queue)


class Meters:
    """The meters of one part of a process, by name."""

    def __init__(self) -> None:
        """There is no queue."""
        self._meters: dict[str, Meter] = {}

    def of(self, name: str) -> Meter:
        """The meter of a name."""
        return self._meters.setdefault(name, Meter())

    def all(self) -> list[tuple[str, Meter]]:
        """Every meter with its name."""
        return sorted(self._meters.items())


_here: ContextVar[Meters | None] = ContextVar("meters", default=None)


def measure_here() -> Meters:
    """Measure the queues that this task, and every task that it starts from now on, makes; returns where."""
    made = Meters()
    _here.set(made)
    return made


def here() -> Meters:
    """The meters of this part of the process; new ones that nobody reads where nothing is measured."""
    return _here.get() or Meters()


DEPTH = gauge("workqueue_depth", "Keys that are ready to be worked on.", "name")
ADDS = counter("workqueue_adds_total", "Keys that became ready.", "name")
RETRIES = counter("workqueue_retries_total", "Keys whose work failed, and is tried again later.", "name")
WAITED = histogram("workqueue_queue_duration_seconds", "How long keys were ready before they were worked on.", "name")
WORKED = histogram("workqueue_work_duration_seconds", "How long the work on a key took.", "name")
UNFINISHED = gauge("workqueue_unfinished_work_seconds", "How long the work that is under way has taken, summed over its keys.", "name")
LONGEST = gauge("workqueue_longest_running_processor_seconds", "How long the work that is under way has taken, of the oldest.", "name")
METRICS = (DEPTH, ADDS, RETRIES, WAITED, WORKED, UNFINISHED, LONGEST)


def show(page: Shows, meters: Meters) -> None:
    """Show the queues on a page."""

    def each(value: Callable[[Meter], float | Histogram]) -> Callable[[], Iterable[Value]]:
        return lambda: [((name,), value(meter)) for name, meter in meters.all()]

    page.show(DEPTH, each(lambda meter: queue.waiting() if (queue := meter.newest()) else 0))
    page.show(ADDS, each(lambda meter: meter.adds))
    page.show(RETRIES, each(lambda meter: meter.retries))
    page.show(WAITED, each(lambda meter: meter.waited))
    page.show(WORKED, each(lambda meter: meter.worked))
    page.show(UNFINISHED, each(lambda meter: sum(_working(meter))))
    page.show(LONGEST, each(lambda meter: max(_working(meter), default=0.0)))


def _working(meter: Meter) -> Iterator[float]:
    queue = meter.newest()
    yield from queue.working() if queue else ()
