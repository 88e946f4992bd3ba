"""A restore of the database that this process serves: the command line puts the backup beside it, and asks for it here."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from skerry.compose.settings import ServerSettings
from skerry.kit.clock import parse
from skerry.kit.log import get
from skerry.machinery.errors import BadRequest
from skerry.machinery.resource import Json
from skerry.restapi.server import ApiServer
from skerry.store.backup import Facts, Restored, verify
from skerry.store.contract import StoreDamaged
from skerry.store.schema import NewerSchema
from skerry.store.sqlite import SqliteStore

PATH = "/skerry/v1/restore"

log = get("compose.restoring")


def staged_of(settings: ServerSettings) -> Path:
    """Where a backup waits for the server to restore it."""
    return settings.database.with_name(settings.database.name + ".restore")


def minutes_since(facts: Facts) -> int:
    """How long ago a backup was made."""
    return max(0, int((datetime.now(UTC) - parse(facts.made)).total_seconds()) // 60)


def told(done: Restored) -> Json:
    """What a restore did, for people and programs."""
    return {**done._asdict(), "kept": done.kept and str(done.kept)}


def offer_restore(api: ApiServer, store: SqliteStore, settings: ServerSettings) -> None:
    """Let administrators have the staged backup restored."""
    one_at_a_time = asyncio.Lock()

    async def restore() -> Json:
        staged = staged_of(settings)
        async with one_at_a_time:
            if not staged.exists():
                raise BadRequest(f"there is no backup at {staged}; use skerry restore FILE")
            try:
                facts = await asyncio.to_thread(verify, staged)
                done = await store.restore(staged, minutes_since(facts))
            except (StoreDamaged, NewerSchema) as error:
                raise BadRequest(str(error)) from error
        log.warning("restored a backup; every watch starts anew", made=facts.made, objects=done.objects, revision=done.revision)
        return told(done)

    api.offer("POST", PATH, restore)
