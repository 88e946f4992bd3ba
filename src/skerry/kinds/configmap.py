"""ConfigMap (core/v1): plain settings; agents keep what they applied in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from skerry.kinds.common import Metadata, Shape
from skerry.kinds.rules import MAX_BYTES, at, bad, bad_keys, decoded, sparse
from skerry.kinds.shape import doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Column, Json, Look, Resource
from skerry.machinery.schema import Schema


class ConfigMap(Shape):
    """Settings, as text or base64 encoded bytes under a key."""

    metadata: Metadata
    data: Annotated[dict[str, str], doc("Values as text.")] = {}
    binary_data: Annotated[dict[str, str], doc("Values as base64 encoded bytes.")] = {}
    immutable: Annotated[bool, doc("Whether the data can no longer change.")] = False


def sound(look: Look) -> Sequence[Cause]:
    """Keys are legal and stand in one place, values fit, bytes are base64."""
    data, binary = look.new.get("data") or {}, look.new.get("binaryData") or {}
    causes = [*bad_keys("data", data), *bad_keys("binaryData", binary)]
    causes += [bad(f"data[{key}]", key, "duplicate of key present in binaryData") for key in data if key in binary]
    size = sum(len(value.encode()) for value in data.values())
    for key, value in binary.items():
        found = decoded(value)
        if found is None:
            causes.append(bad(f"binaryData[{key}]", "", "must be base64 encoded"))
        size += len(found or b"")
    if size > MAX_BYTES:
        causes.append(Cause("FieldValueTooLong", f"Too long: may not be more than {MAX_BYTES} bytes", "[]"))
    return causes


def filled(obj: Json) -> None:
    """Keep no map without keys."""
    sparse(obj, "data", "binaryData")


def frozen(look: Look) -> Sequence[Cause]:
    """An immutable ConfigMap stays as it is."""
    if look.old is None or not look.old.get("immutable"):
        return ()
    changed = [path for path in ("immutable", "data", "binaryData") if (at(look.old, path) or {}) != (at(look.new, path) or {})]
    return [Cause("FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set", path) for path in changed]


def keys(obj: Json) -> int:
    """How many keys there are."""
    return len(obj.get("data") or ()) + len(obj.get("binaryData") or ())


RESOURCE = Resource(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    short_names=("cm",),
    schema=Schema(structural(ConfigMap)),
    generation=False,
    strategic=True,
    columns=(
        Column("Data", ".data", "integer", description="How many keys there are", value=keys),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
    prepare=filled,
    rules=(sound, frozen),
)
