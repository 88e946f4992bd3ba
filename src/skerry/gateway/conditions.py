"""Conditions of a status that is kept as JSON: the time of one moves only when its status does."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from skerry.kit.clock import rfc3339
from skerry.machinery.resource import Json


class Verdict(NamedTuple):
    """Whether it holds (True, False, Unknown), and why: a word for programs, a sentence for people."""

    status: str
    reason: str
    message: str


def found(status: Json, kind: str) -> Json:
    """The condition of a type; empty if there is none."""
    return next((each for each in status.get("conditions") or () if each["type"] == kind), {})


def condition(before: Json, kind: str, verdict: Verdict, now: datetime, generation: int) -> Json:
    """The condition of a type, given the status that stood ``before``."""
    old = found(before, kind)
    moved = rfc3339(now) if old.get("status") != verdict.status else old.get("lastTransitionTime", rfc3339(now))
    return {
        "type": kind,
        "status": verdict.status,
        "reason": verdict.reason,
        "message": verdict.message[:32768],
        "lastTransitionTime": moved,
        "observedGeneration": generation,
    }
