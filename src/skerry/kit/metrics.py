"""Metrics as data, in the terms of Prometheus: their names, what they tell, and how they are read.

A metric is declared (:class:`Metric`) where what it counts is known, so that the reference can be written without a server, and
shown on a :class:`Shows` with a function that reads its values when somebody asks. Nothing is counted here: rooms count for
themselves. What writes the page is ``page.py``, and with it Prometheus' library, which an agent that shows nothing never loads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from skerry.kit.measure import Histogram


class Kind(StrEnum):
    """What a metric's values are."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its name (a counter's ends in ``_total``), what it tells, and what its series are told apart by."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


Value = tuple[Sequence[str], float | Histogram]
"""The labels of a series, in the order of the metric's, and where it stands."""
Read = Callable[[], Iterable[Value]]


def counter(name: str, text: str, *labels: str) -> Metric:
    """Declare a counter."""
    return Metric(name, Kind.COUNTER, text, labels)


def gauge(name: str, text: str, *labels: str) -> Metric:
    """Declare a gauge."""
    return Metric(name, Kind.GAUGE, text, labels)


def histogram(name: str, text: str, *labels: str) -> Metric:
    """Declare a histogram."""
    return Metric(name, Kind.HISTOGRAM, text, labels)


class Shows(Protocol):
    """A page of metrics, for whoever has something to show."""

    def show(self, metric: Metric, read: Read) -> None:
        """Show a metric with the values that ``read`` finds, on the event loop."""
        ...
