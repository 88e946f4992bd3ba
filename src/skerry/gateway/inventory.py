"""Inventory: what agents report becomes latest values at the Kubernetes door; ``observed.py`` says as what.

A delta is stored as one batch. Where it completes the listing of a kind, what is stored of that
kind and was not listed goes in the same batch. An agent writes what belongs to its own cluster and
nothing else; kinds that it was not asked for are let go.

What is told of a cluster that is not known here any more is removed by a sweep now and then,
whatever was the reason that it stayed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Protocol

from skerry.gateway.observed import GROUP_LABEL, PLURAL_LABEL, TYPED, Place, Unreadable, object_name, observe, place, prefix
from skerry.gateway.routes import Route
from skerry.kinds import observedobject
from skerry.kinds.fullname import FullName, parsed
from skerry.kinds.inventory import SELF
from skerry.kit.clock import Clock, rfc3339
from skerry.kit.log import get
from skerry.machinery.document import Gapped, gapped
from skerry.machinery.resource import Json
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import KindName, Names, kind_of

OBSERVED = observedobject.RESOURCE.key
SWEEP_SECONDS = 60.0
MOST_AT_ONCE = 1000

log = get("gateway.inventory")


class Stock(Protocol):
    """What is stored now, of all clusters."""

    def names(self, key: str, namespace: str, begin: str) -> Iterable[str]:
        """The names of a kind's objects in a namespace that begin with a text."""
        ...

    def places(self, key: str) -> Iterable[tuple[str, str]]:
        """Namespaces and names of all objects of a kind."""
        ...

    def observed(self, namespace: str) -> list[Json]:
        """The ObservedObjects of a namespace."""
        ...


class LatestSink(Protocol):
    """Where latest values are kept."""

    def __call__(self, values: Mapping[Place, Gapped | None], route: Route | None, /) -> Awaitable[object]:
        """Upsert values; None removes one. Raises Outdone if the session (None: there is none) is not its agent's newest any more."""
        ...


class Inventory:
    """What every cluster holds, as its agent reports it."""

    def __init__(self, put: LatestSink, stock: Stock, subscribed: Callable[[str], pb.Subscribe], clock: Clock) -> None:
        """``subscribed`` says what the agent of a full name was asked for; nothing is kept here."""
        self._put = put
        self._stock = stock
        self._subscribed = subscribed
        self._clock = clock
        self._let_go = 0

    async def take(self, route: Route, delta: pb.InventoryDelta, complete: Mapping[KindName, Names]) -> None:
        """Store one delta of a session; ``complete`` names all there is of some kinds. Raises what the sink raises."""
        now, full = rfc3339(self._clock.now()), parsed(route.name)
        if full is None:
            return
        asked = {kind_of(kind) for kind in self._subscribed(route.name).kinds}
        values: dict[Place, Gapped | None] = {}
        for item in delta.items:
            where = place(full, kind_of(item.kind), item.namespace, item.name) if kind_of(item.kind) in asked else None
            if where is None:
                self._let_go += 1
                continue
            try:
                values[where] = gapped(observe(full, item, where, now)) if item.object else None
            except Unreadable as error:
                self._let_go += 1
                log.warning("an agent sent what is no object of its kind", agent=route.name, kind=item.kind.plural, error=str(error)[:200])
        for kind, names in complete.items():
            if kind in asked:
                for where in self._unlisted(full, kind, names):
                    values.setdefault(where, None)
        if values:
            await self._put(values, route)

    def owners(self) -> set[str]:
        """The full names of all clusters of which something is stored."""
        return {str(owner) for owner, _ in self._stored()}

    async def forget(self, names: Collection[str]) -> int:
        """Remove what is told of clusters, by their full names; returns how much. Raises what the sink raises."""
        gone: dict[Place, Gapped | None] = {where: None for owner, where in self._stored() if str(owner) in names}
        left = list(gone.items())
        for begin in range(0, len(left), MOST_AT_ONCE):
            await self._put(dict(left[begin : begin + MOST_AT_ONCE]), None)
        return len(gone)

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {"let_go": self._let_go}

    def _stored(self) -> Iterable[tuple[FullName, Place]]:
        for key in sorted({typed.resource.key for typed in TYPED.values()}):
            for namespace, name in self._stock.places(key):
                yield _owner(namespace, name), Place(key, namespace, name)
        for namespace, name in self._stock.places(OBSERVED):
            yield FullName(namespace), Place(OBSERVED, namespace, name)

    def _unlisted(self, full: FullName, kind: KindName, names: Names) -> Iterable[Place]:
        """What is stored of a kind and not among these names."""
        there = {place(full, kind, *each) for each in names}
        begin = prefix(full, kind)
        if begin is not None:
            found = (begin._replace(name=name) for name in self._stock.names(*begin))
        else:
            found = (
                Place(OBSERVED, full.management_cluster, obj["metadata"]["name"])
                for obj in self._stock.observed(full.management_cluster)
                if _is_of(obj, kind)
            )
        return [where for where in found if where not in there]


def _is_of(obj: Json, kind: KindName) -> bool:
    labels = obj["metadata"].get("labels") or {}
    return (labels.get(GROUP_LABEL, ""), labels.get(PLURAL_LABEL, "")) == kind


def _owner(namespace: str, name: str) -> FullName:
    """The cluster that an object of a typed kind tells of."""
    provisioner, _, rest = name.partition(".")
    return FullName(namespace) if provisioner == SELF else FullName(namespace, f"{provisioner}.{rest.partition('.')[0]}")


__all__ = ["SWEEP_SECONDS", "Inventory", "LatestSink", "Place", "Stock", "object_name"]
