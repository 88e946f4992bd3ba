"""A process that writes until it is killed; `test_crash.py` starts it, kills it and looks at what is left.

Arguments: the database, a name for the run, and the revision up to which to compact meanwhile.
Each acknowledged write is one line on standard output: verb, name, revision.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

from skerry.store.contract import Key, Value, Write
from skerry.store.sqlite import SqliteStore

CALLERS = 32


def tell(verb: str, name: str, revision: int) -> None:
    """Acknowledge: one small write to a pipe is whole or not there."""
    os.write(1, f"{verb} {name} {revision}\n".encode())


async def caller(store: SqliteStore, run: str, number: int) -> None:
    for turn in count():
        name = f"{run}-{number}-{turn}"
        key, value = Key("org", "things", "ns", name), Value(b'{"name":"%s","revision":' % name.encode(), b"}" + b" " * 500)
        revision = await store.write(Write(key, 0, value))
        tell("create", name, revision)
        if turn % 2:
            revision = await store.write(Write(key, revision, value))
            tell("update", name, revision)
        if turn % 3 == 0:
            tell("delete", name, await store.write(Write(key, revision, value, delete=True)))


async def main(path: Path, run: str, compact: int) -> None:
    store = await SqliteStore.open(path)
    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(caller(store, run, number))
        await store.compact(compact)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
