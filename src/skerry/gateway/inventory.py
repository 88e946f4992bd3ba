"""Inventory: what agents report becomes ObservedObjects, latest values at the Kubernetes door."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping

from skerry.kinds import observedobject
from skerry.kit.clock import Clock, rfc3339
from skerry.machinery.document import Gapped, gapped, loads
from skerry.machinery.names import label_value_problem, subdomain_problem
from skerry.machinery.resource import Json
from skerry.tunnel import link_pb2 as pb

PutLatest = Callable[[Mapping[tuple[str, str], Gapped | None]], Awaitable[None]]
"""Upserts ObservedObjects by (namespace, name); None removes."""

CAPI_CLUSTER = "cluster.x-k8s.io/cluster-name"


def object_name(kind: pb.ResourceKind, namespace: str, name: str) -> str:
    """The name of an ObservedObject; a digest stands in where the plain form is no legal name."""
    plain = f"{kind.plural}.{kind.group or 'core'}.{namespace or '-'}.{name}"
    if len(plain) <= 253 and not subdomain_problem(plain):
        return plain
    return f"{kind.plural}.{hashlib.sha256(plain.encode()).hexdigest()[:40]}"


class Inventory:
    """What every management cluster holds, as its agent reports it."""

    def __init__(self, put: PutLatest, known: Callable[[str], list[Json]], clock: Clock) -> None:
        """``known`` returns the ObservedObjects of a management cluster that are stored now."""
        self._put = put
        self._known = known
        self._clock = clock

    async def take(self, management_cluster: str, delta: pb.InventoryDelta) -> None:
        """Store one delta."""
        now = rfc3339(self._clock.now())
        values: dict[tuple[str, str], Gapped | None] = {}
        for item in delta.items:
            place = (management_cluster, object_name(item.kind, item.namespace, item.name))
            values[place] = gapped(_observed(place, item, now)) if item.object else None
        whole = {(kind.group, kind.plural) for kind in delta.complete}
        if whole:
            for obj in self._known(management_cluster):
                labels = obj["metadata"].get("labels") or {}
                place = (management_cluster, obj["metadata"]["name"])
                if (labels.get(GROUP_LABEL, ""), labels.get(PLURAL_LABEL, "")) in whole and place not in values:
                    values[place] = None
        if values:
            await self._put(values)


GROUP_LABEL = "fleet.skerry.dev/source-group"
PLURAL_LABEL = "fleet.skerry.dev/source-plural"


def _observed(place: tuple[str, str], item: pb.InventoryItem, now: str) -> Json:
    obj: Json = loads(item.object)
    metadata = obj.get("metadata") or {}
    labels = {GROUP_LABEL: item.kind.group, PLURAL_LABEL: item.kind.plural}
    cluster = (metadata.get("labels") or {}).get(CAPI_CLUSTER, "")
    if cluster and not label_value_problem(cluster):
        labels[observedobject.CLUSTER_LABEL] = cluster
    digest = hashlib.sha256("/".join((*place, str(metadata.get("uid", "")))).encode()).hexdigest()
    uid = f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
    resource = observedobject.RESOURCE
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": place[1], "namespace": place[0], "uid": uid, "creationTimestamp": now, "labels": labels},
        "source": {
            "apiVersion": obj.get("apiVersion", ""),
            "kind": obj.get("kind", ""),
            "namespace": item.namespace,
            "name": item.name,
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "object": obj,
        "observedTime": now,
    }
