"""What the kinds of the inventory share: they tell what is in a cluster, as its agent last saw it, and nobody writes them.

Latest values only, as ObservedObjects: no history, no revision of the store. The namespace is the
management cluster, the name begins with the cluster's: ``-n sv-1 clusternodes/team-a.shop.node-1``. Of the
management cluster itself it begins with ``self.`` and the name of the management cluster.
The labels of what is told are theirs too.
"""

from __future__ import annotations

from typing import Annotated, Any

from skerry.kinds.common import GROUP, VERSION, Shape
from skerry.kinds.fullname import FullName
from skerry.kinds.shape import doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema

SELF = "self"
"""Stands for the provisioner in the names of what a management cluster itself holds; no provisioner has this name."""


class Told(Shape):
    """Which cluster it is in."""

    provisioner: Annotated[str, doc("Provisioner of the cluster; `self` for the management cluster itself.")] = ""
    cluster: Annotated[str, doc("Name of the cluster in its provisioner.")] = ""
    name: Annotated[str, doc("Its name in the cluster.")] = ""


def place_of(full: FullName) -> tuple[str, str]:
    """The provisioner and the cluster that stand in names and specs."""
    if not full.cluster:
        return SELF, full.management_cluster
    provisioner, _, cluster = full.cluster.partition(".")
    return provisioner, cluster


def resource(
    kind: type[Shape],
    plural: str,
    columns: tuple[Column, ...],
    *,
    short_names: tuple[str, ...] = (),
    selectable: tuple[str, ...] = (),
    **more: Any,
) -> Resource:
    """A kind of the inventory: read-only, of latest values, selectable by cluster."""
    return Resource(
        group=GROUP,
        version=VERSION,
        kind=kind.__name__,
        plural=plural,
        short_names=short_names,
        categories=("inventory",),
        schema=Schema(structural(kind)),
        verbs=("get", "list", "watch"),
        latest=True,
        generation=False,
        selectable=("spec.provisioner", "spec.cluster", "spec.name", *selectable),
        columns=(Column("Cluster", ".spec.cluster"), *columns),
        **more,
    )
