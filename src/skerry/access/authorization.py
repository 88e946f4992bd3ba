"""What a caller may do: by tables for our own processes and the administrator, by roles and bindings for everybody else.

* Administrators may do everything, except to write what only tells what a management cluster
  holds: mirrored kinds are written by Skerry's own components.
* A component may do what the table says beside its name: it is one of our own processes, known
  by its certificate, and still gets no more than it needs.
* Agents may do nothing at this door: they speak to the gateway.
* Everybody who is known may look around (discovery, OpenAPI) and ask about himself.
* Everybody at all may ask for health and version.
* Whatever else a person or a robot may do was granted to him: see ``index.py``. A decision then
  brings a sight, which the server holds against every object that it touches (``sight.py``).
* The API of a cluster, ``/k8s/NAME/…``, is its ``proxy`` subresource to a rule, and letting it join the
  fleet, ``/attach/NAME``, its ``attach`` subresource. Other paths that are no resource open to whoever was
  granted them, or may do everything, on the whole organization.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from skerry.access.index import Index
from skerry.access.rules import allows, covered
from skerry.access.scopes import ORGANIZATION, TOKENS, Scope, key_of
from skerry.access.sight import OWN_TOKENS, ObjectSight, caller
from skerry.kinds.common import GROUP as FLEET
from skerry.kinds.common import VERSION
from skerry.kinds.fullname import parsed
from skerry.kinds.managementcluster import ATTACH_PREFIX, PROXY_PREFIX
from skerry.machinery.document import dumps
from skerry.machinery.identity import AUTHENTICATED, Attributes, Decision, Rule, User
from skerry.pki.policy import ADMINISTRATORS, AGENTS, COMPONENT_PREFIX, COMPONENTS

READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete")

NAMED = frozenset(("get", "update", "patch", "delete"))
"""Verbs that are about one object."""

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


PROXY_VERBS = {"post": "create", "connect": "create", "put": "update", "patch": "patch", "delete": "delete"}
"""What a method at a cluster's API is to a rule, or a connection that leaves HTTP (a shell); every other one reads."""


class _Far(NamedTuple):
    """A cluster whose API is called; of what is written about it only its group counts."""

    place: tuple[str, str]
    value: bytes = b""


