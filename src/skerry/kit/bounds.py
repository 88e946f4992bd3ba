"""How much one document may hold, whoever reads it and in whatever notation.

Everything that looks at a document walks it in Python: a microsecond or so for each value and
pass, and a few frames of the stack for each level. Both bounds are far beyond what real objects
hold; the largest that are known, definitions with schemas of a megabyte, have about 30,000
values and 60 levels.
"""

from __future__ import annotations

MOST_VALUES = 100_000
"""Scalars, lists and maps together: what is made of them costs a second at the worst."""

MOST_DEPTH = 128
"""Levels of lists and maps: a walk that takes six frames for each still fits into Python's stack of 1,000."""
