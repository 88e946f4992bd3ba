"""Namespace (core/v1): at our door, a management cluster's room, and ``skerry-system`` for the installation's own.

Its life (Terminating until it is empty, then gone) is ``restapi``'s and ``runtime/namespaces.py``'s.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import field

from skerry.kinds.common import Metadata, Shape
from skerry.kinds.rules import label_rule
from skerry.kinds.shape import doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema


class NamespaceSpec(Shape):
    """What holds the namespace."""

    finalizers: Annotated[list[str], doc("Who must be done before the namespace is gone.")] = []


class NamespaceStatus(Shape):
    """What was seen."""

    phase: Annotated[Literal["Active", "Terminating"], doc("Active, or on its way out.")] = "Active"


class Namespace(Shape):
    """A room for names."""

    metadata: Metadata
    spec: NamespaceSpec = field(default_factory=NamespaceSpec)
    status: NamespaceStatus = field(default_factory=NamespaceStatus)


RESOURCE = Resource(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    short_names=("ns",),
    namespaced=False,
    schema=Schema(structural(Namespace)),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    status=True,
    generation=False,
    strategic=True,
    selectable=("status.phase",),
    columns=(Column("Status", ".status.phase"), Column("Age", ".metadata.creationTimestamp", "date")),
    zero={"spec": {}, "status": {}},
    rules=(label_rule,),
)
