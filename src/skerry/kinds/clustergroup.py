"""ClusterGroup: where policy and access of several clusters are set once. ``default`` always exists."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Metadata, Shape
from skerry.kinds.rules import label_rule
from skerry.kinds.shape import doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema


class ClusterGroupSpec(Shape):
    """What the group is."""

    description: Annotated[str, doc("What the group is for, for people.", max_length=1024)] = ""


class ClusterGroup(Shape):
    """A group of clusters that inherit policy and access from it."""

    metadata: Metadata
    spec: ClusterGroupSpec = field(default_factory=ClusterGroupSpec)


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="ClusterGroup",
    plural="clustergroups",
    short_names=("cg",),
    categories=("fleet",),
    namespaced=False,
    schema=Schema(structural(ClusterGroup)),
    columns=(Column("Description", ".spec.description"), Column("Age", ".metadata.creationTimestamp", "date")),
    built_in=frozenset(("default",)),
    rules=(label_rule,),
)
