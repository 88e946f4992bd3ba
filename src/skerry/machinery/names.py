"""Which names, labels and annotations are legal, in the words of ``k8s.io/apimachinery/pkg/util/validation``.

The functions in the plural return everything that is wrong, those in the singular the first of
it, or an empty string.
"""

from __future__ import annotations

import re
from typing import Protocol

_LABEL_SYNTAX = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_SYNTAX = rf"{_LABEL_SYNTAX}(\.{_LABEL_SYNTAX})*"
_KEY_SYNTAX = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE_SYNTAX = f"({_KEY_SYNTAX})?"

_LABEL = re.compile(_LABEL_SYNTAX).fullmatch
_SUBDOMAIN = re.compile(_SUBDOMAIN_SYNTAX).fullmatch
_KEY = re.compile(_KEY_SYNTAX).fullmatch
_VALUE = re.compile(_VALUE_SYNTAX).fullmatch
_KIND = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?").fullmatch

LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric"
    f" character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL_SYNTAX}')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an"
    f" alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN_SYNTAX}')"
)
_KEY_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g."
    f" 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_KEY_SYNTAX}')"
)
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    f" alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_VALUE_SYNTAX}')"
)
KIND_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an"
    " alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)


def _too_long(text: str, most: int, unit: str = "bytes") -> list[str]:
    return [f"must be no more than {most} {unit}"] if len(text.encode()) > most else []


def label_problems(name: str) -> list[str]:
    """A DNS-1123 label: what names of namespaces are."""
    if _LABEL(name):
        return _too_long(name, 63, "characters")
    return [*_too_long(name, 63, "characters"), "must not contain dots" if _SUBDOMAIN(name) else LABEL_TEXT]


def subdomain_problems(name: str, unit: str = "characters") -> list[str]:
    """A DNS-1123 subdomain: what names of objects are. Kubernetes counts the length in bytes and calls them either."""
    return [*_too_long(name, 253, unit), *([] if _SUBDOMAIN(name) else [SUBDOMAIN_TEXT])]


class Naming(Protocol):
    """What is wrong with the name of an object of some kind; ``prefix``: letters will be added to it."""

    def __call__(self, name: str, *, prefix: bool = False) -> list[str]: ...  # noqa: D102 said above


def object_name_problems(name: str, *, prefix: bool = False) -> list[str]:
    """What most objects are called: a DNS-1123 subdomain."""
    return subdomain_problems(_with_an_end(name) if prefix else name)


def namespace_name_problems(name: str, *, prefix: bool = False) -> list[str]:
    """What namespaces are called: a DNS-1123 label."""
    return label_problems(_with_an_end(name) if prefix else name)


def _with_an_end(prefix: str) -> str:
    """A prefix with a letter in the place of the dash that it may end with."""
    return f"{prefix[:-2]}a" if len(prefix) > 1 and prefix.endswith("-") else prefix


def qualified_name_problems(name: str) -> list[str]:
    """A key of a label or an annotation: an optional DNS prefix and a name part."""
    prefix, slash, last = name.rpartition("/")
    if "/" in prefix:
        return [f"a valid label key {_KEY_TEXT} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    found: list[str] = []
    if slash and not prefix:
        found.append("prefix part must be non-empty")
    elif slash:
        found += [f"prefix part {problem}" for problem in subdomain_problems(prefix, "bytes")]
    if not last:
        found.append("name part must be non-empty")
    else:
        found += [f"name part {problem}" for problem in _too_long(last, 63)]
    return found if _KEY(last) else [*found, f"name part {_KEY_TEXT}"]


def label_value_problems(value: str) -> list[str]:
    """The value of a label."""
    return [*_too_long(value, 63), *([] if _VALUE(value) else [VALUE_TEXT])]


def kind_problems(kind: str) -> list[str]:
    """A kind, in lower case: a DNS-1035 label."""
    return [*_too_long(kind, 63, "characters"), *([] if _KIND(kind) else [KIND_TEXT])]


def path_segment_problems(name: str, *, prefix: bool = False) -> list[str]:
    """A name of which nothing is known but that it will stand in a path; ``prefix``: something will be added to it."""
    if not prefix and name in {".", ".."}:
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def label_problem(name: str) -> str:
    """The first thing wrong with a DNS-1123 label."""
    return next(iter(label_problems(name)), "")


def subdomain_problem(name: str) -> str:
    """The first thing wrong with a DNS-1123 subdomain."""
    return next(iter(subdomain_problems(name)), "")


def label_value_problem(value: str) -> str:
    """The first thing wrong with the value of a label."""
    return next(iter(label_value_problems(value)), "")
