"""A page of metrics, in the formats that Prometheus reads.

* Values are read on the event loop, all at one moment; the text, which takes a hundred times as long, is made beside it.
* Each part of a process has a page of its own, and a page a registry of its own: nothing is global.
* The format is chosen as Prometheus' own servers do: OpenMetrics 1.0 if it is asked for, or else text 0.0.4.

``prometheus_client`` writes the text, and tells of the process itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.utils import floatToGoString

from skerry.kit.measure import Histogram
from skerry.kit.metrics import Kind, Metric, Read, Value

UNITS = ("seconds", "bytes")
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
MEDIA = {"text/plain": (TEXT, {"", "0.0.4"}), "application/openmetrics-text": (OPENMETRICS, {"", "0.0.1", "1.0.0"})}


class Page:
    """The metrics of one part of a process."""

    def __init__(self) -> None:
        """What the process itself uses is on every page."""
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, GCCollector, PlatformCollector):
            collector(registry=self.registry)
        self._shown: list[tuple[Metric, Read]] = []
        self._beside: list[tuple[Metric, Read]] = []

    def show(self, metric: Metric, read: Read) -> None:
        """Show a metric with the values that ``read`` finds, on the event loop."""
        self._shown.append((metric, read))

    def show_one(self, metric: Metric, read: Callable[[], float | Histogram]) -> None:
        """Show a metric that has one series."""
        self.show(metric, lambda: [((), read())])

    def show_each(self, metrics: Mapping[str, Metric], read: Callable[[], Mapping[str, float]]) -> None:
        """Show entries of counters that a part keeps, by their names there."""
        for name, metric in metrics.items():
            self.show(metric, lambda name=name: [((), read().get(name, 0))])  # type: ignore[misc] # binds the name of this turn

    def show_beside(self, metric: Metric, read: Read) -> None:
        """Show a metric whose values are read beside the event loop: from files, for one."""
        self._beside.append((metric, read))

    async def answer(self, accept: str) -> tuple[bytes, str]:
        """The page as it stands now, and its content type; ``accept`` is what the caller asks for."""
        taken = [(metric, [(labels, _still(value)) for labels, value in read()]) for metric, read in self._shown]
        media = negotiated(accept)
        return await asyncio.to_thread(self._written, taken, media), media

    def _written(self, taken: Iterable[tuple[Metric, Iterable[Value]]], media: str) -> bytes:
        page = _Families([*(_family(metric, values) for metric, values in taken), *self._from_beside()])
        written: bytes = (openmetrics if media == OPENMETRICS else exposition).generate_latest(page)
        return written

    def _from_beside(self) -> Iterator[Family]:
        yield from (_family(metric, read()) for metric, read in self._beside)
        yield from self.registry.collect()


def _family(metric: Metric, values: Iterable[Value]) -> Family:
    """A metric with its values, for who writes it out."""
    name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
    unit = next((each for each in UNITS if name.endswith(f"_{each}")), "")
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, metric.help, labels=metric.labels, unit=unit)
        for labels, value in values:
            if isinstance(value, Histogram):
                histogram.add_metric(labels, _buckets(value), value.total)
        return histogram
    family = (CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily)(name, metric.help, labels=metric.labels, unit=unit)
    for labels, value in values:
        if not isinstance(value, Histogram):
            family.add_metric(labels, value)
    return family


class _Families:
    """What the writers of the library take."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def negotiated(accept: str) -> str:
    """The content type for an Accept header: the first that can be given, in the order of what the caller likes best."""
    wanted = []
    for clause in accept.split(","):
        media, *parameters = (each.strip() for each in clause.split(";"))
        found = dict(each.partition("=")[::2] for each in parameters)
        try:
            weight = float(found.get("q", "1"))
        except ValueError:
            weight = 0.0
        wanted.append((weight, media.lower(), found.get("version", "")))
    for weight, media, version in sorted(wanted, key=lambda each: -each[0]):
        given, versions = MEDIA.get(media, ("", set()))
        if weight > 0 and version in versions:
            return given
    return TEXT


def _still(value: float | Histogram) -> float | Histogram:
    return value.copy() if isinstance(value, Histogram) else value


def _buckets(value: Histogram) -> list[tuple[str, float]]:
    found, below = [], 0
    for bound, count in zip((*value.bounds, float("inf")), value.counts, strict=True):
        below += count
        found.append((floatToGoString(bound), float(below)))  # type: ignore[no-untyped-call] # the library's
    return found
