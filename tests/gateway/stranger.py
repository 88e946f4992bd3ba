"""The far end of a link, played by a test: it dials with a certificate and says whatever the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from skerry.agent.identity import Identity
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel import wire
from tests.gateway.fleet import Fleet


class Stranger:
    """One control stream, kept alive by heartbeats if it is to be."""

    def __init__(self, stub: Any, beat_every: float | None = None) -> None:
        self._beat_every = beat_every
        self.stub = stub
        self._lines: asyncio.Queue[pb.ControlRequest] = asyncio.Queue()
        self.stream = stub.Control(self._said())

    async def _said(self) -> AsyncIterator[pb.ControlRequest]:
        while True:
            try:
                async with asyncio.timeout(self._beat_every):
                    line = await self._lines.get()
            except TimeoutError:
                line = pb.ControlRequest(heartbeat=pb.Heartbeat(api_reachable=True))
            yield line

    def says(self, **message: Any) -> None:
        self._lines.put_nowait(pb.ControlRequest(**message))

    async def hears(self, kind: str) -> Any:
        """The next message of a kind; those of other kinds are passed over."""
        async with asyncio.timeout(60):
            while isinstance(message := await self.stream.read(), pb.ControlResponse):
                if message.WhichOneof("message") == kind:
                    return getattr(message, kind)
        raise AssertionError(f"the stream ended before {kind} came")

    async def ended(self) -> grpc.StatusCode:
        """Wait until the gateway ends the stream; with which code it did."""
        async with asyncio.timeout(60):
            try:
                while isinstance(await self.stream.read(), pb.ControlResponse):
                    pass
            except grpc.aio.AioRpcError as error:
                return error.code()
            code: grpc.StatusCode = await self.stream.code()
            return code


@asynccontextmanager
async def dialled(identity: Identity, address: str, beat_every: float | None = None) -> AsyncIterator[Stranger]:
    """A connection on which nothing was said yet."""
    async with wire.channel(address, identity.bundle, identity.certificate, identity.key) as channel:
        made = Stranger(wire.stub(channel), beat_every)
        try:
            yield made
        finally:
            made.stream.cancel()


@asynccontextmanager
async def stranger(
    fleet: Fleet, name: str = "sv-1", identity: Identity | None = None, beat_every: float | None = 3.0, features: Sequence[str] = ()
) -> AsyncIterator[Stranger]:
    """One that was welcomed, and counts."""
    before = fleet.link.routes.get(name)
    who = identity or await fleet.register(name)
    async with dialled(who, fleet.link.address, beat_every) as made:
        made.says(hello=pb.Hello(management_cluster=name, agent_version="1", features=features))
        await made.hears("welcome")
        made.says(heartbeat=pb.Heartbeat(api_reachable=True))
        await fleet.joined(name, before)
        yield made
