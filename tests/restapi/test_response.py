"""How an answer is handed to the server: whole, in portions that TLS can take at once."""

from __future__ import annotations

import gzip
from collections.abc import MutableMapping
from typing import Any

import pytest

from skerry.restapi.response import CHUNK, Response


async def _sent(body: bytes | list[bytes], *, packed: bool = False) -> tuple[dict[bytes, bytes], list[bytes]]:
    """The headers and the portions of an answer with this body; the last portion is the one that ends it."""
    messages: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        messages.append(message)

    await Response(body).send(send, gzip_accepted=packed)
    start, *rest = messages
    assert [each.get("more_body", False) for each in rest] == [True] * (len(rest) - 1) + [False]
    return dict(start["headers"]), [each["body"] for each in rest]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"small",
        [b"a", b"", b"b"],
        bytes(CHUNK),
        b"x" * (CHUNK + 1),
        [b"row,%d" % number * 100 for number in range(5000)],
        [b"head", b"y" * (3 * CHUNK + 7), b"tail"],
        [b"z" * CHUNK, b"z" * CHUNK],
    ],
    ids=["empty", "small", "pieces", "one portion", "a byte more", "many rows", "a long piece", "full portions"],
)
async def test_a_body_arrives_whole_in_bounded_portions(body: bytes | list[bytes]) -> None:
    whole = body if isinstance(body, bytes) else b"".join(body)
    headers, portions = await _sent(body)
    assert b"".join(portions) == whole
    assert headers[b"content-length"] == str(len(whole)).encode()
    assert max(map(len, portions)) < 2 * CHUNK


async def test_a_packed_body_is_the_same_when_unpacked() -> None:
    rows = [b'{"row":%d}' % number for number in range(100_000)]
    headers, portions = await _sent(rows, packed=True)
    assert headers[b"content-encoding"] == b"gzip"
    assert headers[b"content-length"] == str(sum(map(len, portions))).encode()
    assert gzip.decompress(b"".join(portions)) == b"".join(rows)
