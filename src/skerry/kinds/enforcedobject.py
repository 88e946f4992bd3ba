"""EnforcedObject: what became of one object of a ManifestSet, as the agent that enforces it told last; nobody writes it.

Latest values only, as the kinds of the inventory: no history, no revision of the store. One stands beside its
ManifestSet for each object of it, and for what left the set as long as that is being removed:
``kubectl get enforcedobjects -n sv-1 --field-selector spec.manifestSet=shop``.

The status of the ManifestSet counts them and quotes the first failures; ``lastEnforcedTime`` there is the time
that holds for all of a set that is as asked. Here it is only written when something else has changed, and
otherwise now and then: a quiet fleet writes hardly anything.

A ManifestSet is confidential and its results are not: names, reasons, fields and managers stand here, and of
what a cluster says of a Secret nothing (``tunnel/telling.py``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Metadata, Shape
from skerry.kinds.shape import doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema

Outcome = Literal["Applied", "Unchanged", "Failed", "Waiting", "Conflict", "Pruned"]


class EnforcedObjectSpec(Shape):
    """Which object, and of which set."""

    manifest_set: Annotated[str, doc("The ManifestSet that asks for it, in the same namespace.")] = ""
    cluster: Annotated[str, doc("The cluster of the set, as <provisioner>.<name>; the management cluster itself if empty.")] = ""
    api_version: Annotated[str, doc("API version of the object.")] = ""
    kind: Annotated[str, doc("Kind of the object.")] = ""
    namespace: Annotated[str, doc("Namespace of the object; empty for cluster-scoped kinds.")] = ""
    name: Annotated[str, doc("Name of the object.")] = ""


class FieldOwner(Shape):
    """A manager that owns fields which the set asks for otherwise."""

    manager: Annotated[str, doc("Name of the field manager.")] = ""
    subresource: Annotated[str, doc("Subresource through which it wrote them, if any.")] = ""
    fields: Annotated[list[str], doc("Paths of the fields, the first of them.")] = []
    more: Annotated[int, doc("How many more fields there are.")] = 0


class EnforcedObjectStatus(Shape):
    """What became of it."""

    outcome: Annotated[
        Outcome,
        doc(
            "`Applied`: as asked, and something had to change for it when it was looked at last; `Unchanged`: as asked already;"
            " `Conflict`: another manager owns a field, or another set the object; `Waiting`: not yet, for another object or to be gone;"
            " `Failed`: the message says why; `Pruned`: it left the set and is gone, or was let go where the set had not made it."
        ),
    ]
    reason: Annotated[str, doc("Why, in one word.")] = ""
    message: Annotated[str, doc("Why, in a sentence; of Secrets the words of the cluster are left out.")] = ""
    owners: Annotated[
        list[FieldOwner], doc("Who owns the fields of a conflict, or owned them before they were taken (`spec.conflicts: Take`).")
    ] = []
    generation: Annotated[int, doc("Generation of the ManifestSet that this speaks of.")] = 0
    owner_epoch: Annotated[int, doc("Epoch of its owner that this speaks of.")] = 0
    drift: Annotated[int, doc("How often somebody changed it and it was put right, since the agent of the cluster began.")] = 0
    last_drift_time: Annotated[str, doc("When that was last.", format="date-time")] = ""
    last_changed_time: Annotated[str, doc("When the agent last changed it.", format="date-time")] = ""
    last_enforced_time: Annotated[
        str,
        doc(
            "When it was last known to be as asked. It moves with every change of the rest, and once an hour or so otherwise; that of the"
            " ManifestSet is newer where the whole set is as asked.",
            format="date-time",
        ),
    ] = ""


class EnforcedObject(Shape):
    """What became of an object of a ManifestSet, as its agent told last; read-only."""

    metadata: Metadata
    spec: EnforcedObjectSpec = field(default_factory=EnforcedObjectSpec)
    status: EnforcedObjectStatus = field(default_factory=lambda: EnforcedObjectStatus("Waiting"))


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="EnforcedObject",
    plural="enforcedobjects",
    short_names=("eo",),
    schema=Schema(structural(EnforcedObject)),
    verbs=("get", "list", "watch"),
    latest=True,
    generation=False,
    selectable=(
        *("spec.manifestSet", "spec.cluster", "spec.kind", "spec.namespace", "spec.name"),
        *("status.outcome", "status.reason"),
    ),
    name_first=False,
    columns=(
        Column("Set", ".spec.manifestSet"),
        Column("Kind", ".spec.kind"),
        Column("Namespace", ".spec.namespace"),
        Column("Object", ".spec.name"),
        Column("Outcome", ".status.outcome"),
        Column("Reason", ".status.reason"),
        Column("Drift", ".status.drift", "integer"),
        Column("Enforced", ".status.lastEnforcedTime", "date"),
        Column("Changed", ".status.lastChangedTime", "date", priority=1),
        Column("Cluster", ".spec.cluster", priority=1),
        Column("Name", ".metadata.name", priority=1),
        Column("Message", ".status.message", priority=1),
    ),
)
