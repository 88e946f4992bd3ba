"""Log lines that people and programs can read: key=value on a terminal, JSON elsewhere.

A module takes its logger by ``log = get("room.module")``; context is bound as key and value.
Secrets are never logged: what may hold one is not passed here in the first place.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO, cast

import structlog


def configure(*, level: str = "info", json: bool | None = None, stream: TextIO | None = None) -> None:
    """Set the format and the level for the whole process; ``json`` None: unless the stream is a terminal."""
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=36)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *([structlog.processors.format_exc_info] if as_json else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=out, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a module."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(room=name))
