"""Decoding a caller's JSON: the quick way and the careful way agree on everything, and nothing slips through either."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.kit.bounds import MOST_VALUES
from skerry.machinery import reading
from skerry.machinery.document import gapped, loads
from skerry.machinery.errors import BadRequest, RequestEntityTooLarge
from skerry.machinery.reading import parse

TEXT = st.text(st.sampled_from('ab":\\{}[], \n\u00e9\ud83d\ude00'.encode("utf-16", "surrogatepass").decode("utf-16")), max_size=8)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), TEXT),
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(TEXT, below, max_size=4)),
    max_leaves=15,
)


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_the_quick_way_agrees_with_the_careful_way(value: Any, escaped: bool, indent: int | None) -> None:
    data = json.dumps(value, ensure_ascii=escaped, indent=indent).encode()
    careful, doubled = reading._parse_with_care(data)
    assert doubled == []
    found, again = parse(data)
    assert same(found, careful)
    assert again == []


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b'{"a":1,"a":2}', ["a"]),
        (b'{"a" : 1, "b":{"c":1,"c" :2}}', ["b.c"]),
        (b'{"a":[{"b":1},{"b":1,"b":2}]}', ["a[1].b"]),
        (b'{"a\\\\":1,"a\\\\":2}', ["a\\"]),
        (b'{"a":"\\":","b":1}', []),
        (b'{"":1,"":2}', [""]),
        (b'{"a":"x\\\\","b":"y:"}', []),
    ],
)
def test_keys_that_stand_twice_are_found(data: bytes, paths: list[str]) -> None:
    assert parse(data)[1] == paths


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"1.0", 1), (b"1e3", 1000), (b"0.5", 0.5), (b"9007199254740993", 2**53 + 1), (b"123456789012345678901", 123456789012345680000.0)],
)
def test_whole_numbers_are_integers_however_they_are_written(data: bytes, value: Any) -> None:
    found = parse(data)[0]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("data", [b"", b"{", b"[1,]", b"NaN", b"{'a':1}", b'{"a":1}x', b'"\xff"', b"[" * 100_000, b"1e400", b"[-1e400]"])
def test_what_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        parse(data)


def test_what_stands_in_large_bodies_is_found_wherever_it_stands() -> None:
    for size in range(reading._PIECE - 40, reading._PIECE + 40, 7):
        text = b"x" * size
        assert parse(b'{"%s":{"b" : 1 ,"b":2}}' % text)[1] == [f"{text.decode()}.b"]
        assert parse(b'["%s",12345678901234567890]' % text)[0][1] == 12345678901234567000.0
    with pytest.raises(RequestEntityTooLarge):
        parse(b'{"a":[%s1]}' % (b"1," * MOST_VALUES))
    assert parse(b'["%s"]' % (b"[,{" * MOST_VALUES))[1] == []


def test_halves_of_surrogate_pairs_are_replaced_for_no_utf8_can_hold_them() -> None:
    assert parse(b'{"a":"\\ud83d"}')[0] == {"a": "\ufffd"}
    assert parse(b'{"a":"\\ud83d\\ude00"}')[0] == {"a": "\U0001f600"}


def test_an_encoded_object_takes_its_revision_without_being_decoded() -> None:
    obj: dict[str, Any] = {
        "kind": "A",
        "apiVersion": "v1",
        "spec": {"x": 1},
        "metadata": {"name": "n", "resourceVersion": "7", "labels": {"a": "b"}},
    }
    found = loads(gapped(obj).at("12"))
    assert found == {**obj, "metadata": {**obj["metadata"], "resourceVersion": "12"}}
    assert list(found)[:3] == ["apiVersion", "kind", "metadata"]
