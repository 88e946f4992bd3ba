"""YAML with the C parser, safe types only, and no bombs.

Aliases multiply: a small text can stand for a huge value. Whatever stands for more than a bounded
number of values, or is nested deeper than a bounded number of levels, is refused while it is
read: nothing of its size is made before. The C parser recurses without looking at the stack, so
the bound of depth is also what keeps the process alive.

Numbers are those of YAML 1.2 and of the parser that Kubernetes uses: no base 60, in which a
megabyte of digits takes hours to add up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from skerry.kit.bounds import MOST_DEPTH, MOST_VALUES

MOST_DIGITS = 400
"""Characters of a number: more are beyond 64 bits in any base."""

MOST_ALIASES = 10_000

MOST_TOLD = 100
"""So many keys that stand twice are named."""

_PIECE = 128 * 1024
_ALIASES = re.compile(rb"[\s,:\[{?-]\*[^\s,\[\]{}*]").findall
_OWN = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_INTEGER = re.compile("[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
)


class YamlError(ValueError):
    """The text is not YAML, or stands for too much."""


class _Loader(yaml.CSafeLoader):
    """The safe loader: bounded, with timestamps left as the strings they are."""

    yaml_implicit_resolvers = {  # noqa: RUF012 the attribute is the base class's
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _OWN]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str | bytes) -> None:
        """Nothing is read yet."""
        super().__init__(stream)
        self._values = self._depth = 0

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:  # noqa: ARG002 the parser calls this for each node
        """Count a node."""
        self._values += 1
        self._depth += 1
        if self._values > MOST_VALUES:
            raise _too_many()
        if self._depth > MOST_DEPTH:
            raise YamlError(f"the document is nested too deeply: more than {MOST_DEPTH} levels")

    def ascend_resolver(self) -> None:
        """Leave a node."""
        self._depth -= 1

    def construct_number(self, node: Any) -> int | float:
        """A number that is none of base 60."""
        text = self.construct_scalar(node)
        if ":" in text or len(text) > MOST_DIGITS:
            raise ValueError
        plain = text.replace("_", "").lower().replace("0o", "0")
        if node.tag.endswith("float") or not _INTEGER.fullmatch(text):
            return float(plain)
        sign, digits = (plain[0], plain[1:]) if plain[0] in "+-" else ("", plain)
        base = {"0b": 2, "0x": 16}.get(digits[:2], 8 if digits[0] == "0" and len(digits) > 1 else 10)
        return int(sign + (digits[2:] if base in {2, 16} else digits), base)


for _tag, _pattern, _first in (("int", _INTEGER, "-+0123456789"), ("float", _FLOAT, "-+0123456789.")):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern.pattern})$"), list(_first))
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_number)


def _too_many() -> YamlError:
    return YamlError(f"the document stands for more than {MOST_VALUES} values")


def load(text: str | bytes) -> Any:
    """Read one document; raises YamlError."""
    documents = list(load_all(text))
    return documents[0] if documents else None


def load_all(text: str | bytes) -> Iterator[Any]:
    """Read every document; raises YamlError."""
    for node, loader in _nodes(text):
        yield _constructed(loader, node)


def read(text: str | bytes) -> tuple[Any, list[str]]:
    """Read the first document, and say which of its keys stand twice in one mapping, in the words of Go's parser; raises YamlError."""
    for node, loader in _nodes(text):
        doubled = _doubled(node)
        return _constructed(loader, node), doubled
    return None, []


def doubled(text: str | bytes) -> list[str]:
    """Say which keys of the first document stand twice in one mapping; empty if it is no YAML."""
    try:
        return read(text)[1]
    except YamlError:
        return []


def _check_aliases(text: str | bytes) -> None:
    """Refuse many thousands of aliases: the parser takes them one by one without giving any other thread a turn."""
    data = text.encode(errors="replace") if isinstance(text, str) else text
    if sum(len(_ALIASES(data, begin, begin + _PIECE)) for begin in range(0, len(data), _PIECE)) > MOST_ALIASES:
        raise YamlError(f"the document has more than {MOST_ALIASES} aliases")


def _nodes(text: str | bytes) -> Iterator[tuple[Node, _Loader]]:
    _check_aliases(text)
    loader = None
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                _bounded(node)
                yield node, loader
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from error
    except UnicodeDecodeError as error:
        raise YamlError(f"the text is not valid UTF-8: {error.reason} at byte {error.start}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _constructed(loader: _Loader, node: Node) -> Any:
    try:
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise YamlError("the document is nested too deeply") from error
    except (ValueError, LookupError, AttributeError, TypeError):  # the loader's own, for a scalar that its tag does not fit
        raise YamlError("a value is not what its tag says") from None  # which value is not told: it may be a credential


def _doubled(root: Node) -> list[str]:
    found: list[str] = []
    seen: set[int] = set()

    def walk(node: Node) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        for child in node.value if isinstance(node, SequenceNode) else ():
            walk(child)
        keys = set()
        for key, value in node.value if isinstance(node, MappingNode) else ():
            mark = (key.tag, key.value if isinstance(key, ScalarNode) else id(key))
            if mark in keys and len(found) < MOST_TOLD:
                found.append(f'line {key.start_mark.line + 1}: key "{key.value}" already set in map')
            keys.add(mark)
            walk(value)

    walk(root)
    return found


def _bounded(node: Node) -> None:
    """Refuse what stands for too much once its aliases are followed, or is nested in itself."""
    sizes: dict[int, tuple[int, int]] = {}

    def size(each: Node) -> tuple[int, int]:
        """Values and levels of a node."""
        known = sizes.get(id(each))
        if known is not None:
            return known
        sizes[id(each)] = MOST_VALUES + 1, 0  # a node that contains itself
        below: list[tuple[int, int]] = []
        if isinstance(each, MappingNode):
            below = [size(part) for pair in each.value for part in pair]
        elif isinstance(each, SequenceNode):
            below = [size(item) for item in each.value]
        values, levels = 1 + sum(values for values, _ in below), 1 + max((levels for _, levels in below), default=0)
        sizes[id(each)] = values, levels
        return values, levels

    values, levels = size(node)
    if values > MOST_VALUES:
        raise _too_many()
    if levels > MOST_DEPTH:
        raise YamlError(f"the document is nested too deeply: more than {MOST_DEPTH} levels")


def dump(value: Any) -> str:
    """Write one document, keys in the order they have."""
    return yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, default_flow_style=False, allow_unicode=True)
