"""Label and field selectors: parsed once, then asked often.

The syntax and the texts of the errors are those of ``k8s.io/apimachinery/pkg/labels`` and
``…/fields``. A selector without requirements matches everything.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from skerry.machinery.errors import BadRequest
from skerry.machinery.names import label_value_problems, qualified_name_problems

_TOKEN = re.compile(r"\s*(==|!=|=|!|\(|\)|,|>|<|[^\s=!(),<>]+)")
_INTEGER = re.compile("[+-]?[0-9]+").fullmatch
OPERATORS = frozenset(("=", "==", "!=", "in", "notin", ">", "<"))


MOST_REQUIREMENTS = 100
"""Conditions of one selector: each is asked of each object. ``in`` with many values is one condition."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition: ``operator`` is exists, !, =, ==, !=, in, notin, > or <."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, values: Mapping[str, str]) -> bool:
        """Tell whether a map of labels (or fields) satisfies the condition."""
        if self.operator == "exists":
            return self.key in values
        if self.operator == "!":
            return self.key not in values
        found = values.get(self.key)
        if self.operator in {"=", "==", "in"}:
            return found is not None and found in self.values
        if self.operator in {">", "<"}:
            return found is not None and self._compares(found)
        return found is None or found not in self.values

    def _compares(self, found: str) -> bool:
        """Compare as integers; what is none never matches."""
        bound = next(iter(self.values))
        if not (_INTEGER(found) and _INTEGER(bound)):
            return False
        return int(found) > int(bound) if self.operator == ">" else int(found) < int(bound)


@dataclass(frozen=True, slots=True)
class Selector:
    """All of its requirements must hold."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, values: Mapping[str, str]) -> bool:
        """Tell whether every requirement holds."""
        return all(requirement.matches(values) for requirement in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)


EVERYTHING = Selector()


class _Tokens:
    """The words of a label selector, read from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: deque[str] = deque()
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise fail(text, f"unable to parse requirement: found '{text[position:]}'")
            self.words.append(match[1])
            position = match.end()

    def peek(self) -> str:
        """The next word, empty at the end."""
        return self.words[0] if self.words else ""

    def take(self) -> str:
        """Take the next word."""
        return self.words.popleft() if self.words else ""


def fail(text: str, why: str) -> BadRequest:
    """Say that a selector cannot be parsed."""
    return BadRequest(f'unable to parse selector "{text}": {why}' if not why.startswith("unable") else why)


def _too_many() -> BadRequest:
    return BadRequest(f"a selector may have {MOST_REQUIREMENTS} requirements; one with 'in' can name many values")


def parse_labels(text: str) -> Selector:
    """Parse a label selector; raises BadRequest."""
    if not text.strip():
        return EVERYTHING
    tokens = _Tokens(text)
    found = []
    while True:
        found.append(_requirement(tokens))
        if len(found) > MOST_REQUIREMENTS:
            raise _too_many()
        word = tokens.take()
        if not word:
            return Selector(tuple(sorted(found, key=lambda each: each.key)))
        if word != ",":
            raise fail(text, f"unable to parse requirement: found '{word}', expected: ',' or 'end of string'")
        if not tokens.peek():
            raise fail(text, "unable to parse requirement: found '', expected: identifier after ','")


def _requirement(tokens: _Tokens) -> Requirement:
    negated = tokens.peek() == "!"
    if negated:
        tokens.take()
    key = tokens.take()
    if not key or key in "(),=!" or key in OPERATORS:
        raise fail(tokens.text, f"unable to parse requirement: found '{key}', expected: !, identifier, or 'end of string'")
    if problem := "; ".join(qualified_name_problems(key)):
        raise fail(tokens.text, f'unable to parse requirement: <nil>: Invalid value: "{key}": {problem}')
    operator = tokens.peek()
    if negated or operator in {"", ","}:
        return Requirement(key, "!" if negated else "exists")
    tokens.take()
    if operator not in OPERATORS:
        raise fail(tokens.text, f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
    values = _value_list(tokens) if operator in {"in", "notin"} else [tokens.take() if tokens.peek() not in {"", ","} else ""]
    if operator in {">", "<"} and not _INTEGER(values[0]):
        why = "for 'Gt', 'Lt' operators, the value must be an integer"
        raise fail(tokens.text, f'unable to parse requirement: values[0][{key}]: Invalid value: "{values[0]}": {why}')
    for value in values:
        if problem := "; ".join(label_value_problems(value)):
            raise fail(tokens.text, f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": {problem}')
    return Requirement(key, operator, frozenset(values))


def _value_list(tokens: _Tokens) -> list[str]:
    word = tokens.take()
    if word != "(":
        raise fail(tokens.text, f"unable to parse requirement: found '{word}', expected: '('")
    values: list[str] = []
    while True:
        word = tokens.take()
        if word == ")":
            return values or [""]
        if word == ",":
            continue
        if not word or word in {"(", "=", "==", "!=", "!"}:
            raise fail(tokens.text, f"unable to parse requirement: found '{word}', expected: ',', ')' or identifier")
        values.append(word)


_FIELD = re.compile(r"^([^=!]*?)(==|!=|=)(.*)$", re.DOTALL)


def parse_fields(text: str, supported: Callable[[str], bool]) -> Selector:
    """Parse a field selector over the paths that ``supported`` accepts; raises BadRequest."""
    found = []
    for term in re.split(r"(?<!\\),", text):
        if not term:
            continue
        match = _FIELD.match(term)
        if match is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        path, operator, raw = match[1].strip(), match[2], match[3]
        if not supported(path):
            raise BadRequest(f"field label not supported: {path}")
        value = re.sub(r"\\([\\,=])", r"\1", raw)
        found.append(Requirement(path, operator, frozenset((value,))))
        if len(found) > MOST_REQUIREMENTS:
            raise _too_many()
    return Selector(tuple(found))
