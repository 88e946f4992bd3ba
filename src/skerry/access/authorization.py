"""What a caller may do, by tables: no bindings yet, and nothing that is not written below.

* Administrators may do everything, except to write what only tells what a management cluster
  holds: mirrored kinds are written by Skerry's own components.
* A component may do what the table says beside its name: it is one of our own processes, known
  by its certificate, and still gets no more than it needs.
* Agents may do nothing at this door: they speak to the gateway.
* Everybody who is known may look around (discovery, OpenAPI) and ask about himself.
* Everybody at all may ask for health and version.

Rules are Kubernetes' own: verbs by groups by resources, ``*`` for any, ``clusters/status`` for a
subresource, names only where one was given. Roles and bindings that people write will be
evaluated by the same :func:`allows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skerry.machinery.identity import AUTHENTICATED, Attributes, Decision, Rule, User
from skerry.pki.policy import ADMINISTRATORS, AGENTS, COMPONENT_PREFIX, COMPONENTS

FLEET = "fleet.skerry.dev"
READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete")

EVERYTHING = (Rule(("*",), ("*",), ("*",)), Rule(("*",), paths=("*",)))

PUBLIC = (Rule(("get",), paths=("/healthz", "/livez", "/readyz", "/version", "/version/")),)

KNOWN = (
    Rule(("get",), paths=("/", "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")),
    Rule(("create",), ("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews")),
    Rule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews",)),
)

_RECORDS = (
    Rule((*READ, *WRITE), ("coordination.k8s.io",), ("leases",)),
    Rule(("create", "update", "patch"), ("", "events.k8s.io"), ("events",)),
)

COMPONENT_RULES: Mapping[str, Sequence[Rule]] = {
    # reconcile every kind, end namespaces, collect garbage: the last two touch any kind there is
    "controllers": (
        Rule((*READ, *WRITE, "deletecollection"), ("*",), ("*",)),
        *_RECORDS,
    ),
    # hands manifests to agents and reports what came of them; registration uses up a token's Secret
    "gateway": (
        Rule(READ, (FLEET,), ("managementclusters", "manifestsets", "clusters", "observedobjects")),
        Rule(("update", "patch"), (FLEET,), ("managementclusters/status", "manifestsets/status", "manifestsets")),
        Rule(("get", "delete"), ("",), ("secrets",)),
        *_RECORDS,
    ),
}


class Authorization:
    """Decides by the tables above."""

    def __init__(self, mirrored: frozenset[str], components: Mapping[str, Sequence[Rule]] = COMPONENT_RULES) -> None:
        """``mirrored`` are storage keys (``clusters.fleet.skerry.dev``) that only components write; ``components`` maps names to rules."""
        self._mirrored = mirrored
        self._components = {COMPONENT_PREFIX + name: (*PUBLIC, *KNOWN, *rules) for name, rules in components.items()}

    def authorize(self, attributes: Attributes) -> Decision:
        """Decide."""
        user = attributes.user
        if not any(allows(rule, attributes) for rule in self.rules(user, attributes.namespace)):
            return Decision(allowed=False)
        if attributes.verb not in READ and self._is_mirrored(attributes) and COMPONENTS not in user.groups:
            return Decision(allowed=False, reason=f"{attributes.resource} are mirrored from management clusters and can only be read")
        return Decision(allowed=True)

    def rules(self, user: User, namespace: str) -> Sequence[Rule]:  # noqa: ARG002 every rule here holds in all namespaces
        """Return what the user may do."""
        groups = user.groups
        if ADMINISTRATORS in groups:
            return EVERYTHING
        if AGENTS in groups:
            return PUBLIC
        if COMPONENTS in groups and user.name in self._components:
            return self._components[user.name]
        return (*PUBLIC, *KNOWN) if AUTHENTICATED in groups else PUBLIC

    def _is_mirrored(self, attributes: Attributes) -> bool:
        key = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
        return key in self._mirrored


def allows(rule: Rule, attributes: Attributes) -> bool:
    """Whether a rule covers what is asked for, as Kubernetes' RBAC decides it."""
    if not _any_of(rule.verbs, attributes.verb):
        return False
    if attributes.path:
        return any(_path_matches(pattern, attributes.path) for pattern in rule.paths)
    if not _any_of(rule.groups, attributes.group) or not _resource_matches(rule.resources, attributes.resource, attributes.subresource):
        return False
    return not rule.names or attributes.name in rule.names


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
