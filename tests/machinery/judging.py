"""Judge an object by a schema twice: by the walk, and by the compiled check that stands in for it where a kind is written often."""

from __future__ import annotations

import copy
from typing import Any

from skerry.machinery.errors import Cause
from skerry.machinery.schema import OFTEN, Schema

Json = dict[str, Any]


def kind(spec: Json, **more: Json) -> Json:
    """The schema of a kind whose spec has this schema."""
    typed = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return {"type": "object", "properties": {**typed, "spec": spec, **more}}


def fields(**properties: Json) -> Json:
    """The schema of an object with these fields."""
    return {"type": "object", "properties": properties}


def thing(spec: Any, **more: Any) -> Json:
    """An object with this spec."""
    return {"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec, **more}


def warm(document: Json) -> Schema:
    """A schema that has been used often enough to be compiled."""
    schema = Schema(document)
    for _ in range(OFTEN + 1):
        schema.prune(thing({}))
        schema.validate(thing({}))
    return schema


def judged(spec: Json, value: Any, old: Any = None) -> list[Cause]:
    """The causes that speak against a spec of this value, once ``old`` if given."""
    document = kind(spec)
    before = None if old is None else thing(old)
    walked, compiled = (each.validate(thing(value), before) for each in (Schema(document), warm(document)))
    assert walked == compiled
    return walked


def told(spec: Json, value: Any, old: Any = None) -> list[tuple[str, str]]:
    """The causes as pairs of field and message."""
    return [(cause.field, cause.message) for cause in judged(spec, value, old)]


def pruned(spec: Json, value: Any) -> tuple[Any, list[str]]:
    """What pruning leaves of a spec, and the paths it names."""
    found = []
    for schema in (Schema(kind(spec)), warm(kind(spec))):
        obj = thing(copy.deepcopy(value))
        paths = schema.prune(obj)
        found.append((obj["spec"], paths))
    assert found[0] == found[1]
    return found[0]


def defaulted(spec: Json, value: Any) -> Any:
    """A spec after pruning and defaulting."""
    schema, obj = Schema(kind(spec)), thing(copy.deepcopy(value))
    schema.prune(obj)
    schema.default(obj)
    return obj["spec"]
