"""What a running server says of itself to administrators: counters, who is connected, the last warnings. No object, no credential."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from skerry.compose.database import shown
from skerry.compose.link import Link
from skerry.compose.settings import ServerSettings
from skerry.kit.log import kept
from skerry.machinery.resource import Json
from skerry.restapi.server import ApiServer
from skerry.runtime import queue

PATH = "/skerry/v1/statistics"


def offer_statistics(api: ApiServer, settings: ServerSettings, parts: Mapping[str, Callable[[], Mapping[str, int]]], link: Link) -> None:
    """Answer :data:`PATH` with the settings, and the counters of the parts, of the API and its store, and of all queues."""
    told = {**asdict(settings), "database_url": shown(settings)}
    told = {name: str(value) if isinstance(value, Path) else value for name, value in told.items()}

    async def statistics() -> Json:
        store = asdict(api.parts.store.statistics())
        return {
            "settings": told,
            **{name: dict(part()) for name, part in parts.items()},
            "api": api.statistics(),
            "store": store,
            "queues": queue.statistics(),
            "agents": link.routes.agents(),
            "agentsByServer": link.holders(),
            "warnings": kept(),
        }

    api.offer("GET", PATH, statistics)
