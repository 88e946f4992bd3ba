"""The schemas of databases, and how a database comes from an older one to this release's.

Migrations are files: ``migrations/<dialect>/<number>_<name>.pre.sql`` and ``.post.sql``, one of
the two at least. *Pre* steps only add what the old release can live with, so that both releases
run side by side; *post* steps take away what only the old one needed, when none of it is left.
A database therefore has two numbers (:class:`Level`): a release works on any database whose
*post* number it knows.

The embedded dialect has one process, so there both kinds of steps follow each other at the
start. A dialect with replicas takes the pre steps at the start and the post steps later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from skerry.store.contract import StoreError

_NAME = re.compile(r"(\d{4})_\w+\.(pre|post)\.sql")


class Level(NamedTuple):
    """How far a database has come."""

    pre: int
    post: int


class Migration(NamedTuple):
    """One step from a schema to the next, as SQL scripts (empty: nothing to do)."""

    number: int
    pre: str
    post: str


class NewerSchema(StoreError):
    """The database was written by a newer release."""


@cache
def migrations(dialect: str) -> tuple[Migration, ...]:
    """The migrations of a dialect, in their order."""
    return read(resources.files("skerry.store") / "migrations" / dialect)


def read(folder: Traversable) -> tuple[Migration, ...]:
    """Read a folder of migrations; raises ValueError for a name of another form, a number that is missing or stands twice."""
    scripts: dict[tuple[int, str], str] = {}
    for file in folder.iterdir():
        found = _NAME.fullmatch(file.name)
        if found is None or (place := (int(found[1]), found[2])) in scripts:
            raise ValueError(f"{file} is no migration, or there is another of its number")
        scripts[place] = file.read_text()
    numbers = sorted({number for number, _ in scripts})
    if numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"{folder}: the numbers of its migrations have a gap")
    return tuple(Migration(number, scripts.get((number, "pre"), ""), scripts.get((number, "post"), "")) for number in numbers)


def steps(known: Sequence[Migration], level: Level, *, post: bool) -> Iterator[tuple[Level, str]]:
    """The scripts that bring a database up to date, each with the level that it leads to; without the post steps if not wanted."""
    for each in known[level.pre :]:
        level = level._replace(pre=each.number)
        yield level, each.pre
    for each in known[level.post :] if post else ():
        level = level._replace(post=each.number)
        yield level, each.post


def refuse_newer(level: Level, known: Sequence[Migration], where: object) -> None:
    """Raise NewerSchema for a database that this release cannot work on."""
    if level.post > len(known):
        raise NewerSchema(
            f"{where} was written by a newer Skerry (schema {level.post}, this one knows {len(known)}):"
            " start that release again, or restore a backup that was made before the upgrade"
        )
