"""Pods, counted and not sent: by phase for each namespace, and what they ask for on each node.

Of a pod its name is kept, and where it is, how it is and what it asks for; the latter pods that have it
in common share, so that twenty thousand of them cost a few megabytes. A pod that has ended asks for nothing
any more. What a pod asks for is what the scheduler reckons: its containers together, or the greediest of those
that run before them, and the overhead of its class.
Source: ``k8s.io/component-helpers/resource`` (PodRequests).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import ROUND_CEILING
from functools import lru_cache
from typing import Any, NamedTuple

from skerry.client.contract import Client, Ref
from skerry.machinery import quantity
from skerry.machinery.resource import Json
from skerry.runtime.informer import SMALL_PAGE, Informer

PODS = Ref("", "v1", "pods")
ENDED = frozenset(("Succeeded", "Failed"))
SHARED = 10_000
"""So many different pods are remembered, for others that are alike: a thousand nodes with ten kinds of pods on each."""


class Asks(NamedTuple):
    """What is asked for: thousandths of a core, and bytes."""

    cpu: int = 0
    memory: int = 0

    def plus(self, other: Asks) -> Asks:
        """Both together."""
        return Asks(self.cpu + other.cpu, self.memory + other.memory)

    def most(self, other: Asks) -> Asks:
        """The greater of each."""
        return Asks(max(self.cpu, other.cpu), max(self.memory, other.memory))


class Pod(NamedTuple):
    """What is kept of one."""

    node: str
    phase: str
    asks: Asks


def _number(value: Any, factor: int) -> int:
    found = quantity.parsed(value) if isinstance(value, str) else None
    return int((found * factor).to_integral_value(ROUND_CEILING)) if found is not None else 0


def _asks(resources: Any) -> Asks:
    found = resources if isinstance(resources, dict) else {}
    return Asks(_number(found.get("cpu"), 1000), _number(found.get("memory"), 1))


def _requests(container: Json) -> Asks:
    return _asks((container.get("resources") or {}).get("requests"))


def requests_of(spec: Json) -> Asks:
    """What a pod asks for (pure)."""
    running, before = Asks(), Asks()
    for each in spec.get("initContainers") or ():
        if each.get("restartPolicy") == "Always":  # it stays beside the others
            running = running.plus(_requests(each))
            before = before.most(running)
        else:
            before = before.most(running.plus(_requests(each)))
    for each in spec.get("containers") or ():
        running = running.plus(_requests(each))
    return running.most(before).plus(_asks(spec.get("overhead")))


def pod_of(obj: Json) -> Json:
    """What an informer keeps of a pod."""
    spec, phase = obj.get("spec") or {}, str((obj.get("status") or {}).get("phase") or "Unknown")
    asks = Asks() if phase in ENDED else requests_of(spec)
    return _kept(Pod(str(spec.get("nodeName") or ""), phase, asks))


@lru_cache(SHARED)
def _kept(pod: Pod) -> Json:
    """The same for all pods that are alike."""
    return {"pod": pod}


class Pods:
    """The pods of one cluster, followed while somebody wants to know."""

    def __init__(self, client: Client, node: Callable[[str], None], namespace: Callable[[str], None]) -> None:
        """``node`` and ``namespace`` are told the names of those whose counts change."""
        self.informer = Informer(client, PODS, keep=pod_of, page=SMALL_PAGE)
        self.informer.listen(self._changed)
        self._tell_node, self._tell_namespace = node, namespace
        self._pods: dict[str, Pod] = {}
        self._phases: dict[str, Counter[str]] = {}
        self._asked: dict[str, Asks] = {}
        self._running: Counter[str] = Counter()

    def on_node(self, node: str) -> dict[str, str]:
        """What the pods of a node ask for, as quantities."""
        asked = self._asked.get(node, Asks())
        return {"cpu": quantity.cpu(asked.cpu), "memory": quantity.memory(asked.memory), "pods": str(self._running[node])}

    def in_namespace(self, namespace: str) -> dict[str, int]:
        """How many pods a namespace has, by phase."""
        return dict(self._phases.get(namespace, ()))

    def _changed(self, key: str) -> None:
        found = self.informer.get(key)
        namespace = key.partition("/")[0]
        before, after = self._pods.pop(key, None), found["pod"] if found else None
        if after is not None:
            self._pods[key] = after
        self._count(before, namespace, -1)
        self._count(after, namespace, 1)
        phases = {each.phase for each in (before, after) if each is not None}
        if before is None or after is None or len(phases) > 1:
            self._tell_namespace(namespace)
        for node in self._touched(before, after):
            self._tell_node(node)

    def _touched(self, before: Pod | None, after: Pod | None) -> Iterable[str]:
        """The nodes for which a change makes a difference."""
        old = (before.node, before.asks, before.phase in ENDED) if before else ("", Asks(), True)
        new = (after.node, after.asks, after.phase in ENDED) if after else ("", Asks(), True)
        return {node for node, *_ in (old, new) if node} if old != new else ()

    def _count(self, pod: Pod | None, namespace: str, sign: int) -> None:
        if pod is None:
            return
        phases = self._phases.setdefault(namespace, Counter())
        phases[pod.phase] += sign
        if not phases[pod.phase]:
            del phases[pod.phase]
        if not phases:
            del self._phases[namespace]
        if not pod.node or pod.phase in ENDED:
            return
        self._running[pod.node] += sign
        self._asked[pod.node] = self._asked.get(pod.node, Asks()).plus(Asks(sign * pod.asks.cpu, sign * pod.asks.memory))
        if not self._running[pod.node]:
            del self._running[pod.node], self._asked[pod.node]
