"""ManagementCluster: a cluster whose controllers make other clusters, reached through its agent.

Its name is also the namespace that holds its provisioners, clusters and node pools at the
Kubernetes door. It counts as connected while its agent holds a session with a gateway;
heartbeats themselves are latest values and never touch this object.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Conditions, Metadata, Shape
from skerry.kinds.rules import immutable, label_rule, not_named
from skerry.kinds.shape import LABEL, doc, structural
from skerry.machinery.resource import Column, Reference, Resource
from skerry.machinery.schema import Schema

ATTACHED = "attached"
BUILTIN = (ATTACHED, "eks", "aks")
"""Management clusters that are always there, each with one provisioner of its name: no Cluster API makes their clusters."""

PROXY_PREFIX = "/k8s/"
"""Where a cluster's own API is at the front door; its full name follows, then the path at that API."""
ATTACH_PREFIX = "/attach/"
"""Where a cluster joins the fleet; its full name follows."""


class ManagementClusterSpec(Shape):
    """What the management cluster is."""

    provider: Annotated[Literal["ClusterAPI", "TKGm", "TKGs"], doc("The dialect that its controllers speak.")] = "ClusterAPI"
    default_cluster_group: Annotated[str, doc("ClusterGroup of clusters that are discovered in it.", pattern=LABEL, max_length=63)] = (
        "default"
    )


Health = Literal["HEALTHY", "WARNING", "UNHEALTHY", "DISCONNECTED"]


class Agent(Shape):
    """The agent that speaks for a cluster."""

    version: Annotated[str, doc("Version of the agent.")] = ""
    connected_since: Annotated[str, doc("When the present session began.", format="date-time")] = ""
    gateway: Annotated[str, doc("The gateway that holds the session, where there may be several.")] = ""


DUPLICATE, TWIN, EXPIRED = "DuplicateAgent", "DuplicateProcess", "CertificateExpired"
OUTDATED = "RegistrationOutdated"
"""What a gateway sees of an agent that it does not let in; the last: the newer registration counts, but its agent is away."""
DOUBLES = {DUPLICATE: "SecondCluster", TWIN: "SecondProcess"}
"""What does not keep the first agent away, with the reason that the condition DuplicateAgent gives."""
TROUBLES = ("TLSIntercepted", "ClockSkew")
"""What an agent can say that keeps it away."""


class Trouble(Shape):
    """What keeps an agent away, or is wrong with it, as it was last told."""

    reason: Annotated[str, doc("One word for programs.")] = ""
    message: Annotated[str, doc("A sentence for people.")] = ""
    last_seen: Annotated[str, doc("When it was last told; it is over when nobody tells it any more.", format="date-time")] = ""


class ManagementClusterStatus(Shape):
    """What was seen."""

    observed_generation: Annotated[int, doc("The generation that the status speaks of.")] = 0
    phase: Annotated[
        Literal["Pending", "Connected", "Disconnected", "Deleting", "BuiltIn"],
        doc("Where it is, in one word; BuiltIn: it holds clusters that no management cluster makes, and has no agent."),
    ] = "Pending"
    health: Annotated[Health | None, doc("How it is, in one word; the condition Healthy says why.")] = None
    kubernetes_version: Annotated[str, doc("Version of its API server.")] = ""
    agent: Annotated[Agent | None, doc("Its agent.")] = None
    trouble: Annotated[Trouble | None, doc("What keeps its agent away, where that is known.")] = None
    conditions: Conditions = []


class ManagementCluster(Shape):
    """A cluster whose controllers make other clusters."""

    metadata: Metadata
    spec: ManagementClusterSpec = field(default_factory=ManagementClusterSpec)
    status: ManagementClusterStatus = field(default_factory=ManagementClusterStatus)


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="ManagementCluster",
    plural="managementclusters",
    short_names=("mc",),
    categories=("fleet",),
    namespaced=False,
    schema=Schema(structural(ManagementCluster)),
    status=True,
    selectable=("status.phase", "status.health"),
    columns=(
        Column("Phase", ".status.phase"),
        Column("Connected", '.status.conditions[?(@.type=="Connected")].status'),
        Column("Health", ".status.health"),
        Column("Provider", ".spec.provider"),
        Column("Kubernetes", ".status.kubernetesVersion"),
        Column("Agent", ".status.agent.version"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Gateway", ".status.agent.gateway", priority=1, description="The server that holds the agent, where there may be several"),
        Column("Message", '.status.conditions[?(@.type=="Connected")].message', priority=1),
    ),
    references=(
        Reference("spec.defaultClusterGroup", f"clustergroups.{GROUP}", demanded=True),
        Reference("metadata.name", "namespaces"),
    ),
    built_in=frozenset(BUILTIN),
    rules=(label_rule, not_named("kube-.*", "skerry-.*", "default"), immutable("spec.provider")),
)
