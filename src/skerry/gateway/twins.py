"""Two processes with one identity in one cluster: which of them goes on. Pure.

A newer session takes the place of an older one, because the older one is mostly that of a process which is gone: a gateway
cannot tell. Who is not gone hears it, and says so when he comes back. Then there are two, and they would take the session from
each other for ever, each doing anew what the other has done.

* The one that has run longer goes on: it was there first, and gets back what the other took.
* The other is refused for as long as the first is connected, and takes its place when it is not.
* Where another gateway holds the session it is not known how long that process has run, and its session stands.
* A process is no twin of itself: its own former session may still seem to stand.
"""

from __future__ import annotations

from skerry.gateway.routes import Route
from skerry.tunnel import link_pb2 as pb

LEAST_SECONDS = 1.0
"""A process has run longer than another if it is by more than this: what they say was on its way for a while."""
REFUSAL = (
    "another process with the same identity is connected: run one agent of each cluster, or register this one for a cluster of its own"
)


def refuse_twin(hello: pb.Hello, here: Route | None, *, elsewhere: bool, now: float) -> str:
    """Why an agent that says hello is not let in beside the session that stands, ``here`` or ``elsewhere``; empty: it is."""
    if not hello.superseded:
        return ""
    if here is None or here.ended:
        return REFUSAL if elsewhere else ""
    if here.hello.instance == hello.instance:
        return ""
    other = here.hello.runs_seconds + now - here.since
    return "" if hello.runs_seconds > other + LEAST_SECONDS else REFUSAL
