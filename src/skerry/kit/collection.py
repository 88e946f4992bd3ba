"""Python's collector of cyclic garbage, at moments of our choosing.

Left to itself it runs when much was allocated, which is in the middle of working on a large
document, and then looks at each of its hundreds of thousands of parts: that held the event loop
for a tenth of a second. What requests leave behind is nearly all freed by counting references,
so the rest can wait for the next second; everything is looked at every ten minutes. What the
process is made of is not garbage and is set aside at the start.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

EVERY_SECONDS = 1.0
MIDDLE, ALL = 10, 600
"""Every so many times older objects, and all objects, are looked at as well."""

PATIENCE = 30
"""So many times in a row a collection is put off while large documents are worked on."""


async def collect_in_between(busy: Callable[[], bool]) -> None:
    """Collect once a second while ``busy`` says no; automatic collection is off until this is cancelled."""
    gc.collect()
    gc.freeze()
    gc.disable()
    times = put_off = 0
    try:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if busy() and put_off < PATIENCE:
                put_off += 1
                continue
            times, put_off = times + 1, 0
            gc.collect(2 if times % ALL == 0 else 1 if times % MIDDLE == 0 else 0)
    finally:
        gc.enable()
        gc.unfreeze()
