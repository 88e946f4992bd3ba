"""Registration: a one-time token and a CSR for a certificate, at the front door.

``POST /register/v1/agents`` with ``{"token", "csr"}`` answers ``{"certificate", "bundle",
"gateway", "managementCluster"}``. The token's digest, its management cluster and its expiry are
in a Secret; the Secret is deleted, by its revision, before the certificate is issued, so that
of two who bring the same token one gets it. Tokens are never logged, nor told apart in errors.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from datetime import datetime, timedelta

from skerry.access.tokens import digest
from skerry.client.contract import Client, Ref
from skerry.kinds.common import SYSTEM_NAMESPACE
from skerry.kit.clock import Clock, rfc3339
from skerry.kit.log import get
from skerry.machinery.document import dumps, parse
from skerry.machinery.errors import ApiError, BadRequest, Conflict, NotFound, Unauthorized
from skerry.machinery.resource import Json
from skerry.pki.authority import Authority, PkiError

SECRETS = Ref("", "v1", "secrets")
TOKEN_TYPE = "fleet.skerry.dev/registration-token"  # noqa: S105 a type's name, not a secret
TOKEN_LIFETIME = timedelta(hours=1)
PATH = "/register/v1/agents"

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

    async def register(self, body: bytes) -> bytes:
        """Answer one registration; raises BadRequest or Unauthorized."""
        value, _ = parse(body)
        if not isinstance(value, dict) or not isinstance(value.get("token"), str) or not isinstance(value.get("csr"), str):
            raise BadRequest('a registration is {"token": "…", "csr": "…PEM…"}')
        name = await self._use_up(value["token"])
        try:
            certificate = self._authority.answer_agent(value["csr"].encode(), name, self._clock.now())
        except PkiError as error:
            raise BadRequest(str(error)) from error
        log.info("registered an agent", management_cluster=name, at=rfc3339(self._clock.now()))
        answer = {
            "managementCluster": name,
            "certificate": certificate.decode(),
            "bundle": self._authority.bundle.decode(),
            "gateway": self._gateway,
        }
        return dumps(answer)

    async def _use_up(self, token: str) -> str:
        refused = Unauthorized("the registration token is unknown, used up or expired; make a new one")
        name = token.partition(".")[0]
        try:
            secret = await self._client.get(SECRETS, _secret_name(name), SYSTEM_NAMESPACE)
        except (NotFound, ApiError) as error:
            raise refused from error
        data = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        if secret.get("type") != TOKEN_TYPE or not hmac.compare_digest(data.get("digest", ""), digest(token)):
            raise refused
        if self._clock.now() >= datetime.fromisoformat(data["expires"]):
            raise refused
        metadata = secret["metadata"]
        try:
            await self._client.delete(
                SECRETS, metadata["name"], SYSTEM_NAMESPACE, uid=metadata["uid"], resource_version=metadata["resourceVersion"]
            )
        except (NotFound, Conflict) as error:
            raise refused from error
        return data["managementCluster"]
