"""Answers: a code, headers and bytes, or a stream of chunks. Large bodies are compressed off the loop."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence
from typing import Any

from skerry.machinery.document import dumps

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COMPRESS_FROM = 128 * 1024
CHUNK = 256 * 1024
"""Bytes handed over at once. In one piece, TLS copies what is left of the whole ciphertext again and again: three times the CPU."""
JSON_TYPE = b"application/json"


def _nothing() -> None:
    pass


class Response:
    """One answer."""

    __slots__ = ("after", "body", "code", "gone", "headers", "media", "stream")

    def __init__(
        self,
        body: bytes | Sequence[bytes] = b"",
        *,
        code: int = 200,
        media: bytes = JSON_TYPE,
        headers: Sequence[tuple[bytes, bytes]] = (),
        stream: AsyncIterator[bytes] | None = None,
        gone: Callable[[], None] | None = None,
    ) -> None:
        """A body of bytes (or pieces of it), or a stream; ``gone`` is called when the client of a stream went away."""
        self.body = body
        self.code = code
        self.media = media
        self.headers = headers
        self.stream = stream
        self.gone = gone
        self.after: Callable[[], None] = _nothing
        """Called when the answer was sent, or could not be."""

    async def send(self, send: Send, *, gzip_accepted: bool) -> None:
        """Write the answer."""
        headers = [(b"content-type", self.media), (b"cache-control", b"no-cache, private"), *self.headers]
        if self.stream is not None:
            await send({"type": "http.response.start", "status": self.code, "headers": headers})
            async for chunk in self.stream:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        pieces = [self.body] if isinstance(self.body, bytes) else self.body
        size = sum(map(len, pieces))
        if gzip_accepted and size > COMPRESS_FROM:
            packed = await asyncio.to_thread(_pack, pieces)
            pieces, size = [packed], len(packed)
            headers += [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
        headers.append((b"content-length", str(size).encode()))
        await send({"type": "http.response.start", "status": self.code, "headers": headers})
        if size <= CHUNK:
            await send({"type": "http.response.body", "body": b"".join(pieces)})
            return
        async for chunk in in_chunks(pieces):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def in_chunks(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in portions of about a chunk; others get their turn after each."""
    for chunk in _chunks(pieces):
        yield chunk
        await asyncio.sleep(0)


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        for begin in range(0, len(piece), CHUNK):
            part = piece if len(piece) <= CHUNK else piece[begin : begin + CHUNK]
            held.append(part)
            size += len(part)
            if size >= CHUNK:
                yield b"".join(held)
                held, size = [], 0
    if held:
        yield b"".join(held)


def _pack(pieces: Sequence[bytes]) -> bytes:
    return gzip.compress(b"".join(pieces), compresslevel=1)


def json_response(value: Any, code: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> Response:
    """Answer with an object."""
    return Response(dumps(value), code=code, headers=headers)
