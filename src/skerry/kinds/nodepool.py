"""NodePool: a set of like worker machines of a cluster.

Full name: management cluster / provisioner / cluster / name; at the Kubernetes door
``-n sv-1 nodepools/team-a.shop.md-0``. A pool is an object of its own so that it can be
scaled, labelled and removed without touching its cluster, and so that a cluster may have none.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Conditions, Counts, Metadata, Shape, Variable
from skerry.kinds.rules import immutable, path_name, path_rule
from skerry.kinds.shape import LABEL, doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.scale import Scale
from skerry.machinery.schema import Schema

Phase = Literal["Pending", "Provisioning", "Ready", "Scaling", "Upgrading", "Degraded", "Failed", "Deleting", "Unknown"]


class Taint(Shape):
    """Keeps pods away that do not tolerate it."""

    key: Annotated[str, doc("Key of the taint.", min_length=1, max_length=316)]
    effect: Annotated[Literal["NoSchedule", "PreferNoSchedule", "NoExecute"], doc("What happens to pods that do not tolerate it.")]
    value: Annotated[str, doc("Value of the taint.", max_length=63)] = ""


class NodePoolSpec(Shape):
    """What is asked for."""

    provisioner: Annotated[str, doc("Provisioner of the cluster; taken from the name if left out.", pattern=LABEL, max_length=63)] = ""
    cluster: Annotated[str, doc("Cluster that the pool belongs to; taken from the name if left out.", pattern=LABEL, max_length=63)] = ""
    class_: Annotated[str, doc("Worker class of the cluster class; may be left out where the class has only one.", max_length=253)] = field(
        default="", name="class"
    )
    replicas: Annotated[int, doc("Number of machines; 0 keeps the pool without any.", ge=0, le=10000)] = 1
    failure_domain: Annotated[str, doc("Failure domain that the machines are placed in.", max_length=256)] = ""
    labels: Annotated[dict[str, str], doc("Labels of the pool's nodes.")] = {}
    taints: Annotated[list[Taint], doc("Taints of the pool's nodes.", list_type="map", list_keys=("key", "effect"))] = []
    variables: Annotated[list[Variable], doc("Class variables for this pool alone.", list_type="map", list_keys=("name",))] = []


class NodePoolStatus(Shape):
    """What was seen."""

    observed_generation: Annotated[int, doc("The generation that the status speaks of.")] = 0
    phase: Annotated[Phase, doc("Where the pool is, in one word.")] = "Pending"
    version: Annotated[str, doc("Kubernetes version of the pool's machines; the oldest while it is being upgraded.")] = ""
    machines: Annotated[Counts | None, doc("The pool's machines.")] = None
    last_enforced_time: Annotated[str, doc("When what is asked for was last enforced at the far end.", format="date-time")] = ""
    conditions: Conditions = []


class NodePool(Shape):
    """A set of like worker machines of a cluster."""

    metadata: Metadata
    spec: NodePoolSpec = field(default_factory=NodePoolSpec)
    status: NodePoolStatus = field(default_factory=NodePoolStatus)


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="NodePool",
    plural="nodepools",
    short_names=("np",),
    categories=("all", "fleet"),
    inseparable=True,
    schema=Schema(structural(NodePool)),
    status=True,
    scale=Scale(".spec.replicas", ".status.machines.total"),
    selectable=("spec.provisioner", "spec.cluster"),
    indexed=("spec.cluster",),
    columns=(
        Column("Cluster", ".spec.cluster"),
        Column("Phase", ".status.phase"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Machines", ".status.machines.summary", description="Machines, ready/desired"),
        Column("Version", ".status.version"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Class", ".spec.class", priority=1),
        Column("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
    ),
    prepare=path_name("provisioner", "cluster"),
    rules=(path_rule("provisioner", "cluster"), immutable("spec.provisioner", "spec.cluster", "spec.class")),
)
