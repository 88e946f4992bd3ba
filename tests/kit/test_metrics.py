"""A page of metrics: both formats, chosen as Prometheus does, read by its own parsers."""

from __future__ import annotations

import threading

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from skerry.kit.lag import LoopLag
from skerry.kit.measure import Histogram
from skerry.kit.metrics import counter, gauge, histogram
from skerry.kit.page import OPENMETRICS, TEXT, Page, negotiated

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html, */*;q=0.8", TEXT),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=2.0.0", TEXT),
        ("application/openmetrics-text;q=0.1, text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=x;version", TEXT),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", TEXT),
    ],
)
def test_the_format_is_what_the_caller_likes_best_of_what_there_is(accept: str, media: str) -> None:
    assert negotiated(accept) == media


async def test_both_formats_say_the_same_to_the_parsers_of_prometheus() -> None:
    page, lasted = Page(), Histogram((0.1, 1.0))
    for value in (0.1, 0.5, 7.0):
        lasted.observe(value)
    page.show(counter("things_seen_total", "Things.", "kind"), lambda: [(("a",), 1), (("b",), 2)])
    page.show_one(gauge("things_here", "Here."), lambda: True)
    page.show_one(histogram("things_lasted_seconds", "Seconds."), lambda: lasted)
    page.show_beside(gauge("thread", "Where it is read."), lambda: [((), threading.get_ident())])
    wanted = {
        ("things_seen_total", "a"): 1,
        ("things_seen_total", "b"): 2,
        ("things_here", ""): 1,
        ("things_lasted_seconds_bucket", "0.1"): 1,
        ("things_lasted_seconds_bucket", "1.0"): 2,
        ("things_lasted_seconds_bucket", "+Inf"): 3,
        ("things_lasted_seconds_count", ""): 3,
        ("things_lasted_seconds_sum", ""): 7.6,
    }
    for accept, media, read in (("", TEXT, read_text), (PROMETHEUS_3, OPENMETRICS, read_openmetrics)):
        body, told = await page.answer(accept)
        assert told == media
        families = list(read(body.decode()))
        found = {(each.name, next(iter(each.labels.values()), "")): each.value for family in families for each in family.samples}
        assert {key: value for key, value in found.items() if key[0].startswith("things")} == pytest.approx(wanted)
        assert found["thread", ""] != threading.get_ident()
        assert ("process_cpu_seconds_total", "") in found


async def test_pages_share_nothing() -> None:
    first, second = Page(), Page()
    first.show_one(gauge("only_here", "One."), lambda: 1)
    second.show_one(gauge("only_there", "Other."), lambda: 1)
    assert b"only_there" not in (await first.answer(""))[0]
    assert b"only_here" not in (await second.answer(""))[0]


def test_a_value_belongs_to_the_bucket_that_ends_with_it() -> None:
    found = Histogram((1.0, 2.0))
    for value in (0, 1, 1.5, 2, 3):
        found.observe(value)
    then = found.copy()
    found.observe(0)
    assert (then.counts, then.total) == ([2, 2, 1], 7.5)


def test_lateness_is_counted_under_its_bound_in_both_units() -> None:
    lag = LoopLag()
    for late in (0.1, 10, 10.1, 60, 2000):
        lag.saw(late)
    assert lag.statistics() == {
        "within_10_ms": 2,
        "within_25_ms": 1,
        "within_50_ms": 0,
        "within_100_ms": 1,
        "within_250_ms": 0,
        "within_1000_ms": 0,
        "over_1000_ms": 1,
        "worst_ms": 2000,
    }
    assert lag.lateness.total == pytest.approx(2.0802)
