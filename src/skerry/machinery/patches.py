"""The classic patches: JSON merge patch (RFC 7386), JSON patch (RFC 6902), strategic merge patch.

Each returns a new object and leaves its arguments alone. A patch that cannot be understood is
a BadRequest; one that is understood and does not fit is Invalid, with the texts that kubectl
shows. Copies in a JSON patch are bounded, so that a small patch cannot make a large object.
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import Any

from skerry.machinery.document import copied
from skerry.machinery.errors import BadRequest, Invalid, RequestEntityTooLarge

Json = dict[str, Any]

_INDEX = re.compile("-?[0-9]{1,9}").fullmatch

MOST_OPERATIONS = 10_000
MOST_COPIED_BYTES = 3 * 1024 * 1024


REJECTED = "the server rejected our request due to an error in our request"


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def json_patch(target: Json, operations: Any) -> Any:
    """Apply a JSON patch, all of it or nothing."""
    if not isinstance(operations, list):
        raise BadRequest("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > MOST_OPERATIONS:
        raise RequestEntityTooLarge(f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(operations)}")
    try:
        return _operated(copied(target), operations)
    except RecursionError:
        raise BadRequest("the object is nested too deeply by the patch") from None


def _operated(document: Any, operations: list[Any]) -> Any:
    bytes_copied = 0
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("op"), str):
            raise Invalid(REJECTED)
        if operation["op"] == "copy":
            bytes_copied += len(json.dumps(_get(document, _source(operation), "copy")))
            if bytes_copied > MOST_COPIED_BYTES:
                raise RequestEntityTooLarge("the copies of a JSON patch may not be larger than 3 MiB together")
        document = _operate(document, operation)
    return document


def _operate(document: Any, operation: Json) -> Any:
    kind, path = operation["op"], operation.get("path")
    if not isinstance(path, str):
        raise BadRequest(f"{kind} operation: missing path")
    match kind:
        case "add":
            return _set(document, path, copied(_value(operation)), insert=True)
        case "replace":
            return _set(document, path, copied(_value(operation)), insert=False)
        case "remove":
            return _remove(document, path)
        case "copy":
            return _set(document, path, copied(_get(document, _source(operation), "copy")), insert=True)
        case "move":
            value = _get(document, _source(operation), "move")
            return _set(_remove(document, _source(operation)), path, value, insert=True)
        case "test":
            if not _same(_get(document, path, "test"), operation.get("value")):
                raise _unfit(f"testing value {path} failed: test failed")
            return document
    raise Invalid(REJECTED)


def _source(operation: Json) -> str:
    source = operation.get("from")
    if not isinstance(source, str):
        raise BadRequest(f"{operation['op']} operation: missing from")
    return source


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON, where Python takes true for 1."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _value(operation: Json) -> Any:
    if "value" not in operation:
        raise BadRequest(f"{operation['op']} operation: missing value")
    return operation["value"]


def _unfit(why: str) -> Invalid:
    return Invalid(f"{REJECTED}: {why}")


def _parts(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise BadRequest(f"a JSON pointer begins with a slash: {path}")
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _index(part: str, size: int, *, end: bool) -> int:
    if part == "-" and end:
        return size
    if not _INDEX(part):
        raise _unfit(f"{part} is no index of a list")
    index = int(part)
    if index < 0:
        index += size
    if not 0 <= index < size + end:
        raise _unfit(f"Unable to access invalid index: {part}: invalid index referenced")
    return index


def _get(document: Any, path: str, kind: str) -> Any:
    for part in _parts(path):
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(part, len(document), end=False)]
        else:
            raise _unfit(f"{kind} operation does not apply: doc is missing path: {path}: missing value")
    return document


def _parent(document: Any, path: str, kind: str) -> tuple[Any, str]:
    parts = _parts(path)
    head = "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts[:-1])
    return _get(document, head, kind), parts[-1]


def _set(document: Any, path: str, value: Any, *, insert: bool) -> Any:
    if not path:
        return value
    parent, last = _parent(document, path, "add" if insert else "replace")
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        index = _index(last, len(parent), end=insert)
        if insert:
            parent.insert(index, value)
        else:
            parent[index] = value
    else:
        raise _unfit(f"add operation does not apply: doc is missing path: {path}: missing value")
    return document


def _remove(document: Any, path: str) -> Any:
    if not path:
        return None
    parent, last = _parent(document, path, "remove")
    if isinstance(parent, dict):
        if last not in parent:
            raise _unfit(f"remove operation does not apply: doc is missing key: {path}: missing value")
        del parent[last]
    elif isinstance(parent, list):
        del parent[_index(last, len(parent), end=False)]
    return document


META_SCHEMA: Json = {
    "properties": {
        "finalizers": {"type": "array", "x-kubernetes-patch-strategy": "merge"},
        "ownerReferences": {"type": "array", "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "uid"},
    }
}


def strategic_patch(target: Any, patch: Any, schema: Json) -> Any:
    """Apply a strategic merge patch; ``schema`` says which lists merge and by which key."""
    if not isinstance(patch, dict):
        return patch
    directive = patch.get("$patch")
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    if directive == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    properties = schema.get("properties") or {}
    retained = patch.get("$retainKeys")
    if isinstance(retained, list):
        result = {name: value for name, value in result.items() if name in retained}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.partition("/")[2]
            present = result.get(field)
            if not isinstance(value, list) or not isinstance(present, list | None):
                raise BadRequest(f"{name} is a list of what shall be removed from a list")
            result[field] = _without(present or [], value)
        elif name.startswith("$"):
            continue
        elif value is None:
            result.pop(name, None)
        else:
            child = META_SCHEMA if name == "metadata" else properties.get(name) or {}
            extra = schema.get("additionalProperties")
            result[name] = _strategic_value(result.get(name), value, child or (extra if isinstance(extra, dict) else {}))
    for name, order in patch.items():
        if name.startswith("$setElementOrder/"):
            field = name.partition("/")[2]
            live = target.get(field) if isinstance(target, dict) else None
            _reorder(result, field, order, live, properties)
    return result


def _strategic_value(target: Any, value: Any, schema: Json) -> Any:
    if isinstance(value, dict):
        return strategic_patch(target, value, schema)
    if not isinstance(value, list) or schema.get("x-kubernetes-patch-strategy") != "merge":
        return value
    key = schema.get("x-kubernetes-patch-merge-key")
    live = list(target) if isinstance(target, list) else []
    if not key:
        return _ordered(live + _without(value, live), value, live, None)
    return _ordered(_merged(live, value, key, schema.get("items") or {}), [item for item in value if "$patch" not in item], live, key)


def _without(values: list[Any], others: list[Any]) -> list[Any]:
    """The values that are not among others."""
    marks = {_mark(each) for each in others}
    return [each for each in values if _mark(each) not in marks]


def _mark(value: Any) -> str:
    """What two values have in common that are the same JSON."""
    return json.dumps(value, sort_keys=True)


def _merged(live: list[Any], value: list[Any], key: str, schema: Json) -> list[Any]:
    """A list of objects with a patch's objects merged into those of the same key."""
    result: list[Any] = list(live)
    places: dict[str, int] = {}
    for index, each in enumerate(live):
        if isinstance(each, dict):
            places.setdefault(_mark(each.get(key)), index)
    gone = set()
    for item in value:
        if not isinstance(item, dict) or key not in item:
            raise BadRequest(f"map: {item} does not contain declared merge key: {key}")
        mark = _mark(item[key])
        place = places.get(mark)
        if item.get("$patch") == "delete":
            if place is not None:
                gone.add(places.pop(mark))
        elif place is None:
            places[mark] = len(result)
            result.append(item)
        else:
            result[place] = strategic_patch(result[place], item, schema)
    return [each for index, each in enumerate(result) if index not in gone]


