"""Conditions as Kubernetes keeps them: one entry per type, and a time that moves only when the status does.

Everything here is pure: the time is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skerry.kinds.common import Condition


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of a type, if it is there."""
    return next((each for each in conditions if each.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    """Whether a condition is there and holds."""
    found = find(conditions, kind)
    return found is not None and found.status == "True"


def counted(number: int, what: str) -> str:
    """Count things in a message: ``1 object is``, ``2 objects are``."""
    return f"{number} {what} is" if number == 1 else f"{number} {what}s are"


def merged(old: Sequence[Condition], new: Sequence[Condition], now: str) -> list[Condition]:
    """Put new conditions over old ones. ``now`` (RFC 3339) becomes the transition time of those whose status changed.

    Conditions of other types stay as they are, in their places; nothing that was passed in is changed.
    """
    before = {each.type: each for each in old}
    result = dict(before)
    for each in new:
        known = before.get(each.type)
        since = known.last_transition_time if known is not None and known.status == each.status else now
        result[each.type] = Condition(each.type, each.status, each.reason, each.message, since or now, each.observed_generation)
    return list(result.values())
