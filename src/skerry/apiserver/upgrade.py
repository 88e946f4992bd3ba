"""A connection that leaves HTTP: after a 101, raw bytes between its socket and the application.

An application that may answer so finds ``scope["extensions"]["skerry.upgrade"]``: the protocol
that the client asks for, in lower case. It answers with a start of status 101, or refuses as it
would any request, which ends the connection. From the 101 on

* each ``http.response.body`` is bytes for the client as they stand, and the last one ends the connection;
* each ``http.request`` is bytes that came. What the client sent behind the head of his request is
  among them; his end comes after everything that he sent.

Both directions are bounded: who does not take makes the other wait. Silence has no limit. There
is no half-close, which TLS does not have either: protocols that want one say it in their own
words. When the server stops the application is told that the client is gone, and may still send
what is under way to him.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, TypeAlias

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

from skerry.kit.inflow import Inflow
from skerry.restapi.bearer import UPGRADE

Message: TypeAlias = MutableMapping[str, Any]
Application: TypeAlias = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

EXTENSION = UPGRADE
SWITCHING = 101
CHUNK_BYTES = 256 * 1024


class Upgrade:
    """One request to leave HTTP; in the application's place it is an application itself."""

    def __init__(self, app: Application, transport: Any, flow: FlowControl) -> None:
        """``transport`` and ``flow`` are the connection's."""
        self._app = app
        self._transport = transport
        self._flow = flow
        self._inflow = Inflow(flow.pause_reading, flow.resume_reading)
        self._switched = False
        self.cycle: RequestResponseCycle
        """uvicorn's side of the request, known as soon as that has made it."""

    def data_received(self, data: bytes) -> None:
        """Bytes came behind the request."""
        if data:
            self._inflow.put(data)

    def end(self) -> None:
        """The client is gone, or the server wants him to be."""
        self._inflow.end()

    async def __call__(self, scope: MutableMapping[str, Any], _receive: Any, _send: Any) -> None:
        """Have the application answer."""
        try:
            await self._app(scope, self._receive, self._send)
        finally:
            if self._switched:
                self.cycle.response_complete = True
                self._transport.close()

    async def _receive(self) -> Message:
        data = await self._inflow.take(CHUNK_BYTES)
        return {"type": "http.request", "body": data, "more_body": True} if data else {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if not self._switched and message.get("status") != SWITCHING:
            await self.cycle.send(message)  # type: ignore[arg-type] # it is one of ASGI's
            return
        if self._flow.write_paused:
            await self._flow.drain()
        if self._transport.is_closing():
            return
        if not self._switched:
            self._transport.write(_head(message["headers"]))
            self._switched = self.cycle.response_started = True
            return
        if body := message.get("body"):
            self._transport.write(body)
        if not message.get("more_body"):
            self._transport.close()


def _head(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The head that ends HTTP; raises RuntimeError for headers that HTTP does not allow."""
    lines = [STATUS_LINE[SWITCHING]]
    for name, value in headers:
        if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
            raise RuntimeError("a header of the answer is not well-formed")
        lines.append(b"%s: %s\r\n" % (name, value))
    return b"".join((*lines, b"\r\n"))
