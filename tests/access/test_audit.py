from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from skerry.access.audit import AuditFile, MemoryAudit
from skerry.machinery.identity import Attributes, User
from tests.access.clock import Standing


class Decision(NamedTuple):
    attributes: Attributes
    code: int = 201
    reason: str = ""
    address: str = "192.0.2.1"
    request_id: str = "r-1"


ASKED = Attributes(User("admin", groups=("g",)), "create", "fleet.skerry.dev", "v1alpha1", "clusters", "", "sv-1", "a.b")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_who_what_where_and_what_became_of_it(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.jsonl"
    audit = AuditFile(path, Standing())
    audit.record(Decision(ASKED))
    audit.close()
    found = lines(path)
    assert [found[0].pop("n"), found[0].pop("prev"), len(found[0].pop("hash"))] == [1, "", 43]
    assert found == [
        {
            "time": "2026-11-23T12:00:00.000000Z",
            "id": "r-1",
            "user": "admin",
            "verb": "create",
            "code": 201,
            "groups": ["g"],
            "resource": "clusters",
            "apiGroup": "fleet.skerry.dev",
            "namespace": "sv-1",
            "name": "a.b",
            "address": "192.0.2.1",
        }
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("verb", ["get", "list", "watch"])
def test_what_people_read_is_recorded_and_what_our_own_processes_read_where_it_fails(verb: str) -> None:
    audit = MemoryAudit(Standing())
    own = User("skerry:component:gateway", groups=("skerry:components",))
    for user in (ASKED.user, own):
        audit.record(Decision(ASKED._replace(verb=verb, user=user), code=200))
        audit.record(Decision(ASKED._replace(verb=verb, user=user), code=403, reason="Forbidden"))
    audit.record(Decision(ASKED._replace(verb="delete", user=own), code=200))
    assert [(line.user, line.verb, line.code) for line in audit.lines] == [
        ("admin", verb, 200),
        ("admin", verb, 403),
        (own.name, verb, 403),
        (own.name, "delete", 200),
    ]


def test_looking_around_is_recorded_only_where_it_fails() -> None:
    audit = MemoryAudit(Standing())
    paths = ("/", "/api/v1", "/apis", "/openapi/v3", "/readyz", "/metrics", "/version", "/skerry/v1/keys", "/k8s/sv-1/api")
    for path in paths:
        audit.record(Decision(Attributes(ASKED.user, "get", path=path), code=200))
    assert [line.path for line in audit.lines] == ["/skerry/v1/keys", "/k8s/sv-1/api"]
    audit.record(Decision(Attributes(ASKED.user, "get", path="/apis"), code=403))
    assert audit.lines[-1].path == "/apis"


def test_lines_keep_their_order_and_earlier_ones_stay(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for start in (0, 500):
        audit = AuditFile(path, Standing())
        for number in range(start, start + 500):
            audit.record(Decision(ASKED, request_id=str(number)))
        audit.close()
        assert audit.statistics() == {"written": 500, "waiting": 0, "lost": 0}
    assert [line["id"] for line in lines(path)] == [str(number) for number in range(1000)]


def test_a_line_that_was_torn_by_a_crash_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"id": "to')
    audit = AuditFile(path, Standing())
    audit.record(Decision(ASKED))
    audit.close()
    audit.close()
    assert json.loads(path.read_text().splitlines()[1])["id"] == "r-1"


def test_what_the_disk_refuses_waits_and_is_written_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    code = f"""
import resource, signal, sys, time
sys.path.insert(0, {str(Path.cwd())!r})
from pathlib import Path
from skerry.access.audit import AuditFile
from tests.access.clock import Standing
from tests.access.test_audit import ASKED, Decision
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
audit = AuditFile(Path({str(path)!r}), Standing())
for number in range(10):
    audit.record(Decision(ASKED, request_id=str(number)))
while audit.statistics()["waiting"] == 0:
    time.sleep(0.01)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
audit.close()
assert audit.statistics() == {{"written": 10, "waiting": 0, "lost": 0}}, audit.statistics()
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": "."}, timeout=60)
    assert [line["id"] for line in lines(path)] == [str(number) for number in range(10)]


def test_while_nothing_can_be_written_reads_do_not_push_out_what_changed_or_was_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    code = f"""
import resource, signal, sys, time
from pathlib import Path
from skerry.access import audit as module
from tests.access.clock import Standing
from tests.access.test_audit import ASKED, Decision
module.MOST_WAITING, module.RETRY_SECONDS = 10, 3600.0
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
audit = module.AuditFile(Path({str(path)!r}), Standing())
read = ASKED._replace(verb="get")
audit.record(Decision(read, 200))
while not (audit.failing and audit.statistics()["waiting"]):
    time.sleep(0.01)
for number in range(20):
    audit.record(Decision(read, 200))
for number in range(20):
    audit.record(Decision(read, 403) if number % 2 else Decision(ASKED))
assert audit.statistics() == {{"written": 0, "waiting": 10, "lost": 31}}, audit.statistics()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
audit.close()
"""
    # into pipes: the limit is for every file
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env={**os.environ, "PYTHONPATH": "."}, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    *found, last = lines(path)
    assert [line["code"] for line in found] == [200] * 5 + [201, 403, 201, 403, 201]
    assert last["lost"] == 31
