"""The built-in roles: admin, edit and view for every scope. The server writes them; nobody else may. Pure.

* *view* reads what lies in the scope, and no Secrets. Calls to the API of a cluster may read (view) or do anything
  (edit): there, that cluster's own access rules decide. Who changes clusters also lets them join the fleet.
* *edit* also changes it; not who may do what, and not what reaches a management cluster unrendered
  (manifest sets, Secrets): those are as good as administering it.
* *admin* also decides who may do what in the scope, and (on an organization or a management
  cluster) reads and writes everything there.

A role can be bound on any scope: ``cluster.edit`` on a cluster group is good for its clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from skerry.access.rules import spec_of
from skerry.kinds.common import API_VERSION, GROUP
from skerry.machinery.identity import Rule
from skerry.machinery.resource import Json

READ = ("get", "list", "watch")
CHANGE = ("create", "delete", "deletecollection", "patch", "update")


class _Place(NamedTuple):
    """What belongs to a scope: kinds that are changed there, kinds that are only read, and what an admin has beyond bindings."""

    words: str
    changed: tuple[str, ...]
    read: tuple[str, ...] = ()
    whole: bool = False


_CLUSTERS = ("clusters", "managednamespaces", "nodepools")
_SITE = ("imageregistries", "proxyconfigurations", "trustbundles")
_FLEET = tuple(sorted((*_CLUSTERS, *_SITE, "clustergroups", "credentials", "managementclusters", "provisioners", "workspaces")))
_INSIDE = ("clusternamespaces", "clusternodes", "clusterstorageclasses", "clusterworkloads", "enforcedobjects", "observedobjects")
_SEEN = ("clusterclasses", "kubernetesreleases", *_INSIDE)

PLACES: Mapping[str, _Place] = {
    "organization": _Place(
        "the whole organization", _FLEET, (*_SEEN, "manifestsets", "organizations", "rolebindings", "roles"), whole=True
    ),
    "clustergroup": _Place("a cluster group and its clusters", ("clustergroups", *_CLUSTERS), _INSIDE),
    "cluster": _Place("a cluster", _CLUSTERS, _INSIDE),
    "workspace": _Place("a workspace and its managed namespaces", ("managednamespaces", "workspaces")),
    "managementcluster": _Place(
        "a management cluster and the clusters that it makes",
        (*_CLUSTERS, "managementclusters", "provisioners"),
        (*_SEEN, "manifestsets"),
        whole=True,
    ),
    "credential": _Place("a credential", ("credentials",)),
}


def _rules(place: _Place, level: str) -> tuple[Rule, ...]:
    if level == "admin" and place.whole:
        return (Rule(("*",), ("*",), ("*",)),)
    found = [Rule(READ, (GROUP,), tuple(sorted({*place.changed, *place.read})))]
    if "nodepools" in place.changed:
        found.append(Rule(("get",) if level == "view" else ("get", "patch", "update"), (GROUP,), ("nodepools/scale",)))
    if "clusters" in place.changed:
        found.append(Rule(READ, ("", "events.k8s.io"), ("events",)))
    if place.whole:
        found.append(Rule(READ, ("",), ("configmaps", "namespaces")))
    reached = tuple(f"{kind}/proxy" for kind in ("clusters", "managementclusters") if kind in place.changed)
    if reached:
        found.append(Rule(("get",) if level == "view" else ("get", *CHANGE), (GROUP,), reached))
    if level in {"edit", "admin"}:
        found.append(Rule(CHANGE, (GROUP,), place.changed))
        if joining := tuple(f"{kind}/attach" for kind in ("clusters", "managementclusters") if kind in place.changed):
            found.append(Rule(("create",), (GROUP,), joining))
    if level == "admin":
        found.append(Rule((*READ, *CHANGE), (GROUP,), ("rolebindings",)))
        found.append(Rule(READ, (GROUP,), ("roles",)))
    return tuple(found)


LEVELS = {"admin": "Administers", "edit": "Changes", "view": "Reads"}

ROLES: Mapping[str, tuple[Rule, ...]] = {f"{scope}.{level}": _rules(place, level) for scope, place in PLACES.items() for level in LEVELS}
"""The rules of every built-in role."""


def objects() -> list[Json]:
    """The built-in roles as objects."""
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "Role",
            "metadata": {"name": f"{scope}.{level}"},
            "spec": {"description": f"{word} {place.words}", "rules": [spec_of(rule) for rule in ROLES[f"{scope}.{level}"]]},
        }
        for scope, place in PLACES.items()
        for level, word in LEVELS.items()
    ]
