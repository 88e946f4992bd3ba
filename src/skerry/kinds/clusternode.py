"""ClusterNode: a node of a cluster, with what it has and what is asked of it; see ``inventory.py``."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from skerry.kinds.common import Conditions, Metadata, Shape
from skerry.kinds.inventory import Told, resource
from skerry.kinds.nodepool import Taint
from skerry.kinds.shape import doc
from skerry.machinery.resource import Column


class ClusterNodeSpec(Told):
    """The node."""

    unschedulable: Annotated[bool, doc("Whether it is cordoned.")] = False
    taints: Annotated[list[Taint], doc("Its taints.")] = []


class ClusterNodeStatus(Shape):
    """How it is."""

    ready: Annotated[str, doc("The status of its condition Ready: True, False or Unknown.")] = ""
    roles: Annotated[str, doc("Its roles, joined by commas.")] = ""
    version: Annotated[str, doc("Version of its kubelet.")] = ""
    addresses: Annotated[list[str], doc("Its addresses, internal ones first.")] = []
    os_image: Annotated[str, doc("Its operating system.")] = ""
    kernel_version: Annotated[str, doc("Its kernel.")] = ""
    container_runtime: Annotated[str, doc("Its container runtime.")] = ""
    architecture: Annotated[str, doc("Its processor architecture.")] = ""
    capacity: Annotated[dict[str, str], doc("What it has, as quantities.")] = {}
    allocatable: Annotated[dict[str, str], doc("What pods may have of it, as quantities.")] = {}
    requested: Annotated[dict[str, str], doc("What its pods ask for: cpu, memory, and the number of pods.")] = {}
    conditions: Conditions = []


class ClusterNode(Shape):
    """A node of a cluster, as its agent last saw it; read-only."""

    metadata: Metadata
    spec: ClusterNodeSpec = field(default_factory=ClusterNodeSpec)
    status: ClusterNodeStatus = field(default_factory=ClusterNodeStatus)
    observed_time: Annotated[str, doc("When the agent saw it change last.", format="date-time")] = ""


RESOURCE = resource(
    ClusterNode,
    "clusternodes",
    (
        Column("Node", ".spec.name"),
        Column("Ready", ".status.ready"),
        Column("Roles", ".status.roles"),
        Column("Version", ".status.version"),
        Column("CPU", ".status.allocatable.cpu"),
        Column("Memory", ".status.allocatable.memory"),
        Column("Pods", ".status.requested.pods"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("CPU asked", ".status.requested.cpu", priority=1),
        Column("Memory asked", ".status.requested.memory", priority=1),
        Column("Address", ".status.addresses[0]", priority=1),
        Column("OS", ".status.osImage", priority=1),
        Column("Runtime", ".status.containerRuntime", priority=1),
    ),
    short_names=("cnode",),
    selectable=("status.ready", "status.version"),
)
