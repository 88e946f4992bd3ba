"""ClusterClass: what a provisioner can make clusters from, mirrored from its management cluster and read-only here.

Full name: management cluster / provisioner / class. The variables' schemas are what the
management cluster reports at run time; nothing about a class is known beforehand.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Conditions, Metadata, Shape
from skerry.kinds.shape import doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema


class ClassVariable(Shape):
    """A variable that clusters of the class may, or must, set."""

    name: Annotated[str, doc("Name of the variable.")]
    required: Annotated[bool, doc("Whether a cluster must set it.")] = False
    schema: Annotated[dict[str, Any], doc("OpenAPI v3 schema of its value.")] = {}


class ClusterClassSpec(Shape):
    """What the class offers."""

    provisioner: Annotated[str, doc("Provisioner that the class is found in.", max_length=63)]
    api_version: Annotated[str, doc("API version that the management cluster serves it as.")] = ""
    worker_classes: Annotated[list[str], doc("Classes that node pools may have.")] = []
    kubernetes_versions: Annotated[list[str], doc("Versions that the class declares, if it does.")] = []
    variables: Annotated[list[ClassVariable], doc("Variables of the class.", list_type="map", list_keys=("name",))] = []


class ClusterClassStatus(Shape):
    """What was seen."""

    conditions: Conditions = []


class ClusterClass(Shape):
    """What clusters of a provisioner can be made from; mirrored, read-only."""

    metadata: Metadata
    spec: ClusterClassSpec
    status: ClusterClassStatus = field(default_factory=ClusterClassStatus)


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="ClusterClass",
    plural="clusterclasses",
    short_names=("cc",),
    categories=("fleet",),
    schema=Schema(structural(ClusterClass)),
    status=True,
    selectable=("spec.provisioner",),
    columns=(
        Column("Provisioner", ".spec.provisioner"),
        Column("Workers", ".spec.workerClasses", description="Classes for node pools"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
)
