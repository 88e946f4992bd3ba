"""A log that was touched says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from skerry.access import chain
from skerry.access.audit import AuditFile, head_beside, head_path
from skerry.cli.main import app
from tests.access.clock import Standing
from tests.access.test_audit import ASKED, Decision
from tests.e2e.server import eventually


def written(count: int, begin: int = 0) -> list[bytes]:
    lines, head = [], chain.Head()
    for number in range(begin, begin + count):
        line, head = chain.linked(json.dumps({"id": number}).encode(), head)
        lines.append(line)
    return lines


def test_a_log_that_nobody_touched_is_whole() -> None:
    lines = written(20)
    last = chain.read(lines[-1])
    assert last is not None
    assert chain.verify(lines, last[0], noted=last[0].hash) == chain.Verdict(20, last[0], ())
    assert [json.loads(line)["n"] for line in lines] == list(range(1, 21))
    assert chain.verify([]).whole


@given(st.data())
def test_whatever_is_changed_removed_moved_or_doubled_is_found(data: st.DataObject) -> None:
    lines = written(8)
    last = chain.read(lines[-1])
    assert last is not None
    where = data.draw(st.integers(0, 7))
    match data.draw(st.sampled_from(["change", "remove", "swap", "double"])):
        case "change":
            place = data.draw(st.integers(0, len(lines[where]) - 1))
            other = data.draw(st.integers(0, 255).filter(lambda byte: byte != lines[where][place] and byte != 10))
            lines[where] = lines[where][:place] + bytes([other]) + lines[where][place + 1 :]
        case "remove":
            del lines[where]
        case "swap":
            there = data.draw(st.integers(0, 7).filter(lambda place: place != where))
            lines[where], lines[there] = lines[there], lines[where]
        case "double":
            lines.insert(where, lines[where])
    assert not chain.verify(lines, last[0]).whole


def test_a_lost_end_is_found_by_the_head_and_by_a_noted_hash() -> None:
    lines = written(5)
    last = chain.read(lines[-1])
    assert last is not None
    assert chain.verify(lines[:3]).whole, "nothing in the rest tells"
    assert "the end is missing" in chain.verify(lines[:3], last[0]).findings[0].text
    assert "noted" in chain.verify(lines[:3], noted=last[0].hash).findings[0].text
    swapped = written(9, begin=50)
    assert "the log was swapped" in chain.verify(swapped, last[0]).findings[0].text
    before = chain.read(lines[3])
    assert before is not None
    forged = [*lines[:4], chain.linked(b'{"id":99}', before[0])[0]]
    assert not chain.verify(forged, last[0]).whole
    assert not chain.verify([*lines[:2], b'{"id":99}', *lines[2:]]).whole, "a whole line is no torn one"


def test_the_chain_goes_on_after_a_restart_a_crash_and_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    def write(count: int) -> None:
        audit = AuditFile(path, Standing())
        for _ in range(count):
            audit.record(Decision(ASKED))
        audit.close()

    def look() -> chain.Verdict:
        return chain.verify(path.read_bytes().splitlines(), head_beside(path))

    write(3)
    write(2)
    assert (look().fitting, look().findings) == (5, ())
    with path.open("ab") as file:
        file.write(b'{"time":"2026-')
    write(2)
    assert (look().fitting, look().whole, look().findings[0].text) == (7, True, "was torn when the server ended")
    older = look().head
    path.rename(tmp_path / "audit.jsonl.1")
    write(1)
    assert (look().whole, look().findings[0].text) == (False, "is record 8, and what was before it is not here")
    newer = chain.verify(path.read_bytes().splitlines(), head_beside(path), after=older.hash)
    assert (newer.whole, newer.head.number, newer.findings) == (True, 8, ())
    head_path(path).unlink()
    write(1)
    assert look().head.number == 9


def test_the_parts_of_a_rotated_log_are_one_chain(tmp_path: Path) -> None:
    path, older = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    audit = AuditFile(path, Standing())
    for number in range(6):
        if number == 3:
            eventually(lambda: audit.statistics()["written"] == 3, 60)
            path.rename(older)
        audit.record(Decision(ASKED, request_id=str(number)))
    audit.close()
    assert [len(each.read_text().splitlines()) for each in (older, path)] == [3, 3]
    hashes = [json.loads(line)["hash"] for line in older.read_text().splitlines()]
    run = CliRunner().invoke
    assert "whole: 6 records" in run(app, ["audit", "verify", str(older), str(path)]).stdout
    assert run(app, ["audit", "verify", str(path)]).exit_code == 1
    assert run(app, ["audit", "verify", str(path), "--after", hashes[-1]]).exit_code == 0
    assert run(app, ["audit", "verify", str(path), "--after", hashes[-2]]).exit_code == 1
    path.write_text(path.read_text().replace('"id":"4"', '"id":"7"'))
    damaged = run(app, ["audit", "verify", str(older), str(path)])
    assert (damaged.exit_code, "audit.jsonl: line 2 is not as it was written" in damaged.stdout) == (1, True)
    assert run(app, ["audit", "verify", str(older)]).exit_code == 0, "without its head it ends where it ends"


@pytest.mark.parametrize("damage", ["", "change", "cut", "headless"])
def test_the_command_says_what_it_found_and_fails_where_something_is_wrong(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditFile(path, Standing())
    for number in range(4):
        audit.record(Decision(ASKED, request_id=str(number)))
    audit.close()
    if damage == "change":
        path.write_text(path.read_text().replace('"user":"admin"', '"user":"other"', 1))
    elif damage == "headless":
        head_path(path).unlink()
    elif damage == "cut":
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    done = CliRunner().invoke(app, ["audit", "verify", str(path), "-o", "json"])
    found = json.loads(done.stdout)
    assert (done.exit_code, found["whole"]) == ((0, True) if damage in {"", "headless"} else (1, False))
    said = {
        "": "whole: 4 records",
        "headless": "cannot be told",
        "change": "line 1 is not as it was written",
        "cut": "ends at record 2, but 4 were written",
    }
    assert said[damage] in CliRunner().invoke(app, ["audit", "verify", str(path)]).stdout
