"""The log as one stream: what happened after a revision, in order, without gap or repeat.

The pulse of a store only says "look"; what happened is read from the log, so a lost or an
extra wake-up changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from skerry.store.contract import Change, Store


async def feed(store: Store, after: int, batch: int = 1000) -> AsyncIterator[Sequence[Change]]:
    """Yield changes above ``after`` in batches, forever; raises Compacted where the log no longer reaches back."""
    while True:
        changes = await store.changes(after, batch)
        if changes:
            after = changes[-1].revision
            yield changes
        else:
            await store.wait(after)
