"""How a cluster joins: whoever may attach it gets a one-time token or link; the link serves the manifest that brings the agent.

``POST /attach/NAME`` (to a rule the subresource ``attach``, verb create) takes what :class:`Wanted` says,
and answers ``{"name", "token", "expires"}`` or, for a manifest, ``{"name", "link", "expires"}``.
``GET /register/v1/manifests/TOKEN`` answers the manifest as YAML, once, and needs no other proof.

* A link is a one-time token of its own; the registration token is made when it is used, so what is
  shown on a screen or kept in a history is worth nothing afterwards.
* What the manifest shall say is kept with the link, in a Secret: a proxy's URL may hold a password.
* A management cluster is held (``leaving.py``) from the moment in which its manifest is handed out; attached clusters always are.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from skerry.client.contract import Client, PatchKind
from skerry.gateway.leaving import FINALIZER, MANAGER
from skerry.gateway.manifest import Installation, documents
from skerry.gateway.registration import OneTimeTokens, Purpose
from skerry.gateway.subjects import address
from skerry.kinds.fullname import parsed, words
from skerry.kinds.managementcluster import BUILTIN
from skerry.kit import yamls
from skerry.kit.clock import rfc3339
from skerry.machinery.errors import BadRequest, NotFound
from skerry.machinery.reading import parse
from skerry.machinery.resource import Json
from skerry.tunnel.places import FEATURES, Feature

MANIFESTS = "/register/v1/manifests/"


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked for.

    ``proxyCA`` is the root of a proxy that inspects TLS, PEM; ``server`` is the address of the front door as the cluster
    reaches it, by default the one that was called.
    """

    purpose: Purpose = "agent"
    server: Annotated[str, msgspec.Meta(pattern="^(https?://.*)?$", max_length=2048)] = ""
    image: Annotated[str, msgspec.Meta(max_length=512)] = ""
    proxy: Annotated[str, msgspec.Meta(pattern="^(http://.*)?$", max_length=2048)] = ""
    proxy_ca: Annotated[str, msgspec.Meta(max_length=65536)] = msgspec.field(default="", name="proxyCA")
    features: list[Feature] = msgspec.field(default_factory=lambda: list(FEATURES))


class Attaching:
    """Makes tokens, links and manifests."""

    def __init__(self, client: Client, tokens: OneTimeTokens, server_ca: bytes, image: str) -> None:
        """``server_ca`` signs the front door; ``image`` is the agent's, where nobody asks for another."""
        self._client = client
        self._tokens = tokens
        self._server_ca = server_ca
        self._image = image

    async def offer(self, name: str, body: bytes, called: str) -> Json:
        """Make a token or a link; ``called`` is the address that was called. Raises BadRequest, NotFound, what the API raises."""
        wanted = _wanted(body)
        found = parsed(name)
        if found is None or (not found.cluster and name in BUILTIN):
            raise NotFound(
                f"{name} is nothing that has an agent: name a management cluster, or a cluster as MANAGEMENT-CLUSTER.PROVISIONER.NAME"
            )
        await self._there(name)
        wanted.server = wanted.server or called
        token, expires = await self._tokens.make(name, wanted.purpose, msgspec.to_builtins(wanted))
        made = {"name": name, "expires": rfc3339(expires)}
        return {**made, "token": token} if wanted.purpose == "agent" else {**made, "link": f"{wanted.server.rstrip('/')}{MANIFESTS}{token}"}

    async def manifest(self, token: str) -> tuple[str, bytes]:
        """Use up a link; returns the name that it is for, and the manifest. Raises Unauthorized, what the API raises."""
        held = await self._tokens.find(token, "manifest")
        wanted = msgspec.convert(held.details, Wanted)
        await self._hold(held.name, await self._there(held.name))
        await self._tokens.use_up(held)
        fresh, _ = await self._tokens.make(held.name, "agent", {})
        made = Installation(
            held.name,
            wanted.server,
            self._server_ca,
            fresh,
            wanted.image or self._image,
            tuple(wanted.features),
            wanted.proxy,
            wanted.proxy_ca,
        )
        return held.name, "---\n".join(yamls.dump(each) for each in documents(made)).encode()

    async def _there(self, name: str) -> Json:
        """What has a full name; raises NotFound, or BadRequest while it is being deleted."""
        ref, plain, namespace = address(name)
        obj = await self._client.get(ref, plain, namespace)
        if obj["metadata"].get("deletionTimestamp"):
            raise BadRequest(f"{words(name)} is being deleted; wait until it is gone, and make it anew")
        return obj

    async def _hold(self, name: str, obj: Json) -> None:
        """Have a management cluster wait for its agent when it goes."""
        finalizers = obj["metadata"].get("finalizers") or []
        if obj["kind"] == "ManagementCluster" and FINALIZER not in finalizers:
            ref, plain, namespace = address(name)
            body = {"metadata": {"finalizers": [*finalizers, FINALIZER], "resourceVersion": obj["metadata"]["resourceVersion"]}}
            await self._client.patch(ref, plain, namespace, PatchKind.MERGE, body, manager=MANAGER)


def _wanted(body: bytes) -> Wanted:
    value, _ = parse(body or b"{}")
    try:
        wanted = msgspec.convert(value, Wanted)
    except msgspec.ValidationError as error:
        raise BadRequest(f"what is asked for cannot be understood: {error}") from error
    wanted.features = [each for each in FEATURES if each in wanted.features]
    return wanted
