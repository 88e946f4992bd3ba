"""Python source that is written out of a schema: one function, compiled once.

Straight code runs several times as fast as closures that walk the schema. It is made of a fixed
set of lines; whatever comes from the schema stands in it as a constant's name or as a ``repr``,
so no text of a schema is ever code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

Answer = Callable[[Any], bool]

DEEPEST_LOOP = 12
"""Python itself allows twenty blocks in blocks."""
DEEPEST_INDENT = 60
"""Python itself allows a hundred."""


class Source:
    """A function of one argument, ``v0``, that says yes unless one of its lines refuses; anything it stumbles over is a no."""

    def __init__(self) -> None:
        """Begin with an empty body."""
        self._lines: list[str] = []
        self._constants: dict[str, Any] = {}
        self._numbers = count(1)
        self._indent = 2

    def line(self, text: str) -> None:
        """Add a line to the body."""
        self._lines.append(" " * self._indent + text)

    def refuse(self, condition: str) -> None:
        """Say no if this holds."""
        self.line(f"if {condition}: return False")

    @contextmanager
    def block(self, head: str, *first: str) -> Iterator[None]:
        """Write the lines inside under a head (``for``, ``if``) and its first lines; without any, nothing is written at all."""
        before = len(self._lines)
        self.line(head)
        self._indent += 1
        for text in first:
            self.line(text)
        start = len(self._lines)
        yield
        self._indent -= 1
        if len(self._lines) == start:
            del self._lines[before:]

    def variable(self, letter: str = "v") -> str:
        """A new name."""
        return f"{letter}{next(self._numbers)}"

    def constant(self, value: Any) -> str:
        """A name for a value."""
        name = self.variable("c")
        self._constants[name] = value
        return name

    def too_deep(self, loops: int) -> bool:
        """Whether the next position needs a function of its own."""
        return loops > DEEPEST_LOOP or self._indent > DEEPEST_INDENT

    def finished(self) -> Answer:
        """Compile the function."""
        body = [*self._lines, "  return True"]
        text = ["def answer(v0):", " try:", *body, " except (TypeError, KeyError, AttributeError):", "  return False"]
        exec(compile("\n".join(text), "<schema>", "exec"), self._constants)  # noqa: S102 see above: no text of a schema is code
        answer: Answer = self._constants["answer"]
        return answer
