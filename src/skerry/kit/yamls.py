"""YAML with the C parser, safe types only, and no alias bombs.

Aliases multiply: a small text can stand for a huge value. Whatever uses one is refused once it
stands for more than a bounded number of nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MOST_NODES = 200_000


class YamlError(ValueError):
    """The text is not YAML, or stands for too much."""


class _Loader(yaml.CSafeLoader):
    """The safe loader, with timestamps left as the strings they are."""

    yaml_implicit_resolvers = {  # noqa: RUF012 the attribute is the base class's
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def load(text: str | bytes) -> Any:
    """Read one document; raises YamlError."""
    documents = list(load_all(text))
    return documents[0] if documents else None


def load_all(text: str | bytes) -> Iterator[Any]:
    """Read every document; raises YamlError."""
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            _bounded(node)
            yield loader.construct_document(node)
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise YamlError("the document is nested too deeply") from error
    except (ValueError, LookupError, AttributeError, TypeError):  # the loader's own, for a scalar that its tag does not fit
        raise YamlError("a value is not what its tag says") from None  # which value is not told: it may be a credential
    finally:
        loader.dispose()


def doubled(text: str | bytes) -> list[str]:
    """Say which keys of the first document stand twice in one mapping, in the words of Go's parser; empty if it is no YAML."""
    try:
        root = yaml.compose(text, _Loader)
    except yaml.YAMLError:
        return []
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
            if isinstance(key, ScalarNode) and (key.tag, key.value) in keys:
                found.append(f'line {key.start_mark.line + 1}: key "{key.value}" already set in map')
            keys.add((key.tag, str(key.value)))
            walk(value)

    if root is not None:
        walk(root)
    return found


def _bounded(node: Node) -> None:
    sizes: dict[int, int] = {}

    def size(each: Node) -> int:
        known = sizes.get(id(each))
        if known is not None:
            return known
        sizes[id(each)] = MOST_NODES + 1  # a node that contains itself
        if isinstance(each, MappingNode):
            total = 1 + sum(size(key) + size(value) for key, value in each.value)
        elif isinstance(each, SequenceNode):
            total = 1 + sum(size(item) for item in each.value)
        else:
            total = 1
        sizes[id(each)] = total
        return total

    if size(node) > MOST_NODES:
        raise YamlError(f"the document stands for more than {MOST_NODES} values")


def dump(value: Any) -> str:
    """Write one document, keys in the order they have."""
    return yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, default_flow_style=False, allow_unicode=True)
