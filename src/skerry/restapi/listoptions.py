"""Which options of a list or a watch go together, and which values they may have. Every mistake is told at once."""

from __future__ import annotations

from skerry.machinery import causes
from skerry.machinery.errors import BadRequest, Cause, invalid
from skerry.restapi.request import Options

MATCH = "resourceVersionMatch"


def check(options: Options) -> None:
    """Hold the options of a list or a watch against each other; raises Invalid or BadRequest."""
    wrong = _of_watch(options) if options.watch else _of_list(options)
    if wrong:
        raise invalid("ListOptions", "meta.k8s.io", "", wrong)
    if options.continuation and options.revision not in {"", "0"}:
        raise BadRequest("specifying resource version is not allowed when using continue")


def _of_list(options: Options) -> list[Cause]:
    wrong = []
    if options.match:
        if not options.revision:
            wrong.append(causes.forbidden(MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if options.continuation:
            wrong.append(causes.forbidden(MATCH, "resourceVersionMatch is forbidden when continue is provided"))
        if options.match not in {"Exact", "NotOlderThan"}:
            wrong.append(causes.not_supported(MATCH, options.match, ["Exact", "NotOlderThan", ""]))
        if options.match == "Exact" and options.revision == "0":
            wrong.append(causes.forbidden(MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if options.initial_events is not None:
        wrong.append(causes.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return wrong


def _of_watch(options: Options) -> list[Cause]:
    wrong = []
    if options.initial_events is not None and options.match != "NotOlderThan":
        wrong.append(causes.forbidden(MATCH, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    if options.match:
        if options.initial_events is None:
            wrong.append(causes.forbidden(MATCH, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
        if options.match != "NotOlderThan":
            wrong.append(causes.not_supported(MATCH, options.match, ["NotOlderThan"]))
    if options.continuation:
        wrong.append(causes.forbidden(MATCH, "resourceVersionMatch is forbidden when continue is provided"))
    return wrong
