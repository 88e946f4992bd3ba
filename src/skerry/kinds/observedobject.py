"""ObservedObject: an object of a managed cluster as its agent last saw it.

Latest values only: there is no log of them, no history, and writing one makes no revision of
the store. The agent trims what nobody here reads (managedFields, last-applied annotations).
"""

from __future__ import annotations

from typing import Annotated, Any

from skerry.kinds.common import GROUP, VERSION, Metadata, Shape
from skerry.kinds.shape import doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema

CLUSTER_LABEL = f"{GROUP}/cluster"
"""Label that names the Cluster API cluster that an observed object belongs to."""
GROUP_LABEL = f"{GROUP}/source-group"
PLURAL_LABEL = f"{GROUP}/source-plural"
"""Labels that name the kind of the object itself: who follows a few kinds is told of no others."""


class Source(Shape):
    """Where the object lives."""

    api_version: Annotated[str, doc("API version that it was read as.")]
    kind: Annotated[str, doc("Its kind.")]
    name: Annotated[str, doc("Its name.")]
    namespace: Annotated[str, doc("Its namespace; empty for cluster-scoped kinds.")] = ""
    uid: Annotated[str, doc("Its uid.")] = ""
    resource_version: Annotated[str, doc("Its revision when it was read.")] = ""


class ObservedObject(Shape):
    """An object of a managed cluster as its agent last saw it; read-only."""

    metadata: Metadata
    source: Annotated[Source, doc("Where the object lives.")]
    object: Annotated[dict[str, Any], doc("The object itself, trimmed.")] = {}
    observed_time: Annotated[str, doc("When the agent saw it.", format="date-time")] = ""


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="ObservedObject",
    plural="observedobjects",
    short_names=("oo",),
    schema=Schema(structural(ObservedObject)),
    verbs=("get", "list", "watch"),
    latest=True,
    generation=False,
    selectable=("source.kind", "source.namespace", "source.name"),
    indexed=(CLUSTER_LABEL, PLURAL_LABEL, "source.name"),
    columns=(
        Column("Kind", ".source.kind"),
        Column("Namespace", ".source.namespace"),
        Column("Object", ".source.name"),
        Column("Phase", ".object.status.phase"),
        Column("Seen", ".observedTime", "date"),
    ),
)
