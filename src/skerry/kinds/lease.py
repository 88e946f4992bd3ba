"""Lease (coordination.k8s.io/v1): who holds what, until when; replicas share work by them."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from skerry.kinds.common import Metadata, Shape
from skerry.kinds.shape import doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema


class LeaseSpec(Shape):
    """Who holds the lease."""

    holder_identity: Annotated[str | None, doc("Who holds it.", nullable=True)] = None
    lease_duration_seconds: Annotated[int | None, doc("How long it holds without renewal, in seconds.", nullable=True)] = None
    acquire_time: Annotated[str | None, doc("When the holder took it.", format="date-time", nullable=True)] = None
    renew_time: Annotated[str | None, doc("When the holder last renewed it.", format="date-time", nullable=True)] = None
    lease_transitions: Annotated[int | None, doc("How often it changed hands: the holder's epoch.", nullable=True)] = None
    strategy: Annotated[str | None, doc("How a coordinated election picks the holder.", nullable=True)] = None
    preferred_holder: Annotated[str | None, doc("Who shall hold it next.", nullable=True)] = None


class Lease(Shape):
    """Who holds what, until when."""

    metadata: Metadata
    spec: LeaseSpec = field(default_factory=LeaseSpec)


RESOURCE = Resource(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    schema=Schema(structural(Lease)),
    generation=False,
    strategic=True,
    columns=(Column("Holder", ".spec.holderIdentity"), Column("Age", ".metadata.creationTimestamp", "date")),
)
