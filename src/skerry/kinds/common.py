"""Shapes that every kind shares: metadata as controllers read it, conditions, references, counts.

Structs are for reading and for building status; unknown fields are ignored on decode, so a
controller of this release reads objects of the next. Field names are camelCase on the wire.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from skerry.kinds.shape import LABEL, doc

GROUP = "fleet.skerry.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
SYSTEM_NAMESPACE = "skerry-system"
"""Where Secrets of cluster-scoped objects live."""


class Shape(msgspec.Struct, rename="camel", omit_defaults=True):
    """Base of every struct of the catalogue."""


class OwnerReference(Shape):
    """An owner of the object, as in Kubernetes."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class Metadata(Shape):
    """The part of ObjectMeta that controllers read."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    owner_references: list[OwnerReference] = []


class Condition(Shape):
    """One observed aspect of the object, as in meta/v1."""

    type: Annotated[str, doc("What the condition is about, in CamelCase.", min_length=1, max_length=316)]
    status: Annotated[Literal["True", "False", "Unknown"], doc("Whether it holds.")]
    reason: Annotated[str, doc("Why, in one CamelCase word for programs.", min_length=1, max_length=1024)]
    message: Annotated[str, doc("Why, in a sentence for people.", max_length=32768)] = ""
    last_transition_time: Annotated[str, doc("When the status last changed.", format="date-time")] = ""
    observed_generation: Annotated[int, doc("The metadata.generation that the condition speaks of.", ge=0)] = 0


Conditions = Annotated[
    list[Condition], doc("What was observed, one entry per aspect; `kubectl wait` reads them.", list_type="map", list_keys=("type",))
]


class Counts(Shape):
    """How many machines there are, against how many were asked for."""

    desired: Annotated[int, doc("Machines asked for.")] = 0
    total: Annotated[int, doc("Machines that exist, in whatever state.")] = 0
    ready: Annotated[int, doc("Machines whose node is ready.")] = 0
    up_to_date: Annotated[int, doc("Machines that match what is asked for now.")] = 0
    summary: Annotated[str, doc("Ready against desired, such as 2/3.")] = ""


class SecretReference(Shape):
    """A Secret by name; which namespace is said where it is used."""

    name: Annotated[str, doc("Name of the Secret.", min_length=1, max_length=253)]


class Variable(Shape):
    """A value for a variable of the cluster class, passed on as it is."""

    name: Annotated[str, doc("Name of the variable.", min_length=1, max_length=256)]
    value: Annotated[Any, doc("Any JSON value that the class's schema allows.")] = None


Component = Annotated[str, doc("One component of a full name: a DNS label.", pattern=LABEL, max_length=63)]
