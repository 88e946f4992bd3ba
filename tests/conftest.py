from __future__ import annotations

import pytest

from tests.peers import HOW, required, where


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("peer"):
        for name in marker.args:
            if where(name) is None:
                if required():
                    pytest.fail(f"peer {name} is missing and SKERRY_REQUIRE_PEERS=1: {HOW}", pytrace=False)
                pytest.skip(f"peer {name} is missing: {HOW}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = [report for report in terminalreporter.stats.get("skipped", ()) if "peer " in str(report.longrepr)]
    if missing:
        terminalreporter.write_sep("-", f"{len(missing)} tests were skipped for missing peers: {HOW}")
