"""ManifestSet: objects that a controller wants to exist in a cluster, enforced there by its agent.

The channel between controllers and agents is an object like any other: a controller applies
it, the gateway hands it to the agent of the management cluster whose namespace it lives in, or
of the cluster there that ``spec.cluster`` names. The agent applies the manifests by server-side
apply, prunes what left the set, and answers per object. The status holds counts and the first
failures; ``lastEnforcedTime`` says when the far end was last known to be as asked. ``ownerEpoch``
and ``metadata.generation`` order the commands: an agent refuses to go back. What became of each object
stands in an EnforcedObject.

A field that another manager owns is a conflict. ``conflicts: Take`` takes it: for sets that shall have the last word.

Deletion waits for the finalizer ``fleet.skerry.dev/prune``: the far end is empty first. A set with
``leave`` is let go of instead: its objects stay at the far end as they are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Conditions, Metadata, Shape
from skerry.kinds.rules import immutable
from skerry.kinds.shape import LABEL, doc, structural
from skerry.machinery.resource import Column, Json, Resource
from skerry.machinery.schema import Schema

PRUNE = f"{GROUP}/prune"


class ManifestSetSpec(Shape):
    """What is asked for."""

    cluster: Annotated[
        str,
        doc(
            "The cluster whose agent enforces the set, as <provisioner>.<name>; the management cluster itself if empty.",
            pattern=rf"{LABEL[:-1]}\.{LABEL[1:]}",
            max_length=127,
        ),
    ] = ""
    owner_epoch: Annotated[int, doc("Epoch of the controller that owns the set; an agent refuses a lower one.", ge=0)] = 0
    conflicts: Annotated[
        Literal["Refuse", "Take"],
        doc(
            "What happens to fields of the manifests that another field manager owns: `Refuse` reports a conflict and leaves the object as"
            " it is; `Take` takes them, also from whoever changes them later. Objects of another ManifestSet are never taken."
        ),
    ] = "Refuse"
    manifests: Annotated[list[dict[str, Any]], doc("The objects, each with apiVersion, kind and metadata.name.")] = []
    adopt: Annotated[
        list[str], doc("Uids of objects that stand at the far end already and become the set's own; other objects in their places do not.")
    ] = []
    leave: Annotated[bool, doc("Whether the objects stay as they are when the set is deleted, and are nobody's then.")] = False


class Failure(Shape):
    """An object that is not as asked."""

    api_version: Annotated[str, doc("API version of the object.")] = ""
    kind: Annotated[str, doc("Kind of the object.")] = ""
    namespace: Annotated[str, doc("Namespace of the object.")] = ""
    name: Annotated[str, doc("Name of the object.")] = ""
    reason: Annotated[str, doc("Why, in one word.")] = ""
    message: Annotated[str, doc("Why, in a sentence.", max_length=4096)] = ""


class Drift(Shape):
    """What somebody else did to objects of the set, and was put right."""

    count: Annotated[int, doc("How often, since the agent of the cluster began; of several objects at once each counts.")] = 0
    last_time: Annotated[str, doc("When that was last; it moves at most once a minute.", format="date-time")] = ""
    last_object: Annotated[str, doc("Which object it was then.")] = ""


class ManifestSetStatus(Shape):
    """What the agent reported."""

    observed_generation: Annotated[int, doc("The generation that the agent enforced last.")] = 0
    owner_epoch: Annotated[int, doc("The owner's epoch that the agent enforced last.")] = 0
    applied: Annotated[int, doc("Objects that are as asked.")] = 0
    failed: Annotated[int, doc("Objects that are not.")] = 0
    pending: Annotated[int, doc("Objects that wait, for another object or to be gone.")] = 0
    failures: Annotated[list[Failure], doc("The first failures.", maxItems=10)] = []
    drift: Annotated[Drift, doc("Changes by others that were put right.")] = field(default_factory=Drift)
    last_enforced_time: Annotated[str, doc("When all objects were last known to be as asked.", format="date-time")] = ""
    conditions: Conditions = []


class ManifestSet(Shape):
    """Objects to be enforced in a cluster by its agent."""

    metadata: Metadata
    spec: ManifestSetSpec = field(default_factory=ManifestSetSpec)
    status: ManifestSetStatus = field(default_factory=ManifestSetStatus)


def _schema() -> Json:
    document = structural(ManifestSet)
    items = document["properties"]["spec"]["properties"]["manifests"]["items"]
    items["x-kubernetes-embedded-resource"] = True
    return document


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="ManifestSet",
    plural="manifestsets",
    short_names=("ms",),
    inseparable=True,
    schema=Schema(_schema()),
    status=True,
    confidential=True,  # the objects to be enforced may be Secrets
    selectable=("spec.cluster",),
    rules=(immutable("spec.cluster"),),
    columns=(
        Column("Cluster", ".spec.cluster"),
        Column("Applied", ".status.applied", "integer"),
        Column("Failed", ".status.failed", "integer"),
        Column("Pending", ".status.pending", "integer"),
        Column("Drift", ".status.drift.count", "integer", priority=1),
        Column("Enforced", ".status.lastEnforcedTime", "date"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
)
