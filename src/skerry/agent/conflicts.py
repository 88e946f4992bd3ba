"""Who owns what a set asks for otherwise, read from the answer of an API server to an apply. Pure.

The answer lists one cause for each field and manager: ``conflict with "NAME"``, and then, where they apply,
``with subresource "scale"``, ``using apps/v1`` and a time. ``before-first-apply`` is a manager like others: it stands for
whoever wrote an object before anything was applied to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from skerry.machinery.errors import Cause
from skerry.tunnel import link_pb2 as pb

CAUSE = "FieldManagerConflict"
MOST_OWNERS = 10
MOST_FIELDS = 10
MOST_TEXT = 253

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_WORDS = re.compile(rf"conflict with ({_QUOTED})(?: with subresource ({_QUOTED}))?")


def owners_of(causes: Sequence[Cause]) -> list[pb.FieldOwner]:
    """The managers that an answer names, each with its fields; none where it is about something else."""
    found: dict[tuple[str, str], list[str]] = {}
    for cause in causes:
        words = _WORDS.match(cause.message) if cause.kind == CAUSE else None
        if words is not None:
            found.setdefault((_plain(words[1]), _plain(words[2] or '""')), []).append(cause.field)
    return [
        pb.FieldOwner(
            manager=manager[:MOST_TEXT],
            subresource=subresource[:MOST_TEXT],
            fields=[each[:MOST_TEXT] for each in fields[:MOST_FIELDS]],
            more=max(0, len(fields) - MOST_FIELDS),
        )
        for (manager, subresource), fields in list(found.items())[:MOST_OWNERS]
    ]


def _plain(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError:  # Go escapes some characters as JSON does not
        return quoted[1:-1]


def told(owners: Sequence[pb.FieldOwner]) -> str:
    """Managers and fields in words."""
    return "; ".join(_told(each) for each in owners)


def _told(owner: pb.FieldOwner) -> str:
    through = f" through {owner.subresource}" if owner.subresource else ""
    more = f" and {owner.more} more" if owner.more else ""
    return f'"{owner.manager}"{through} ({", ".join(owner.fields)}{more})'
