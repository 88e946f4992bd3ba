"""Objects that a set asks for: which they are, and whose they are. Pure.

A label says that an object is ours and of which set. It is put on what we made, never on what
stood there before: only an object with the label of its set is ever deleted. Taking the label
off an object is therefore how people keep it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from skerry.client.contract import Ref
from skerry.machinery.resource import Json
from skerry.tunnel import link_pb2 as pb

GROUP = "fleet.skerry.dev/"
LABEL = f"{GROUP}manifest-set"
MOST_TEXT = 4096


class Identity(NamedTuple):
    """Which object."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What stays when another version of the kind is asked for: group, kind, namespace and name."""
        return self.api_version.rpartition("/")[0], self.kind, self.namespace, self.name


def identity_of(obj: Json) -> Identity:
    """Which object a manifest is; raises ValueError if it does not say."""
    metadata = obj.get("metadata") or {}
    if not (obj.get("apiVersion") and obj.get("kind") and metadata.get("name")):
        raise ValueError("a manifest needs apiVersion, kind and metadata.name")
    return Identity(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"])


def partly_identified(obj: Json) -> Identity:
    """As much as a manifest says of which object it is."""
    metadata = obj.get("metadata") or {}
    values = obj.get("apiVersion"), obj.get("kind"), metadata.get("namespace"), metadata.get("name")
    return Identity(*(str(each or "") for each in values))


def mark_of(name: str) -> str:
    """What stands in the label of a set's objects: a digest, because a set's name may be longer than a label."""
    return hashlib.sha256(name.encode()).hexdigest()[:24]


def mark(obj: Json) -> str:
    """The set that an object belongs to; empty: it is none of ours."""
    return str(((obj.get("metadata") or {}).get("labels") or {}).get(LABEL, ""))


def marked(obj: Json, value: str) -> Json:
    """A manifest with the label of its set."""
    metadata = obj["metadata"]
    return {**obj, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), LABEL: value}}}


def owned_by(obj: Json, manager: str) -> bool:
    """Whether somebody has applied fields of an object."""
    return any(each.get("manager") == manager and each.get("operation") == "Apply" for each in obj["metadata"].get("managedFields") or ())


def untraced(obj: Json, manager: str) -> Json | None:
    """The merge patch that takes a manager and our labels off an object, and leaves every other field; None if nothing is ours.

    The manager's entry is taken out: to apply nothing would remove what he alone has applied. ``[{}]`` means: no entries.
    """
    metadata = obj["metadata"]
    entries = metadata.get("managedFields") or []
    kept = [each for each in entries if each.get("manager") != manager]
    labels = {name: None for name in metadata.get("labels") or {} if name.startswith(GROUP)}
    if len(kept) == len(entries) and not labels:
        return None
    body: Json = {"resourceVersion": metadata["resourceVersion"], "managedFields": kept or [{}]}
    return {"metadata": {**body, **({"labels": labels} if labels else {})}}


def changed_by_us(live: Json | None, after: Json, manager: str) -> bool:
    """Whether an apply changed anything: others may have written between the look and the apply, a status above all."""
    if live is None:
        return True
    if live["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion"):
        return False
    return _of(live, manager) != _of(after, manager) or _content(live) != _content(after)


def _of(obj: Json, manager: str) -> list[Json]:
    """What an object says of what a manager has applied, and when."""
    return [
        each for each in obj["metadata"].get("managedFields") or () if (each.get("manager"), each.get("operation")) == (manager, "Apply")
    ]


def _content(obj: Json) -> Json:
    return {name: value for name, value in obj.items() if name not in {"metadata", "status"}}


def bare(which: Identity, ref: Ref) -> Json:
    """A manifest that asks for nothing: applying it gives up every field that we own."""
    place = {"namespace": which.namespace} if which.namespace else {}
    version = f"{ref.group}/{ref.version}" if ref.group else ref.version
    return {"apiVersion": version, "kind": which.kind, "metadata": {"name": which.name, **place}}


def result(
    which: Identity, outcome: pb.Outcome, reason: str = "", message: str = "", owners: Sequence[pb.FieldOwner] = ()
) -> pb.ObjectResult:
    """What became of an object."""
    return pb.ObjectResult(
        api_version=which.api_version,
        kind=which.kind,
        namespace=which.namespace,
        name=which.name,
        outcome=outcome,
        reason=reason,
        message=message[:MOST_TEXT],
        owners=owners,
    )
