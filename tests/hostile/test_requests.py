"""Paths, queries, selectors and headers that nobody means well with."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from skerry.apiserver.protocol import Limits
from skerry.machinery.selectors import MOST_REQUIREMENTS
from tests.hostile.caller import CONFIGMAPS, Answer, Hostile, config_map

HEAD = Limits().head_bytes


def asked(hostile: Hostile, **query: Any) -> Answer:
    return hostile.ask("GET", CONFIGMAPS, **query)


def told(answer: Answer) -> tuple[int, str]:
    """Code and reason of a refusal, which is a Status with a message."""
    assert answer.json["kind"] == "Status", answer.body[:300]
    assert answer.message
    return answer.code, answer.reason


LONG = {
    "a selector of a megabyte": (f"{CONFIGMAPS}?labelSelector=a%3D{'a' * 1_000_000}", []),
    "a selector of 200 kB": (f"{CONFIGMAPS}?labelSelector=a%3D{'a' * 200_000}", []),
    "a path of a megabyte": ("/" + "a" * 1_000_000, []),
    "a path just too long": ("/" + "a" * HEAD, []),
    "a header of a megabyte": (CONFIGMAPS, [("x", "y" * 1_000_000)]),
    "30,000 headers": (CONFIGMAPS, [("a", "b")] * 30_000),
}


@pytest.mark.parametrize(("path", "headers"), LONG.values(), ids=LONG.keys())
def test_a_head_that_is_too_large_is_refused(hostile: Hostile, path: str, headers: list[tuple[str, str]]) -> None:
    answer = hostile.ask("GET", path, headers=headers)
    assert told(answer) == (431, "BadRequest")
    assert "head" in answer.message


@pytest.mark.parametrize("name", ["labelSelector", "fieldSelector"])
def test_the_conditions_of_a_selector_are_bounded_and_their_values_are_not(hostile: Hostile, name: str) -> None:
    path = "metadata.name" if name == "fieldSelector" else "k"
    answer = asked(hostile, **{name: ",".join([f"{path}!=x"] * (MOST_REQUIREMENTS + 1))})
    assert told(answer) == (400, "BadRequest")
    assert "requirements" in answer.message
    assert hostile.ask("GET", CONFIGMAPS, labelSelector=f"a in ({','.join(f'v{i}' for i in range(2000))})").code == 200


SELECTORS = ["=", "!", "a!", "a in b", "a in (", "(" * 5000, "a=" + "x" * 5000, ",,,", "a==b==c", "a>x", "\0", "\ud7ff", "a b", "a,,b"]


@pytest.mark.parametrize("text", SELECTORS, ids=lambda text: repr(text[:12]))
def test_a_selector_that_cannot_be_read_is_refused(hostile: Hostile, text: str) -> None:
    for name in ("labelSelector", "fieldSelector"):
        answer = asked(hostile, **{name: text})
        assert answer.code in {200, 400}, answer.body[:300]
        assert name == "fieldSelector" or told(answer) == (400, "BadRequest")
        assert len(answer.body) < 32 * 1024


NUMBERS = ["\u00b2", "\u0663", "9" * 5000, "-1", " 1", "1_0", "0x1", "1.5", "1e3", "\0"]


@pytest.mark.parametrize("text", NUMBERS, ids=lambda text: repr(text[:12]))
def test_a_revision_that_is_no_number_is_refused(hostile: Hostile, text: str) -> None:
    for path in (CONFIGMAPS, f"{CONFIGMAPS}/x"):
        assert told(hostile.ask("GET", path, resourceVersion=text)) == (400, "BadRequest")
    assert told(hostile.ask("GET", CONFIGMAPS, resourceVersion=text, watch="true")) == (400, "BadRequest")


@pytest.mark.parametrize("text", [str(2**63), str(2**64), "9" * 20])
def test_a_revision_beyond_any_store_is_one_that_is_not_there_yet(hostile: Hostile, text: str) -> None:
    answer = hostile.ask("GET", CONFIGMAPS, resourceVersion=text, resourceVersionMatch="Exact")
    assert told(answer) == (504, "Timeout")


def token(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode()


GOOD = {"v": "meta.k8s.io/v1", "rv": 1, "start": "default/x"}
TOKENS = {
    "no base 64": "%%%",
    "no ASCII": "\u00e9",
    "no JSON": token(b"no"),
    "no UTF-8": token(b"\xff"),
    "a list": token([]),
    "nothing": token({}),
    "a huge revision": token({**GOOD, "rv": 10**30}),
    "a revision of 5,000 digits": token({**GOOD, "rv": "9" * 5000}),
    "a revision below zero": token({**GOOD, "rv": -5}),
    "a null revision": token({**GOOD, "rv": None}),
    "a revision of 1e300": token({**GOOD, "rv": 1e300}),
    "an infinite revision": token(b'{"v":"meta.k8s.io/v1","rv":1e400,"start":"a/b"}'),
    "a start that is a number": token({**GOOD, "start": 5}),
    "no start": token({**GOOD, "start": ""}),
    "another version": token({**GOOD, "v": "v9"}),
}


@pytest.mark.parametrize("text", TOKENS.values(), ids=TOKENS.keys())
def test_a_continue_token_that_nobody_gave_out_is_refused(hostile: Hostile, text: str) -> None:
    answer = asked(hostile, **{"continue": text})
    assert told(answer) == (400, "BadRequest")
    assert "continue" in answer.message


NAMES = ["%00", "%ff", "%2e%2e", "a%2fb", "%ed%a0%80", "%c0%af", "x" * 5000, "%", "%zz", "a;b", "%25", "%u0041", "..", "."]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:12])
def test_a_name_that_cannot_be_is_not_found_or_refused(hostile: Hostile, name: str) -> None:
    for before, after in (
        ("/api/v1/namespaces/", "/configmaps/x"),
        (f"{CONFIGMAPS}/", ""),
        ("/", ""),
        ("/openapi/v3/", ""),
        ("/apis/", "/v1/things"),
    ):
        path = f"{before}{name}{after}"
        answer = hostile.ask("GET", path)
        assert told(answer)[0] in {400, 404}, (path, answer.body[:300])
    for answer in (
        hostile.ask("PUT", f"{CONFIGMAPS}/{name}", config_map("x")),
        hostile.patch(f"{CONFIGMAPS}/{name}", config_map("x"), "apply"),
        hostile.ask("POST", f"/api/v1/namespaces/{name}/configmaps", config_map("x")),
        hostile.ask("DELETE", f"{CONFIGMAPS}/{name}"),
    ):
        assert told(answer)[0] in {400, 404, 405, 422}, answer.body[:300]


QUERIES = [
    "%ff",
    "a=%ff",
    "%ed%a0%80=1",
    "limit=x",
    "limit=99999999999999999999",
    "limit=\u00b2",
    "timeoutSeconds=1e9",
    "resourceVersionMatch=x",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_that_cannot_be_read_is_refused(hostile: Hostile, query: str) -> None:
    answer = hostile.ask("GET", f"{CONFIGMAPS}?{query}".encode().decode("latin-1"))
    assert told(answer)[0] in {400, 422}


HEADERS = [
    ("Accept", "x" * 60_000),
    ("Accept", "application/json;as=Table;v=v1;g=" + "a;" * 20_000),
    ("Accept", "*/*," * 15_000),
    ("Authorization", "Bearer \xff"),
    ("Authorization", "Bearer " + "x" * 60_000),
    ("Authorization", "Basic eDp4"),
    ("Content-Type", "application/json; charset=" + "x" * 10_000),
    ("Content-Type", "text/html"),
    ("Content-Type", "\xff"),
    ("If-None-Match", "x" * 50_000),
    ("User-Agent", "\xff\x80\x7e"),
    ("Expect", "miracles"),
    ("Host", "\xff"),
    ("Range", "bytes=0-1"),
    ("Content-Encoding", "\xff"),
]


@pytest.mark.parametrize(("name", "value"), HEADERS, ids=lambda text: text[:16])
def test_a_header_of_nonsense_is_ignored_or_refused(hostile: Hostile, name: str, value: str) -> None:
    body = config_map("", generateName="header-")
    for answer in (hostile.ask("GET", CONFIGMAPS, headers=[(name, value)]), hostile.ask("POST", CONFIGMAPS, body, headers=[(name, value)])):
        assert answer.code in {200, 201, 400, 401, 406, 415, 417}, answer.body[:300]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "OPTIONS", "PROPFIND"])
def test_methods_that_mean_nothing_here_are_refused(hostile: Hostile, method: str) -> None:
    assert told(hostile.ask(method, CONFIGMAPS)) == (405, "MethodNotAllowed")


def test_who_shows_nothing_is_refused_before_his_body_is_read(hostile: Hostile) -> None:
    with hostile.line(nobody=True) as line:
        line.send(f"POST {CONFIGMAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n".encode())
        answer = line.hear()
        assert answer is not None
        assert answer.code in {401, 403}
