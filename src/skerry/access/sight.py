"""A caller's sight: on which objects of a kind he may do what he asked for.

Two things must both allow it: his bindings, and the limits of the credential that he showed.
A sight is worked out from the index whenever it is asked, so it is never older than the
index: a watch that holds one sees at once what was granted or taken away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from skerry.access.accounts import LOCAL_USERS
from skerry.access.index import Asked, Change, Grants, Index, Subject, grants_of
from skerry.access.scopes import (
    BINDINGS,
    CLUSTERS,
    DERIVED,
    NAMESPACES,
    ORGANIZATION,
    ROLES,
    TOKENS,
    Chain,
    Scope,
    chain,
    group_of,
    key_of,
    owned,
    workspace_of,
)
from skerry.kinds.common import GROUP
from skerry.machinery.identity import AUTHENTICATED, Attributes, Limit, Rule, Shown, User

OWN_TOKENS = Rule(("create", "delete", "deletecollection", "get", "list", "watch"), (GROUP,), ("apitokens",))
"""What everybody who is known may do with tokens that speak for himself."""

READ = frozenset(("get", "list", "watch"))

ALL = Grants(frozenset((ORGANIZATION,)), {})
NOTHING = Grants(frozenset(), {})


class Caller(NamedTuple):
    """Whose bindings count. ``unlimited``: he needs none. ``local``: his groups, if he is a local user."""

    name: str
    subjects: tuple[Subject, ...]
    unlimited: bool
    limit: Limit | None
    local: frozenset[str] | None


def caller(user: User, *, unlimited: bool) -> Caller:
    """Who asks, as the index knows him."""
    local = frozenset(user.groups) - {AUTHENTICATED} if LOCAL_USERS in user.groups else None
    return Caller(user.name, (("User", user.name), *(("Group", group) for group in user.groups)), unlimited, user.limit, local)


def _in_words(scopes: Chain) -> str:
    """The narrowest place of a chain, for people: its cluster, or what it is the chain of."""
    narrowest = next((scope for scope in scopes if scope.kind == "Cluster"), scopes[-1])
    words = {"ClusterGroup": "cluster group"}.get(narrowest.kind, narrowest.kind.lower())
    return f"{words} {narrowest.name}"


class ObjectSight:
    """One caller's sight of one kind, for one verb."""

    def __init__(self, index: Index, who: Caller, attributes: Attributes) -> None:
        """``attributes`` say what was asked."""
        self._index = index
        self._caller = who
        self._attributes = attributes
        self._asked = Asked(attributes.verb, attributes.group, attributes.resource, attributes.subresource, attributes.path)
        self._key = key_of(attributes.group, attributes.resource)
        self._version, self._grants = index.version, self._granted()
        limit = who.limit
        self._limit = ALL
        if limit is not None:
            scope = Scope(*limit.scope)
            self._limit = (
                grants_of(((scope, rule) for rule in limit.rules), self._asked) if limit.rules else Grants(frozenset((scope,)), {})
            )
            self._limit = self._everywhere(self._limit)

    def _bound(self) -> Grants:
        if self._version != self._index.version:
            self._version = self._index.version
            self._grants = self._granted()
        return self._grants

    def _granted(self) -> Grants:
        if self._caller.unlimited:
            return ALL
        found = self._everywhere(self._index.grants(self._caller.subjects, self._asked))
        if self._key == TOKENS and self._asked.verb in OWN_TOKENS.verbs:
            return Grants(found.scopes | {owned(self._caller.name)}, found.named)
        return found

    def _everywhere(self, found: Grants) -> Grants:
        """Who may read roles in any scope may read all of them: they stand in none, and whoever binds has to choose one."""
        if self._key != ROLES or self._asked.verb not in READ:
            return found
        names = frozenset().union(*found.named.values())
        return Grants(frozenset((ORGANIZATION,)) if found.scopes else frozenset(), {ORGANIZATION: names} if names else {})

    @property
    def any(self) -> bool:
        """Whether there could be any object at all."""
        limit = self._caller.limit
        if limit is not None and limit.credential not in self._index.credentials:
            return False
        name, local = self._caller.name, self._caller.local
        if name in self._index.shut_out or (local is not None and local != self._index.members.get(name)):
            return False
        return bool(self._bound()) and bool(self._limit)

    @property
    def whole(self) -> bool:
        """Whether that is every object that the request is about."""
        around = {ORGANIZATION}
        if self._attributes.namespace:
            around.add(Scope("ManagementCluster", "", self._attributes.namespace))
        return not around.isdisjoint(self._bound().scopes) and not around.isdisjoint(self._limit.scopes)

    @property
    def since(self) -> int:
        """The revision since which the sight is what it is."""
        changed = 0 if self._caller.unlimited else max(self._index.changed(self._caller.subjects), self._index.began)
        return max(changed, self._index.moved) if self._key in DERIVED else changed

    def allows(self, item: Shown) -> bool:
        """Whether he may do it to an object."""
        scopes = chain(self._key, item, self._index.groups)
        return self._bound().allow(scopes, item.place[1]) and (self._limit is ALL or self._limit.allow(scopes, item.place[1]))

    def missing_to_place(self, old: Shown | None, new: Shown) -> str:
        """Where else he may not do it, of all the places that must allow it.

        A cluster is moved by who may change clusters in both groups; a managed namespace is made by who may
        do so in its cluster and in its workspace, and moved by who may in both workspaces.
        """
        needed: list[Chain] = []
        if self._key == CLUSTERS and old is not None and (groups := {group_of(old.value), group_of(new.value)}) and len(groups) > 1:
            needed = [(ORGANIZATION, Scope("ClusterGroup", "", group)) for group in sorted(groups)]
        elif self._key == NAMESPACES and old is None:
            *cluster, workspace = chain(self._key, new, self._index.groups)
            needed = [tuple(cluster), (ORGANIZATION, workspace)]
        elif self._key == NAMESPACES and old is not None:
            spaces = {workspace_of(old.value), workspace_of(new.value)}
            needed = [(ORGANIZATION, space) for space in sorted(spaces)] if len(spaces) > 1 else []
        for scopes in needed:
            if not (self._bound().allow(scopes, new.place[1]) and self._limit.allow(scopes, new.place[1])):
                return _in_words(scopes)
        return ""

    def may(self, verb: str) -> ObjectSight:
        """The same for another verb."""
        return ObjectSight(self._index, self._caller, self._attributes._replace(verb=verb))

    def follow(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call ``changed`` whenever answers may have changed, with the one namespace that it is about, if it is; returns what ends that."""
        mine = frozenset(self._caller.subjects)

        def on_change(change: Change) -> None:
            about_me = not mine.isdisjoint(change.subjects) or change.account == self._caller.name
            if about_me:
                changed("")
            elif change.cluster is not None and self._key in DERIVED:
                changed("" if self._key == BINDINGS else change.cluster[0])

        self._index.listeners.add(on_change)
        return lambda: self._index.listeners.discard(on_change)
