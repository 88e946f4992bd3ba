"""Workspace: namespaces of several clusters that policy and access are set for once, whatever cluster each is in."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Metadata, Shape
from skerry.kinds.rules import label_rule
from skerry.kinds.shape import doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema


class WorkspaceSpec(Shape):
    """What the workspace is."""

    description: Annotated[str, doc("What the workspace is for, for people.", max_length=1024)] = ""


class Workspace(Shape):
    """A group of managed namespaces that inherit policy and access from it."""

    metadata: Metadata
    spec: WorkspaceSpec = field(default_factory=WorkspaceSpec)


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="Workspace",
    plural="workspaces",
    short_names=("ws",),
    categories=("fleet",),
    namespaced=False,
    schema=Schema(structural(Workspace)),
    columns=(Column("Description", ".spec.description"), Column("Age", ".metadata.creationTimestamp", "date")),
    built_in=frozenset(("default",)),
    rules=(label_rule,),
)
