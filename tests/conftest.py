from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from peers.kubernetes import NAMESPACED, Kubernetes
from tests.peers import HOW, missing, required

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a slow machine is no failure
settings.load_profile("patient")


def pytest_runtest_setup(item: pytest.Item) -> None:
    why = missing(name for marker in item.iter_markers("peer") for name in marker.args)
    if why and required():
        pytest.fail(f"{why} (SKERRY_REQUIRE_PEERS=1)", pytrace=False)
    if why:
        pytest.skip(why)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report for report in terminalreporter.stats.get("skipped", ()) if "is missing: " in str(report.longrepr)]
    if skipped:
        terminalreporter.write_sep("-", f"{len(skipped)} tests were skipped for missing peers: {HOW}")


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[Kubernetes]:
    """A real API server with its controllers, started by the first test that asks; such a test is marked ``peer("kubernetes")``."""
    with Kubernetes(controllers=NAMESPACED) as peer:
        yield peer
