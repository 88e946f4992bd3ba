"""ObjectMeta: which fields it has, what may stand in them, and what the server itself keeps.

Wrong types are decode errors (the request cannot be understood); illegal values are causes of
an Invalid error, in the words of ``k8s.io/apimachinery/pkg/api/validation``.
"""

from __future__ import annotations

import re
from typing import Any

from skerry.machinery import causes
from skerry.machinery.errors import BadRequest, Cause
from skerry.machinery.gotext import marshalled, quoted
from skerry.machinery.names import Naming, label_problems, label_value_problems, object_name_problems, qualified_name_problems

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
        if name == "ownerReferences":
            unknown += _decode_owners(value)
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
    if isinstance(value, list) and name == "managedFields":
        for entry in value:
            _decode_entry(entry)
    if isinstance(value, list) and name in ITEMS:
        kind, go_name = ITEMS[name]
        for item in value:
            if not isinstance(item, kind):
                raise _wrong(name, item, go_name)


OWNER_FIELDS = {"apiVersion": str, "kind": str, "name": str, "uid": str, "controller": bool, "blockOwnerDeletion": bool}


def _decode_owners(owners: list[Json]) -> list[str]:
    """Check the types of owner references and drop what is unknown or null, in place; return the paths dropped."""
    unknown = []
    for index, owner in enumerate(owners):
        for name in list(owner):
            value, expected = owner[name], OWNER_FIELDS.get(name)
            if expected is None:
                unknown.append(f"metadata.ownerReferences[{index}].{name}")
            if expected is None or value is None:
                del owner[name]
            elif not isinstance(value, expected):
                go_name = "bool" if expected is bool else "string"
                raise BadRequest(f"json: cannot unmarshal {go_type(value)} into Go struct field OwnerReference.{name} of type {go_name}")
    return unknown


ENTRY_FIELDS = ("manager", "operation", "apiVersion", "time", "fieldsType", "subresource")


def _decode_entry(entry: Any) -> None:
    if not isinstance(entry, dict):
        raise _wrong("managedFields", entry, "v1.ManagedFieldsEntry")
    for name in ENTRY_FIELDS:
        value = entry.get(name)
        if value is not None and not isinstance(value, str):
            raise BadRequest(f"json: cannot unmarshal {go_type(value)} into Go struct field ManagedFieldsEntry.{name} of type string")


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


def validate(metadata: Json, *, namespaced: bool, path: str = "metadata", naming: Naming = object_name_problems) -> list[Cause]:
    """Return what is illegal in the metadata of a new object, which stands at ``path``."""
    found = []
    if generate := metadata.get("generateName"):
        found += [causes.invalid(f"{path}.generateName", generate, problem) for problem in naming(generate, prefix=True)]
    name = metadata.get("name", "")
    if not name:
        found.append(causes.required(f"{path}.name", "name or generateName is required"))
    else:
        found += [causes.invalid(f"{path}.name", name, problem) for problem in naming(name)]
    namespace = metadata.get("namespace", "")
    if namespaced:
        found += [causes.invalid(f"{path}.namespace", namespace, problem) for problem in label_problems(namespace)]
    elif namespace:
        found.append(causes.forbidden(f"{path}.namespace", "not allowed on this type"))
    found += _mutable(metadata, path)
    finalizers = metadata.get("finalizers") or ()
    found += [causes.invalid(f"{path}.finalizers", each, problem) for each in finalizers for problem in qualified_name_problems(each)]
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        why = "finalizer orphan and foregroundDeletion cannot be both set"
        found.append(causes.invalid(f"{path}.finalizers", list(finalizers), why))
    return found


