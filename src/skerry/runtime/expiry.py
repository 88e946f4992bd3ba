"""Objects that end with time: they are looked at now and then, and deleted once they are over.

Several processes may do it at once. What is changed meanwhile stays, and is judged anew.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from skerry.client.contract import Client, Ref
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.errors import ApiError, Conflict, NotFound
from skerry.machinery.resource import Json

LOOK_SECONDS = 300.0

Over = Callable[[Json, datetime], bool]
"""Whether an object is over at a time (UTC)."""

log = get("runtime.expiry")


async def expire(client: Client, ref: Ref, over: Over, clock: Clock) -> None:
    """Delete the objects of a kind that are over, until cancelled."""
    while True:
        try:
            await forget(client, ref, over, clock.now())
        except ApiError as error:
            log.info("what is over could not be deleted", kind=ref.plural, error=error.message)
        await clock.sleep(LOOK_SECONDS)


async def forget(client: Client, ref: Ref, over: Over, now: datetime) -> None:
    """Delete the objects of a kind that are over at ``now``."""
    for obj in (await client.list(ref))["items"]:
        metadata = obj["metadata"]
        if not over(obj, now):
            continue
        try:
            await client.delete(ref, metadata["name"], metadata.get("namespace", ""), resource_version=metadata["resourceVersion"])
        except (NotFound, Conflict):
            continue
