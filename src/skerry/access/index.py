"""Who was granted what, where: an index of roles, bindings and clusters, kept up to date object by object. Pure.

:class:`Grants` are the scopes on which a caller may do one thing. They are worked out from his
own bindings, once, and kept until one of those or a role in them changes. A question about one
object is then as many look-ups as it has scopes (at most four): ten thousand clusters and five
thousand bindings cost as much as ten and five.

Revisions tell since when a caller's sight is what it is: a watch that resumes from before has
to start anew. Whoever wants to know of changes as they happen adds a callback to ``listeners``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from skerry.access.rules import matches
from skerry.access.scopes import Chain, Place, Scope
from skerry.machinery.identity import Rule

Subject = tuple[str, str]
"""Kind (User or Group) and name."""


MOST_KEPT = 500_000
"""Questions and the scopes in their answers, of all callers together, that are kept: some fifty megabytes."""

LONGEST_KEPT = 256
"""Characters of a question that is kept: whoever asks may ask for anything, and no resource has a longer name."""


class Binding(NamedTuple):
    """Who has which role where."""

    role: str
    scope: Scope
    subjects: tuple[Subject, ...]


class Change(NamedTuple):
    """What a change may have altered the sight of: these subjects, what belongs to a cluster, or a user's being let in at all."""

    subjects: frozenset[Subject] = frozenset()
    cluster: Place | None = None
    account: str = ""


class Grants(NamedTuple):
    """Where one thing may be done: on whole scopes, and on single objects in scopes, by name."""

    scopes: frozenset[Scope]
    named: Mapping[Scope, frozenset[str]]

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.scopes or self.named)

    @property
    def weight(self) -> int:
        """What it counts for among those that are kept."""
        return 1 + len(self.scopes) + sum(1 + len(names) for names in self.named.values())

    def allow(self, chain: Chain, name: str) -> bool:
        """Whether it may be done to an object."""
        if not self.scopes.isdisjoint(chain):
            return True
        return bool(self.named) and any(name in self.named.get(scope, ()) for scope in chain)


