"""Whether a cluster may be made, or changed, as it is asked for: an ordered list of small checks, which is the specification.

Each check returns None, or why not as (reason, message); the first one that objects becomes
the condition ``Accepted``. While one objects nothing new is sent: what runs keeps running as
it was last accepted.

A node pool that is refused holds back its whole cluster. Leaving the pool out instead would
remove its machines because of a typing error.
"""

from __future__ import annotations

from collections.abc import Callable

from skerry.capi import upgrade, variables
from skerry.capi.render import last, worker_class
from skerry.capi.upgrade import Verdict
from skerry.controllers.cluster.world import World
from skerry.kinds.cluster import Cluster
from skerry.kinds.clusterclass import ClusterClassSpec
from skerry.kinds.nodepool import NodePool

Check = Callable[[World, Cluster], Verdict | None]


def management_cluster_is_there(world: World, _: Cluster) -> Verdict | None:
    """A cluster is made by a management cluster that is registered here."""
    if world.management is not None:
        return None
    return Verdict("ManagementClusterMissing", f"there is no management cluster {world.namespace}")


def provisioner_is_there(world: World, cluster: Cluster) -> Verdict | None:
    """A cluster is made in a provisioner."""
    if world.provisioner:
        return None
    return Verdict("ProvisionerMissing", f"management cluster {world.namespace} has no provisioner {cluster.spec.provisioner}")


def class_is_known(world: World, cluster: Cluster) -> Verdict | None:
    """The class has been mirrored from the management cluster: its variables are known."""
    if cluster.spec.class_ is None:
        return Verdict("ClassMissing", "spec.class names no cluster class")
    if world.offered is not None:
        return None
    place = cluster.spec.class_.namespace or cluster.spec.provisioner
    return Verdict(
        "ClassMissing", f"management cluster {world.namespace} has reported no ClusterClass {cluster.spec.class_.name} in {place}"
    )


def name_is_free(world: World, cluster: Cluster) -> Verdict | None:
    """A cluster of the same name that somebody else made is left alone, unless it is the one that was observed."""
    if world.facts is None or world.own is not None:
        return None
    text = f"{cluster.spec.provisioner} holds a cluster {last(cluster.metadata.name)} already that was not made here"
    return Verdict("NameTaken", f"{text}; with spec.managementPolicy Observe this object follows it, and it can be adopted then")


def it_can_be_managed(world: World, _: Cluster) -> Verdict | None:
    """What is adopted can be said in the words of a spec without changing it."""
    if not world.adopting or world.seen is None or not world.seen.obstacles:
        return None
    return Verdict("NotManageable", world.seen.obstacles[0])


def variables_are_known(world: World, cluster: Cluster) -> Verdict | None:
    """Raw variables exist in the class."""
    offered, plane = _offered(world), cluster.spec.control_plane
    found = variables.unknown(cluster.spec.variables, offered, "spec.variables")
    return found or (variables.unknown(plane.variables, offered, "spec.controlPlane.variables") if plane else None)


def neutral_fields_have_variables(world: World, cluster: Cluster) -> Verdict | None:
    """What is configured can be enforced."""
    homeless = variables.of_cluster(cluster.spec, _offered(world)).homeless
    if not homeless:
        return None
    return Verdict("NotOffered", f"the class has no variable that {', '.join(homeless)} could be written to; set one in spec.variables")


def references_are_followed(_: World, cluster: Cluster) -> Verdict | None:
    """What is named and not read yet would be configured and not enforced."""
    spec = cluster.spec
    named = [
        *(["spec.proxy.configuration"] if spec.proxy and spec.proxy.configuration else []),
        *(["spec.imageRegistry.name"] if spec.image_registry and spec.image_registry.name else []),
        *(["spec.trustBundles"] if spec.trust_bundles else []),
    ]
    if not named:
        return None
    verb = "is" if len(named) == 1 else "are"
    instead = "write the values themselves into spec.proxy, spec.imageRegistry.host and spec.trustedCAs"
    return Verdict("NotFollowed", f"{', '.join(named)} {verb} not followed by this release; {instead}")


def required_variables_are_set(world: World, cluster: Cluster) -> Verdict | None:
    """The class gets what it demands."""
    missing = variables.absent(variables.of_cluster(cluster.spec, _offered(world)), _offered(world))
    return Verdict("VariableMissing", f"the class requires {', '.join(missing)}; set it in spec.variables") if missing else None


def pools_fit(world: World, _: Cluster) -> Verdict | None:
    """Every pool fits the class."""
    for pool in world.live_pools:
        found = pool_refusal(pool, _offered(world))
        if found is not None:
            return Verdict("NodePoolRefused", f"node pool {last(pool.metadata.name)}: {found.message}")
    return None


def version_may_follow(world: World, cluster: Cluster) -> Verdict | None:
    """The version is one that may follow the present one."""
    listed = _offered(world).kubernetes_versions
    return upgrade.refusal(world.asked_version(), cluster.spec.version, upgrading=world.upgrading(), listed=listed)


CHECKS: tuple[Check, ...] = (
    management_cluster_is_there,
    provisioner_is_there,
    it_can_be_managed,
    class_is_known,
    name_is_free,
    variables_are_known,
    references_are_followed,
    neutral_fields_have_variables,
    required_variables_are_set,
    pools_fit,
    version_may_follow,
)


def refusal(world: World, cluster: Cluster) -> Verdict | None:
    """The first objection, None if there is none."""
    return next((verdict for check in CHECKS if (verdict := check(world, cluster)) is not None), None)


def pool_refusal(pool: NodePool, offered: ClusterClassSpec) -> Verdict | None:
    """Why a pool does not fit the class."""
    chosen = worker_class(pool, offered)
    if isinstance(chosen, Verdict):
        return chosen
    found = variables.unknown(pool.spec.variables, offered, "spec.variables")
    if found is not None:
        return found
    homeless = variables.of_pool(pool.spec, offered).homeless
    return Verdict("NotOffered", f"the class has no variable that {', '.join(homeless)} could be written to") if homeless else None


def _offered(world: World) -> ClusterClassSpec:
    """The class; ``class_is_known`` stands before every check that asks."""
    if world.offered is None:
        raise LookupError("the checks are out of order: the class is not known")
    return world.offered
