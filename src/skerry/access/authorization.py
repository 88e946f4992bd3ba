"""What a caller may do.

* Administrators may do everything, except to write what only tells what a management cluster
  holds: mirrored kinds are written by Skerry's own components.
* Components may do what their table says.
* Whoever proved who he is may read discovery and OpenAPI, and ask about himself.
* Anonymous callers get health and version. Agents speak through the link, not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skerry.machinery.identity import AUTHENTICATED, Attributes, Decision, Rule, User
from skerry.pki.policy import ADMINISTRATORS, COMPONENTS

READS = frozenset(("get", "list", "watch"))
PUBLIC = frozenset(("/healthz", "/livez", "/readyz", "/version"))
DOCUMENTS = ("/", "/api", "/apis", "/openapi")
REVIEWS = frozenset(("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"))

ALL = Rule(("*",), ("*",), ("*",))
EVERY_PATH = Rule(("*",), paths=("*",))
ABOUT_SELF = Rule(("create",), ("authorization.k8s.io", "authentication.k8s.io"), tuple(sorted(REVIEWS)))
PUBLIC_PATHS = Rule(("get",), paths=tuple(sorted(PUBLIC)))
DOCUMENT_PATHS = Rule(("get",), paths=("/", "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"))


class Authorization:
    """Rules by group, and a table for components."""

    def __init__(self, mirrored: frozenset[str], components: Mapping[str, Sequence[Rule]]) -> None:
        """``mirrored`` are storage keys that only components write; ``components`` maps certificate names to rules."""
        self._mirrored = mirrored
        self._components = components

    def authorize(self, attributes: Attributes) -> Decision:
        """Decide."""
        user = attributes.user
        if attributes.path and attributes.verb == "get" and attributes.path.rstrip("/") in PUBLIC:
            return Decision(True)
        if AUTHENTICATED not in user.groups:
            return Decision(False)
        if not attributes.path and attributes.resource in REVIEWS and attributes.verb == "create":
            return Decision(True)
        if ADMINISTRATORS in user.groups:
            return self._administrator(attributes)
        if any(_covers(rule, attributes) for rule in self.rules(user, attributes.namespace)):
            return Decision(True)
        return Decision(False)

    def _administrator(self, attributes: Attributes) -> Decision:
        key = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
        if key in self._mirrored and attributes.verb not in READS:
            return Decision(False, f"{attributes.resource} are mirrored from management clusters and can only be read")
        return Decision(True)

    def rules(self, user: User, namespace: str) -> Sequence[Rule]:  # noqa: ARG002 bindings on namespaces come with roles
        """What a user may do."""
        found = [PUBLIC_PATHS]
        if AUTHENTICATED in user.groups:
            found += [ABOUT_SELF, DOCUMENT_PATHS]
        if ADMINISTRATORS in user.groups:
            found += [ALL, EVERY_PATH]
        if COMPONENTS in user.groups:
            found += self._components.get(user.name, ())
        return found


def _covers(rule: Rule, attributes: Attributes) -> bool:
    if not _in(attributes.verb, rule.verbs):
        return False
    if attributes.path:
        return any(path in {"*", attributes.path} or (path.endswith("/*") and attributes.path.startswith(path[:-1])) for path in rule.paths)
    what = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    if not _in(attributes.group, rule.groups) or not (_in(what, rule.resources)):
        return False
    return not rule.names or attributes.name in rule.names


def _in(value: str, allowed: Sequence[str]) -> bool:
    return "*" in allowed or value in allowed
