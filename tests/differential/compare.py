"""Where two answers differ, and which differences are excused.

A difference is a path into a scenario's answers (``2.body.metadata.generation``: the third
step) with both values. It is excused by an entry of ``differences.toml`` that names the
scenario and the path (either may hold ``*``) and gives the reason. The list may only
shrink: an entry that excuses nothing any more fails the suite.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("differences.toml")


class Absent:
    """Stands where one side has nothing."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT = Absent()


class Difference(NamedTuple):
    """One place where two servers disagree."""

    path: str
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        return f"{self.path}\n      ours   {self.ours!r}\n      theirs {self.theirs!r}"


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[Difference]:
    """Yield every place where two normalised values differ. A list of another length is one difference."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            yield from differences(ours.get(key, ABSENT), theirs.get(key, ABSENT), f"{path}.{key}" if path else key)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{path}.{place}" if path else str(place))
    elif type(ours) is not type(theirs) or ours != theirs:
        yield Difference(path, ours, theirs)


def answers_differ(ours: list[Any], theirs: list[Any]) -> Iterator[Difference]:
    """Yield where the answers to a scenario's steps differ.

    What follows from another difference is left out: of two answers with different status codes only
    the codes and messages are shown, of two errors with different causes the causes alone.
    """
    for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one is None or other is None:
            continue
        if one["status"] != other["status"]:
            yield Difference(f"{place}.status", _gist(one), _gist(other))
            continue
        found = list(differences(one, other, str(place)))
        causes_differ = any(f"{place}.body.details.causes" in difference.path for difference in found)
        yield from (difference for difference in found if not (causes_differ and difference.path == f"{place}.body.message"))


def _gist(answer: dict[str, Any]) -> str:
    body = answer["body"]
    return f"{answer['status']} {body.get('message', '') if isinstance(body, dict) else ''}".strip()


@dataclass
class Excuse:
    """One entry of the list, and whether it was needed in this run."""

    scenario: str
    path: str
    reason: str
    used: bool = False

    def covers(self, scenario: str, path: str) -> bool:
        """Tell whether this entry is about a difference."""
        return fnmatchcase(scenario, self.scenario) and fnmatchcase(path, self.path)


@dataclass
class Excuses:
    """The list, as it was read."""

    entries: list[Excuse] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path = FILE) -> Excuses:
        """Read the committed list; every entry must have a reason."""
        entries = [Excuse(**entry) for entry in tomllib.loads(file.read_text()).get("difference", [])]
        for entry in entries:
            if not entry.reason.strip():
                raise ValueError(f"{file.name}: {entry.scenario} {entry.path} has no reason")
        return cls(entries)

    def unexcused(self, scenario: str, found: Iterator[Difference]) -> list[Difference]:
        """Return the differences that no entry covers, and note which entries were needed."""
        left = []
        for difference in found:
            covering = [entry for entry in self.entries if entry.covers(scenario, difference.path)]
            for entry in covering:
                entry.used = True
            if not covering:
                left.append(difference)
        return left

    def unused(self) -> list[Excuse]:
        """Return the entries that excused nothing: they must go."""
        return [entry for entry in self.entries if not entry.used]


GAP = "A known gap; to be closed."
HEAD = """\
# Where Skerry's answers differ from Kubernetes' and why that may be. This list may only shrink: an entry that
# excuses nothing any more fails the suite. `python -m tests.differential.run --write` brings it up to date, keeping
# the reasons. `*` in a scenario or a path stands for anything.
"""


def written(entries: list[Excuse], found: dict[str, list[Difference]]) -> str:
    """Return the list anew: entries that were needed as they stand, and one for every difference that none covers."""
    lines = [HEAD]
    new = [Excuse(name, f"{path}*" if more else path, GAP) for name, differences in found.items() for path, more in _places(differences)]
    lines += [
        f'[[difference]]\nscenario = "{entry.scenario}"\npath = {_literal(entry.path)}\nreason = {_literal(entry.reason)}\n'
        for entry in [*(entry for entry in entries if entry.used), *new]
    ]
    return "\n".join(lines)


def _places(differences: list[Difference]) -> Iterator[tuple[str, bool]]:
    """Sum up the differences of each step: the path of a single one, the part of the answer (and "more") for several."""
    steps: dict[str, list[str]] = {}
    for difference in differences:
        steps.setdefault(".".join(difference.path.split(".")[:2]), []).append(difference.path)
    for part, paths in steps.items():
        yield (paths[0], False) if len(paths) == 1 else (part, True)


def _literal(text: str) -> str:
    return f"'{text}'" if "'" not in text else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
