"""Backups of an installation's database, made and put back by the command line, whether the server runs or not."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path

from skerry.client.http import HttpClient
from skerry.client.kubeconfig import KubeconfigError, read
from skerry.compose.database import address
from skerry.compose.restoring import PATH, minutes_since, staged_of
from skerry.compose.settings import ServerSettings
from skerry.kit.clock import rfc3339
from skerry.machinery.errors import ApiError
from skerry.machinery.resource import Json
from skerry.pki.authority import PkiError
from skerry.pki.keyring import KeyringFile
from skerry.store.backup import Facts, Restored, backup, restore, verify
from skerry.store.contract import StoreError
from skerry.store.files import Locked, remove

CANNOT_COPY = (StoreError, OSError, PkiError)
"""What keeps a copy from being made or put back; the message says why."""


class KeysMissing(StoreError):
    """The keyring lacks a key that the backup needs."""


def back_up(settings: ServerSettings, file: Path) -> Facts:
    """Copy the database as of now into a file; raises one of CANNOT_COPY."""
    if not file.parent.is_dir():
        raise StoreError(f"{file.parent} is no folder")
    if settings.owns(file):
        raise StoreError(f"{file} is a file of the installation itself; choose another name for the backup")
    made = rfc3339(datetime.now(UTC))
    if settings.shared:
        from skerry.store.postgres import backup as postgres

        return asyncio.run(postgres.backup(address(settings), file, made))
    if not settings.database.exists():
        raise StoreError(f"{settings.database} does not exist; say with --database which one, if the objects are in PostgreSQL")
    return backup(settings.database, file, made)


def put_back(settings: ServerSettings, file: Path, *, without_keys: bool) -> tuple[Facts, Restored]:
    """Put a backup in the place of the database; raises one of CANNOT_COPY, and then nothing was touched."""
    facts = verify(file)
    missing = missing_keys(settings, facts)
    if missing and not without_keys:
        raise KeysMissing(
            f"Secrets in {file} are encrypted with key {', '.join(missing)}, which {settings.keyring} does not hold:"
            " put the keyring of that time there first, or go on without them with --without-keys"
        )
    if settings.shared:
        from skerry.store.postgres import backup as postgres

        return facts, asyncio.run(postgres.restore(file, address(settings), minutes_since(facts)))
    try:
        return facts, restore(file, settings.database, minutes_since(facts))
    except Locked:
        if not settings.kubeconfig.exists():
            raise
        return facts, _through_its_server(settings, file)


def _through_its_server(settings: ServerSettings, file: Path) -> Restored:
    """Have the server that holds the lock restore a backup; raises StoreError."""
    staged = staged_of(settings)
    try:
        remove(staged)
        staged.touch(mode=0o600)
        shutil.copyfile(file, staged)
        answer = asyncio.run(_asked(settings))
    except (ApiError, KubeconfigError) as error:
        raise StoreError(f"{settings.database} is served, and its server does not restore it ({error}); stop it, then restore") from error
    finally:
        remove(staged)
    return Restored(answer["epoch"], answer["revision"], answer["objects"], Path(answer["kept"]))


async def _asked(settings: ServerSettings) -> Json:
    async with HttpClient(read(settings.kubeconfig), user_agent="skerry-restore") as client:
        answer: Json = await client.raw("POST", PATH)
        return answer


def missing_keys(settings: ServerSettings, facts: Facts) -> list[str]:
    """Which keys the backup needs and the keyring does not hold."""
    keyring = KeyringFile(settings.keyring)
    return [key_id for key_id in facts.keys if keyring.find(key_id) is None]
