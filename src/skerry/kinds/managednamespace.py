"""ManagedNamespace: a namespace of a cluster that belongs to a workspace, and takes policy and access from it.

Full name: management cluster / provisioner / cluster / name; at the Kubernetes door
``-n sv-1 managednamespaces/team-a.shop.web``. It may move to another workspace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Conditions, Metadata, Shape
from skerry.kinds.rules import bad, immutable, path_name, path_rule
from skerry.kinds.shape import LABEL, doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.names import label_value_problem, qualified_name_problems
from skerry.machinery.resource import Column, Look, Reference, Resource
from skerry.machinery.schema import Schema

PROTECTED = re.compile(r"kube-.*|skerry-.*|velero|gatekeeper-system|tkg-system|vmware-system-.*|flux-system|tanzu-fluxcd-.*")
"""Namespaces that run the platform itself: a policy of theirs could keep it from starting."""


class ManagedNamespaceSpec(Shape):
    """What is asked for."""

    provisioner: Annotated[str, doc("Provisioner of the cluster; taken from the name if left out.", pattern=LABEL, max_length=63)] = ""
    cluster: Annotated[str, doc("Cluster that holds the namespace; taken from the name if left out.", pattern=LABEL, max_length=63)] = ""
    workspace: Annotated[str, doc("Workspace that policy and access come from.", pattern=LABEL, max_length=63)] = "default"
    adopt: Annotated[bool, doc("Whether a namespace of this name that exists already is taken over; it is a conflict otherwise.")] = False
    labels: Annotated[dict[str, str], doc("Labels of the namespace in the cluster.")] = {}
    annotations: Annotated[dict[str, str], doc("Annotations of the namespace in the cluster.")] = {}
    description: Annotated[str, doc("What it is for, for people.", max_length=1024)] = ""


class ManagedNamespaceStatus(Shape):
    """What was seen."""

    observed_generation: Annotated[int, doc("The generation that the status speaks of.")] = 0
    phase: Annotated[
        Literal["Pending", "Ready", "Conflict", "Failed", "Deleting", "Unknown"], doc("Where the namespace is, in one word.")
    ] = "Pending"
    last_enforced_time: Annotated[str, doc("When what is asked for was last enforced in the cluster.", format="date-time")] = ""
    conditions: Conditions = []


class ManagedNamespace(Shape):
    """A namespace of a cluster that belongs to a workspace."""

    metadata: Metadata
    spec: ManagedNamespaceSpec = field(default_factory=ManagedNamespaceSpec)
    status: ManagedNamespaceStatus = field(default_factory=ManagedNamespaceStatus)


def unprotected(look: Look) -> Sequence[Cause]:
    """The platform's own namespaces belong to no workspace."""
    name = str(look.new["metadata"].get("name", ""))
    if look.old is not None or not PROTECTED.fullmatch(name.rpartition(".")[2]):
        return ()
    return [bad("metadata.name", name, "names a namespace of the platform itself, which no workspace may hold; choose another one")]


def described(look: Look) -> Sequence[Cause]:
    """Labels and annotations are ones that a cluster would take."""
    spec, found = look.new.get("spec") or {}, []
    for name in ("labels", "annotations"):
        for key, value in sorted((spec.get(name) or {}).items()):
            found += [
                bad(f"spec.{name}", key, problem) for problem in qualified_name_problems(key.lower() if name == "annotations" else key)
            ]
            if name == "labels" and (problem := label_value_problem(value)):
                found.append(bad(f"spec.labels[{key}]", value, problem))
    return found


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="ManagedNamespace",
    plural="managednamespaces",
    short_names=("mns",),
    categories=("fleet",),
    inseparable=True,
    schema=Schema(structural(ManagedNamespace)),
    status=True,
    selectable=("spec.provisioner", "spec.cluster", "spec.workspace"),
    columns=(
        Column("Cluster", ".spec.cluster"),
        Column("Workspace", ".spec.workspace"),
        Column("Phase", ".status.phase"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
    ),
    references=(Reference("spec.workspace", f"workspaces.{GROUP}", demanded=True),),
    prepare=path_name("provisioner", "cluster"),
    rules=(path_rule("provisioner", "cluster"), unprotected, described, immutable("spec.provisioner", "spec.cluster")),
)
