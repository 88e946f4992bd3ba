"""From what a server sends to what a caller gets: errors, and lines of a watch. No I/O.

Every failure of every server becomes an ApiError. A ``Status`` names its reason; where there is
none (a proxy answered, or a plain text), the HTTP code decides. A watch is JSON, one event per
line, and a line may be megabytes: it is cut out of the chunks as they come, each byte looked at
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from skerry.machinery import errors
from skerry.machinery.errors import ApiError, Cause, Subject
from skerry.machinery.resource import Json

BY_REASON: Mapping[str, type[ApiError]] = {
    "Gone": errors.Expired,
    **{
        kind.reason: kind
        for kind in (
            errors.BadRequest,
            errors.Unauthorized,
            errors.Forbidden,
            errors.NotFound,
            errors.MethodNotAllowed,
            errors.NotAcceptable,
            errors.UnsupportedMediaType,
            errors.AlreadyExists,
            errors.Conflict,
            errors.Expired,
            errors.Invalid,
            errors.RequestEntityTooLarge,
            errors.RequestTimeout,
            errors.TooManyRequests,
            errors.ServerTimeout,
            errors.Timeout,
            errors.NotCarried,
            errors.ServiceUnavailable,
            errors.InternalError,
        )
    },
}

BY_CODE: Mapping[int, type[ApiError]] = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    406: errors.NotAcceptable,
    408: errors.RequestTimeout,
    409: errors.Conflict,
    410: errors.Expired,
    413: errors.RequestEntityTooLarge,
    415: errors.UnsupportedMediaType,
    422: errors.Invalid,
    429: errors.TooManyRequests,
    500: errors.InternalError,
    502: errors.ServiceUnavailable,
    503: errors.ServiceUnavailable,
    504: errors.Timeout,
}

MOST_LINE_BYTES = 64 * 1024 * 1024
"""A watch event larger than this is no event."""


def error_of(code: int, body: bytes, retry_after: str = "") -> ApiError:
    """The error of a failed request; ``retry_after`` is the header of that name, in seconds."""
    delay = int(retry_after) if retry_after.isdecimal() else None
    try:
        status = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return status_error(status, code, delay)
    text = body[:512].decode(errors="replace").strip()
    return _kind("", code)(f"the server answered {code}{': ' + text if text else ''}", retry_after=delay)


def status_error(status: Json, code: int = 0, retry_after: int | None = None) -> ApiError:
    """The error that a Status object tells of."""
    details = _object(status.get("details"))
    causes = [
        Cause(str(each.get("reason") or ""), str(each.get("message") or ""), str(each.get("field") or ""))
        for each in details.get("causes") or ()
        if isinstance(each, dict)
    ]
    told = details.get("retryAfterSeconds")
    return _kind(str(status.get("reason") or ""), code or int(status.get("code") or 0))(
        str(status.get("message") or ""),
        subject=Subject(*(str(details.get(part) or "") for part in ("name", "group", "kind", "uid"))),
        causes=causes,
        retry_after=told if isinstance(told, int) else retry_after,
    )


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _kind(reason: str, code: int) -> type[ApiError]:
    return BY_REASON.get(reason) or BY_CODE.get(code) or (errors.InternalError if code >= 500 else errors.BadRequest)


class Lines:
    """Cuts a stream of chunks into lines."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield every line that ends in this chunk, without its end; raises InternalError for one that never ends."""
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            whole = b"".join((*self._parts, line)) if self._parts else line
            self._parts, self._size = [], 0
            if whole.strip():
                yield whole
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
            if self._size > MOST_LINE_BYTES:
                raise errors.InternalError(f"the server sent a watch event of more than {MOST_LINE_BYTES} bytes")
