"""Who may make requests in somebody else's name: the administrator, to see what others see and may do.

What is done like this is decided, filtered and stored as the other's; the audit log says whose
doing it was. Nobody becomes one of Skerry's own processes or an agent in this way.
"""

from __future__ import annotations

from skerry.access.accounts import Accounts
from skerry.machinery.errors import Forbidden, Subject
from skerry.machinery.identity import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User
from skerry.pki.policy import ADMINISTRATORS, AGENTS, COMPONENTS


class Impersonation:
    """Decides whom a caller may stand for."""

    def __init__(self, accounts: Accounts) -> None:
        """``accounts`` know the groups of local users."""
        self._accounts = accounts

    def __call__(self, caller: User, wanted: User) -> User:
        """Return the user that a request is made as; raises Forbidden.

        A local user has his own groups where none are named, anybody else those that are named.
        """
        if ADMINISTRATORS not in caller.groups or caller.limit is not None:
            raise _forbidden(caller, "users", wanted.name)
        for group in wanted.groups:
            if group in {AGENTS, COMPONENTS}:
                raise _forbidden(caller, "groups", group)
        groups = wanted.groups or self._accounts.groups_of(wanted.name) or ()
        known = UNAUTHENTICATED if wanted.name == ANONYMOUS else AUTHENTICATED
        return User(wanted.name, wanted.uid, tuple(dict.fromkeys((*groups, known))), wanted.extra, by=caller.name)


def _forbidden(caller: User, what: str, name: str) -> Forbidden:
    text = f'{what} "{name}" is forbidden: User "{caller.name}" cannot impersonate resource "{what}" in API group "" at the cluster scope'
    return Forbidden(text, subject=Subject(name, "", what))
