"""Skerry answers as Kubernetes does: every scenario, compared whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tests.differential.catalogue import SCENARIOS
from tests.differential.compare import Difference, Excuses, answers_differ
from tests.differential.play import Player
from tests.differential.run import play_both
from tests.differential.scenario import Scenario
from tests.differential.sides import real, skerry

pytestmark = pytest.mark.peer("kubernetes")


class Sides:
    """Both servers, the list of excuses, and what has been played so far."""

    def __init__(self, ours: Player, theirs: Player) -> None:
        self.ours, self.theirs = ours, theirs
        self.excuses = Excuses.read()
        self.played: set[str] = set()

    def play(self, scenario: Scenario) -> list[Difference]:
        """Play a scenario on both sides and return the differences that nothing excuses."""
        ours, theirs = play_both(self.ours, self.theirs, scenario)
        return self.excuses.unexcused(scenario.name, answers_differ(ours, theirs))


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with ExitStack() as stack:
        yield Sides(Player(stack.enter_context(skerry())), Player(stack.enter_context(real())))


def test_scenarios_have_names_of_their_own() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    namespaces = [scenario.namespace for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    assert len(set(namespaces)) == len(namespaces)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_skerry_answers_as_kubernetes_does(sides: Sides, scenario: Scenario) -> None:
    left = sides.play(scenario)
    sides.played.add(scenario.name)
    if left:  # a watch of one second, or a request that timed out, may miss something on a busy machine: a difference shows twice
        left = sides.play(replace(scenario, again=True))
    assert not left, f"{scenario.name} (python -m tests.differential.run '{scenario.name}')\n" + "\n".join(map(str, left))


def test_every_excused_difference_still_exists(sides: Sides) -> None:
    if sides.played != {scenario.name for scenario in SCENARIOS}:
        pytest.skip("only some scenarios were played")
    unused = [f"{entry.scenario}: {entry.path}" for entry in sides.excuses.unused()]
    assert not unused, "remove from differences.toml: " + ", ".join(unused)
