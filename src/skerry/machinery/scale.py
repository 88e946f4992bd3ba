"""``autoscaling/v1`` Scale: how many of something are asked for and there are, whatever kind keeps the numbers where.

``kubectl scale`` and autoscalers read and write this one shape; a kind says by three paths what it
stands for, as ``subresources.scale`` of a CustomResourceDefinition does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skerry.machinery import causes
from skerry.machinery.errors import Cause
from skerry.machinery.gotext import printed, runtime_type

Json = dict[str, Any]

GROUP, VERSION, KIND = "autoscaling", "v1", "Scale"
KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")

SCHEMA: Json = {
    "type": "object",
    "description": "How many of something are asked for, and how many there are.",
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "description": "What is asked for.",
            "properties": {"replicas": {"type": "integer", "format": "int32", "description": "How many there shall be."}},
        },
        "status": {
            "type": "object",
            "description": "What was seen.",
            "properties": {
                "replicas": {"type": "integer", "format": "int32", "description": "How many there are."},
                "selector": {"type": "string", "description": "Selects the labels of what is counted."},
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a kind keeps what a Scale shows: dotted paths such as ``.spec.replicas``; no ``selector`` if empty."""

    spec: str
    status: str
    selector: str = ""

    def asked(self, obj: Json) -> int | None:
        """How many an object asks for; None if it does not say."""
        found = _at(obj, self.spec)
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    def shown(self, obj: Json) -> Json:
        """The Scale of an object that says how many it asks for."""
        asked, found, selector = self.asked(obj), _at(obj, self.status), _at(obj, self.selector) if self.selector else None
        status: Json = {"replicas": found if isinstance(found, int) else 0}
        if isinstance(selector, str) and selector:
            status["selector"] = selector
        return {
            "kind": KIND,
            "apiVersion": f"{GROUP}/{VERSION}",
            "metadata": {name: obj["metadata"][name] for name in KEPT if name in obj["metadata"]},
            "spec": {"replicas": asked} if asked else {},
            "status": status,
        }

    def causes(self, obj: Json) -> list[Cause]:
        """What is wrong with how many an object asks for, beyond its schema."""
        if why := _misplaced(obj, self.spec.strip(".").split(".")):
            return [causes.invalid(self.spec, 0, why)]
        asked = self.asked(obj)
        why = "should be a non-negative integer" if asked is not None and asked < 0 else ""
        return [causes.invalid(self.spec, asked, why)] if why else []

    def put(self, obj: Json, replicas: int) -> None:
        """Have an object ask for so many, in place."""
        *above, last = self.spec.strip(".").split(".")
        for part in above:
            obj = obj.setdefault(part, {})
        obj[last] = replicas


def _misplaced(obj: Any, parts: list[str]) -> str:
    """Why a path leads to no integer, in the words of apimachinery's ``unstructured.NestedInt64``; empty if it does, or to nothing."""
    wanted, number = "map[string]interface{}", 0
    for part in parts:
        number += 1
        if obj is None or (isinstance(obj, dict) and part not in obj):
            return ""
        if not isinstance(obj, dict):
            break
        obj = obj[part]
    else:
        wanted = "int64"
        if isinstance(obj, int) and not isinstance(obj, bool):
            return ""
    return f".{'.'.join(parts[:number])} accessor error: {printed(obj)} is of the type {runtime_type(obj)}, expected {wanted}"


def _at(obj: Any, path: str) -> Any:
    for part in path.strip(".").split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj
