"""ConfigMap (core/v1): plain settings; agents keep what they applied in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from skerry.kinds.common import Metadata, Shape
from skerry.kinds.rules import at
from skerry.kinds.shape import doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Column, Look, Resource
from skerry.machinery.schema import Schema


class ConfigMap(Shape):
    """Settings, as text or base64 encoded bytes under a key."""

    metadata: Metadata
    data: Annotated[dict[str, str], doc("Values as text.")] = {}
    binary_data: Annotated[dict[str, str], doc("Values as base64 encoded bytes.")] = {}
    immutable: Annotated[bool, doc("Whether the data can no longer change.")] = False


def frozen(look: Look) -> Sequence[Cause]:
    """An immutable ConfigMap stays as it is."""
    if look.old is None or not look.old.get("immutable"):
        return ()
    changed = [path for path in ("immutable", "data", "binaryData") if at(look.old, path) != at(look.new, path)]
    return [Cause("FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set", path) for path in changed]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    short_names=("cm",),
    schema=Schema(structural(ConfigMap)),
    generation=False,
    strategic=True,
    columns=(Column("Age", ".metadata.creationTimestamp", "date"),),
    rules=(frozen,),
)
