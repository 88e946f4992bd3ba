"""Secret (core/v1): the only kind that holds credential values.

``stringData`` is a way to write ``data`` without base64 and is never stored; ``type`` cannot
change, and neither can the data of an immutable Secret. Lists show how many keys there are,
never what they hold.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated

from skerry.kinds.common import Metadata, Shape
from skerry.kinds.rules import MAX_BYTES, at, bad, bad_keys, decoded, immutable, missing, sparse
from skerry.kinds.shape import doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Column, Json, Look, Resource
from skerry.machinery.schema import Schema

BASIC_AUTH, BASIC_AUTH_KEYS = "kubernetes.io/basic-auth", ("password", "username")
NEEDED: dict[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
"""The keys that a Secret of a type must have."""
"""The sum of all decoded values, as in Kubernetes."""


class Secret(Shape):
    """Credential values, each base64 encoded under its key."""

    metadata: Metadata
    type: Annotated[str, doc("What kind of secret it is, for programs.")] = "Opaque"
    data: Annotated[dict[str, str], doc("The values, base64 encoded.")] = {}
    string_data: Annotated[dict[str, str], doc("Values in plain text; written into data, never read back.")] = {}
    immutable: Annotated[bool, doc("Whether the data can no longer change.")] = False


def fold(obj: Json) -> None:
    """Write ``stringData`` into ``data``, as the API server of Kubernetes does; what is no text stays, and is refused for its type."""
    plain = obj.get("stringData")
    if isinstance(plain, dict):
        obj["stringData"] = {key: value for key, value in plain.items() if not isinstance(value, str)}
        if not obj["stringData"]:
            del obj["stringData"]
        data = obj.setdefault("data", {})
        if isinstance(data, dict):
            data.update({key: base64.b64encode(value.encode()).decode() for key, value in plain.items() if isinstance(value, str)})
    sparse(obj, "data")


def sound(look: Look) -> Sequence[Cause]:
    """Values are base64 and together small enough; an immutable Secret stays as it is."""
    data = look.new.get("data") or {}
    causes, size = bad_keys("data", data), 0
    for key, value in data.items():
        found = decoded(value)
        if found is None:
            causes.append(bad(f"data[{key}]", "<redacted>", "must be base64 encoded"))
        size += len(found or b"")
    kind = look.new.get("type", "")
    needed = NEEDED.get(kind, ())
    if kind == BASIC_AUTH and not set(BASIC_AUTH_KEYS) & set(data):
        needed = BASIC_AUTH_KEYS  # one of them is enough
    causes += [missing(f"data[{key}]") for key in needed if key not in data]
    if size > MAX_BYTES:
        causes.append(Cause("FieldValueTooLong", f"Too long: may not be more than {MAX_BYTES} bytes", "data"))
    if look.old is not None and look.old.get("immutable"):
        if not look.new.get("immutable"):
            causes.append(Cause("FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set", "immutable"))
        if (at(look.old, "data") or {}) != (at(look.new, "data") or {}):
            causes.append(Cause("FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set", "data"))
    return causes


RESOURCE = Resource(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    schema=Schema(structural(Secret)),
    generation=False,
    strategic=True,
    confidential=True,
    selectable=("type",),
    columns=(
        Column("Type", ".type"),
        Column("Data", ".data", "integer", description="How many keys there are", value=lambda obj: len(obj.get("data") or ())),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
    prepare=fold,
    rules=(sound, immutable("type")),
)
