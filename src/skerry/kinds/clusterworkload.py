"""ClusterWorkload: a Deployment, StatefulSet or DaemonSet of a cluster; see ``inventory.py``."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from skerry.kinds.common import Metadata, Shape
from skerry.kinds.inventory import Told, resource
from skerry.kinds.shape import doc
from skerry.machinery.resource import Column


class ClusterWorkloadSpec(Told):
    """The workload."""

    kind: Annotated[str, doc("Deployment, StatefulSet or DaemonSet.")] = ""
    namespace: Annotated[str, doc("Its namespace in the cluster.")] = ""
    images: Annotated[list[str], doc("The images of its containers.")] = []


class ClusterWorkloadStatus(Shape):
    """How it is, in pods."""

    desired: Annotated[int, doc("Pods asked for.")] = 0
    ready: Annotated[int, doc("Pods that are ready.")] = 0
    updated: Annotated[int, doc("Pods of the newest revision.")] = 0
    summary: Annotated[str, doc("Ready against desired, such as 2/3.")] = ""


class ClusterWorkload(Shape):
    """A Deployment, StatefulSet or DaemonSet of a cluster, as its agent last saw it; read-only."""

    metadata: Metadata
    spec: ClusterWorkloadSpec = field(default_factory=ClusterWorkloadSpec)
    status: ClusterWorkloadStatus = field(default_factory=ClusterWorkloadStatus)
    observed_time: Annotated[str, doc("When the agent saw it change last.", format="date-time")] = ""


RESOURCE = resource(
    ClusterWorkload,
    "clusterworkloads",
    (
        Column("Kind", ".spec.kind"),
        Column("Namespace", ".spec.namespace"),
        Column("Workload", ".spec.name"),
        Column("Ready", ".status.summary"),
        Column("Updated", ".status.updated", "integer"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Images", ".spec.images[*]", priority=1),
    ),
    short_names=("cwl",),
    selectable=("spec.kind", "spec.namespace"),
)
