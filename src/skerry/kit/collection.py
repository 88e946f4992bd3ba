"""Python's collector of cyclic garbage, at moments of our choosing.

Left to itself it runs when much was allocated, which is in the middle of working on a large
document, and then looks at each of its hundreds of thousands of parts: that held the event loop
for a tenth of a second. What requests leave behind is nearly all freed by counting references,
so the rest can wait.

Here the young objects are looked at once a second, and earlier where thousands came at once
(connections, watches), so that there are never too many of them; those that live on are set
aside, as is what the process is made of at its start. What was set aside is looked at as well
once it has grown by half, and not more often than every ten minutes: that holds the loop for
three quarters of a second for each million of objects.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

LOOK_SECONDS = 0.05
YOUNG, ALL = 20, 12_000
"""After so many looks young objects, and all objects, are due."""

MANY = 10_000
"""So many young objects are due at once: they take about eight milliseconds."""

GROWN = 1.5
"""By how much what was set aside must have grown before it is looked at again."""

PATIENCE = 600
"""So many times in a row a collection is put off while large documents are worked on."""


async def collect_in_between(busy: Callable[[], bool]) -> None:
    """Collect while ``busy`` says no; automatic collection is off until this is cancelled."""
    gc.collect()
    gc.freeze()
    gc.disable()
    looks, put_off, aside = 0, 0, gc.get_freeze_count()
    try:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            looks += 1
            if looks % YOUNG and gc.get_count()[0] < MANY:
                continue
            if busy() and put_off < PATIENCE:
                put_off += 1
                continue
            put_off = 0
            if looks >= ALL and gc.get_freeze_count() > aside * GROWN:
                looks = 0
                gc.unfreeze()
                gc.collect()
                gc.freeze()
                aside = gc.get_freeze_count()
            else:
                gc.collect(0)
                gc.freeze()
    finally:
        gc.enable()
        gc.unfreeze()
