"""Where an object stands: the scopes whose bindings hold for it, from itself up to the organization. Pure.

* Organization > ClusterGroup > Cluster > its node pools, managed namespaces, manifest sets, what became of them, observed objects,
  inventory and events
* Organization > ManagementCluster > everything in its namespace, clusters too
* Organization > Workspace > its managed namespaces: these stand in two places
* Organization > Credential
* A RoleBinding stands where its scope stands: who administers a group administers its bindings.
* An APIToken also belongs to its owner, who needs no binding to see it and to end it.

Some of it stands in the object, the group of a cluster in the index. Objects that tell of a
cluster which does not exist belong to no group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from skerry.kinds import event
from skerry.kinds.common import GROUP
from skerry.kinds.inventory import SELF
from skerry.kinds.observedobject import CLUSTER_LABEL
from skerry.machinery.identity import Shown

Place = tuple[str, str]
"""Namespace and name."""

_KINDS = """
    apitokens clustergroups clusters credentials enforcedobjects managednamespaces managementclusters manifestsets
    nodepools observedobjects rolebindings roles users workspaces
    clusternamespaces clusternodes clusterstorageclasses clusterworkloads
"""
KEYS = {kind: f"{kind}.{GROUP}" for kind in _KINDS.split()}
TOKENS, BINDINGS, CLUSTERS, ROLES, NAMESPACES = (
    KEYS[kind] for kind in ("apitokens", "rolebindings", "clusters", "roles", "managednamespaces")
)
TOLD = frozenset(KEYS[kind] for kind in ("clusternamespaces", "clusternodes", "clusterstorageclasses", "clusterworkloads"))
"""Kinds whose objects tell what is in a cluster; their names begin with it."""
DERIVED = TOLD | frozenset(
    (*(KEYS[kind] for kind in ("enforcedobjects", "manifestsets", "nodepools", "observedobjects")), NAMESPACES, BINDINGS, "events")
)
"""Kinds whose objects change their scopes when a cluster does."""
TWINS = {f"{event.NEWER.plural}.{event.NEWER.group}": event.NEWER.key}
"""Kinds whose objects are another kind's, under another name."""
SET_PREFIX = "cluster."
"""How the name of a cluster's ManifestSet begins."""


class Scope(NamedTuple):
    """An object that a role can be bound on; everything empty but the kind: the organization."""

    kind: str
    namespace: str = ""
    name: str = ""


ORGANIZATION = Scope("Organization")
Chain = tuple[Scope, ...]
Groups = Mapping[Place, str]
"""The cluster group of each cluster."""


class _Reference(msgspec.Struct):
    kind: str = ""
    namespace: str = ""
    name: str = ""


class _Spec(msgspec.Struct, rename="camel"):
    cluster_group: str = ""
    management_policy: str = ""
    workspace: str = ""
    scope: _Reference | None = None
    owner: str = ""
    manifest_set: str = ""
    cluster: str = ""


class _Metadata(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Shape(msgspec.Struct, rename="camel"):
    metadata: _Metadata | None = None
    spec: _Spec | None = None
    source: _Reference | None = None
    involved_object: _Reference | None = None


_decode = msgspec.json.Decoder(_Shape).decode

PLAIN = {
    KEYS["clustergroups"]: "ClusterGroup",
    KEYS["workspaces"]: "Workspace",
    KEYS["credentials"]: "Credential",
    KEYS["managementclusters"]: "ManagementCluster",
    "namespaces": "ManagementCluster",
}
"""Kinds whose objects are scopes themselves, by name alone."""


def key_of(group: str, resource: str) -> str:
    """The storage key of a kind by the name that it is asked for; two groups may show the same objects."""
    found = f"{resource}.{group}" if group else resource
    return TWINS.get(found, found)


def chain(key: str, item: Shown, groups: Groups) -> Chain:
    """The scopes of an object: ``key`` is its kind's storage key. Its bytes are read only where its place does not tell."""
    namespace, name = item.place
    if key == CLUSTERS:
        spec = _decode(item.value).spec
        return cluster_chain(namespace, name, spec.cluster_group if spec else "")
    if kind := PLAIN.get(key):
        return (ORGANIZATION, Scope(kind, "", name))
    if key == BINDINGS:
        spec = _decode(item.value).spec
        scope = spec.scope if spec else None
        return above(Scope(scope.kind, scope.namespace, scope.name), groups) if scope else (ORGANIZATION,)
    if key == TOKENS:
        spec = _decode(item.value).spec
        return (ORGANIZATION, owned(spec.owner if spec else ""))
    if not namespace:
        return (ORGANIZATION,)
    cluster = _cluster_of(key, item)
    if cluster:
        found = cluster_chain(namespace, cluster, groups.get((namespace, cluster), ""))
        return (*found, workspace_of(item.value)) if key == NAMESPACES else found
    return (ORGANIZATION, Scope("ManagementCluster", "", namespace))


def _cluster_of(key: str, item: Shown) -> str:
    """The name of the cluster that an object in a namespace tells of; empty if it tells of none."""
    if key in {KEYS["nodepools"], NAMESPACES}:
        return item.place[1].rpartition(".")[0]
    if key in TOLD:
        provisioner, _, rest = item.place[1].partition(".")
        return "" if provisioner == SELF else f"{provisioner}.{rest.partition('.')[0]}"
    if key == KEYS["manifestsets"]:
        return _of_set(item.place[1])
    if key == KEYS["enforcedobjects"]:
        told = _decode(item.value).spec
        return (told.cluster or _of_set(told.manifest_set)) if told else ""
    if key == KEYS["observedobjects"]:
        seen = _decode(item.value)
        short = ((seen.metadata and seen.metadata.labels) or {}).get(CLUSTER_LABEL, "")
        return f"{seen.source.namespace}.{short}" if short and seen.source else ""
    if key == "events":
        about = _decode(item.value).involved_object
        if about and about.namespace == item.place[0]:
            return {"Cluster": about.name, "NodePool": about.name.rpartition(".")[0]}.get(about.kind, "")
    return ""


def _of_set(name: str) -> str:
    """The cluster that a ManifestSet of a name is about; empty if it is about none."""
    return name.removeprefix(SET_PREFIX) if name.startswith(SET_PREFIX) else ""


def above(scope: Scope, groups: Groups) -> Chain:
    """A scope and every scope that it inherits from."""
    if scope.kind == "Cluster":
        return cluster_chain(scope.namespace, scope.name, groups.get((scope.namespace, scope.name), ""))
    return (ORGANIZATION,) if scope == ORGANIZATION else (ORGANIZATION, scope)


def cluster_chain(namespace: str, name: str, group: str) -> Chain:
    """The scopes of a cluster in a group; ``group`` empty: it is in none that is known."""
    found = (ORGANIZATION, Scope("ManagementCluster", "", namespace), Scope("Cluster", namespace, name))
    return (*found, Scope("ClusterGroup", "", group)) if group else found


def owned(user: str) -> Scope:
    """What belongs to a user himself."""
    return Scope("Owner", "", user)


def workspace_of(value: bytes) -> Scope:
    """The workspace of an encoded managed namespace."""
    spec = _decode(value).spec
    return Scope("Workspace", "", spec.workspace if spec else "")


def group_of(value: bytes) -> str:
    """The cluster group of an encoded cluster."""
    spec = _decode(value).spec
    return spec.cluster_group if spec else ""


def is_observed(value: bytes) -> bool:
    """Whether an encoded cluster is only observed."""
    return b'"Observe"' in value and getattr(_decode(value).spec, "management_policy", "") == "Observe"
