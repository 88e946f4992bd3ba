"""What may be written of clusters that are only observed: looked at before a Cluster or NodePool is stored.

* The spec of an observed cluster follows the far end, and our own controllers write it. Others move it
  between groups, label it, and say that it is to be managed, in the same write with whatever they want then.
* To leave a cluster alone is to say so and nothing else.
* Observed clusters are found, not made.
* The pools of an observed cluster follow it: nobody else makes or changes one. One that is deleted is
  forgotten until it is seen again, like its cluster.

Whoever may update a cluster may have it managed, and may have it left alone: both are fields of it. What
such an update may do besides, the scopes of its old and its new group say, as always.

Another admission may come behind this one: it is asked about its own kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skerry.access.admission import Granting
from skerry.access.index import Index
from skerry.access.scopes import KEYS
from skerry.machinery import causes
from skerry.machinery.errors import Cause, invalid
from skerry.machinery.identity import User
from skerry.machinery.resource import Json, Resource
from skerry.pki.policy import COMPONENTS

FREE = frozenset(("managementPolicy", "clusterGroup"))
FIRST = "set spec.managementPolicy to Manage to change it"


class Observing:
    """The admission of what is observed, before another one."""

    def __init__(self, index: Index, then: Granting) -> None:
        """The index knows which clusters are observed."""
        self._index = index
        self._then = then
        self.kinds = frozenset((KEYS["clusters"], KEYS["nodepools"])) | then.kinds
        self.fresh = then.kinds

    def __call__(self, user: User, resource: Resource, new: Json, old: Json | None, *, dry_run: bool) -> Json | None:
        """Judge what is about to be stored; raises Invalid."""
        found: Iterable[Cause] = ()
        if COMPONENTS not in user.groups:
            if resource.key == KEYS["clusters"]:
                found = cluster_causes(_spec(new), old if old is None else _spec(old))
            elif resource.key == KEYS["nodepools"] and self._follows(new):
                found = pool_causes(_spec(new), old if old is None else _spec(old))
        if found := list(found):
            raise invalid(resource.kind, resource.group, new["metadata"].get("name", ""), found)
        return self._then(user, resource, new, old, dry_run=dry_run) if resource.key in self._then.kinds else None

    def remove(self, user: User, resource: Resource, name: str) -> None:
        """Raises what the other admission raises."""
        if resource.key in self._then.kinds:
            self._then.remove(user, resource, name)

    def _follows(self, pool: Json) -> bool:
        metadata = pool["metadata"]
        return (metadata.get("namespace", ""), metadata.get("name", "").rpartition(".")[0]) in self._index.observed


def cluster_causes(new: Json, old: Json | None) -> Iterable[Cause]:
    """What others may not write of the spec of a cluster."""
    if new.get("managementPolicy") != "Observe":
        return ()
    if old is None:
        why = "a cluster that is observed is found in its management cluster, and not made; leave the field out, or wait until it is found"
        return (causes.forbidden("spec.managementPolicy", why),)
    observed = old.get("managementPolicy") == "Observe"
    why = f"it follows the management cluster while the cluster is observed; {FIRST}"
    why = why if observed else "a cluster that is left alone keeps the spec that it has: write the policy alone"
    return [causes.forbidden(f"spec.{name}", why) for name in sorted(_changed(new, old) - FREE)]


def pool_causes(new: Json, old: Json | None) -> Iterable[Cause]:
    """What others may not write of the spec of an observed cluster's pool."""
    if old is None:
        return (causes.forbidden("spec", f"the cluster is only observed, and its node pools follow it; {FIRST} there"),)
    why = "it follows the management cluster while the cluster is observed; set spec.managementPolicy of the cluster to Manage to change it"
    return [causes.forbidden(f"spec.{name}", why) for name in sorted(_changed(new, old))]


def _changed(new: Mapping[str, object], old: Mapping[str, object]) -> set[str]:
    return {name for name in {*new, *old} if new.get(name) != old.get(name)}


def _spec(obj: Json) -> Json:
    found: Json = obj.get("spec") or {}
    return found
