"""Namespace (core/v1): at our door, a management cluster's room, and ``skerry-system`` for the installation's own.

Its life (Terminating until it is empty, then gone) is ``restapi``'s and ``runtime/namespaces.py``'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import field

from skerry.kinds.common import Conditions, Metadata, Shape
from skerry.kinds.rules import bad
from skerry.kinds.shape import doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.names import namespace_name_problems
from skerry.machinery.resource import Column, Look, Resource
from skerry.machinery.schema import Schema


class NamespaceSpec(Shape):
    """What holds the namespace."""

    finalizers: Annotated[list[str], doc("Who must be done before the namespace is gone.")] = []


class NamespaceStatus(Shape):
    """What was seen."""

    phase: Annotated[Literal["Active", "Terminating"], doc("Active, or on its way out.")] = "Active"
    conditions: Conditions = []


class Namespace(Shape):
    """A room for names."""

    metadata: Metadata
    spec: NamespaceSpec = field(default_factory=NamespaceSpec)
    status: NamespaceStatus = field(default_factory=NamespaceStatus)


def phase_rule(look: Look) -> Sequence[Cause]:
    """A namespace is Terminating if and only if it was deleted."""
    if not look.status:
        return ()
    deleted = bool(look.new["metadata"].get("deletionTimestamp"))
    phase, wanted = (look.new.get("status") or {}).get("phase"), "Terminating" if deleted else "Active"
    if phase == wanted:
        return ()
    return (bad("status.Phase", phase, f"may only be '{wanted}' if `deletionTimestamp` is {'not ' if deleted else ''}empty"),)


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
    naming=namespace_name_problems,
    rules=(phase_rule,),
)
