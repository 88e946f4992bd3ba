"""Calls to clusters whose agents are connected to another gateway: passed on to it as they come, and its answers back.

Who holds an agent stands in the status of its ManagementCluster or Cluster, where a gateway is reached in the
Lease that is its sign of life. A call is passed on once and never again, for the other gateway
makes it or refuses it. Gateways know each other by the certificates of Skerry's own processes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from skerry.gateway.absence import no_agent
from skerry.gateway.presence import Presence
from skerry.gateway.proxy import ProxyCall
from skerry.gateway.subjects import Subjects
from skerry.kinds.fullname import words
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock
from skerry.machinery.errors import ApiError, NotCarried, ServiceUnavailable
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel import wire

NAME = "localhost"
"""A name that the certificate of every gateway holds: the internal root signs no other servers, so any of its names will do."""

NOT_CARRIED = 501

Credentials = Callable[[], tuple[bytes, bytes, bytes]]
"""The roots that gateways' certificates come from, our own certificate and its key, of the moment; PEM."""


@dataclass(eq=False)
class _Line:
    """A channel to a gateway, with the credentials that it was opened with, and the calls that use it."""

    channel: grpc.aio.Channel
    proof: tuple[bytes, bytes, bytes]
    calls: int = 0
    retired: bool = False


class Relays:
    """Passes calls on to other gateways."""

    def __init__(self, presence: Presence | None, subjects: Subjects, credentials: Credentials, clock: Clock) -> None:
        """``presence`` knows the other gateways, None where there can be none."""
        self._presence = presence
        self._subjects = subjects
        self._clock = clock
        self._credentials = credentials
        self._lines: dict[str, _Line] = {}
        self._unused: list[_Line] = []
        self._relayed = 0

    def where(self, name: str) -> str:
        """The address of the other gateway that holds an agent; empty if none is known to."""
        return self._presence.address_of(self._subjects.holder(name)) if self._presence else ""

    def missing(self, name: str) -> ApiError:
        """Why a call to a cluster whose agent is at no gateway cannot be made."""
        return no_agent(name, self._subjects, self._clock.now())

    @asynccontextmanager
    async def open(self, address: str, agent: str, head: pb.RequestHead) -> AsyncIterator[ProxyCall]:
        """Make a call at another gateway until the block is left."""
        call, line = ProxyCall(agent, head), self._line(address)
        self._relayed += 1
        line.calls += 1
        while self._unused:
            await self._unused.pop().channel.close()
        try:
            async with TaskOwner("relayed") as owner:
                owner.spawn(call.receive(_answers(line.channel, call)), "answers")
                try:
                    yield call
                finally:
                    call.finish()
        finally:
            line.calls -= 1
            if line.retired and not line.calls:
                await line.channel.close()

    def _line(self, address: str) -> _Line:
        """The channel to a gateway; one whose credentials are no longer ours ends with its last call."""
        proof, line = self._credentials(), self._lines.get(address)
        if line is not None and line.proof == proof:
            return line
        if line is not None:
            line.retired = True
            self._unused += [] if line.calls else [line]
        made = self._lines[address] = _Line(wire.channel(address, *proof, name=NAME), proof)
        return made

    async def close(self) -> None:
        """Close every channel, whatever runs on it."""
        lines, self._lines, self._unused = [*self._lines.values(), *self._unused], {}, []
        for line in lines:
            await line.channel.close()

    def statistics(self) -> dict[str, int]:
        """Counters for people and metrics."""
        return {"relayed": self._relayed}


async def _told(call: ProxyCall) -> AsyncIterator[pb.RelayRequest]:
    name = call.agent
    async for message in call.outgoing():
        yield pb.RelayRequest(management_cluster=name, message=message)
        name = ""


async def _answers(channel: grpc.aio.Channel, call: ProxyCall) -> AsyncIterator[pb.ProxyRequest]:
    """What the other gateway answers; where it does not, the call learns why."""
    stream = wire.stub(channel).Relay(_told(call))
    try:
        async for answer in stream:
            if answer.refused:
                call.failure, call.error = answer.refused, NotCarried if answer.code == NOT_CARRIED else ServiceUnavailable
                return
            yield answer.message
    except grpc.aio.AioRpcError as error:
        call.failure = f"the server that holds the agent of {words(call.agent)} does not answer: {error.details()}"
    finally:
        stream.cancel()
