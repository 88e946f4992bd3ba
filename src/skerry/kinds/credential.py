"""Credential: what Skerry needs to enter somewhere, by reference: the values live in a Secret and nowhere else.

A type says which keys its Secret holds (:data:`KEYS`). What is no secret (an account, a role, a
server) stands in the block that is called like the type, where people can read and compare it.
``capability`` says what the credential may be used for, and excludes everything else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Conditions, Metadata, SecretReference, Shape
from skerry.kinds.places import authority_problem, told
from skerry.kinds.rules import at, bad, immutable, label_rule, missing
from skerry.kinds.shape import LABEL, doc, structural
from skerry.machinery import causes
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Column, Json, Look, Reference, Resource
from skerry.machinery.schema import Schema

Type = Literal["Generic", "VSphere", "AWS", "Azure", "Registry", "ObjectStore", "BasicAuth", "SSH", "Token"]
Capability = Literal["", "DataProtection", "ManagedKubernetes", "ImageRegistry", "Proxy", "SourceControl", "Observability", "ServiceMesh"]

KEYS: dict[str, str] = {
    "VSphere": "username, password",
    "AWS": "accessKeyID, secretAccessKey (none where a role is assumed)",
    "Azure": "clientSecret or clientCertificate",
    "Registry": ".dockerconfigjson, or username and password",
    "ObjectStore": "accessKeyID, secretAccessKey",
    "BasicAuth": "username, password",
    "SSH": "ssh-privatekey",
    "Token": "token",
}
"""What the Secret of a type holds; that of a generic one holds whatever its reader wants."""

CAPABLE: dict[str, tuple[str, ...]] = {
    "DataProtection": ("AWS", "Azure", "ObjectStore"),
    "ManagedKubernetes": ("AWS", "Azure"),
    "ImageRegistry": ("Registry", "Generic"),
    "Proxy": ("BasicAuth", "Generic"),
    "SourceControl": ("BasicAuth", "SSH", "Token"),
    "Observability": ("Generic", "Token"),
    "ServiceMesh": ("Generic", "Token"),
}
"""Which types can serve a purpose."""

UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
BLOCKS = {"vsphere": "VSphere", "aws": "AWS", "azure": "Azure", "ssh": "SSH"}


class VSphere(Shape):
    """A vCenter Server."""

    server: Annotated[str, doc("Host and optional port of the vCenter Server.", min_length=1, max_length=253)]
    trust_bundle: Annotated[str, doc("TrustBundle with the authority of its certificate.", pattern=LABEL, max_length=63)] = ""


class AWS(Shape):
    """An account at Amazon Web Services."""

    account_id: Annotated[str, doc("The account, twelve digits.", pattern=r"^\d{12}$")] = field(default="", name="accountID")
    role_arn: Annotated[
        str, doc("ARN of the IAM role to assume.", pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$", max_length=2048)
    ] = field(default="", name="roleARN")
    external_id: Annotated[
        str, doc("External ID that the role's trust policy asks for.", pattern=r"^[\w+=,.@:/-]{2,1224}$", max_length=1224)
    ] = field(default="", name="externalID")


class Azure(Shape):
    """A service principal of Microsoft Azure."""

    tenant_id: Annotated[str, doc("The directory.", pattern=UUID)] = field(name="tenantID")
    client_id: Annotated[str, doc("The application that the service principal stands for.", pattern=UUID)] = field(name="clientID")
    subscription_id: Annotated[str, doc("The subscription.", pattern=UUID)] = field(name="subscriptionID")
    managed_subscriptions: Annotated[
        list[str], doc("IDs of further subscriptions whose clusters are managed with it.", list_type="set")
    ] = []
    resource_group: Annotated[str, doc("Resource group of what is made with it.", max_length=90)] = ""
    cloud: Annotated[Literal["AzurePublicCloud", "AzureUSGovernmentCloud", "AzureChinaCloud"], doc("Which of Azure's clouds.")] = (
        "AzurePublicCloud"
    )


class SSH(Shape):
    """A host that is entered over SSH, such as a Git server."""

    known_hosts: Annotated[list[str], doc("Keys of the host, as lines of a known_hosts file.", list_type="set")] = []


class CredentialSpec(Shape):
    """What the credential is."""

    secret_ref: Annotated[
        SecretReference | None, doc("Secret in namespace skerry-system that holds the values; only an assumed AWS role needs none.")
    ] = None
    type: Annotated[Type, doc("What it opens.")] = "Generic"
    capability: Annotated[Capability, doc("What it may be used for; whatever its type is good for, if empty.")] = ""
    vsphere: Annotated[VSphere | None, doc("The vCenter Server; for type VSphere.")] = None
    aws: Annotated[AWS | None, doc("The account; for type AWS.")] = None
    azure: Annotated[Azure | None, doc("The service principal; for type Azure.")] = None
    ssh: Annotated[SSH | None, doc("The host; for type SSH.")] = None
    description: Annotated[str, doc("What it is for, for people.", max_length=1024)] = ""


class CredentialStatus(Shape):
    """What was seen."""

    observed_generation: Annotated[int, doc("The generation that the status speaks of.")] = 0
    phase: Annotated[
        Literal["Created", "Validating", "Valid", "Invalid", "Error", "Deleting"], doc("Whether it opens what it is for, in one word.")
    ] = "Created"
    conditions: Conditions = []


class Credential(Shape):
    """What Skerry needs to enter somewhere; the values are in a Secret."""

    metadata: Metadata
    spec: CredentialSpec
    status: CredentialStatus = field(default_factory=CredentialStatus)


def sound(look: Look) -> Sequence[Cause]:
    """Secret, type, block and capability fit each other. A spec that was stored before stays as it is until it is changed."""
    spec = look.new["spec"]
    if look.status or (look.old is not None and at(look.old, "spec") == spec):
        return ()
    kind, capability = spec.get("type", "Generic"), spec.get("capability", "")
    found = [
        causes.forbidden(f"spec.{block}", f"is only for type {owner}, and this credential is of type {kind}")
        for block, owner in BLOCKS.items()
        if block in spec and owner != kind
    ]
    if capability and kind not in CAPABLE[capability]:
        found.append(bad("spec.capability", capability, f"needs a credential of type {' or '.join(CAPABLE[capability])}, not {kind}"))
    if "secretRef" not in spec and not at(spec, "aws.roleARN"):
        keys = f", with the keys {KEYS[kind]}" if kind in KEYS else ""
        found.append(missing("spec.secretRef", f"name the Secret in skerry-system that holds the values{keys}"))
    return [*found, *_block(spec, kind)]


def _block(spec: Json, kind: str) -> list[Cause]:
    """What is wrong inside the block of the type."""
    if kind == "VSphere" and "vsphere" in spec:
        server = spec["vsphere"]["server"]
        return told("spec.vsphere.server", server, authority_problem(server))
    if kind == "AWS" and "aws" in spec:
        return _aws(spec["aws"])
    if kind == "Azure" and "azure" not in spec:
        return [missing("spec.azure", "say tenantID, clientID and subscriptionID of the service principal")]
    if kind == "Azure":
        further = enumerate(spec["azure"].get("managedSubscriptions") or ())
        why = "must be the ID of a subscription, as spec.azure.subscriptionID is"
        return [bad(f"spec.azure.managedSubscriptions[{index}]", each, why) for index, each in further if not re.fullmatch(UUID, each)]
    if kind == "SSH":
        lines = at(spec, "ssh.knownHosts")
        return [
            bad(
                f"spec.ssh.knownHosts[{index}]", line, "must be a line of a known_hosts file: names, type of the key, key (see ssh-keyscan)"
            )
            for index, line in enumerate(lines if isinstance(lines, list) else ())
            if len(line.split()) < 3 or line.startswith("-----")
        ]
    return []


def _aws(block: Json) -> list[Cause]:
    role, account = block.get("roleARN", ""), block.get("accountID", "")
    found = []
    if block.get("externalID") and not role:
        found.append(missing("spec.aws.roleARN", "an external ID goes with a role that is assumed"))
    if role and account and role.split(":")[4] != account:
        found.append(bad("spec.aws.accountID", account, f"is not the account of the role, {role.split(':')[4]}"))
    return found


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
    selectable=("spec.type", "spec.capability"),
    columns=(
        Column("Type", ".spec.type"),
        Column("Capability", ".spec.capability"),
        Column("Secret", ".spec.secretRef.name"),
        Column("Phase", ".status.phase", description="Whether it opens what it is for, in one word"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Description", ".spec.description", priority=1),
    ),
    references=(Reference("spec.vsphere.trustBundle", f"trustbundles.{GROUP}"),),
    rules=(label_rule, immutable("spec.type"), sound),
)
