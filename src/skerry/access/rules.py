"""Rules as Kubernetes has them: what one allows, and whether what somebody holds covers what he wants to grant. Pure.

Verbs by groups by resources; ``*`` for any, ``clusters/status`` for a subresource, names only
where one was given. Or verbs by paths that are no resource; ``/skerry/*`` for all that begin so.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from skerry.machinery.identity import Attributes, Rule
from skerry.machinery.resource import Json


def allows(rule: Rule, attributes: Attributes) -> bool:
    """Whether a rule covers what is asked for, as Kubernetes' RBAC decides it."""
    if attributes.path:
        return _any_of(rule.verbs, attributes.verb) and any(_path_matches(pattern, attributes.path) for pattern in rule.paths)
    if not matches(rule, attributes.verb, attributes.group, attributes.resource, attributes.subresource):
        return False
    return not rule.names or attributes.name in rule.names


def matches(rule: Rule, verb: str, group: str, resource: str, subresource: str, path: str = "") -> bool:
    """Whether a rule is about a verb and a resource (whatever names it may be limited to), or about a path.

    Every path belongs to who may do everything to every resource.
    """
    if path:
        return _is_everything(rule) or (_any_of(rule.verbs, verb) and any(_path_matches(pattern, path) for pattern in rule.paths))
    return _any_of(rule.verbs, verb) and _any_of(rule.groups, group) and _resource_matches(rule.resources, resource, subresource)


def _is_everything(rule: Rule) -> bool:
    return "*" in rule.verbs and "*" in rule.groups and "*" in rule.resources and not rule.names


def _any_of(allowed: Sequence[str], value: str) -> bool:
    return "*" in allowed or value in allowed


def _resource_matches(allowed: Sequence[str], resource: str, subresource: str) -> bool:
    if "*" in allowed:
        return True
    if not subresource:
        return resource in allowed
    return f"{resource}/{subresource}" in allowed or f"*/{subresource}" in allowed


def _path_matches(pattern: str, path: str) -> bool:
    return pattern == path or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def covered(wanted: Rule, held: Sequence[Rule]) -> bool:
    """Whether everything that a rule allows is allowed by what is held: each verb on each resource or path, by one rule of it."""
    if wanted.paths:
        return all(any(_covers_path(rule, verb, path) for rule in held) for verb, path in product(wanted.verbs, wanted.paths))
    names = wanted.names or ("",)
    return all(
        any(_covers(rule, verb, group, resource, name) for rule in held)
        for verb, group, resource, name in product(wanted.verbs, wanted.groups, wanted.resources, names)
    )


def _covers(rule: Rule, verb: str, group: str, resource: str, name: str) -> bool:
    if not _any_of(rule.verbs, verb) or not _any_of(rule.groups, group):
        return False
    if "*" not in rule.resources and resource not in rule.resources and f"*/{resource.partition('/')[2]}" not in rule.resources:
        return False
    return not rule.names or (name != "" and name in rule.names)


def _covers_path(rule: Rule, verb: str, path: str) -> bool:
    """A pattern is covered where all that it matches is: a pattern matches every longer one that begins as it does."""
    return _is_everything(rule) or (_any_of(rule.verbs, verb) and any(_path_matches(pattern, path) for pattern in rule.paths))


def rule_of(spec: Json) -> Rule:
    """A rule out of a Role's spec."""
    return Rule(
        tuple(spec.get("verbs") or ()),
        tuple(spec.get("apiGroups") or ()),
        tuple(spec.get("resources") or ()),
        tuple(spec.get("resourceNames") or ()),
        tuple(spec.get("nonResourceURLs") or ()),
    )


def spec_of(rule: Rule) -> Json:
    """A rule as it stands in a Role's spec."""
    if rule.paths:
        return {"nonResourceURLs": list(rule.paths), "verbs": list(rule.verbs)}
    found: Json = {"apiGroups": list(rule.groups), "resources": list(rule.resources), "verbs": list(rule.verbs)}
    return {**found, "resourceNames": list(rule.names)} if rule.names else found
