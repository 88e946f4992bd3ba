"""ImageRegistry: where images are pulled from instead of their public homes, described once and named by clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from skerry.kinds.common import GROUP, VERSION, Metadata, Shape
from skerry.kinds.places import registry_problem, told
from skerry.kinds.rules import label_rule
from skerry.kinds.shape import LABEL, doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Column, Look, Reference, Resource
from skerry.machinery.schema import Schema


class ImageRegistrySpec(Shape):
    """Where the registry is, and how it is entered."""

    host: Annotated[str, doc("Host, optional port and path, such as registry.example.org:5000/platform.", min_length=1, max_length=253)]
    credential: Annotated[
        str, doc("Credential of type Registry that images are pulled with; nobody asks for one if empty.", pattern=LABEL, max_length=63)
    ] = ""
    trust_bundle: Annotated[
        str, doc("TrustBundle with the authority of the registry's certificate; a public one if empty.", pattern=LABEL, max_length=63)
    ] = ""
    description: Annotated[str, doc("What it is for, for people.", max_length=1024)] = ""


class ImageRegistry(Shape):
    """A registry that images are pulled from."""

    metadata: Metadata
    spec: ImageRegistrySpec


def sound(look: Look) -> Sequence[Cause]:
    """The place is the beginning of an image's name."""
    host = look.new["spec"]["host"]
    return told("spec.host", host, registry_problem(host))


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="ImageRegistry",
    plural="imageregistries",
    short_names=("ireg",),
    categories=("fleet",),
    namespaced=False,
    schema=Schema(structural(ImageRegistry)),
    selectable=("spec.credential", "spec.trustBundle"),
    columns=(
        Column("Host", ".spec.host"),
        Column("Credential", ".spec.credential"),
        Column("Trust", ".spec.trustBundle"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Description", ".spec.description", priority=1),
    ),
    references=(Reference("spec.credential", f"credentials.{GROUP}"), Reference("spec.trustBundle", f"trustbundles.{GROUP}")),
    rules=(label_rule, sound),
)
