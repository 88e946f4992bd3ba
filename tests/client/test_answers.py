from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.client import answers
from skerry.client.answers import BY_REASON, Lines, error_of, status_error
from skerry.machinery import errors
from skerry.machinery.errors import ApiError, Cause, Subject
from skerry.restapi.status import CODES, failure


def test_every_error_of_ours_comes_back_as_it_was_sent() -> None:
    for reason, kind in BY_REASON.items():
        sent = kind("why", subject=Subject("a", "g", "k", "u"), causes=[Cause("c", "m", "f")], retry_after=3)
        got = error_of(CODES.get(reason, 500), json.dumps(failure(sent)).encode())
        assert (type(got), got.message, got.subject, got.causes, got.retry_after) == (
            kind, "why", sent.subject, sent.causes, 3,
        )  # fmt: skip


def test_every_kind_of_error_can_be_received() -> None:
    kinds = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ApiError) and each.reason}
    assert set(BY_REASON.values()) == kinds


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (404, b"404 page not found", errors.NotFound),
        (503, b"<html>proxy</html>", errors.ServiceUnavailable),
        (502, b"", errors.ServiceUnavailable),
        (409, b"{}", errors.Conflict),
        (418, b"\xff\xfe", errors.BadRequest),
        (599, b"[1]", errors.InternalError),
        (302, b"", errors.BadRequest),
        (410, b'{"kind":"Status","reason":"Gone","message":"x"}', errors.Expired),
        (500, b'{"kind":"Status","reason":"NeverHeardOf","message":"x","details":[]}', errors.InternalError),
    ],
)
def test_an_answer_that_is_no_status_is_judged_by_its_code(code: int, body: bytes, kind: type[ApiError]) -> None:
    assert type(error_of(code, body)) is kind


def test_the_delay_comes_from_the_header_where_the_status_names_none() -> None:
    assert error_of(429, b"slow down", "7").retry_after == 7
    assert error_of(429, b"slow down", "Wed, 21 Oct 2015 07:28:00 GMT").retry_after is None
    assert status_error({"kind": "Status", "code": 410, "message": "too old"}).message == "too old"


@given(st.lists(st.binary(min_size=1).filter(lambda line: b"\n" not in line and line.strip())), st.data())
def test_lines_are_the_same_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cutter, found = Lines(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += list(cutter.feed(stream[:size]))
        stream = stream[size:]
    assert found == lines


def test_a_line_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_LINE_BYTES", 10)
    cutter = Lines()
    with pytest.raises(errors.InternalError):
        list(cutter.feed(b"x" * 11))
