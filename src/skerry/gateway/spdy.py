"""What a caller is told who asks for SPDY, the protocol that kubectl spoke before it spoke WebSocket.

It is not carried. But a kubectl that speaks both asks for SPDY again when its WebSocket was
refused, and prints the answer to that alone. So the cluster is asked the same without an
upgrade, which starts nothing there, and where it has a reason of its own to refuse (there is no
such pod, the caller may not), that is what is said.
"""

from __future__ import annotations

import re

from skerry.gateway.proxy import ProxyCall
from skerry.machinery.errors import BadRequest
from skerry.restapi.response import JSON_TYPE, Response
from skerry.tunnel import link_pb2 as pb

STARTS_NOTHING = re.compile(r"/pods/[^/?]+/(?:exec|attach|portforward)(?:\?|$)")
"""Targets at which Kubernetes does nothing for a request without an upgrade."""
NEEDS_ONE = b"pgrade request required"
MOST_BYTES = 64 * 1024
MESSAGE = (
    "exec, attach, cp and port-forward pass through Skerry as WebSockets, and this client asked for SPDY: use kubectl 1.31 or newer, "
    "without KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false or KUBECTL_PORT_FORWARD_WEBSOCKETS=false, for a cluster of Kubernetes 1.31 or newer"
)


async def refused(call: ProxyCall) -> Response:
    """Why the cluster refuses a call anyway; raises BadRequest if all that is wrong is SPDY."""
    head, body = await call.response_head(), b""
    async for chunk in call.response_body():
        body += chunk
        if len(body) > MOST_BYTES:
            break
    if head.code < 400 or (head.code == 400 and NEEDS_ONE in body):
        raise BadRequest(MESSAGE)
    media = next((each.value.encode("latin-1") for each in head.headers if each.name.lower() == "content-type"), JSON_TYPE)
    return Response(body, code=head.code, media=media)


def ask(head: pb.RequestHead) -> bool:
    """Whether a cluster may be asked without an upgrade."""
    return bool(STARTS_NOTHING.search(head.target))
