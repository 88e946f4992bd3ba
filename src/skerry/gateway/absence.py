"""What a call to a cluster is told whose agent is at no gateway.

kubectl asks again, without a word, for as long as an answer says when to (``Retry-After``, up to ten times). That is
right while an agent is on its way back, after a restart of one end: so an absence of a moment is
answered that way, and a longer one at once for good, with since when it lasts.
"""

from __future__ import annotations

from datetime import datetime

from skerry.gateway.conditions import found
from skerry.gateway.subjects import Subjects
from skerry.kinds.fullname import FullName, parsed, words
from skerry.kinds.managementcluster import ATTACHED, BUILTIN
from skerry.kit.clock import parse
from skerry.machinery.errors import ApiError, NotFound, ServiceUnavailable
from skerry.machinery.resource import Json

MOMENT_SECONDS = 20.0
"""An agent that is away for longer is not about to be back."""
AGAIN_SECONDS = 5


def no_agent(name: str, subjects: Subjects, now: datetime) -> ApiError:
    """Why a full name cannot be called; only one that may soon be callable is to be asked again."""
    obj = subjects.get(name)
    if name in BUILTIN:
        return NotFound(f"management cluster {name} is built in and has no API of its own; name one of its clusters")
    if obj is None and subjects.known:
        return NotFound(f"there is no {words(name)} here" + _meant(name, subjects))
    status: Json = (obj or {}).get("status") or {}
    line = found(status, "Connected")
    away = f"the agent of {words(name)} is not connected"
    if obj is not None and not line:
        return ServiceUnavailable(f"{words(name)} has no agent; `skerry attach` brings one")
    if line.get("status") != "False":
        return ServiceUnavailable(away, retry_after=AGAIN_SECONDS)
    since = parse(line["lastTransitionTime"])
    told = f"{away} since {line['lastTransitionTime']}" + (f": {line['message']}" if "agent" not in status or "trouble" in status else "")
    return ServiceUnavailable(told, retry_after=AGAIN_SECONDS if (now - since).total_seconds() < MOMENT_SECONDS else None)


def _meant(name: str, subjects: Subjects) -> str:
    """What whoever wrote a name may have meant: attached clusters are called by one word elsewhere."""
    plain = parsed(name)
    full = FullName(ATTACHED, f"{ATTACHED}.{name}") if plain and not plain.cluster else None
    return f"; the attached cluster {name} is {full}" if full and subjects.get(str(full)) else ""
