"""TrustBundle: certificate authorities that are trusted beside the public ones, kept once and named where they are needed.

A root that is to be replaced stands here beside its successor until everybody has learned of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from skerry.kinds import pem
from skerry.kinds.common import GROUP, VERSION, Metadata, Shape
from skerry.kinds.rules import at, label_rule
from skerry.kinds.shape import doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Column, Json, Look, Resource
from skerry.machinery.schema import Schema


class TrustBundleSpec(Shape):
    """The authorities."""

    pem: Annotated[str, doc("The certificates of the authorities, PEM encoded, one after the other.", min_length=1, max_length=524288)]
    description: Annotated[str, doc("Whose they are, for people.", max_length=1024)] = ""


class TrustBundle(Shape):
    """Certificate authorities that are trusted beside the public ones."""

    metadata: Metadata
    spec: TrustBundleSpec


def sound(look: Look) -> Sequence[Cause]:
    """Every certificate can be read, is an authority, and holds still."""
    before = at(look.old, "spec.pem") if look.old else ""
    return pem.authority_causes(look.new["spec"]["pem"], "spec.pem", look.now, str(before or ""))


def advice(look: Look) -> Sequence[str]:
    """What will fail some day, or somewhere."""
    return pem.authority_warnings(look.new["spec"]["pem"], "spec.pem", look.now)


def _count(obj: Json) -> int:
    return pem.count(obj["spec"]["pem"])


def _first_end(obj: Json) -> str:
    return pem.first_end(obj["spec"]["pem"])


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="TrustBundle",
    plural="trustbundles",
    short_names=("tb",),
    categories=("fleet",),
    namespaced=False,
    schema=Schema(structural(TrustBundle)),
    columns=(
        Column("Certificates", ".spec.pem", "integer", description="How many certificates it holds", value=_count),
        Column("Expires", ".spec.pem", description="The day on which the first of them ends", value=_first_end),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Description", ".spec.description", priority=1),
    ),
    rules=(label_rule, sound),
    advice=(advice,),
)