def _reorder(result: Json, field: str, order: Any, live: Any, properties: Json) -> None:
    items = result.get(field)
    if not isinstance(items, list) or not isinstance(order, list):
        return
    key = (properties.get(field) or META_SCHEMA["properties"].get(field) or {}).get("x-kubernetes-patch-merge-key")
    result[field] = _ordered(items, order, live if isinstance(live, list) else [], key)


def _ordered(items: list[Any], order: list[Any], live: list[Any], key: str | None) -> list[Any]:
    """Sort merged items: those that the patch names as it has them, the others as they stood, before whom they stood."""

    def mark(item: Any) -> str:
        return _mark(item.get(key) if key and isinstance(item, dict) else item)

    wanted = {mark(each): index for index, each in enumerate(order)}
    stood = {mark(each): index for index, each in enumerate(live)}
    named = sorted((each for each in items if mark(each) in wanted), key=lambda each: wanted[mark(each)])
    others = sorted((each for each in items if mark(each) not in wanted), key=lambda each: stood.get(mark(each), len(stood)))
    result: list[Any] = []
    left = deque(others)
    for each in named:
        place = stood.get(mark(each), -1)
        while left and stood.get(mark(left[0]), len(stood)) < place:
            result.append(left.popleft())
        result.append(each)
    return [*result, *left]
