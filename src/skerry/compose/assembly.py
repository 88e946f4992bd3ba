"""The API of an installation: every kind over a store, who may ask, and what each may do."""

from __future__ import annotations

from skerry.access.accounts import Accounts
from skerry.access.admission import Granting
from skerry.access.authentication import Certificates, Chain, Tokens
from skerry.access.authorization import Authorization
from skerry.access.impersonation import Impersonation
from skerry.access.learning import learners
from skerry.access.observing import Observing
from skerry.kinds import catalogue
from skerry.kit.clock import Clock
from skerry.restapi.contract import Audit
from skerry.restapi.registry import Registry
from skerry.restapi.reviews import REVIEWS
from skerry.restapi.server import ApiServer
from skerry.store.contract import Store

KUBERNETES_VERSION = "v1.37.0"
"""The Kubernetes release whose API behaviour is served; clients decide by it what they may send."""


def assembled(store: Store, tokens: Tokens, audit: Audit, clock: Clock) -> ApiServer:
    """Build it; callers prove who they are by certificate, by a token of the installation or by an API token."""
    authorizer, accounts = Authorization(catalogue.MIRRORED), Accounts(clock)
    api = ApiServer(
        store,
        Registry((*catalogue.ALL, *REVIEWS)),
        authenticator=Chain((Certificates(clock), tokens, accounts)),
        authorizer=authorizer,
        audit=audit,
        clock=clock,
        version=KUBERNETES_VERSION,
    )
    accounts.fresh = api.caught_up
    api.callers.stand_in = Impersonation(accounts)
    admission = Observing(authorizer.index, Granting(authorizer.index, accounts, clock))
    api.heed(admission, learners(authorizer.index, accounts))
    return api