class Authorization:
    """Decides by the tables above, and for everybody else by the index."""

    def __init__(
        self, mirrored: frozenset[str], components: Mapping[str, Sequence[Rule]] = COMPONENT_RULES, index: Index | None = None
    ) -> None:
        """``mirrored`` are storage keys (``clusters.fleet.skerry.dev``) that only components write; ``components`` maps names to rules."""
        self._mirrored = mirrored
        self._components = {COMPONENT_PREFIX + name: (*PUBLIC, *KNOWN, *rules) for name, rules in components.items()}
        self.index = index or Index()

    def authorize(self, attributes: Attributes) -> Decision:
        """Decide."""
        user = attributes.user
        if any(allows(rule, attributes) for rule in self._table(user)):
            return self._unless_mirrored(attributes, Decision(allowed=True))
        if not self._is_bound(user):
            return Decision(allowed=False)
        for prefix, subresource in (PROXY_PREFIX, "proxy"), (ATTACH_PREFIX, "attach"):
            if attributes.path.startswith(prefix):
                return self._reaches_far(attributes, attributes.path.removeprefix(prefix).partition("/")[0], subresource)
        if attributes.path:
            return Decision(allowed=self._reaches(attributes), settled=False)
        if why := _never(attributes):
            return Decision(allowed=False, reason=why)
        sight = ObjectSight(self.index, caller(user, unlimited=ADMINISTRATORS in user.groups), attributes)
        if not sight.any:
            return Decision(allowed=False, settled=False)
        if attributes.verb in NAMED and not attributes.name and not sight.whole:
            return Decision(allowed=False, reason="only for some objects: ask about one of them by its name", settled=False)
        return self._unless_mirrored(attributes, Decision(allowed=True, sight=sight, settled=False))

    def _reaches(self, attributes: Attributes) -> bool:
        """Whether a path that is no resource is open to a caller by what he was granted."""
        user = attributes.user
        sight = ObjectSight(self.index, caller(user, unlimited=ADMINISTRATORS in user.groups), attributes)
        return sight.any and sight.whole

    def _reaches_far(self, attributes: Attributes, name: str, subresource: str) -> Decision:
        """Whether a path that belongs to a cluster is; the sight tells when that may have changed."""
        user, found = attributes.user, parsed(name)
        if found is None:
            return Decision(allowed=False, settled=False)
        verb = PROXY_VERBS.get(attributes.verb, "get")
        if found.cluster:
            place = found.management_cluster, found.cluster
            asked = Attributes(user, verb, FLEET, VERSION, "clusters", subresource, *place)
            far = _Far(place, dumps({"spec": {"clusterGroup": self.index.groups.get(place, "")}}))
        else:
            asked = Attributes(user, verb, FLEET, VERSION, "managementclusters", subresource, name=found.management_cluster)
            far = _Far(("", found.management_cluster))
        sight = ObjectSight(self.index, caller(user, unlimited=ADMINISTRATORS in user.groups), asked)
        allowed = sight.any and sight.allows(far)
        return Decision(allowed, sight=sight if allowed else None, settled=False)

    def rules(self, user: User, namespace: str) -> Sequence[Rule]:
        """Return what the user may do; what he may do to some objects only is there too, and marked."""
        table = self._table(user)
        if not self._is_bound(user):
            return table
        who = caller(user, unlimited=ADMINISTRATORS in user.groups)
        around = {ORGANIZATION, Scope("ManagementCluster", "", namespace)}
        held = [(ORGANIZATION, EVERYTHING[0])] if who.unlimited else list(self.index.held(who.subjects))
        held = [(scope, rule) for scope, rule in held if not rule.paths or scope == ORGANIZATION]  # paths are in no other scope
        whole = [rule for scope, rule in held if scope in around]
        some = [rule for scope, rule in held if scope not in around and (scope.namespace in {"", namespace} or not namespace)]
        if user.limit is not None and user.limit.rules:
            some = [rule for rule in user.limit.rules if covered(rule, [*whole, *some]) and not covered(rule, whole)]
            whole = [rule for rule in user.limit.rules if covered(rule, whole)]
        if user.limit is not None and Scope(*user.limit.scope) not in around:
            whole, some = [], [*whole, *some]
        marked = (rule._replace(some=True) for rule in some if rule not in whole)
        own = (OWN_TOKENS,) if user.limit is None else ()
        paths = (EVERYTHING[1],) if self._reaches(Attributes(user, "*", path="*")) else ()
        return (*PUBLIC, *KNOWN, *paths, *dict.fromkeys((*whole, *marked)), *own)

    def _table(self, user: User) -> Sequence[Rule]:
        groups = user.groups
        if ADMINISTRATORS in groups and user.limit is None:
            return EVERYTHING
        if AGENTS in groups:
            return PUBLIC
        if COMPONENTS in groups and user.name in self._components:
            return self._components[user.name]
        return (*PUBLIC, *KNOWN) if AUTHENTICATED in groups else PUBLIC

    def _is_bound(self, user: User) -> bool:
        """Whether bindings speak of a user: they do not of our own processes, of nobody, and of an administrator without limit."""
        groups = user.groups
        if AUTHENTICATED not in groups or AGENTS in groups or COMPONENTS in groups:
            return False
        return ADMINISTRATORS not in groups or user.limit is not None

    def _unless_mirrored(self, attributes: Attributes, decision: Decision) -> Decision:
        if attributes.verb not in READ and self._is_mirrored(attributes) and COMPONENTS not in attributes.user.groups:
            return Decision(allowed=False, reason=f"{attributes.resource} are mirrored from management clusters and can only be read")
        return decision

    def _is_mirrored(self, attributes: Attributes) -> bool:
        return key_of(attributes.group, attributes.resource) in self._mirrored


def _never(attributes: Attributes) -> str:
    """Why no role gives what is asked for, whatever its rules say; empty if one could."""
    if attributes.verb == "impersonate":
        return "only the administrator stands for others"
    if attributes.verb == "create" and key_of(attributes.group, attributes.resource) == TOKENS and attributes.user.limit is not None:
        return "a token is made by a person or by the administrator, not with another token"
    return ""
