"""RoleBinding: who has a role, and where. It holds for its scope and for everything below.

Organization > ClusterGroup > Cluster with its node pools; Organization > Workspace;
Organization > ManagementCluster > everything in its namespace; Organization > Credential.
Role and scope never change: a binding that shall say something else is another binding. A scope cannot be deleted while
a role is bound on it: the rights would hold again for a new object of its name. Bindings on a cluster go with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from skerry.kinds.common import GROUP, VERSION, Metadata, Shape
from skerry.kinds.rules import bad, immutable, missing
from skerry.kinds.shape import doc, structural
from skerry.machinery import causes
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Column, Json, Look, Reference, Resource
from skerry.machinery.schema import Schema

ScopeKind = Literal["Organization", "ClusterGroup", "Cluster", "Workspace", "ManagementCluster", "Credential"]


class RoleReference(Shape):
    """A role by name."""

    name: Annotated[str, doc("Name of the Role, such as clustergroup.edit.", min_length=1, max_length=253)]


class BindingSubject(Shape):
    """Somebody who has the role."""

    kind: Annotated[Literal["User", "Group"], doc("One user, or everybody in a group.")]
    name: Annotated[str, doc("Name of the user or the group.", min_length=1, max_length=253)]


class BindingScope(Shape):
    """An object that the role holds for, with everything below it."""

    kind: Annotated[ScopeKind, doc("Kind of the object.")]
    name: Annotated[str, doc("Name of the object; empty for the organization.", max_length=253)] = ""
    namespace: Annotated[str, doc("Namespace of the object: the management cluster of a cluster; empty for every other kind.")] = ""


class RoleBindingSpec(Shape):
    """Who may do what, and where."""

    role_ref: Annotated[RoleReference, doc("The role.")]
    scope: Annotated[BindingScope, doc("Where the role holds.")]
    subjects: Annotated[list[BindingSubject], doc("Who has the role.", list_type="map", list_keys=("kind", "name"))] = []


class RoleBinding(Shape):
    """Gives a role to users and groups, on a scope and everything below it."""

    metadata: Metadata
    spec: RoleBindingSpec


def whole_scope(look: Look) -> Sequence[Cause]:
    """The scope names one object in full."""
    return scope_causes(look.new["spec"]["scope"], "spec.scope")


def scope_causes(scope: Json, path: str) -> list[Cause]:
    """What is wrong with a scope beyond its schema."""
    kind, found = scope["kind"], []
    if kind == "Organization" and scope.get("name"):
        found.append(causes.forbidden(f"{path}.name", "there is one organization; leave the name out"))
    if kind != "Organization" and not scope.get("name"):
        found.append(missing(f"{path}.name", f"say which {kind}"))
    if kind == "Cluster" and not scope.get("namespace"):
        found.append(missing(f"{path}.namespace", "say which management cluster the cluster belongs to"))
    if kind != "Cluster" and scope.get("namespace"):
        found.append(causes.forbidden(f"{path}.namespace", f"a {kind} is in no namespace"))
    return found


def no_own_processes(look: Look) -> Sequence[Cause]:
    """What Skerry's own processes may do stands in tables, not in bindings."""
    return [
        bad(f"spec.subjects[{index}].name", each["name"], "must not begin with skerry:")
        for index, each in enumerate(look.new["spec"].get("subjects") or ())
        if each["name"].startswith("skerry:")
    ]


def _subjects(obj: Json) -> str:
    return ",".join(each["name"] for each in obj["spec"].get("subjects") or ())


def _scope(obj: Json) -> Any:
    scope = obj["spec"]["scope"]
    return "/".join(each for each in (scope["kind"], scope.get("namespace"), scope.get("name")) if each)


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="RoleBinding",
    plural="rolebindings",
    categories=("access",),
    namespaced=False,
    schema=Schema(structural(RoleBinding)),
    selectable=("spec.roleRef.name", "spec.scope.kind", "spec.scope.name"),
    columns=(
        Column("Role", ".spec.roleRef.name"),
        Column("Scope", ".spec.scope", description="Where the role holds", value=_scope),
        Column("Subjects", ".spec.subjects", description="Who has the role", value=_subjects),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
    references=tuple(
        Reference("spec.scope.name", f"{kind.lower()}s.{GROUP}", where=("spec.scope.kind", kind))
        for kind in ("ClusterGroup", "Workspace", "ManagementCluster", "Credential")
    ),
    rules=(whole_scope, no_own_processes, immutable("spec.roleRef", "spec.scope")),
)
