"""A bearer token where callers put it: in Authorization, or, as browsers must for a WebSocket, among its protocols.

A page cannot set headers of a WebSocket. Kubernetes therefore reads a token out of
``Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.TOKEN, v5.channel.k8s.io``, and
so do we, where a request may become a WebSocket. It is no protocol, and is nobody else's to see.
"""

from __future__ import annotations

import base64

from skerry.machinery.errors import Unauthorized
from skerry.restapi.request import Request

SUBPROTOCOLS = "sec-websocket-protocol"
PREFIX = "base64url.bearer.authorization.k8s.io."
UPGRADE = "skerry.upgrade"
"""The door's extension of a request that may leave HTTP: which protocol is asked for."""


def wanted_protocol(request: Request) -> str:
    """The protocol that a request may go on with after a 101, in lower case; empty for an ordinary one."""
    found: str = (request.scope.get("extensions") or {}).get(UPGRADE, "")
    return found


def bearer(request: Request) -> str:
    """The token that a request shows, empty if it shows none; raises Unauthorized for one that cannot be read."""
    scheme, _, token = request.header(b"authorization").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if wanted_protocol(request) != "websocket":
        return ""
    for name, value in request.scope["headers"]:
        if name == SUBPROTOCOLS.encode():
            for entry in value.decode("latin-1").split(","):
                if entry.strip().startswith(PREFIX):
                    return _decoded(entry.strip().removeprefix(PREFIX))
    return ""


def without_token(subprotocols: str) -> str:
    """The same list without a token, whoever it is for."""
    entries = [entry.strip() for entry in subprotocols.split(",")]
    return ", ".join(entry for entry in entries if entry and not entry.lower().startswith(PREFIX))


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise Unauthorized from error
