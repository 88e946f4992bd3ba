"""Provisioner: a place in a management cluster where clusters are made; there it is a namespace of the same name.

A namespace that holds cluster classes or clusters already is discovered and becomes a
Provisioner; one that is created here becomes a namespace there.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Conditions, Metadata, Shape
from skerry.kinds.inventory import SELF
from skerry.kinds.rules import label_rule, not_named
from skerry.kinds.shape import doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema


class ProvisionerSpec(Shape):
    """What is asked for."""

    description: Annotated[str, doc("What the provisioner is for, for people.", max_length=1024)] = ""


class ProvisionerStatus(Shape):
    """What was seen."""

    observed_generation: Annotated[int, doc("The generation that the status speaks of.")] = 0
    last_enforced_time: Annotated[str, doc("When the namespace was last enforced at the far end.", format="date-time")] = ""
    conditions: Conditions = []


class Provisioner(Shape):
    """A place in a management cluster where clusters are made."""

    metadata: Metadata
    spec: ProvisionerSpec = field(default_factory=ProvisionerSpec)
    status: ProvisionerStatus = field(default_factory=ProvisionerStatus)


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="Provisioner",
    plural="provisioners",
    short_names=("prov",),
    categories=("all", "fleet"),
    inseparable=True,
    schema=Schema(structural(Provisioner)),
    status=True,
    columns=(
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Description", ".spec.description"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
    rules=(label_rule, not_named(SELF)),
)