class Asked(NamedTuple):
    """What somebody wants to do, to whatever object, or with a path that is no resource."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    path: str = ""


class Index:
    """Roles, bindings and the groups of clusters."""

    def __init__(self) -> None:
        """Nothing is granted yet."""
        self.roles: dict[str, tuple[Rule, ...]] = {}
        self.bindings: dict[str, Binding] = {}
        self.groups: dict[Place, str] = {}
        self.observed: set[Place] = set()
        """Clusters that are only observed."""
        self.listeners: set[Callable[[Change], None]] = set()
        self.version = 0
        """Counts changes of what is granted."""
        self.moved = 0
        self.began = 0
        """The revision from which on changes are known: what came before was read as it stood."""
        self.credentials: set[str] = set()
        """API tokens that are good for something; a sight that was opened with another one sees nothing."""
        self.members: dict[str, frozenset[str]] = {}
        """Local users, with their groups of now; a sight that was opened with other groups sees nothing."""
        self.shut_out: set[str] = set()
        """Users who are let in no more."""
        self._granted: dict[Subject, dict[Scope, dict[str, int]]] = {}
        self._users: dict[str, dict[str, None]] = {}
        self._changed: dict[Subject, int] = {}
        self._kept: dict[tuple[Subject, ...], dict[Asked, Grants]] = {}
        self._weight = 0

    def set_role(self, name: str, rules: Sequence[Rule] | None, revision: int) -> None:
        """A role was written, or is gone (None)."""
        if rules is None:
            self.roles.pop(name, None)
        else:
            self.roles[name] = tuple(rules)
        touched = {subject for binding in self._users.get(name, ()) for subject in self.bindings[binding].subjects}
        self._touch(touched, revision)

    def set_binding(self, name: str, binding: Binding | None, revision: int) -> None:
        """A binding was written, or is gone (None)."""
        old = self.bindings.pop(name, None)
        touched: set[Subject] = set()
        if old is not None:
            self._count(old, -1)
            self._users[old.role].pop(name)
            touched.update(old.subjects)
        if binding is not None:
            self.bindings[name] = binding
            self._count(binding, 1)
            self._users.setdefault(binding.role, {})[name] = None
            touched.update(binding.subjects)
        self._touch(touched, revision)

    def set_cluster(self, place: Place, group: str | None, revision: int) -> None:
        """A cluster is in a group, or is gone (None)."""
        if self.groups.get(place) == group:
            return
        if group is None:
            self.groups.pop(place, None)
        else:
            self.groups[place] = group
        self.moved = max(self.moved, revision)
        self.announce(Change(cluster=place))

    def set_user(self, name: str, groups: frozenset[str] | None, revision: int, *, disabled: bool) -> None:
        """A local user was written, or is gone (no groups)."""
        before = (self.members.pop(name, None), name in self.shut_out)
        if groups is not None:
            self.members[name] = groups
        (self.shut_out.add if disabled else self.shut_out.discard)(name)
        if before != (groups, disabled):
            self._touch((("User", name),), revision)

    def announce(self, change: Change) -> None:
        """Tell whoever listens."""
        for each in tuple(self.listeners):
            each(change)

    def _touch(self, subjects: Iterable[Subject], revision: int) -> None:
        self.version += 1
        found = frozenset(subjects)
        for kept in [each for each in self._kept if not found.isdisjoint(each)]:
            self._weight -= sum(each.weight for each in self._kept.pop(kept).values())
        for subject in found:
            self._changed[subject] = max(self._changed.get(subject, 0), revision)
        if found:
            self.announce(Change(found))

    def _count(self, binding: Binding, step: int) -> None:
        for subject in binding.subjects:
            scopes = self._granted.setdefault(subject, {})
            roles = scopes.setdefault(binding.scope, {})
            roles[binding.role] = roles.get(binding.role, 0) + step
            if not roles[binding.role]:
                del roles[binding.role]
            if not roles:
                del scopes[binding.scope]
            if not scopes:
                del self._granted[subject]

    def grants(self, subjects: tuple[Subject, ...], asked: Asked) -> Grants:
        """Where the subjects may do something."""
        found = self._kept.get(subjects, {}).get(asked)
        if found is None:
            found = grants_of(self.held(subjects), asked)
            if sum(map(len, asked)) <= LONGEST_KEPT:
                self._keep(subjects, asked, found)
        return found

    def _keep(self, subjects: tuple[Subject, ...], asked: Asked, found: Grants) -> None:
        if self._weight >= MOST_KEPT:
            self._kept.clear()
            self._weight = 0
        self._kept.setdefault(subjects, {})[asked] = found
        self._weight += found.weight

    def held(self, subjects: Iterable[Subject], chain: Chain | None = None) -> Iterator[tuple[Scope, Rule]]:
        """Every rule that the subjects hold, and where; ``chain``: only on these scopes."""
        for subject in subjects:
            granted = self._granted.get(subject, {})
            for scope in granted if chain is None else chain:
                for role in granted.get(scope, ()):
                    for rule in self.roles.get(role, ()):
                        yield scope, rule

    def changed(self, subjects: Iterable[Subject]) -> int:
        """The last revision at which a binding of the subjects, or a role of theirs, changed."""
        return max((self._changed.get(subject, 0) for subject in subjects), default=0)


def grants_of(held: Iterable[tuple[Scope, Rule]], asked: Asked) -> Grants:
    """Where rules that are held on scopes allow something."""
    scopes: set[Scope] = set()
    named: dict[Scope, frozenset[str]] = {}
    for scope, rule in held:
        if not matches(rule, *asked):
            continue
        if rule.names:
            named[scope] = named.get(scope, frozenset()).union(rule.names)
        else:
            scopes.add(scope)
    return Grants(frozenset(scopes), named)
