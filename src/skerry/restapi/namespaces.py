"""Namespaces as the server enforces them: nothing is created in one that is missing or on its way out.

The check runs inside the transaction of the write, so that no object slips in while a
namespace is being emptied. Emptying it is a controller's work (``runtime/namespaces.py``),
which ends with ``/finalize``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from skerry.kinds.common import SYSTEM_NAMESPACE
from skerry.machinery.errors import ApiError, Cause, Forbidden, Subject, not_found
from skerry.restapi.context import Call
from skerry.store.contract import Check, Key

Json = dict[str, Any]

FINALIZER = "kubernetes"
IMMORTAL = frozenset(("default", "kube-system", "kube-public", SYSTEM_NAMESPACE))
NAME_LABEL = "kubernetes.io/metadata.name"


class _Status(msgspec.Struct):
    phase: str = ""


class _Namespace(msgspec.Struct):
    status: _Status | None = None


_decode = msgspec.json.Decoder(_Namespace).decode


def on_create(obj: Json) -> None:
    """Give a new namespace its finalizer and its phase."""
    spec = obj.setdefault("spec", {})
    if FINALIZER not in spec.setdefault("finalizers", []):
        spec["finalizers"].append(FINALIZER)
    obj["status"] = {"phase": "Active"}


def label(obj: Json) -> None:
    """Give a namespace the label that says its name: selectors look for it."""
    obj["metadata"].setdefault("labels", {})[NAME_LABEL] = obj["metadata"].get("name", "")


def terminating(obj: Json) -> bool:
    """Whether a namespace is held by its finalizer."""
    return bool((obj.get("spec") or {}).get("finalizers"))


def is_ending(call: Call) -> bool:
    """Whether the namespace of a request is being emptied, as far as is known here."""
    cache = call.parts.feeds.caches.get("namespaces")
    item = cache.rows.get(("", call.namespace)) if cache else None
    return item is not None and _refuse(call, item.value) is not None


def checks(call: Call) -> tuple[Check, ...]:
    """What a creation requires of its namespace."""
    if not call.resource.namespaced:
        return ()
    key = Key(call.parts.organization, "namespaces", "", call.namespace)
    return (Check(key, accept=lambda value: _refuse(call, value), otherwise=not_found("namespaces", "", call.namespace)),)


def check_now(call: Call) -> None:
    """The same for a dry run, out of the cache; raises NotFound or Forbidden."""
    cache = call.parts.feeds.caches.get("namespaces")
    item = cache.rows.get(("", call.namespace)) if cache else None
    if item is None:
        raise not_found("namespaces", "", call.namespace)
    refusal = _refuse(call, item.value)
    if refusal is not None:
        raise refusal


def _refuse(call: Call, value: bytes) -> ApiError | None:
    status = _decode(value).status
    if status is None or status.phase != "Terminating":
        return None
    resource = call.resource
    text = f"unable to create new content in namespace {call.namespace} because it is being terminated"
    qualified = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    return Forbidden(
        f'{qualified} "{call.name}" is forbidden: {text}',
        subject=Subject(call.name, resource.group, resource.plural),
        causes=[Cause("NamespaceTerminating", f"namespace {call.namespace} is being terminated", "metadata.namespace")],
    )
