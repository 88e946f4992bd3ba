"""KubernetesRelease: a Kubernetes version that a management cluster can make clusters with; mirrored and read-only here.

The object's name is the version with ``+`` written as ``---`` (as Tanzu's own releases do),
because a name may not hold a plus sign.
"""

from __future__ import annotations

from typing import Annotated

from skerry.kinds.common import GROUP, VERSION, Metadata, Shape
from skerry.kinds.shape import doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema


class KubernetesReleaseSpec(Shape):
    """What the release is."""

    version: Annotated[str, doc("The version as clusters ask for it.")]
    source: Annotated[str, doc("What said so: the kind and name of the object in the management cluster.")] = ""
    compatible: Annotated[bool, doc("Whether the management cluster says that it can be used.")] = False


class KubernetesRelease(Shape):
    """A Kubernetes version that clusters can be made with; mirrored, read-only."""

    metadata: Metadata
    spec: KubernetesReleaseSpec


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="KubernetesRelease",
    plural="kubernetesreleases",
    short_names=("kr",),
    categories=("fleet",),
    schema=Schema(structural(KubernetesRelease)),
    columns=(
        Column("Version", ".spec.version"),
        Column("Compatible", ".spec.compatible", "boolean"),
        Column("Source", ".spec.source", priority=1),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
)