def _mutable(metadata: Json, path: str) -> list[Cause]:
    """Return what is illegal in the part of the metadata that may change."""
    found: list[Cause] = []
    if (metadata.get("generation") or 0) < 0:
        found.append(causes.invalid(f"{path}.generation", metadata["generation"], "must be greater than or equal to 0"))
    for key, value in (metadata.get("labels") or {}).items():
        found += [causes.invalid(f"{path}.labels", key, problem) for problem in qualified_name_problems(key)]
        found += [causes.invalid(f"{path}.labels", value, problem) for problem in label_value_problems(value)]
    size = 0
    for key, value in (metadata.get("annotations") or {}).items():
        found += [causes.invalid(f"{path}.annotations", key, problem) for problem in qualified_name_problems(key.lower())]
        size += len(key.encode()) + len(value.encode())
    if size > MOST_ANNOTATION_BYTES:
        found.append(causes.too_long(f"{path}.annotations", MOST_ANNOTATION_BYTES))
    if owners := metadata.get("ownerReferences"):
        found += _owners(owners, f"{path}.ownerReferences")
    return found


STANDARD_FINALIZERS = frozenset(("orphan", "foregroundDeletion", "kubernetes"))


def warnings(metadata: Json, old: Json | None = None) -> list[str]:
    """Return what is ill-advised about the finalizers that are new."""
    found = []
    before = (old or {}).get("finalizers") or ()
    for name in sorted(set(metadata.get("finalizers") or ()).difference(before)):
        advice = qualified_name_problems(name)
        if "/" not in name and name not in STANDARD_FINALIZERS:
            which = "name including a path (/)" if "." in name else "name"
            advice = [*advice, f"prefer a domain-qualified finalizer {which} to avoid accidental conflicts with other finalizer writers"]
        found += [f"metadata.finalizers: {quoted(name)}: {each}" for each in advice]
    return found


OWNER = ("apiVersion", "kind", "name", "uid")


def _owners(owners: list[Json], path: str) -> list[Cause]:
    found: list[Cause] = []
    controller, told = "", False
    for index, owner in enumerate(owners):
        here = f"{path}[{index}]"
        version = owner.get("apiVersion") or ""
        if version and (version.count("/") > 1 or version.endswith("/")):
            found.append(causes.invalid(f"{here}.apiVersion", version, "must be <group>/<version> or <version>"))
        found += [causes.required(f"{here}.{name}", "must not be empty") for name in OWNER if not owner.get(name)]
        if (version, owner.get("kind")) == ("v1", "Event"):
            why = "/v1, Kind=Event is disallowed from being an owner"
            found.append(Cause("FieldValueInvalid", f"Invalid value: {_shown(owner)}: {why}", here))
        if owner.get("controller"):
            name = f"{owner.get('kind', '')}/{owner.get('name', '')}"
            if controller and not told:
                told = True  # once: the text holds all of them
                why = f'Only one reference can have Controller set to true. Found "true" in references for {controller} and {name}'
                shown = ",".join(_shown(each) for each in owners)
                found.append(Cause("FieldValueInvalid", f"Invalid value: [{shown}]: {why}", path))
            controller = controller or name
    return found


def _shown(owner: Json) -> str:
    """An owner reference as JSON, its fields in the order in which Kubernetes has them."""
    fields = {name: owner.get(name) or "" for name in OWNER} | {
        name: owner[name] for name in ("controller", "blockOwnerDeletion") if name in owner
    }
    return marshalled(fields, in_order=True)


def validate_update(new: Json, old: Json) -> list[Cause]:
    """Return what an update may not do to the metadata."""
    found = [
        causes.invalid(f"metadata.{name}", new.get(name, ""), "field is immutable")
        for name in ("name", "namespace", "uid", "deletionTimestamp")
        if new.get(name, "") != old.get(name, "")
    ]
    if old.get("deletionTimestamp"):
        before = frozenset(old.get("finalizers") or ())
        added = [each for each in new.get("finalizers") or () if each not in before]
        if added:
            found.append(
                causes.forbidden(
                    "metadata.finalizers",
                    f"no new finalizers can be added if the object is being deleted, found new finalizers {go_strings(added)}",
                )
            )
    return found + _mutable(new, "metadata")


def go_strings(values: list[str]) -> str:
    """A slice of strings as Go prints it with %#v."""
    return "[]string{" + ", ".join(f'"{value}"' for value in values) + "}"
