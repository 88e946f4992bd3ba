"""ObjectMeta: which fields it has, what may stand in them, and what the server itself keeps.

Wrong types are decode errors (the request cannot be understood); illegal values are causes of
an Invalid error, in the words of ``k8s.io/apimachinery/pkg/api/validation``.
"""

from __future__ import annotations

import re
from typing import Any

from skerry.machinery import causes
from skerry.machinery.errors import BadRequest, Cause
from skerry.machinery.names import label_value_problem, qualified_name_problem, subdomain_problem

Json = dict[str, Any]

MOST_ANNOTATION_BYTES = 256 * 1024

FIELDS: dict[str, type] = {
    "name": str,
    "generateName": str,
    "namespace": str,
    "selfLink": str,
    "uid": str,
    "resourceVersion": str,
    "generation": int,
    "creationTimestamp": str,
    "deletionTimestamp": str,
    "deletionGracePeriodSeconds": int,
    "labels": dict,
    "annotations": dict,
    "ownerReferences": list,
    "finalizers": list,
    "managedFields": list,
}

OMITTED_WHEN_EMPTY = ("labels", "annotations", "ownerReferences", "finalizers")

GO_TYPES = {str: "string", int: "int64", dict: "map[string]string", list: "[]string"}

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")


def decode(metadata: Any) -> list[str]:
    """Check the types of metadata's fields and drop what is unknown or null, in place; return the paths dropped.

    Raises BadRequest where a type is wrong.
    """
    if not isinstance(metadata, dict):
        raise BadRequest(f"json: cannot unmarshal {go_type(metadata)} into Go value of type v1.ObjectMeta")
    unknown = []
    for name in list(metadata):
        value = metadata[name]
        if name not in FIELDS:
            unknown.append(f"metadata.{name}")
        if name not in FIELDS or value is None:
            del metadata[name]
            continue
        _check_type(name, value)
        if not value and name in OMITTED_WHEN_EMPTY:
            del metadata[name]
    for name in ("creationTimestamp", "deletionTimestamp"):
        text = metadata.get(name)
        if text is not None and not _TIME.fullmatch(text):
            raise BadRequest(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"')
    return unknown


ITEMS = {"finalizers": (str, "string"), "ownerReferences": (dict, "v1.OwnerReference")}


def _check_type(name: str, value: Any) -> None:
    expected = FIELDS[name]
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise _wrong(name, value, GO_TYPES[expected])
    if isinstance(value, dict):
        for key, text in value.items():
            if text is None:
                value[key] = ""
            elif not isinstance(text, str):
                raise _wrong(name, text, "string")
    if isinstance(value, list) and name in ITEMS:
        kind, go_name = ITEMS[name]
        for item in value:
            if not isinstance(item, kind):
                raise _wrong(name, item, go_name)


def go_type(value: Any) -> str:
    """What Go's JSON decoder calls a value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _wrong(field: str, value: Any, expected: str) -> BadRequest:
    return BadRequest(f"json: cannot unmarshal {go_type(value)} into Go struct field ObjectMeta.{field} of type {expected}")


def validate(metadata: Json, *, namespaced: bool) -> list[Cause]:
    """Return what is illegal in the metadata of a new object."""
    found = []
    if metadata.get("generateName") and (problem := subdomain_problem(metadata["generateName"].rstrip("-.") or "a")):
        found.append(causes.invalid("metadata.generateName", metadata["generateName"], problem))
    name = metadata.get("name", "")
    if not name:
        found.append(causes.required("metadata.name", "name or generateName is required"))
    elif problem := subdomain_problem(name):
        found.append(causes.invalid("metadata.name", name, problem))
    if not namespaced and metadata.get("namespace"):
        found.append(causes.forbidden("metadata.namespace", "not allowed on this type"))
    return found + validate_mutable(metadata)


def validate_mutable(metadata: Json) -> list[Cause]:
    """Return what is illegal in the part of the metadata that may change."""
    found: list[Cause] = []
    for key, value in (metadata.get("labels") or {}).items():
        if problem := qualified_name_problem(key):
            found.append(causes.invalid("metadata.labels", key, problem))
        if problem := label_value_problem(value):
            found.append(causes.invalid("metadata.labels", value, problem))
    size = 0
    for key, value in (metadata.get("annotations") or {}).items():
        if problem := qualified_name_problem(key.lower()):
            found.append(causes.invalid("metadata.annotations", key, problem))
        size += len(key.encode()) + len(value.encode())
    if size > MOST_ANNOTATION_BYTES:
        found.append(causes.too_long("metadata.annotations", MOST_ANNOTATION_BYTES))
    finalizers = metadata.get("finalizers") or ()
    found += [causes.invalid("metadata.finalizers", each, problem) for each in finalizers if (problem := qualified_name_problem(each))]
    found += _owners(metadata.get("ownerReferences") or ())
    return found


STANDARD_FINALIZERS = frozenset(("orphan", "foregroundDeletion", "kubernetes"))


def warnings(metadata: Json) -> list[str]:
    """Return what is legal in the metadata and yet ill-advised."""
    advice = "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
    return [
        f'metadata.finalizers: "{name}": {advice}'
        for name in metadata.get("finalizers") or ()
        if "/" not in name and name not in STANDARD_FINALIZERS
    ]


def _owners(owners: Any) -> list[Cause]:
    found, controllers = [], []
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        missing = [name for name in ("apiVersion", "kind", "name", "uid") if not owner.get(name)]
        found += [causes.required(f"{path}.{name}", "must not be empty") for name in missing]
        if owner.get("controller"):
            controllers.append(owner.get("name", ""))
            if len(controllers) == 2:
                found.append(
                    causes.invalid(
                        "metadata.ownerReferences",
                        list(owners),
                        f"Only one reference can have Controller set to true. Found {path}",
                    )
                )
    return found


def validate_update(new: Json, old: Json) -> list[Cause]:
    """Return what an update may not do to the metadata."""
    found = [
        causes.invalid(f"metadata.{name}", new.get(name, ""), "field is immutable")
        for name in ("name", "namespace", "uid", "deletionTimestamp")
        if new.get(name, "") != old.get(name, "")
    ]
    if old.get("deletionTimestamp"):
        before = old.get("finalizers") or ()
        added = [each for each in new.get("finalizers") or () if each not in before]
        if added:
            found.append(
                causes.forbidden(
                    "metadata.finalizers",
                    f"no new finalizers can be added if the object is being deleted, found new finalizers {go_strings(added)}",
                )
            )
    return found + validate_mutable(new)


def go_strings(values: list[str]) -> str:
    """A slice of strings as Go prints it with %#v."""
    return "[]string{" + ", ".join(f'"{value}"' for value in values) + "}"
