"""Lease (coordination.k8s.io/v1): who holds what, until when; replicas share work by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import field

from skerry.kinds.common import Metadata, Shape
from skerry.kinds.rules import bad
from skerry.kinds.shape import doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Column, Look, Resource
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


def sound(look: Look) -> Sequence[Cause]:
    """A lease lasts for some time, and never changed hands less than not at all."""
    spec = look.new.get("spec") or {}
    causes = []
    if (seconds := spec.get("leaseDurationSeconds")) is not None and seconds <= 0:
        causes.append(bad("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    if (spec.get("leaseTransitions") or 0) < 0:
        causes.append(bad("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0"))
    return causes


RESOURCE = Resource(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    schema=Schema(structural(Lease)),
    generation=False,
    strategic=True,
    zero={"spec": {}},
    rules=(sound,),
    columns=(Column("Holder", ".spec.holderIdentity"), Column("Age", ".metadata.creationTimestamp", "date")),
)
