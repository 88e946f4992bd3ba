"""Errors and outcomes as ``Status`` objects, and the HTTP code of each reason."""

from __future__ import annotations

from typing import Any

from skerry.machinery.errors import ApiError

Json = dict[str, Any]

CODES = {
    "BadRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "NotAcceptable": 406,
    "RequestTimeout": 408,
    "AlreadyExists": 409,
    "Conflict": 409,
    "Expired": 410,
    "Gone": 410,
    "RequestEntityTooLarge": 413,
    "UnsupportedMediaType": 415,
    "Invalid": 422,
    "TooManyRequests": 429,
    "InternalError": 500,
    "ServerTimeout": 500,
    "NotImplemented": 501,
    "ServiceUnavailable": 503,
    "Timeout": 504,
}


MOST_CHARACTERS = 16 * 1024
"""The longest message, and the longest of a cause: both quote what the caller sent."""


def code_of(error: ApiError) -> int:
    """The HTTP code of an error."""
    return CODES.get(error.reason, 500)


def failure(error: ApiError) -> Json:
    """The Status object of an error."""
    status: Json = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": _bounded(error.message),
        "reason": error.reason,
        "code": code_of(error),
    }
    subject = error.subject
    details = {"name": _bounded(subject.name), "group": subject.group, "kind": _bounded(subject.kind), "uid": subject.uid}
    details = {name: value for name, value in details.items() if value}
    found: Json = dict(details)
    if error.causes:
        found["causes"] = [_cause(each.kind, each.message, each.field) for each in error.causes]
    if error.retry_after is not None:
        found["retryAfterSeconds"] = error.retry_after
    if found or error.reason in {"Invalid", "NotFound", "MethodNotAllowed", "Forbidden"}:
        status["details"] = found  # kubectl words its message by whether details are there at all
    return status


def _bounded(text: str, most: int = MOST_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more characters)"


def _cause(kind: str, message: str, field: str) -> Json:
    cause = {"reason": kind, "message": _bounded(message, MOST_CHARACTERS // 16)}
    return {**cause, "field": _bounded(field, MOST_CHARACTERS // 16)} if field else cause


def success(name: str, group: str, plural: str, uid: str) -> Json:
    """The Status object of a finished deletion."""
    details = {"name": name, "group": group, "kind": plural, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }
