"""Client-side apply's annotation, as far as server-side apply cares for it.

``kubectl apply`` without ``--server-side`` notes what it applied in an annotation. Whoever goes on
with ``--server-side`` (the manager is then called ``kubectl``) is in no conflict over what that
annotation names and the object still holds, and the annotation is kept true, so that one can go back.
"""

from __future__ import annotations

import json
from typing import Any

from skerry.machinery.compare import compare
from skerry.machinery.fieldset import FieldSet, difference, owned
from skerry.machinery.meta import MOST_ANNOTATION_BYTES
from skerry.machinery.types import FieldType

Json = dict[str, Any]

KUBECTL = "kubectl"
ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_HTML = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}


def of(obj: Json) -> str:
    """The annotation, empty if there is none."""
    text = ((obj.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION)
    return text if isinstance(text, str) else ""


def still_applied(live: Json, kind: FieldType, api_version: str) -> FieldSet:
    """The fields that the annotation names and that still are as it says; none if it cannot be read."""
    try:
        config = json.loads(of(live) or "null")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(config, dict) or config.get("apiVersion") != api_version:
        return {}
    changes = compare(config, live, kind)
    return difference(difference(owned(config, kind), changes.taken), changes.removed)


def without(annotations: dict[str, str]) -> dict[str, str]:
    """The annotations without the note, which could no longer be true."""
    return {name: text for name, text in annotations.items() if name != ANNOTATION}


def noted(annotations: dict[str, str], config: Json) -> dict[str, str]:
    """The annotations with a config noted in them; without any note where they would become too large."""
    metadata = dict(config.get("metadata") or {})
    if isinstance(metadata.get("annotations"), dict):
        metadata["annotations"] = {name: text for name, text in metadata["annotations"].items() if name != ANNOTATION}
    text = json.dumps({**config, "metadata": metadata}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).translate(_HTML)
    result = annotations | {ANNOTATION: f"{text}\n"}
    if sum(len(name.encode()) + len(value.encode()) for name, value in result.items()) > MOST_ANNOTATION_BYTES:
        del result[ANNOTATION]
    return result
