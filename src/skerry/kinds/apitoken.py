"""APIToken: a bearer token for a robot, or for a person's script.

It speaks for its owner and may do what both he and the token may: the owner's rights, cut
down to ``rules`` and ``scope`` where those are given. The answer to its creation shows the
token, in ``status.token``, and nothing ever shows it again: what is kept is a hash. It ends
at ``expirationTime``, or at once when the object is deleted. An expired one is deleted a week
later: until then whoever looks for the reason of a refusal finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Metadata, Shape
from skerry.kinds.role import RoleRule, rule_causes
from skerry.kinds.rolebinding import BindingScope, scope_causes
from skerry.kinds.rules import immutable
from skerry.kinds.shape import doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Column, Json, Look, Resource
from skerry.machinery.schema import Schema

KEPT = timedelta(days=7)
"""How long an expired token is kept."""


class APITokenSpec(Shape):
    """Whom the token speaks for, and what for."""

    description: Annotated[str, doc("What the token is for, for people.", max_length=1024)] = ""
    owner: Annotated[str, doc("User whom it speaks for; whoever creates it, if left out.", max_length=253)] = ""
    expiration_time: Annotated[str, doc("When it ends; 90 days after its creation if left out.", format="date-time")] = ""
    rules: Annotated[list[RoleRule], doc("What it may do of all that its owner may; everything if empty.")] = []
    scope: Annotated[BindingScope | None, doc("Where it may do it; everywhere if left out.")] = None
    groups: Annotated[list[str], doc("The owner's groups, set by the server when it is created.")] = []
    owner_uid: Annotated[str, doc("uid of the owner, if he is a local user; set by the server when it is created.", max_length=64)] = ""
    token_hash: Annotated[str, doc("SHA-256 of the token, set by the server when it is created.", max_length=64)] = ""


class APIToken(Shape):
    """A bearer token; the answer to its creation shows it in status.token, once."""

    metadata: Metadata
    spec: APITokenSpec = field(default_factory=APITokenSpec)


def sound(look: Look) -> Sequence[Cause]:
    """Rules and scope mean something."""
    spec = look.new.get("spec") or {}
    found = rule_causes(spec.get("rules") or (), "spec.rules")
    return found + (scope_causes(spec["scope"], "spec.scope") if spec.get("scope") else [])


def over(obj: Json, now: datetime) -> bool:
    """Whether a token has been of no use for so long that it is deleted; ``now`` is in UTC."""
    return now - datetime.fromisoformat(obj["spec"]["expirationTime"]) >= KEPT


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="APIToken",
    plural="apitokens",
    categories=("access",),
    namespaced=False,
    schema=Schema(structural(APIToken)),
    selectable=("spec.owner",),
    columns=(
        Column("Owner", ".spec.owner"),
        Column("Expires", ".spec.expirationTime"),
        Column("Description", ".spec.description"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
    rules=(
        sound,
        immutable("spec.owner", "spec.ownerUid", "spec.groups", "spec.tokenHash", "spec.rules", "spec.scope", "spec.expirationTime"),
    ),
)
