"""What hostile requests held in memory is given back: rounds of them do not add up."""

from __future__ import annotations

import contextlib

from tests.e2e.server import eventually
from tests.hostile.caller import CONFIGMAPS, MANIFESTSETS, Hostile, Json, config_map
from tests.hostile.test_documents import BOMBS, DEEP, YAML, manifest

WARM, ROUNDS = 2, 3
MOST_GROWTH = 96 * 1024 * 1024
"""Bytes. One round sends ten times as much and decodes it to a hundred times as much; the allocator keeps some for the next."""


def round_of_everything(hostile: Hostile, number: int) -> None:
    """Large, deep, many, refused and broken off; nothing of it twice, so that nothing that remembers can have it already."""
    text = f"round-{number}-" + "x" * 900_000
    for i in range(3):
        assert hostile.ask("POST", CONFIGMAPS, config_map(f"m{i}", {"a": f"{i}{text}"}), dryRun="All").code == 201
        wide = {f"k{number}-{i}-{j}": "v" for j in range(12_000)}
        assert hostile.ask("POST", CONFIGMAPS, config_map("wide", wide), dryRun="All").code == 201
        assert hostile.ask("POST", CONFIGMAPS, config_map("labelled", labels=wide), dryRun="All").code == 201
        assert hostile.ask("POST", MANIFESTSETS, manifest(b'"%s"' % text.encode()), dryRun="All").code == 201
        applied = config_map("wide", wide, finalizers=[f"a.b/{number}-{j}" for j in range(3000)])
        assert hostile.patch(f"{CONFIGMAPS}/wide", applied, "apply", dryRun="All", fieldManager=f"{number}-{i}").code == 201
        owned: Json = {"f:data": {f"f:{number}{i}{'y' * 100_000}": {}, f'k:{{"a":"{number}{i}{"z" * 100_000}"}}': {}}}
        entry = {"manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": owned}
        hostile.ask("POST", CONFIGMAPS, config_map("managed", managedFields=[entry]), dryRun="All")
    for body in BOMBS.values():
        hostile.ask("POST", CONFIGMAPS, body, headers=[("Content-Encoding", "gzip")])
    for body in (*DEEP.values(), *list(YAML.values())[:6]):
        hostile.patch(f"{CONFIGMAPS}/yaml", body, "apply")
    for i in range(20):
        hostile.ask("GET", f"/apis/{number}-{i}/v1/{'x' * 30_000}", headers=[("Accept", f"{number}{i}" + "y" * 20_000)])
        hostile.ask("GET", CONFIGMAPS, labelSelector=f"a in ({','.join(f'v{number}-{i}-{j}' for j in range(1500))})")
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            line = stack.enter_context(hostile.line())
            line.send(f"GET {CONFIGMAPS}?watch=true HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert line.hear() is not None
            stack.enter_context(hostile.line()).send(b"POST /x HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500_000)


def test_rounds_of_hostile_requests_leave_no_memory_behind(hostile: Hostile) -> None:
    for number in range(WARM):
        round_of_everything(hostile, number)
    before = hostile.memory()
    for number in range(WARM, WARM + ROUNDS):
        round_of_everything(hostile, number)
    grown = hostile.memory() - before
    print(f"{grown >> 20} MB more than {before >> 20} MB")
    assert grown < MOST_GROWTH, f"{grown} bytes more after {ROUNDS} rounds"
    eventually(lambda: hostile.statistics()["api"]["crowd"]["body_bytes"] == 0, 60)
