"""Inventory: what agents report becomes ObservedObjects, latest values at the Kubernetes door.

A delta is stored as one batch. Where it completes the listing of a kind, what is stored of that
kind and was not listed goes in the same batch. An agent writes in the namespace of its own
management cluster and nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from skerry.gateway.routes import Route
from skerry.kinds import observedobject
from skerry.kit.clock import Clock, rfc3339
from skerry.machinery.document import Gapped, gapped, loads
from skerry.machinery.names import label_value_problem, subdomain_problem
from skerry.machinery.resource import Json
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import KindName, Names

Place = tuple[str, str]
"""Namespace and name of an ObservedObject."""

Known = Callable[[str], list[Json]]
"""The ObservedObjects of a management cluster that are stored now."""


class LatestSink(Protocol):
    """Where latest values are kept."""

    def __call__(self, values: Mapping[Place, Gapped | None], route: Route, /) -> Awaitable[None]:
        """Upsert ObservedObjects; None removes one. Raises Outdone if the session is not its agent's newest any more."""
        ...


CAPI_CLUSTER = "cluster.x-k8s.io/cluster-name"
GROUP_LABEL = "fleet.skerry.dev/source-group"
PLURAL_LABEL = "fleet.skerry.dev/source-plural"


def object_name(kind: KindName, namespace: str, name: str) -> str:
    """The name of an ObservedObject; a digest stands in where the plain form is no legal name."""
    group, plural = kind
    plain = f"{plural}.{group or 'core'}.{namespace or '-'}.{name}"
    if len(plain) <= 253 and not subdomain_problem(plain):
        return plain
    return f"{plural}.{hashlib.sha256(plain.encode()).hexdigest()[:40]}"


class Inventory:
    """What every management cluster holds, as its agent reports it."""

    def __init__(self, put: LatestSink, known: Known, clock: Clock) -> None:
        """Nothing is kept here: it is in the sink."""
        self._put = put
        self._known = known
        self._clock = clock

    async def take(self, route: Route, delta: pb.InventoryDelta, complete: Mapping[KindName, Names]) -> None:
        """Store one delta of a session; ``complete`` names all there is of some kinds. Raises what the sink raises."""
        now, management_cluster = rfc3339(self._clock.now()), route.name
        values: dict[Place, Gapped | None] = {}
        for item in delta.items:
            kind = item.kind.group, item.kind.plural
            place = management_cluster, object_name(kind, item.namespace, item.name)
            values[place] = gapped(_observed(place, item, now)) if item.object else None
        if complete:
            there = {object_name(kind, *each) for kind, names in complete.items() for each in names}
            for obj in self._known(management_cluster):
                labels = obj["metadata"].get("labels") or {}
                name = obj["metadata"]["name"]
                if (labels.get(GROUP_LABEL, ""), labels.get(PLURAL_LABEL, "")) in complete and name not in there:
                    values.setdefault((management_cluster, name), None)
        if values:
            await self._put(values, route)


def _observed(place: Place, item: pb.InventoryItem, now: str) -> Json:
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
