"""What can go wrong with a request, in Kubernetes' own terms.

    ApiError
    ├── BadRequest                 the request cannot be understood
    ├── Unauthorized               who is this?
    ├── Forbidden                  known, but not allowed
    ├── NotFound
    ├── MethodNotAllowed
    ├── NotAcceptable
    ├── UnsupportedMediaType
    ├── AlreadyExists
    ├── Conflict                   a newer revision, or fields that another manager owns
    ├── Expired                    the asked-for revision is compacted (410)
    ├── Invalid                    understood, and against the kind's rules
    ├── RequestEntityTooLarge
    ├── RequestTimeout             the caller did not send what he announced
    ├── TooManyRequests
    ├── ServerTimeout
    ├── Timeout
    ├── ServiceUnavailable
    └── InternalError

An error speaks twice: ``message`` is for the caller and goes into a ``Status`` object,
``__cause__`` is for the log. Reasons and texts follow ``k8s.io/apimachinery/pkg/api/errors``;
the HTTP code of each reason is a table in ``restapi/status.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason behind an error: ``kind`` (such as FieldValueInvalid), ``message``, ``field`` (``spec.version``)."""

    kind: str
    message: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What an error is about; every part may be empty. ``kind`` is a Kind or, where Kubernetes does so, a plural."""

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""


class ApiError(Exception):
    """The request failed."""

    reason: ClassVar[str] = ""

    def __init__(
        self, message: str = "", *, subject: Subject | None = None, causes: Sequence[Cause] = (), retry_after: int | None = None
    ) -> None:
        """Take the caller's text (default: the docstring), what it is about, the causes and a delay in seconds."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.subject = subject or Subject()
        self.causes = tuple(causes)
        self.retry_after = retry_after
        super().__init__(self.message)


class BadRequest(ApiError):
    """The request could not be understood."""

    reason = "BadRequest"


class Unauthorized(ApiError):
    """Unauthorized"""

    reason = "Unauthorized"


class Forbidden(ApiError):
    """The caller may not do this."""

    reason = "Forbidden"


class NotFound(ApiError):
    """the server could not find the requested resource"""

    reason = "NotFound"


class MethodNotAllowed(ApiError):
    """The server does not allow this method on the requested resource."""

    reason = "MethodNotAllowed"


class NotAcceptable(ApiError):
    """Only application/json and its Table and PartialObjectMetadata forms are served."""

    reason = "NotAcceptable"


class UnsupportedMediaType(ApiError):
    """The body of the request was in an unknown format."""

    reason = "UnsupportedMediaType"


class AlreadyExists(ApiError):
    """The object exists already."""

    reason = "AlreadyExists"


class Conflict(ApiError):
    """The object has been modified; please apply your changes to the latest version and try again."""

    reason = "Conflict"


class Expired(ApiError):
    """The provided resource version is too old; list again."""

    reason = "Expired"


class Invalid(ApiError):
    """The object is invalid."""

    reason = "Invalid"


class RequestEntityTooLarge(ApiError):
    """The request is larger than the server takes."""

    reason = "RequestEntityTooLarge"


class RequestTimeout(ApiError):
    """The body of the request did not arrive in time."""

    reason = "RequestTimeout"


class TooManyRequests(ApiError):
    """Too many requests; try again later."""

    reason = "TooManyRequests"


class ServerTimeout(ApiError):
    """The server could not finish in time; the request may be tried again."""

    reason = "ServerTimeout"


class Timeout(ApiError):
    """The request did not finish within its time."""

    reason = "Timeout"


class NotCarried(ApiError):
    """What was asked for needs something that is not there yet."""

    reason = "NotImplemented"


class ServiceUnavailable(ApiError):
    """The server cannot answer now; try again."""

    reason = "ServiceUnavailable"


class InternalError(ApiError):
    """The server met an error of its own; its log says more."""

    reason = "InternalError"


def not_found(resource: str, group: str, name: str) -> NotFound:
    """Say that an object is not there, in the words that kubectl prints."""
    return NotFound(f'{qualified(resource, group)} "{name}" not found', subject=Subject(name, group, resource))


def already_exists(resource: str, group: str, name: str) -> AlreadyExists:
    """Say that an object is there already."""
    return AlreadyExists(f'{qualified(resource, group)} "{name}" already exists', subject=Subject(name, group, resource))


def conflict(resource: str, group: str, name: str, why: str) -> Conflict:
    """Say that a write lost against a newer revision, or against a precondition."""
    return Conflict(
        f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {why}', subject=Subject(name, group, resource)
    )


STALE = "the object has been modified; please apply your changes to the latest version and try again"


MOST_CAUSES = 100
"""So many causes are told: an object of a hundred thousand mistakes would be answered with megabytes."""


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> Invalid:
    """Say which fields break the kind's rules; one cause stands alone, several are listed in brackets."""
    if (left := len(causes) - MOST_CAUSES) > 0:
        causes = [*causes[:MOST_CAUSES], Cause("FieldValueInvalid", f"and {left} more mistakes")]
    parts = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
    text = parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
    return Invalid(f'{qualified(kind, group)} "{name}" is invalid: {text}', subject=Subject(name, group, kind), causes=causes)


def qualified(resource: str, group: str) -> str:
    """``clusters.fleet.skerry.dev``, or the bare name in the core group."""
    return f"{resource}.{group}" if group else resource
