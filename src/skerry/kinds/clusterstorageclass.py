"""ClusterStorageClass: a storage class of a cluster; see ``inventory.py``."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from skerry.kinds.common import Metadata, Shape
from skerry.kinds.inventory import Told, resource
from skerry.kinds.shape import doc
from skerry.machinery.resource import Column


class ClusterStorageClassSpec(Told):
    """The class."""

    driver: Annotated[str, doc("What makes its volumes: the class's provisioner.")] = ""
    default: Annotated[bool, doc("Whether volumes that name no class get this one.")] = False
    reclaim_policy: Annotated[str, doc("What becomes of a volume that is no longer claimed.")] = ""
    volume_binding_mode: Annotated[str, doc("When a volume is bound.")] = ""
    allow_volume_expansion: Annotated[bool, doc("Whether its volumes can grow.")] = False


class ClusterStorageClass(Shape):
    """A storage class of a cluster, as its agent last saw it; read-only."""

    metadata: Metadata
    spec: ClusterStorageClassSpec = field(default_factory=ClusterStorageClassSpec)
    observed_time: Annotated[str, doc("When the agent saw it change last.", format="date-time")] = ""


RESOURCE = resource(
    ClusterStorageClass,
    "clusterstorageclasses",
    (
        Column("Class", ".spec.name"),
        Column("Driver", ".spec.driver"),
        Column("Default", ".spec.default", "boolean"),
        Column("Reclaim", ".spec.reclaimPolicy"),
        Column("Binding", ".spec.volumeBindingMode"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
    short_names=("csc",),
)
