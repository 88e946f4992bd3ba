"""ClusterNamespace: a namespace of a cluster, with its pods by phase; see ``inventory.py``."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from skerry.kinds.common import Metadata, Shape
from skerry.kinds.inventory import Told, resource
from skerry.kinds.shape import doc
from skerry.machinery.resource import Column


class ClusterNamespaceSpec(Told):
    """The namespace."""


class ClusterNamespaceStatus(Shape):
    """How it is."""

    phase: Annotated[str, doc("Active or Terminating.")] = ""
    pods: Annotated[dict[str, int], doc("How many pods it has, by phase: Pending, Running, Succeeded, Failed, Unknown.")] = {}


class ClusterNamespace(Shape):
    """A namespace of a cluster, as its agent last saw it; read-only."""

    metadata: Metadata
    spec: ClusterNamespaceSpec = field(default_factory=ClusterNamespaceSpec)
    status: ClusterNamespaceStatus = field(default_factory=ClusterNamespaceStatus)
    observed_time: Annotated[str, doc("When the agent saw it change last.", format="date-time")] = ""


RESOURCE = resource(
    ClusterNamespace,
    "clusternamespaces",
    (
        Column("Namespace", ".spec.name"),
        Column("Phase", ".status.phase"),
        Column("Running", ".status.pods.Running", "integer"),
        Column("Pending", ".status.pods.Pending", "integer"),
        Column("Failed", ".status.pods.Failed", "integer"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
    short_names=("cns",),
    selectable=("status.phase",),
)
