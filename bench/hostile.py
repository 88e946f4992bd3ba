"""How long hostile and clumsy requests hold the event loop: `python -m bench.hostile`.

The server is the one of the comparison (``sides.py``), over SQLite. The cases are those of the
suite (``tests/hostile``), which holds each to a clear refusal; here each is sent on a connection
of its own while nothing else happens, and the server says by how much a tick of 5 ms was late at
worst. Printed is the median over the rounds, beside that of a plain write: a machine that is
shared holds every process now and then.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.sides import NAMESPACE, Side, skerry
from tests.hostile.caller import config_map
from tests.hostile.test_documents import BOMBS, DEEP, LARGE, YAML
from tests.hostile.test_patches import MANY, UNFIT

BUDGET = 50.0
"""Milliseconds that no request may hold the loop."""

MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
SETTLE_SECONDS = 0.1
"""What follows an answer (an audit record, the cache) belongs to its request too."""

Case = tuple[str, str, str, bytes, dict[str, str]]
"""What it is, then method, path, body and headers."""


def _text(body: object) -> bytes:
    return json.dumps(body).encode()


def media(kind: str, **more: str) -> dict[str, str]:
    """The headers of a body."""
    return {"content-type": f"application/{kind}", **more}


def cases() -> Iterator[Case]:
    """All of them."""
    plain, apply = media("json"), media("apply-patch+yaml")
    yield "a plain write", "POST", f"{MAPS}?dryRun=All", _text(config_map("plain")), plain
    for name, body in LARGE.items():
        yield name, "POST", MAPS, body, plain
    for name, body in BOMBS.items():
        yield f"gzip: {name}", "POST", MAPS, body, {**plain, "content-encoding": "gzip"}
    for name, body in DEEP.items():
        yield f"nested: {name}", "POST", MAPS, body, plain
    for name, body in YAML.items():
        yield f"YAML: {name}", "PATCH", f"{MAPS}/yaml?fieldManager=bench", body, apply
    for name, patch in UNFIT.items():
        yield f"JSON patch: {name}", "PATCH", f"{MAPS}/there", _text(patch), media("json-patch+json")
    for name, metadata in MANY.items():
        wide = _text(config_map("there", **metadata))
        yield f"many {name}, merged", "PATCH", f"{MAPS}/there?dryRun=All", wide, media("merge-patch+json")
        yield f"many {name}, applied", "PATCH", f"{MAPS}/there?dryRun=All&fieldManager=bench&force=true", wide, apply
    widest = _text(config_map("there", {f"k{number}": "" for number in range(40_000)}))
    yield "40,000 keys, made", "POST", f"{MAPS}?dryRun=All", widest.replace(b'"there"', b'"wide"', 1), plain
    yield "40,000 keys, applied", "PATCH", f"{MAPS}/there?dryRun=All&fieldManager=bench&force=true", widest, apply
    entry = {"operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}}
    managers = {"metadata": {"managedFields": [{**entry, "manager": f"manager-{number}"} for number in range(5000)]}}
    yield "5,000 field managers", "PATCH", f"{MAPS}/there?dryRun=All", _text(managers), media("merge-patch+json")
    yield "numbers beyond 64 bits", "POST", MAPS, b'{"a":[%s]}' % b",".join([b"9" * 4000] * 200), plain
    yield "1e400", "POST", MAPS, b'{"a":1e400}', plain
    twice = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"twice"},"data":{%s}}' % b",".join([b'"a":"b"'] * 40_000)
    yield "40,000 keys that are one", "POST", f"{MAPS}?dryRun=All", twice, plain
    yield "a megabyte of text", "POST", f"{MAPS}?dryRun=All", _text(config_map("text", {"a": "x" * 1_000_000})), plain
    selector = ",".join(f"v{number}" for number in range(8_000))
    yield "a selector of 50 kB", "GET", f"{MAPS}?labelSelector=a+in+({selector})", b"", {}
    yield "a selector of a megabyte", "GET", f"{MAPS}?labelSelector=a+in+({selector * 20})", b"", {}


def held(side: Side, case: Case) -> tuple[int, float]:
    """The code of the answer (0: the connection was closed), and how long the loop was held, in milliseconds."""
    _, method, path, body, headers = case
    side.worst_stall_ms()
    try:
        code = side.client.call(method, path, body or None, headers, timeout=120).status
    except OSError:
        code = 0
    time.sleep(SETTLE_SECONDS)
    return code, side.worst_stall_ms()


def measure(side: Side, rounds: int, say: Callable[[str], Any] = print) -> int:
    """Print a line for each case; returns how many are beyond the budget."""
    side.client.ask("POST", MAPS, config_map("there", {"a": "b"}))
    plain, beyond = 0.0, 0
    for case in cases():
        found = [held(side, case) for _ in range(rounds)]
        median = statistics.median(each for _, each in found)
        plain = plain or median
        verdict = "" if median <= BUDGET else f"MISS ({BUDGET:g})"
        beyond += bool(verdict)
        say(f"{case[0]:44} {found[0][0]:>4} {median:8.1f} ms {median / plain:6.1f}x  {verdict}")
    return beyond


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description="Show how long hostile requests hold the event loop.")
    parser.add_argument("--rounds", type=int, default=3)
    with skerry() as side:
        beyond = measure(side, parser.parse_args().rounds)
        print(f"{beyond} beyond {BUDGET:g} ms")


if __name__ == "__main__":
    main()
