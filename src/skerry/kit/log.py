"""Log lines that people and programs can read: key=value on a terminal, JSON elsewhere.

A module takes its logger by ``log = get("room.module")``; context is bound as key and value.
Secrets are never logged: what may hold one is not passed here in the first place. So a traceback
comes without the values of variables, and where the message of an exception may quote what a
caller sent, :func:`frames` says where it happened and nothing else.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import deque
from collections.abc import Mapping
from typing import Any, TextIO, cast

import structlog

KEPT, LONGEST = 200, 500
"""How many warnings and errors are remembered, and how much of each value."""

_kept: deque[dict[str, str]] = deque(maxlen=KEPT)


def _keep(_: object, method: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Remember what somebody may want to see later: warnings and errors, the newest of them."""
    if method not in {"debug", "info"}:
        _kept.append({name: str(value)[:LONGEST] for name, value in event.items() if name != "exc_info"})
    return event


def kept() -> list[dict[str, str]]:
    """The last warnings and errors of this process, oldest first."""
    return list(_kept)


def configure(*, level: str = "info", json: bool | None = None, stream: TextIO | None = None) -> None:
    """Set the format and the level for the whole process; ``json`` None: unless the stream is a terminal."""
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    renderer: Any = structlog.processors.JSONRenderer()
    if not as_json:
        plain = structlog.dev.plain_traceback  # the default one prints local variables wherever rich is installed
        renderer = structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=36, exception_formatter=plain)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _keep,
            structlog.processors.StackInfoRenderer(),
            *([structlog.processors.format_exc_info] if as_json else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=out, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)


def frames(error: BaseException) -> str:
    """The type of an exception and where it came from, without its message."""
    places = [f"{each.filename}:{each.lineno} {each.name}" for each in traceback.extract_tb(error.__traceback__)]
    return f"{type(error).__qualname__} at {' < '.join(reversed(places))}"


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a module."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(room=name))
