"""Encryption at rest of one process: the store in its coat, the keyring, and what people can ask of both.

A keyring is made where there is none and nothing needs one. Every database holds a *mark*, a value
that was sealed like any other, so that it tells its keyring from another one even while it holds
nothing else to open. Where this keyring is not the right one the server starts all the same: it
says so in its log and at ``/readyz``, and every read or write that concerns a confidential kind is
refused, so that the right keyring finds everything as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict
from pathlib import Path

from skerry.kinds import catalogue
from skerry.kit.clock import Clock, rfc3339
from skerry.kit.log import get
from skerry.machinery.errors import Conflict
from skerry.machinery.resource import Json
from skerry.pki.keyring import KeyringError, KeyringFile
from skerry.restapi.server import ApiServer
from skerry.store.contract import Key, RevisionConflict, Store, Value, Write
from skerry.store.rewriting import CLEAR, Rewriting, why_not
from skerry.store.sealed import SealedStore

PATH = "/skerry/v1/keys"
ROTATE_PATH = f"{PATH}/rotate"
OTHERS_SECONDS = 600.0
"""How long a write of another process may be under way that was sealed with the former key."""
PATIENCE_SECONDS = 30.0
"""How long a rotation waits for the end of a rewriting that is under way."""
MARK = Key("", "keyring", "", "mark")
CONFIDENTIAL = frozenset((MARK.resource, *(resource.key for resource in catalogue.ALL if resource.confidential)))

log = get("compose.encryption")


async def encrypted(store: Store, path: Path, clock: Clock, *, shared: bool = False) -> tuple[SealedStore, Rewriting]:
    """Put a store into its coat; raises OSError if a keyring is needed and cannot be made. ``shared``: other processes use both."""
    try:
        keyring, broken = KeyringFile(path), ""
    except KeyringError as error:
        keyring, broken = KeyringFile.empty(path), str(error)
    sealed = SealedStore(store, keyring, CONFIDENTIAL)
    why = broken or await why_not(sealed)
    if not why and keyring.primary() is None:
        sealed.keyring = keyring = KeyringFile.create(path, rfc3339(clock.now()))
        log.info("made a keyring; keep a copy of it apart from the backups of the database", file=str(path))
    if not why:
        why = await _marked(sealed)
    if why:
        sealed.refusal = why if broken else f"{path}: {why}"
        log.error("confidential objects cannot be served", reason=sealed.refusal)
    return sealed, Rewriting(sealed, keyring, clock, patience=OTHERS_SECONDS if shared else 0)


async def _marked(sealed: SealedStore) -> str:
    """Leave the mark where there is none; returns why not, if another process was quicker, with another keyring."""
    if await sealed.get(MARK) is not None:
        return ""
    try:
        await sealed.write(Write(MARK, 0, Value(b'{"metadata":{"resourceVersion":"', b'"}}')))
    except RevisionConflict:
        return await why_not(sealed)
    return ""


def offer_keys(api: ApiServer, sealed: SealedStore, rewriting: Rewriting) -> None:
    """Let administrators ask for the keys, never for what they are, and for a rotation."""

    async def keys() -> Json:
        usage = await rewriting.usage()
        known = rewriting.keyring.facts()
        facts = [{"id": each.id, "created": each.created, "primary": each.primary, "values": usage.pop(each.id, 0)} for each in known]
        return {
            "keys": facts,
            "missing": [{"id": key_id, "values": count} for key_id, count in sorted(usage.items()) if key_id != CLEAR],
            "inTheClear": usage[CLEAR],
            "refusal": sealed.refusal,
            "rewriting": asdict(rewriting.progress),
        }

    async def rotate() -> Json:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await rewriting.idle()
        if not rewriting.rotate():
            raise Conflict("a rewriting is under way and goes on; wait for its end before another rotation")
        return await keys()

    api.offer("GET", PATH, keys)
    api.offer("POST", ROTATE_PATH, rotate)
