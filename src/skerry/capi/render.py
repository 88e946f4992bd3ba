"""From a neutral Cluster and its NodePools to the objects that a management cluster's controllers read.

One `Cluster` of Cluster API with a managed topology, in the dialect of the version that the
management cluster serves its classes as (v1beta2, or v1beta1 where only that is there), and
before it the Secret that some classes read authorities from.

v1beta2 refuses empty objects, lists and strings: what is empty is left out. A cluster without
node pools has no ``workers`` at all.

Not here: whether the spec is legal (``controllers/cluster/plan.py`` asks ``upgrade`` and
``variables``), and how the objects get there (the agent applies them).
"""

from __future__ import annotations

from collections.abc import Sequence

from skerry.capi import variables
from skerry.capi.read import OWN_LABEL
from skerry.capi.upgrade import Verdict
from skerry.kinds.cluster import Cluster
from skerry.kinds.clusterclass import ClusterClassSpec
from skerry.kinds.common import GROUP
from skerry.kinds.nodepool import NodePool
from skerry.machinery.resource import Json

CAPI_GROUP = "cluster.x-k8s.io"
_OWN_PREFIXES = (f"{GROUP}/", "kubectl.kubernetes.io/")
V1BETA1, V1BETA2 = f"{CAPI_GROUP}/v1beta1", f"{CAPI_GROUP}/v1beta2"


def last(name: str) -> str:
    """The last component of a full name: ``shop`` of ``team-a.shop``."""
    return name.rsplit(".", 1)[-1]


def dialect(offered: ClusterClassSpec) -> str:
    """The API version to write, by the one that the class was read as."""
    return V1BETA1 if offered.api_version == V1BETA1 else V1BETA2


def manifests(cluster: Cluster, pools: Sequence[NodePool], offered: ClusterClassSpec) -> list[Json]:
    """Render everything that the management cluster needs, in the order to apply it. The spec must be legal for the class."""
    name, namespace = last(cluster.metadata.name), cluster.spec.provisioner
    rendered = variables.of_cluster(cluster.spec, offered)
    found = [variables.trust_secret(name, namespace, rendered.trust)] if rendered.trust else []
    return [*found, _cluster(cluster, pools, offered, rendered)]


def worker_class(pool: NodePool, offered: ClusterClassSpec) -> str | Verdict:
    """The worker class of a pool: the one it names, or the only one there is."""
    offer = ", ".join(sorted(offered.worker_classes)) or "none"
    if pool.spec.class_:
        if pool.spec.class_ in offered.worker_classes:
            return pool.spec.class_
        return Verdict("WorkerClassUnknown", f"the cluster class has no worker class {pool.spec.class_}; it offers: {offer}")
    if len(offered.worker_classes) == 1:
        return offered.worker_classes[0]
    return Verdict("WorkerClassMissing", f"spec.class must say which worker class; the cluster class offers: {offer}")


def _cluster(cluster: Cluster, pools: Sequence[NodePool], offered: ClusterClassSpec, rendered: variables.Rendered) -> Json:
    spec = cluster.spec
    network = spec.network
    body: Json = {
        "clusterNetwork": {
            "pods": {"cidrBlocks": list(network.pods)},
            "services": {"cidrBlocks": list(network.services)},
            "serviceDomain": network.service_domain,
        }
        if network
        else {},
        "topology": _topology(cluster, pools, offered, rendered),
    }
    labels = {**_passed_on(cluster.metadata.labels), OWN_LABEL: "true"}
    annotations = _passed_on(cluster.metadata.annotations)
    metadata = pruned({"name": last(cluster.metadata.name), "namespace": spec.provisioner, "labels": labels, "annotations": annotations})
    return {"apiVersion": dialect(offered), "kind": "Cluster", "metadata": metadata, "spec": pruned(body)}


def _passed_on(entries: dict[str, str]) -> dict[str, str]:
    """Labels and annotations that people wrote; what Skerry and kubectl note for themselves says nothing at the far end."""
    return {key: value for key, value in entries.items() if not key.startswith(_OWN_PREFIXES)}


def _topology(cluster: Cluster, pools: Sequence[NodePool], offered: ClusterClassSpec, rendered: variables.Rendered) -> Json:
    spec = cluster.spec
    plane = spec.control_plane
    replicas = plane.replicas if plane else 1
    overrides = [{"name": each.name, "value": each.value} for each in plane.variables] if plane else []
    control_plane: Json = {"replicas": replicas}
    if overrides:
        control_plane["variables"] = {"overrides": overrides}
    topology: Json = {**_class(cluster, offered), "version": spec.version, "controlPlane": control_plane}
    deployments = [_deployment(pool, offered, rendered) for pool in sorted(pools, key=lambda pool: pool.metadata.name)]
    if deployments:
        topology["workers"] = {"machineDeployments": deployments}
    if rendered.values:
        topology["variables"] = rendered.listed()
    return topology


def _class(cluster: Cluster, offered: ClusterClassSpec) -> Json:
    reference = cluster.spec.class_
    if reference is None:
        raise ValueError("a cluster without a class cannot be rendered")
    elsewhere = reference.namespace if reference.namespace != cluster.spec.provisioner else ""
    if dialect(offered) == V1BETA1:
        return pruned({"class": reference.name, "classNamespace": elsewhere})
    return {"classRef": pruned({"name": reference.name, "namespace": elsewhere})}


def _deployment(pool: NodePool, offered: ClusterClassSpec, rendered: variables.Rendered) -> Json:
    chosen = worker_class(pool, offered)
    if isinstance(chosen, Verdict):
        raise ValueError(chosen.message)  # noqa: TRY004 the pool's value is wrong, not a type
    deployment: Json = {"class": chosen, "name": last(pool.metadata.name), "replicas": pool.spec.replicas}
    if pool.spec.failure_domain:
        deployment["failureDomain"] = pool.spec.failure_domain
    overrides = variables.of_pool(pool.spec, offered, rendered.values).listed()
    if overrides:
        deployment["variables"] = {"overrides": overrides}
    return deployment


def pruned(value: Json) -> Json:
    """Leave out what is empty, from the inside out; a topology stays as built: empty values of variables mean something."""
    kept = {key: pruned(inner) if isinstance(inner, dict) and key != "topology" else inner for key, inner in value.items()}
    return {key: inner for key, inner in kept.items() if inner not in ({}, [], "", None)}
