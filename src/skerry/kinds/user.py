"""User: somebody whom Skerry itself knows, without an identity provider: people in the first hour, and robots.

Users of identity providers and of certificates need no object. The hash of a local user's
password lives in a Secret, and the password nowhere. Groups given here count wherever a
RoleBinding names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Metadata, SecretReference, Shape
from skerry.kinds.rules import bad
from skerry.kinds.shape import doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Column, Json, Look, Resource
from skerry.machinery.schema import Schema

RESERVED = ("system:", "skerry:")
"""How names begin that Kubernetes and Skerry keep for themselves."""
ADMINISTRATOR = "admin"
"""Whom the installation's own certificate speaks for."""


class UserSpec(Shape):
    """Who it is."""

    display_name: Annotated[str, doc("The name as people write it.", max_length=253)] = ""
    groups: Annotated[list[str], doc("Groups that the user belongs to.", list_type="set")] = []
    disabled: Annotated[bool, doc("Whether the user, and every token of his, is refused.")] = False
    password_secret_ref: Annotated[
        SecretReference | None,
        doc("Secret in namespace skerry-system with the password's argon2 hash under `hash`; without one no password lets the user in."),
    ] = None


class User(Shape):
    """A local user."""

    metadata: Metadata
    spec: UserSpec = field(default_factory=UserSpec)


def unreserved(look: Look) -> Sequence[Cause]:
    """Nobody becomes one of Skerry's own by being called like it."""
    found = []
    if look.old is None and look.new["metadata"].get("name") == ADMINISTRATOR:
        found.append(bad("metadata.name", ADMINISTRATOR, "is the installation's own administrator; choose another name"))
    for index, group in enumerate((look.new.get("spec") or {}).get("groups") or ()):
        if not group or group.startswith(RESERVED):
            found.append(bad(f"spec.groups[{index}]", group, "must not be empty and must not begin with system: or skerry:"))
    return found


def _groups(obj: Json) -> str:
    return ",".join((obj.get("spec") or {}).get("groups") or ())


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="User",
    plural="users",
    categories=("access",),
    namespaced=False,
    schema=Schema(structural(User)),
    columns=(
        Column("Display name", ".spec.displayName"),
        Column("Groups", ".spec.groups", description="Groups that the user belongs to", value=_groups),
        Column("Disabled", ".spec.disabled", "boolean"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
    rules=(unreserved,),
)
