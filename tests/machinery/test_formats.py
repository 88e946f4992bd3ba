"""Formats and patterns of strings, as Go reads them."""

from __future__ import annotations

import pytest

from skerry.machinery import formats
from skerry.machinery.formats import FORMATS, format_of
from skerry.machinery.patterns import matcher

GOOD = {
    "bsonobjectid": ["507f1f77bcf86cd799439011"],
    "byte": ["aGVsbG8=", "aGVsbG8h"],
    "cidr": ["10.0.0.0/8", "2001:db8::/32", "10.1.2.3/16"],
    "creditcard": ["4111 1111 1111 1111"],
    "date": ["2026-02-28", "2024-02-29"],
    "date-time": ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123+02:00", "2026-01-31t03:04:05z"],
    "duration": ["1h30m", "5s", "3 days", "0"],
    "email": ["a@example.com", "A <a@example.com>"],
    "hexcolor": ["#fff", "a0b1c2"],
    "hostname": ["example.com", "a-b.c1"],
    "ipv4": ["10.0.0.1", "010.0.0.1"],
    "ipv6": ["::1", "2001:db8::1", "::ffff:10.0.0.1"],
    "isbn": ["0-306-40615-2", "978-3-16-148410-0"],
    "k8s-long-name": ["a.b-c"],
    "k8s-short-name": ["a-b"],
    "mac": ["01:23:45:67:89:ab", "0123.4567.89ab"],
    "password": ["", "anything"],
    "rgbcolor": ["rgb(1, 2, 255)"],
    "ssn": ["111-11-1111"],
    "uri": ["https://example.com/a?b=c", "/path", "mailto:a@b", "http://[::1]:80/"],
    "uuid": ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B8109DAD11D180B400C04FD430C8"],
    "uuid4": ["f47ac10b-58cc-4372-a567-0e02b2c3d479"],
}
BAD = {
    "bsonobjectid": ["507f1f77"],
    "byte": ["***", "a", ""],
    "cidr": ["10.0.0.0", "10.0.0.0/33", "x/8"],
    "creditcard": ["4111111111111112"],
    "date": ["2026-02-29", "2026-2-1", "yesterday"],
    "date-time": ["2026-01-02", "2026-01-02 03:04:05Z", "2026-02-30T03:04:05Z", "2026-01-02T24:04:05Z", "2026-01-02T03:04:05"],
    "duration": ["soon", ""],
    "email": ["a", "a@@b", "a b@c"],
    "hexcolor": ["#ff", "blue"],
    "hostname": ["-a", "a..b", "a b", ""],
    "ipv4": ["300.1.1.1", "::1", "10.0.0"],
    "ipv6": ["10.0.0.1", "1::2::3", "fe80::1%eth0"],
    "isbn": ["0-306-40615-3"],
    "k8s-short-name": ["a.b", "A"],
    "mac": ["01:23"],
    "rgbcolor": ["rgb(1, 2, 256)"],
    "uri": ["not a uri", "", "%zz"],
    "uuid": ["6ba7b810"],
    "uuid4": ["f47ac10b-58cc-1372-a567-0e02b2c3d479"],
}


def cases(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Format and text, one by one."""
    return [(name, text) for name, texts in table.items() for text in texts]


@pytest.mark.parametrize(("name", "text"), cases(GOOD))
def test_a_format_takes(name: str, text: str) -> None:
    test = formats.tester(name)
    assert test is not None
    assert test(text)


@pytest.mark.parametrize(("name", "text"), cases(BAD))
def test_a_format_refuses(name: str, text: str) -> None:
    test = formats.tester(name)
    assert test is not None
    assert not test(text)


def test_only_a_format_that_fits_the_type_counts() -> None:
    assert format_of({"type": "string", "format": "date-time"}) == "date-time"
    assert format_of({"type": "string", "format": "datetime"}) == "datetime"
    assert format_of({"type": "string", "format": "nonsense"}) == ""
    assert format_of({"type": "string", "format": "int32"}) == ""
    assert format_of({"type": "integer", "format": "int32"}) == "int32"
    assert format_of({"type": "integer", "format": "ipv4"}) == ""
    assert "date" in FORMATS


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^a$", "a", True),
        ("^a$", "a\n", False),
        (r"\Aa\z", "a", True),
        (r"^\d+$", "٣", False),
        (r"^\w+$", "é", False),
        (r"^\pL+$", "é", True),
        (r"^[\pL-]+$", "é-x", True),
        (r"^[[:alpha:]_]+$", "ab_", True),
        (r"^[[:alpha:]_]+$", "a1", False),
        (r"^[^[:space:]]+$", "a b", False),
        ("^a(?i)b$", "aB", True),
        ("(?i)^ab$", "AB", True),
        (r"^\Qa.b\E$", "a.b", True),
        (r"^\Qa.b\E$", "axb", False),
        (r"^(?P<x>a)(?<y>b)$", "ab", True),
        (r"^[a\]]+$", "a]", True),
        (r"^[]a]+$", "]", True),
        (r"^[a&&b]+$", "&", True),
        ("b", "abc", True),
        (r"^a{2,3}$", "aaaa", False),
    ],
)
def test_patterns_are_read_as_re2_reads_them(pattern: str, text: str, found: bool) -> None:
    assert bool(matcher(pattern)(text)) is found


def test_a_pattern_that_python_cannot_read_refuses_nothing() -> None:
    assert matcher(r"^\p{Greek}(+$")("anything")
