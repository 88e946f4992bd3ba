"""Organization: what everything else belongs to. An installation serves one, and it is always there."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Metadata, Shape
from skerry.kinds.rules import label_rule
from skerry.kinds.shape import doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema


class OrganizationSpec(Shape):
    """What the organization is."""

    display_name: Annotated[str, doc("Its name as people write it.", max_length=253)] = ""
    description: Annotated[str, doc("What it is for, for people.", max_length=1024)] = ""


class Organization(Shape):
    """Everything that one installation manages; policy and access inherit from it."""

    metadata: Metadata
    spec: OrganizationSpec = field(default_factory=OrganizationSpec)


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="Organization",
    plural="organizations",
    short_names=("org",),
    categories=("access",),
    namespaced=False,
    schema=Schema(structural(Organization)),
    verbs=("create", "get", "list", "patch", "update", "watch"),  # it stays: everything belongs to it
    columns=(Column("Display name", ".spec.displayName"), Column("Age", ".metadata.creationTimestamp", "date")),
    rules=(label_rule,),
)
