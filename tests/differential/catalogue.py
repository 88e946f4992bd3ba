"""All scenarios, in one list, with unique names."""

from __future__ import annotations

from tests.differential.scenario import Scenario
from tests.differential.scenarios import (
    applying,
    builtin,
    changing,
    creating,
    deleting,
    happening,
    listing,
    owning,
    reading,
    scaling,
    writing,
)

SCENARIOS: tuple[Scenario, ...] = tuple(
    scenario
    for module in (creating, changing, applying, reading, listing, deleting, owning, writing, scaling, builtin, happening)
    for scenario in module.SCENARIOS
)


def chosen(pattern: str = "") -> list[Scenario]:
    """Return the scenarios whose name holds a text."""
    return [scenario for scenario in SCENARIOS if pattern in scenario.name]
