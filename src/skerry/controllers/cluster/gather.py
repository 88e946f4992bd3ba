"""One look at the world for one cluster, through the API alone.

Everything is read before anything is decided, and a read that fails ends the look: a plan on
half a world could take a missing list for an empty one and remove machines.

Surroundings (the management cluster, the provisioner, the class) may come from a local copy: they
change seldom, a change wakes whoever follows them, and a look that was late by one event is made
again. A copy is believed only in what it holds: what it lacks is asked for, and so is everything
about a cluster that is being deleted. The cluster, its pools, its ManifestSet and what was observed
of it decide over machines and are always read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import msgspec

from skerry.capi import read, readback
from skerry.capi.read import Machines
from skerry.capi.render import CAPI_GROUP, last
from skerry.client.contract import Client, Ref
from skerry.controllers.cluster.refs import CLASSES, CLUSTERS, MANAGEMENT, OBSERVED, POOLS, PROVISIONERS, SETS
from skerry.controllers.cluster.world import World
from skerry.kinds.cluster import Cluster
from skerry.kinds.clusterclass import ClusterClass, ClusterClassSpec
from skerry.kinds.managementcluster import ManagementCluster
from skerry.kinds.manifestset import ManifestSet
from skerry.kinds.nodepool import NodePool
from skerry.kinds.observedobject import CLUSTER_LABEL
from skerry.machinery.errors import NotFound
from skerry.machinery.resource import Json

T = TypeVar("T")
Copy: TypeAlias = Callable[[Ref, str, str], Json | None]
"""The object of a kind, by name and namespace, as a local copy has it; None: not there, or not known."""


@dataclass(frozen=True, slots=True)
class Look:
    """The world, and the objects as they were read: what is written is written over exactly these revisions."""

    world: World
    raw: dict[tuple[str, str], Json]
    """By plural and name."""


async def gather(client: Client, key: str, epoch: int, copy: Copy | None = None) -> Look:
    """Look at the cluster ``namespace/provisioner.name``; raises ApiError."""
    namespace, name = key.split("/", 1)
    provisioner, cluster_name = name.split(".", 1)
    raw: dict[tuple[str, str], Json] = {}
    found = await _maybe(client, CLUSTERS, name, namespace)
    if found is not None:
        raw[("clusters", name)] = found
    selector = f"spec.provisioner={provisioner},spec.cluster={cluster_name}"
    pools = (await client.list(POOLS, namespace, fields=selector))["items"]
    raw |= {("nodepools", each["metadata"]["name"]): each for each in pools}
    cluster = msgspec.convert(found, Cluster) if found else None
    near = None if cluster is None or cluster.metadata.deletion_timestamp else copy
    observed = await _observed(client, namespace, provisioner, cluster_name)
    offered = await _offered(client, near, namespace, cluster, observed.cluster)
    sent = _typed(await _maybe(client, SETS, f"cluster.{name}", namespace), ManifestSet)
    world = World(
        namespace=namespace,
        name=name,
        cluster=cluster,
        pools=tuple(msgspec.convert(each, NodePool) for each in pools),
        management=_typed(await _near(client, near, MANAGEMENT, namespace), ManagementCluster),
        provisioner=await _near(client, near, PROVISIONERS, provisioner, namespace) is not None,
        offered=offered,
        manifest_set=sent,
        facts=observed.facts,
        seen=_reading(observed, offered) if _is_read(cluster, sent) else None,
        control_plane=observed.control_plane,
        workers=observed.workers,
        epoch=epoch,
    )
    return Look(world, raw)


@dataclass(frozen=True, slots=True)
class _Observed:
    cluster: Json | None
    deployments: list[Json]
    facts: read.ClusterFacts | None
    control_plane: Machines | None
    workers: dict[str, Machines]


async def _observed(client: Client, namespace: str, provisioner: str, name: str) -> _Observed:
    """What the agent has reported of one cluster: the Cluster itself by its name, its machines by their label."""
    place = f"source.namespace={provisioner}"
    own = await client.list(OBSERVED, namespace, fields=f"source.kind=Cluster,{place},source.name={name}")
    parts = await client.list(OBSERVED, namespace, labels=f"{CLUSTER_LABEL}={name}", fields=place)
    cluster = next((_placed(each["object"], provisioner) for each in own["items"] if _is_capi(each)), None)
    facts = read.cluster(cluster) if cluster else None
    machines = [each["object"] for each in parts["items"] if each["source"]["kind"] == "Machine" and _is_capi(each)]
    deployments = [each["object"] for each in parts["items"] if each["source"]["kind"] == "MachineDeployment" and _is_capi(each)]
    plane = [machine for machine in machines if not read.pool_of(machine)]
    if facts is not None and not facts.topology:
        facts = replace(facts, version=readback.newest((each.get("spec") or {}).get("version", "") for each in plane))
    workers = {}
    for each in deployments:
        pool = read.pool_of(each) or last(each["metadata"]["name"])
        inside = [machine for machine in machines if read.pool_of(machine) == pool]
        version = (facts.version if facts.topology else readback.newest(read.running(inside))) if facts else ""
        workers[pool] = read.deployment(each, inside, version)
    return _Observed(cluster, deployments, facts, read.control_plane(plane, facts.replicas, facts.version) if facts else None, workers)


def _placed(obj: Json, namespace: str) -> Json:
    return {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}


def _is_read(cluster: Cluster | None, sent: ManifestSet | None) -> bool:
    """Whether anybody asks what the far end's cluster says: nobody does of one that is managed and was sent."""
    return cluster is None or sent is None or cluster.spec.management_policy == "Observe"


def _reading(observed: _Observed, offered: ClusterClassSpec | None) -> readback.Reading | None:
    if observed.cluster is None or observed.facts is None:
        return None
    return readback.read(observed.cluster, offered, observed.facts.version, observed.deployments)


async def still_seen(client: Client, namespace: str, provisioner: str, name: str, uid: str) -> bool:
    """Whether a cluster at the far end is there at this moment, and does not go."""
    observed = await _observed(client, namespace, provisioner, name)
    return observed.facts is not None and observed.facts.uid == uid and not observed.facts.deleting


async def _offered(
    client: Client, near: Copy | None, namespace: str, cluster: Cluster | None, seen: Json | None
) -> ClusterClassSpec | None:
    """The class of the cluster; of one that is only observed, the class that the far end names."""
    if cluster is not None and cluster.spec.management_policy == "Manage":
        reference = cluster.spec.class_
        place = (reference.namespace or cluster.spec.provisioner, reference.name) if reference else None
    else:
        place = readback.class_of(seen) if seen else None
    if place is None:
        return None
    found = _typed(await _near(client, near, CLASSES, ".".join(place), namespace), ClusterClass)
    return found.spec if found else None


def _is_capi(observed: Json) -> bool:
    return str(observed["source"]["apiVersion"]).startswith(f"{CAPI_GROUP}/")


def _typed(obj: Json | None, kind: type[T]) -> T | None:
    return None if obj is None else msgspec.convert(obj, kind)


async def _near(client: Client, near: Copy | None, ref: Ref, name: str, namespace: str = "") -> Json | None:
    """From the local copy if it is there, else from the server."""
    return (near(ref, name, namespace) if near else None) or await _maybe(client, ref, name, namespace)


async def _maybe(client: Client, ref: Ref, name: str, namespace: str = "") -> Json | None:
    try:
        return await client.get(ref, name, namespace)
    except NotFound:
        return None
