"""What may be granted, and to whom: looked at before a Role, RoleBinding, User or APIToken is stored.

* Nobody grants what he does not have: not by a role, not by a binding, not by making a user or a
  token that would hold more than he does. ``escalate`` on roles and ``bind`` on a role lift
  that, as in Kubernetes; administrators and our own processes have everything.
* Built-in roles are the server's.
* A token makes no tokens.
* The server decides whom a token speaks for, with which groups, and what its text is. The
  text goes into the answer, its hash into the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from skerry.access import builtin, tokens
from skerry.access.accounts import Accounts
from skerry.access.index import Asked, Index, Subject, grants_of
from skerry.access.learning import scope_of
from skerry.access.rules import covered, rule_of
from skerry.access.scopes import KEYS, ORGANIZATION, Chain, Scope, above
from skerry.access.sight import Caller, caller
from skerry.kinds.common import GROUP
from skerry.kit.clock import Clock, parse, rfc3339
from skerry.machinery import causes
from skerry.machinery.errors import Forbidden, invalid, qualified
from skerry.machinery.errors import Subject as About
from skerry.machinery.identity import AUTHENTICATED, Rule, User
from skerry.machinery.resource import Json, Resource
from skerry.pki.policy import ADMINISTRATORS, AGENTS, COMPONENTS

LIFETIME = timedelta(days=90)
LONGEST = timedelta(days=366)


class Granting:
    """The admission of what grants."""

    kinds = frozenset(KEYS[kind] for kind in ("apitokens", "rolebindings", "roles", "users"))

    def __init__(self, index: Index, accounts: Accounts, clock: Clock) -> None:
        """Look in the index for what a writer holds himself."""
        self._index = index
        self._accounts = accounts
        self._clock = clock

    def __call__(self, user: User, resource: Resource, new: Json, old: Json | None, *, dry_run: bool) -> Json | None:
        """Complete and judge what is about to be stored; raises Forbidden or Invalid."""
        spec = new.get("spec") or {}
        same = old is not None and spec == (old.get("spec") or {})
        match resource.plural:
            case "roles":
                self._is_not_built_in(user, resource, new["metadata"].get("name", ""))
                if not same:
                    self._role(user, resource, new)
            case "rolebindings" if not same:
                self._binding(user, resource, new)
            case "users" if not same:
                self._user(user, resource, new)
            case "apitokens":
                return self._token(user, resource, new, old, dry_run=dry_run)
        return None

    def remove(self, user: User, resource: Resource, name: str) -> None:
        """Raises Forbidden for what may not be deleted."""
        if resource.key == KEYS["roles"]:
            self._is_not_built_in(user, resource, name)

    def _is_not_built_in(self, user: User, resource: Resource, name: str) -> None:
        if name in builtin.ROLES and COMPONENTS not in user.groups:
            raise _forbidden(resource, name, "it is built in and written by the server alone; make a role of another name")

    def _role(self, user: User, resource: Resource, new: Json) -> None:
        name = new["metadata"].get("name", "")
        rules = [rule_of(each) for each in (new.get("spec") or {}).get("rules") or ()]
        if not self._may(user, Asked("escalate", GROUP, "roles"), name, (ORGANIZATION,)):
            self._holds(user, ((ORGANIZATION, rule) for rule in rules), resource, name)

    def _binding(self, user: User, resource: Resource, new: Json) -> None:
        spec, name = new.get("spec") or {}, new["metadata"].get("name", "")
        role, where = spec["roleRef"]["name"], scope_of(spec["scope"])
        if self._may(user, Asked("bind", GROUP, "roles"), role, above(where, self._index.groups)):
            return
        rules = self._index.roles.get(role)
        if rules is None:
            raise _forbidden(resource, name, f'there is no role "{role}" yet; make it first')
        self._holds(user, ((where, rule) for rule in rules), resource, name)

    def _user(self, user: User, resource: Resource, new: Json) -> None:
        name, groups = new["metadata"].get("name", ""), (new.get("spec") or {}).get("groups") or ()
        self._holds(user, self._index.held(_subjects(name, groups)), resource, name)

    def _token(self, user: User, resource: Resource, new: Json, old: Json | None, *, dry_run: bool) -> Json | None:
        name, spec = new["metadata"].get("name", ""), new.setdefault("spec", {})
        if old is not None:
            return None  # only its description and its metadata can change
        if user.limit is not None or COMPONENTS in user.groups or AGENTS in user.groups:
            raise _forbidden(resource, name, "a token is made by a person or by the administrator, not with another token")
        owner = spec["owner"] = spec.get("owner") or user.name
        local = self._accounts.groups_of(owner)
        if owner == user.name:
            spec["groups"] = list(local or (group for group in user.groups if group != AUTHENTICATED))
        elif local is None:
            raise _forbidden(resource, name, f'there is no local user "{owner}"; others make their tokens themselves')
        else:
            spec["groups"] = list(local)
            self._holds(user, self._index.held(_subjects(owner, local)), resource, name)
        spec["expirationTime"] = rfc3339(self._expiry(resource, name, str(spec.get("expirationTime") or "")))
        account = self._accounts.users.get(owner)
        spec["ownerUid"] = account.uid if account is not None else ""
        text = tokens.mint()
        spec["tokenHash"] = tokens.digest(text)
        return None if dry_run else {"status": {"token": text}}

    def _expiry(self, resource: Resource, name: str, asked: str) -> datetime:
        now = self._clock.now()
        if not asked:
            return now + LIFETIME
        try:
            found = parse(asked).astimezone(now.tzinfo)
        except (ValueError, OverflowError):
            why = "must be a time such as 2027-01-31T12:00:00Z"
        else:
            if now < found <= now + LONGEST:
                return found
            why = f"must lie in the future, and at most {LONGEST.days} days from now"
        raise invalid(resource.kind, resource.group, name, [causes.invalid("spec.expirationTime", asked, why)])

    def _may(self, user: User, asked: Asked, name: str, chain: Chain) -> bool:
        """Whether a user may do something where an object stands."""
        who = _who(user)
        return who is None or grants_of(self._held(who, chain), asked).allow(chain, name)

    def _held(self, who: Caller, chain: Chain) -> Iterable[tuple[Scope, Rule]]:
        limit = who.limit
        if limit is not None and (limit.rules or Scope(*limit.scope) not in chain):
            return ()  # a token that was cut down grants nothing
        return ((ORGANIZATION, Rule(("*",), ("*",), ("*",))),) if who.unlimited else self._index.held(who.subjects, chain)

    def _holds(self, user: User, granted: Iterable[tuple[Scope, Rule]], resource: Resource, name: str) -> None:
        """Check that a user holds everything that would be granted, where it would be; raises Forbidden."""
        who = _who(user)
        if who is None:
            return
        for scope, rule in granted:
            held = [each for _, each in self._held(who, above(scope, self._index.groups))]
            if not covered(rule, held):
                where = "/".join(each for each in scope if each)
                raise _forbidden(
                    resource,
                    name,
                    f'user "{user.name}" is attempting to grant permissions not currently held on {where}: '
                    f"{_shown('apiGroups', rule.groups)} {_shown('resources', rule.resources)} {_shown('verbs', rule.verbs)}",
                )


def _who(user: User) -> Caller | None:
    """Whose bindings count; None: he has everything."""
    if COMPONENTS in user.groups:
        return None
    unlimited = ADMINISTRATORS in user.groups
    return None if unlimited and user.limit is None else caller(user, unlimited=unlimited)


def _subjects(name: str, groups: Iterable[str]) -> tuple[Subject, ...]:
    return (("User", name), *(("Group", group) for group in groups))


def _shown(what: str, values: Sequence[str]) -> str:
    return f"{what}={list(values)}"


def _forbidden(resource: Resource, name: str, why: str) -> Forbidden:
    text = f'{qualified(resource.plural, resource.group)} "{name}" is forbidden: {why}'
    return Forbidden(text, subject=About(name, resource.group, resource.plural))
