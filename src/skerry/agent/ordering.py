"""In which order the objects of a set go, and which of them others wait for. Pure.

* Namespaces go first, then definitions (CRDs), then what pods are admitted by: priority classes.
* Everything else stands as the set has it: who writes a set knows what needs what, and nearly everything in
  Kubernetes waits for what it needs by itself.
* What stands between callers and the API goes last: API services, webhooks and admission policies. One that
  came earlier would refuse the rest of its own set for as long as its server does not run.

What is pruned goes in reverse order, so webhooks go before the servers behind them, custom objects before
their definitions, and everything before its namespace. Neighbours of one kind come and go together, some at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from skerry.machinery.resource import Json

T = TypeVar("T")
DEFINITION = ("apiextensions.k8s.io", "CustomResourceDefinition")
FIRST = (("", "Namespace"), DEFINITION, ("scheduling.k8s.io", "PriorityClass"))
LAST = (
    ("apiregistration.k8s.io", "APIService"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
)
RANKS = {kind: rank for rank, kind in enumerate((*FIRST, None, *LAST)) if kind is not None}


def in_order(manifests: Sequence[Json]) -> list[Json]:
    """The manifests of a set in the order in which they are applied."""
    return sorted(manifests, key=lambda obj: RANKS.get(kind_of(obj), len(FIRST)))


def neighbours(ordered: Sequence[T], most: int, kind: Callable[[T], tuple[str, str]]) -> Iterator[list[T]]:
    """What stands beside each other and is of one kind, some at a time: an object seldom needs another of its own kind."""
    for _, alike in groupby(ordered, key=kind):
        left = list(alike)
        yield from (left[begin : begin + most] for begin in range(0, len(left), most))


def kind_of(obj: Json) -> tuple[str, str]:
    """Group and kind of a manifest."""
    return str(obj.get("apiVersion") or "").rpartition("/")[0], str(obj.get("kind"))


def is_definition(obj: Json) -> bool:
    """Whether a manifest defines a kind."""
    return kind_of(obj) == DEFINITION


def defined(definition: Json) -> list[tuple[str, str, str]]:
    """API versions, kind and plural name that the cluster serves once a definition is established."""
    spec = definition.get("spec") or {}
    names = spec.get("names") or {}
    served = [each.get("name") for each in spec.get("versions") or () if each.get("served")]
    return [(f"{spec.get('group')}/{version}", str(names.get("kind")), str(names.get("plural"))) for version in served]
