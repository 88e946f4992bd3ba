"""What people write into the ConfigMap ``faults``, read; what cannot be read is named and means nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from skerry.sim.plan import Faults

UNDERSTOOD = ("fail", "quota", "slow", "unreachable")


class Asked(NamedTuple):
    """The faults that were asked for, for how many seconds the API shall be silent, and what was not understood."""

    faults: Faults
    silent_seconds: float
    problems: tuple[str, ...]


def read(data: Mapping[str, str]) -> Asked:
    """Read the ConfigMap's data."""
    problems = [f"{key}: there is no such fault; there are {', '.join(UNDERSTOOD)}" for key in data if key not in UNDERSTOOD]
    slow: dict[str, float] = {}
    for part in _parts(data, "slow"):
        pool, _, seconds = part.partition("=")
        if (took := _number(f"slow: {part}", seconds, "POOL=SECONDS", -1, problems)) >= 0:
            slow[pool.strip()] = took
    quota = (
        _number(f"quota: {data.get('quota')}", data["quota"], "a number", Faults().quota, problems) if "quota" in data else Faults().quota
    )
    away = data.get("unreachable", "0")
    silent = _number(f"unreachable: {away}", away, "seconds", 0, problems)
    return Asked(Faults(slow, frozenset(_parts(data, "fail")), int(quota)), silent, tuple(problems))


def _parts(data: Mapping[str, str], key: str) -> list[str]:
    return [part.strip() for part in data.get(key, "").split(",") if part.strip()]


def _number(what: str, text: str, wanted: str, otherwise: float, problems: list[str]) -> float:
    """A number that is not negative; ``otherwise``, and a problem, where ``text`` is none."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number) and number >= 0:
        return number
    problems.append(f"{what}: should be {wanted}")
    return otherwise
