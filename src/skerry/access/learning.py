"""How the index and the accounts learn: each change of a Role, RoleBinding, Cluster, User or APIToken, in the order of the log.

The server hands over what its watch caches take in (``restapi/following.py``); nothing here
waits or asks. What somebody began to delete counts as gone, whatever finalizers still keep the
object: taking a right away is not to wait for whoever put them there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from skerry.access.accounts import Account, Accounts, Token
from skerry.access.index import Binding, Change, Index
from skerry.access.rules import rule_of
from skerry.access.scopes import KEYS, ORGANIZATION, Place, Scope, group_of, is_observed
from skerry.kit.clock import parse
from skerry.machinery.identity import Limit
from skerry.machinery.resource import Json

Apply = Callable[[Place, bytes | None, int], None]
"""Takes the place of an object, its bytes (None: it is gone) and the revision."""


class Learner(NamedTuple):
    """Takes in the objects of one kind. ``known`` tells which there are, so that what went unnoticed can be removed."""

    apply: Apply
    known: Callable[[], Iterable[Place]]
    began: Callable[[int], None]


def learners(index: Index, accounts: Accounts) -> Mapping[str, Learner]:
    """What takes in which kind, by storage key."""

    def began(revision: int) -> None:
        index.began = max(index.began, revision)

    def role(place: Place, value: bytes | None, revision: int) -> None:
        rules = None if value is None else [rule_of(each) for each in _spec(value).get("rules") or ()]
        index.set_role(place[1], rules, revision)

    def binding(place: Place, value: bytes | None, revision: int) -> None:
        obj = _alive(value)
        index.set_binding(place[1], None if obj is None else binding_of(obj["spec"]), revision)

    def cluster(place: Place, value: bytes | None, revision: int) -> None:
        index.set_cluster(place, None if value is None else group_of(value), revision)
        (index.observed.add if value is not None and is_observed(value) else index.observed.discard)(place)

    def user(place: Place, value: bytes | None, revision: int) -> None:
        obj = _alive(value)
        account = None if obj is None else account_of(obj)
        name = place[1]
        accounts.set_user(name, account)
        groups = accounts.groups_of(name)
        index.set_user(name, None if groups is None else frozenset(groups), revision, disabled=account is not None and account.disabled)

    def token(place: Place, value: bytes | None, revision: int) -> None:  # noqa: ARG001 accounts have no history
        obj = _alive(value)
        found = None if obj is None else token_of(obj)
        old = accounts.set_token(place[1], found)
        if old is not None and (found is None or found.limit.credential != old.limit.credential):
            index.credentials.discard(old.limit.credential)
            index.announce(Change(account=old.owner))
        if found is not None:
            index.credentials.add(found.limit.credential)

    return {
        KEYS["roles"]: Learner(role, lambda: [("", name) for name in index.roles], began),
        KEYS["rolebindings"]: Learner(binding, lambda: [("", name) for name in index.bindings], began),
        KEYS["clusters"]: Learner(cluster, lambda: list(index.groups), began),
        KEYS["users"]: Learner(user, lambda: [("", name) for name in accounts.users], began),
        KEYS["apitokens"]: Learner(token, lambda: [("", name) for name in accounts.tokens], began),
    }


def _alive(value: bytes | None) -> Json | None:
    """An object that is there to stay; None if it is gone or going."""
    obj: Json | None = None if value is None else msgspec.json.decode(value)
    return None if obj is None or obj["metadata"].get("deletionTimestamp") else obj


def _spec(value: bytes) -> Json:
    spec: Json = msgspec.json.decode(value).get("spec") or {}
    return spec


def binding_of(spec: Json) -> Binding:
    """A binding out of a RoleBinding's spec."""
    subjects = tuple((each["kind"], each["name"]) for each in spec.get("subjects") or ())
    return Binding(spec["roleRef"]["name"], scope_of(spec["scope"]), subjects)


def scope_of(spec: Json | None) -> Scope:
    """A scope out of a spec; none is the organization."""
    return ORGANIZATION if spec is None else Scope(spec["kind"], spec.get("namespace", ""), spec.get("name", ""))


def token_of(obj: Json) -> Token:
    """What is known of a token that is stored."""
    spec = obj["spec"]
    rules = tuple(rule_of(each) for each in spec.get("rules") or ())
    limit = Limit(obj["metadata"]["uid"], rules, scope_of(spec.get("scope")), parse(spec["expirationTime"]))
    return Token(spec["tokenHash"], spec["owner"], tuple(spec.get("groups") or ()), limit, spec.get("ownerUid", ""))


def account_of(obj: Json) -> Account:
    """What is known of a local user who is stored."""
    spec = obj.get("spec") or {}
    secret = (spec.get("passwordSecretRef") or {}).get("name", "")
    return Account(tuple(spec.get("groups") or ()), bool(spec.get("disabled")), secret, obj["metadata"]["uid"])
