"""What is shipped for Prometheus: promtool takes it, every alert is tested both ways, and what it says leads somewhere."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from peers.prometheus import program, promtool
from skerry.agent import metrics as agent_metrics
from skerry.compose import metrics as server_metrics
from skerry.kit.metrics import Kind

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "deploy" / "monitoring"
PAGE = "docs/howto/watch-skerry-with-prometheus.md"
RULES = yaml.safe_load((SHIPPED / "skerry.rules.yaml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
FUNCTIONS = frozenset(("sum", "rate", "increase", "max", "or", "and", "absent", "time", "vector", "histogram_quantile", "up"))


def why_not() -> str:
    """Why nothing can be tested with Prometheus here; empty if it can."""
    here = program() and program("promtool")
    return "" if here else "peer Prometheus is missing: run `make peers` as root on Debian"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what is shipped, with the two files that its user brings."""
    if why := why_not():
        pytest.skip(why)
    made = tmp_path / "monitoring"
    shutil.copytree(SHIPPED, made)
    for name in ("front.crt", "prometheus.token"):
        (made / name).write_text("")
    return made


def test_promtool_takes_what_is_shipped_as_it_is(folder: Path) -> None:
    for command in (
        ("check", "config", "prometheus.yaml"),
        ("check", "rules", "skerry.rules.yaml"),
        ("test", "rules", "skerry.rules.test.yaml"),
    ):
        code, said = promtool(*command, folder=folder)
        assert code == 0, said
        assert "SUCCESS" in said


@pytest.mark.parametrize("always", [False, True], ids=["never", "always"])
def test_each_alert_is_tested_where_it_fires_and_where_it_is_silent(folder: Path, always: bool) -> None:
    """A rule that never fires, or always, in the place of any one of them fails its tests."""
    text, tests = (folder / "skerry.rules.yaml").read_text(), yaml.safe_load((folder / "skerry.rules.test.yaml").read_text())
    for place, rule in enumerate(ALERTS):
        changed = yaml.safe_load(text)
        mine = [each for each in tests["tests"] if f'"{rule["alert"]}"' in str(each)]
        (folder / "skerry.rules.test.yaml").write_text(yaml.safe_dump({**tests, "tests": mine}))
        alerts = [each for group in changed["groups"] for each in group["rules"] if "alert" in each]
        alerts[place].update({"expr": "vector(1)" if always else "vector(0) > 1", "for": "0s"})
        (folder / "skerry.rules.yaml").write_text(yaml.safe_dump(changed))
        code, said = promtool("test", "rules", "skerry.rules.test.yaml", folder=folder)
        assert code != 0, (rule["alert"], rule["labels"])
        assert rule["alert"] in said


def names(expression: str) -> Iterator[str]:
    """The metrics that an expression is about."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|without|on)\s*\([^)]*\)", " ", expression)
    yield from (name for name in re.findall(r"[a-z][a-z0-9_:]*[a-z0-9]", bare) if name not in FUNCTIONS)


def test_rules_are_about_metrics_that_there_are() -> None:
    there = {rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule}
    for metric in (*server_metrics.METRICS, *agent_metrics.METRICS):
        ends = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        there.update(f"{metric.name}{end}" for end in ends)
    asked = {name for group in RULES["groups"] for rule in group["rules"] for name in names(rule["expr"])}
    assert len(asked) > 15
    assert asked <= there


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_says_what_is_wrong_and_where_it_is_written_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = [line.lstrip("# ").lower() for line in (ROOT / page).read_text().splitlines() if line.startswith("###")]
    assert page == PAGE
    assert anchor in headings
    assert anchor == rule["alert"].lower()


def test_names_follow_the_rules_of_openmetrics() -> None:
    for metric in (*server_metrics.METRICS, *agent_metrics.METRICS):
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total"), metric.name
        assert metric.kind is not Kind.HISTOGRAM or metric.name.endswith(("_seconds", "_bytes")), metric.name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        assert metric.help.endswith("."), metric.name
        assert not {"name", "user", "namespace"} & set(metric.labels) or metric.name.startswith(
            ("workqueue_", "leader_election_", "skerry_certificate_")
        ), metric.name
    for found in (server_metrics.METRICS, agent_metrics.METRICS):
        assert len({metric.name for metric in found}) == len(found)
