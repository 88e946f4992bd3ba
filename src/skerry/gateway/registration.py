"""Registration: a one-time token and a CSR for a certificate, at the front door.

``POST /register/v1/agents`` with ``{"token", "csr", "agentVersion"}`` answers ``{"certificate",
"bundle", "gateway", "managementCluster"}``.

* Of a token only a digest is kept, with its management cluster and its expiry, in a Secret.
* A request that could not be signed costs nobody his token: it is looked at first.
* The Secret is deleted, by its uid and revision, before the certificate is handed out: of two
  who bring the same token one gets it.
* A wrong token, one that was used up and one that has expired are refused in the same words.
  That the store cannot be asked is another matter, and is said: the agent may try again.
* Tokens are never logged.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from datetime import datetime, timedelta

from skerry.access.tokens import digest
from skerry.client.contract import Client, Ref
from skerry.kinds.common import SYSTEM_NAMESPACE
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.errors import BadRequest, Conflict, NotFound, RequestEntityTooLarge, Unauthorized
from skerry.machinery.names import label_problem
from skerry.machinery.reading import parse
from skerry.machinery.resource import Json
from skerry.pki.authority import Authority, PkiError

SECRETS = Ref("", "v1", "secrets")
TOKEN_TYPE = "fleet.skerry.dev/registration-token"  # noqa: S105 a type's name, not a secret
TOKEN_LIFETIME = timedelta(hours=1)
PATH = "/register/v1/agents"

MOST_BYTES = 64 * 1024
"""Of a token and a signing request. Anybody may send them, so no more is looked at."""

log = get("gateway.registration")


def _secret_name(management_cluster: str) -> str:
    return f"registration.{management_cluster}"


def _packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def new_token(client: Client, management_cluster: str, now: datetime) -> str:
    """Make a one-time token for a management cluster, in the place of any before it."""
    token = f"{management_cluster}.{secrets.token_urlsafe(32)}"
    body: Json = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": _secret_name(management_cluster), "namespace": SYSTEM_NAMESPACE},
        "type": TOKEN_TYPE,
        "data": {
            "digest": _packed(digest(token)),
            "expires": _packed((now + TOKEN_LIFETIME).isoformat()),
            "managementCluster": _packed(management_cluster),
        },
    }
    await client.apply(SECRETS, body, manager="skerry-registration", force=True)
    return token


class Registration:
    """Turns tokens into certificates."""

    def __init__(self, client: Client, authority: Authority, gateway: str, clock: Clock) -> None:
        """``gateway`` is the address that agents are told to dial."""
        self._client = client
        self._authority = authority
        self._gateway = gateway
        self._clock = clock

    async def register(self, body: bytes) -> Json:
        """Answer one registration; raises BadRequest, RequestEntityTooLarge, Unauthorized, or what the API raises."""
        if len(body) > MOST_BYTES:
            raise RequestEntityTooLarge(f"Request entity too large: limit is {MOST_BYTES}")
        value, _ = parse(body)
        if not isinstance(value, dict) or not isinstance(value.get("token"), str) or not isinstance(value.get("csr"), str):
            raise BadRequest('a registration is {"token": "…", "csr": "…PEM…"}')
        secret, name = await self._find(value["token"])
        try:
            certificate = self._authority.answer_agent(value["csr"].encode(), name, self._clock.now())
        except PkiError as error:
            raise BadRequest(str(error)) from error
        await self._use_up(secret)
        log.info("registered an agent", management_cluster=name, version=str(value.get("agentVersion", ""))[:64])
        return {
            "managementCluster": name,
            "certificate": certificate.decode(),
            "bundle": self._authority.bundle.decode(),
            "gateway": self._gateway,
        }

    async def _find(self, token: str) -> tuple[Json, str]:
        """The Secret of a token that is still good, and its management cluster."""
        name = token.partition(".")[0]
        if label_problem(name):
            raise _refused()
        try:
            secret = await self._client.get(SECRETS, _secret_name(name), SYSTEM_NAMESPACE)
        except NotFound as error:
            raise _refused() from error
        data = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        if secret.get("type") != TOKEN_TYPE or not hmac.compare_digest(data.get("digest", ""), digest(token)):
            raise _refused()
        if data.get("managementCluster") != name or self._clock.now() >= datetime.fromisoformat(data["expires"]):
            raise _refused()
        return secret, name

    async def _use_up(self, secret: Json) -> None:
        metadata = secret["metadata"]
        try:
            await self._client.delete(
                SECRETS, metadata["name"], SYSTEM_NAMESPACE, uid=metadata["uid"], resource_version=metadata["resourceVersion"]
            )
        except (NotFound, Conflict) as error:
            raise _refused() from error


def _refused() -> Unauthorized:
    return Unauthorized("the registration token is unknown, used up or expired; make a new one")
