"""What a structural schema demands beyond JSON Schema: unique items, and whole objects inside objects.

* A list that is a *set* holds no value twice, a *list-map* no two items with the same keys.
* A position marked ``x-kubernetes-embedded-resource`` holds an object with apiVersion, kind and
  metadata of its own; of its name no more is asked than that it can stand in a path.

Both are looked for only when the compiled checks have said no, after the schema's own faults.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from skerry.machinery import causes, meta
from skerry.machinery.errors import Cause
from skerry.machinery.names import kind_problems, path_segment_problems
from skerry.machinery.validate import judge

Json = dict[str, Any]
Judge = Callable[[Json, Any, str], Iterator[Cause]]


def _walk(schema: Json, value: Any, path: str, judge: Judge) -> Iterator[Cause]:
    """Judge every position that the schema names, from the outside in."""
    yield from judge(schema, value, path)
    if isinstance(value, list):
        if items := schema.get("items"):
            for index, item in enumerate(value):
                yield from _walk(items, item, f"{path}[{index}]", judge)
    elif isinstance(value, dict):
        properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, member in value.items():
            if name in properties:
                yield from _walk(properties[name], member, f"{path}.{name}" if path else name, judge)
            elif isinstance(extra, dict):
                yield from _walk(extra, member, f"{path}[{name}]", judge)


def is_valid(schema: Json, value: Any) -> bool:
    """Whether nothing at all is wrong with a value, as the walks see it."""
    return not (judge(schema, value, "").faults or duplicates(schema, value) or embedded(schema, value))


def is_whole_object(value: Any) -> bool:
    """Whether a value could stand where an object inside an object is asked for."""
    return not list(_embedded({"x-kubernetes-embedded-resource": True}, value, ""))


def duplicates(schema: Json, value: Any, path: str = "") -> list[Cause]:
    """The items of sets and list-maps that stand twice; of three alike, one is named."""
    return list(_walk(schema, value, path, _duplicates))


def embedded(schema: Json, value: Any, path: str = "") -> list[Cause]:
    """What is wrong with the objects inside an object."""
    return list(_walk(schema, value, path, _embedded))


def _duplicates(schema: Json, value: Any, path: str) -> Iterator[Cause]:
    kind = schema.get("x-kubernetes-list-type")
    if not isinstance(value, list) or kind not in {"set", "map"}:
        return
    marks = value
    if kind == "map":
        for index, item in enumerate(value):
            if item is not None and not isinstance(item, dict):
                yield causes.invalid(f"{path}[{index}]", item, "must be an object for an array of list-type map")
                return
        keys = schema.get("x-kubernetes-list-map-keys", ())
        marks = [{key: item[key] for key in keys if key in item} if item else {} for item in value]
    seen: dict[str, int] = {}
    for index, mark in enumerate(marks):
        text = json.dumps(mark, sort_keys=True)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            yield causes.duplicate(f"{path}[{index}]", mark)


def _embedded(schema: Json, value: Any, path: str) -> Iterator[Cause]:
    if not isinstance(value, dict) or not schema.get("x-kubernetes-embedded-resource"):
        return
    for name in ("apiVersion", "kind"):
        if name not in value:
            yield causes.required(f"{path}.{name}")
        elif not isinstance(value[name], str):
            yield causes.invalid(f"{path}.{name}", value[name], "must be a string")
        elif not value[name]:
            yield causes.invalid(f"{path}.{name}", "", "must not be empty")
        elif name == "apiVersion" and value[name].count("/") > 1:
            yield causes.invalid(f"{path}.{name}", value[name], f"unexpected GroupVersion string: {value[name]}")
        elif name == "kind" and (problems := kind_problems(value[name].lower())):
            why = f"may have mixed case, but should otherwise match: {','.join(problems)}"
            yield causes.invalid(f"{path}.{name}", value[name], why)
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        named = {**metadata, "name": metadata.get("name") or "unnamed"}
        namespaced = bool(metadata.get("namespace"))
        yield from meta.validate(named, namespaced=namespaced, path=f"{path}.metadata", naming=path_segment_problems)
