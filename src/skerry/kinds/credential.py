"""Credential: what Skerry needs to enter somewhere, by reference: the values live in a Secret and nowhere else."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Conditions, Metadata, SecretReference, Shape
from skerry.kinds.rules import immutable, label_rule
from skerry.kinds.shape import doc, structural
from skerry.machinery.resource import Column, Resource
from skerry.machinery.schema import Schema


class CredentialSpec(Shape):
    """What the credential is."""

    secret_ref: Annotated[SecretReference, doc("Secret in namespace skerry-system that holds the values.")]
    type: Annotated[Literal["Generic", "VSphere", "AWS", "Azure", "Registry", "ObjectStore"], doc("What it opens.")] = "Generic"
    description: Annotated[str, doc("What it is for, for people.", max_length=1024)] = ""


class CredentialStatus(Shape):
    """What was seen."""

    conditions: Conditions = []


class Credential(Shape):
    """What Skerry needs to enter somewhere; the values are in a Secret."""

    metadata: Metadata
    spec: CredentialSpec
    status: CredentialStatus = field(default_factory=CredentialStatus)


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="Credential",
    plural="credentials",
    short_names=("cred",),
    categories=("fleet",),
    namespaced=False,
    schema=Schema(structural(Credential)),
    status=True,
    columns=(
        Column("Type", ".spec.type"),
        Column("Secret", ".spec.secretRef.name"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
    rules=(label_rule, immutable("spec.type")),
)
