"""Dialogues with a session machine: ``heard`` and ``after`` move it, ``says`` and ``does`` hold it against what must come.

    play = AgentPlay()
    play.heard(welcome=...)
    play.does(Welcomed("s"))
    play.says(heartbeat=...)

Steps must be asserted in order and all of them: moving on, or ending the test's ``with`` block, while
one is left over fails.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import Fence
from skerry.tunnel.session import AgentSession, GatewaySession, Say, Tell

BUNDLE = b"roots"
CLUSTERS = pb.ResourceKind(group="cluster.x-k8s.io", plural="clusters")
MACHINES = pb.ResourceKind(group="cluster.x-k8s.io", plural="machines")
SUBSCRIPTION = pb.Subscribe(kinds=[CLUSTERS, MACHINES])
WELCOME = pb.Welcome(session="s1", heartbeat_seconds=10)
HEALTHY = pb.Heartbeat(api_reachable=True)


class _Play:
    def __init__(self) -> None:
        self.now = 100.0
        self._left: list[Any] = []
        self._asserted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.nothing()
            assert self._asserted, "this dialogue asserts nothing"

    def _take(self, steps: list[Any]) -> None:
        self.nothing()
        self._left = steps

    def does(self, *steps: Any) -> None:
        for step in steps:
            assert self._left, f"expected {step}, and nothing came"
            assert self._left.pop(0) == step
        self._asserted += 1

    def nothing(self) -> None:
        assert not self._left, f"not expected: {self._left}"
        self._asserted += 1


class GatewayPlay(_Play):
    def __init__(self, proved: str | None = "sv-1") -> None:
        super().__init__()
        self.session = GatewaySession(proved, WELCOME, SUBSCRIPTION, BUNDLE, self.now)

    def heard(self, **message: Any) -> None:
        self._take(list(self.session.heard(pb.ControlRequest(**message), self.now)))

    def after(self, seconds: float) -> None:
        self.now += seconds
        self._take(list(self.session.tick(self.now)))

    def tells(self, **message: Any) -> None:
        self.does(Tell(pb.ControlResponse(**message)))


class AgentPlay(_Play):
    def __init__(self, fence: Fence | None = None) -> None:
        super().__init__()
        self.hello = pb.Hello(management_cluster="sv-1", agent_version="1")
        self.session = AgentSession(self.hello, fence or Fence(), self.now)
        self._take(list(self.session.opened()))

    def heard(self, **message: Any) -> None:
        self._take(list(self.session.heard(pb.ControlResponse(**message), self.now)))

    def after(self, seconds: float) -> None:
        self.now += seconds
        self._take(list(self.session.tick(self.now, HEALTHY)))

    def renew(self, csr: bytes) -> None:
        self._take(list(self.session.renew(csr)))

    def says(self, **message: Any) -> None:
        self.does(Say(pb.ControlRequest(**message)))
