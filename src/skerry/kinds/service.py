"""Service (core/v1): there are none, and they can be listed: ``kubectl cluster-info`` asks for them before it tells where the API is."""

from __future__ import annotations

from skerry.kinds.common import Metadata, Shape
from skerry.kinds.shape import structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema


class Service(Shape):
    """A Kubernetes Service; Skerry has none of its own."""

    metadata: Metadata


RESOURCE = Resource(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    short_names=("svc",),
    verbs=("get", "list", "watch"),
    schema=Schema(structural(Service)),
    generation=False,
    columns=(Column("Age", ".metadata.creationTimestamp", "date"),),
)
