"""Role: what somebody may do, as rules in the manner of Kubernetes; a RoleBinding says who, and where.

The built-in roles are called after a scope and a level (``clustergroup.edit``); the server
writes them and nobody else may (``access/builtin.py`` holds their rules).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Metadata, Shape
from skerry.kinds.shape import doc, structural
from skerry.machinery import causes
from skerry.machinery.errors import Cause
from skerry.machinery.resource import ALL_VERBS, Column, Json, Look, Resource
from skerry.machinery.schema import Schema

VERBS = (*ALL_VERBS, "bind", "escalate", "*")
"""What a rule may allow. ``bind`` and ``escalate`` let somebody grant what he does not have himself."""


PATH_VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "*")
"""What a rule about paths may allow."""


class RoleRule(Shape):
    """What may be done: to which resources, or with which paths that are none."""

    verbs: Annotated[list[str], doc("What may be done, `*` for anything.", min_length=1)]
    api_groups: Annotated[list[str], doc("API groups; an empty name is the core group, `*` any.")] = []
    resources: Annotated[list[str], doc("Resources by their plural, `clusters/status` for a subresource, `*` for any.")] = []
    resource_names: Annotated[list[str], doc("Only objects of these names; all if empty.")] = []
    non_resource_urls: Annotated[
        list[str],
        doc("Paths that are no resource, such as /metrics, `/skerry/*` for all that begin so; bound on the organization or of no use."),
    ] = field(default_factory=list, name="nonResourceURLs")


class RoleSpec(Shape):
    """What the role allows."""

    description: Annotated[str, doc("What the role is for, for people.", max_length=1024)] = ""
    rules: Annotated[list[RoleRule], doc("What may be done; each rule adds to the others.")] = []


class Role(Shape):
    """What somebody may do where a RoleBinding gives him the role."""

    metadata: Metadata
    spec: RoleSpec = field(default_factory=RoleSpec)


def known_verbs(look: Look) -> Sequence[Cause]:
    """A verb that does not exist would grant nothing and say nothing about it."""
    return rule_causes((look.new.get("spec") or {}).get("rules") or (), "spec.rules")


def rule_causes(rules: Sequence[Json], path: str) -> list[Cause]:
    """What is wrong with rules beyond their schema."""
    return [cause for index, rule in enumerate(rules) for cause in _wrong(rule, f"{path}[{index}]")]


def _wrong(rule: Json, path: str) -> Iterator[Cause]:
    """A rule is about resources or about paths, in full, and says what may be done with them."""
    urls = rule.get("nonResourceURLs") or ()
    known = PATH_VERBS if urls else VERBS
    for place, verb in enumerate(rule.get("verbs") or ()):
        if verb not in known:
            yield causes.not_supported(f"{path}.verbs[{place}]", verb, known)
    if urls and any(rule.get(name) for name in ("apiGroups", "resources", "resourceNames")):
        yield causes.invalid(f"{path}.nonResourceURLs", urls, "rules cannot apply to both regular resources and non-resource URLs")
    for place, url in enumerate(urls):
        if not (url == "*" or url.startswith("/")) or "*" in url[:-1]:
            yield causes.invalid(f"{path}.nonResourceURLs[{place}]", url, "must begin with a slash, and may have a * at its end")
    if not urls and not rule.get("apiGroups"):
        yield causes.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not urls and not rule.get("resources"):
        yield causes.required(f"{path}.resources", "resource rules must supply at least one resource")


def _rules(obj: Json) -> int:
    return len((obj.get("spec") or {}).get("rules") or ())


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="Role",
    plural="roles",
    categories=("access",),
    namespaced=False,
    schema=Schema(structural(Role)),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),  # never all at once: some are the server's
    columns=(
        Column("Rules", ".spec.rules", "integer", description="How many rules there are", value=_rules),
        Column("Description", ".spec.description"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
    rules=(known_verbs,),
)
