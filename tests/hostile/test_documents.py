"""Bodies that are too large, too deep, too many, no text, or no numbers: each is told what is wrong with it."""

from __future__ import annotations

import gzip
import zlib

import pytest

from skerry.kit.bounds import MOST_DEPTH, MOST_VALUES
from skerry.restapi.request import MOST_BODY_BYTES
from tests.hostile.caller import CLUSTERS, CONFIGMAPS, MANIFESTSETS, Answer, Hostile, config_map

MEGABYTE = 1024 * 1024
FLEET = b'"apiVersion":"fleet.skerry.dev/v1alpha1"'


def manifest(value: bytes, name: bytes = b"m") -> bytes:
    """A ManifestSet around any JSON value: what stands in a manifest is not known to any schema."""
    inner = b'{"apiVersion":"v1","kind":"Thing","metadata":{"name":"thing"},"value":%s}' % value
    spec = b'{"managementCluster":"nowhere","manifests":[%s]}' % inner
    return b'{%s,"kind":"ManifestSet","metadata":{"name":"%s"},"spec":%s}' % (FLEET, name, spec)


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


LARGE = {
    "ten megabytes of text": b'{"a":"' + b"x" * 10 * MEGABYTE + b'"}',
    "just too many bytes": b" " * MOST_BODY_BYTES + b"{}",
    "100,000 labels": b'{"metadata":{"name":"x","labels":{%s}}}' % b",".join(b'"l%d":"v"' % i for i in range(MOST_VALUES)),
    "a million small lists": b"[" + b"[]," * 1_000_000 + b"1]",
    "numbers": b"[" + b"1," * 1_500_000 + b"1]",
}


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE.keys())
def test_what_is_too_large_is_refused_with_the_bound(hostile: Hostile, body: bytes) -> None:
    answer = hostile.ask("POST", CONFIGMAPS, body)
    assert (answer.code, answer.reason) == (413, "RequestEntityTooLarge")
    assert str(MOST_BODY_BYTES) in answer.message or f"more than {MOST_VALUES} values" in answer.message


BOMBS = {
    "300 megabytes of spaces": gzip.compress(b'{"a":"' + b" " * 300 * MEGABYTE + b'"}', 1),
    "a bomb in a bomb": gzip.compress(gzip.compress(b" " * 100 * MEGABYTE)),
    "cut off": gzip.compress(b'{"a":1}')[:-9],
    "no gzip": b"\x1f\x8b" + b"x" * 1000,
    "zlib": zlib.compress(b"{}"),
    "followed by something": gzip.compress(b'{"a":1}') + b"more",
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
def test_compressed_bodies_count_by_what_they_hold(hostile: Hostile, body: bytes) -> None:
    answer = hostile.ask("POST", CONFIGMAPS, body, headers=[("Content-Encoding", "gzip")])
    assert (answer.code, answer.reason) in {(400, "BadRequest"), (413, "RequestEntityTooLarge")}


def test_a_compressed_body_is_taken_and_an_unknown_encoding_is_not(hostile: Hostile) -> None:
    packed = gzip.compress(b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"packed-"}}')
    assert hostile.ask("POST", CONFIGMAPS, packed, headers=[("Content-Encoding", "gzip")]).code == 201
    for encoding in ("br", "deflate", "gzip, gzip", "zstd"):
        answer = hostile.ask("POST", CONFIGMAPS, packed, headers=[("Content-Encoding", encoding)])
        assert (answer.code, answer.reason) == (415, "UnsupportedMediaType"), encoding


DEEP = {
    "lists": b"[" * 10_000 + b"]" * 10_000,
    "objects": nested(10_000),
    "never closed": b"[" * 90_000,
    "in a manifest": manifest(nested(MOST_DEPTH)),
    "in managed fields": b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","managedFields":[%s]}}' % nested(500),
}


@pytest.mark.parametrize("body", DEEP.values(), ids=DEEP.keys())
def test_what_is_nested_too_deeply_is_refused(hostile: Hostile, body: bytes) -> None:
    answer = hostile.ask("POST", MANIFESTSETS, body)
    assert (answer.code, answer.reason) == (400, "BadRequest")
    assert "nested too deeply" in answer.message


@pytest.mark.parametrize("kind", ["merge", "json", "apply"])
def test_a_patch_that_is_nested_too_deeply_is_refused(hostile: Hostile, kind: str) -> None:
    hostile.ask("POST", MANIFESTSETS, manifest(b"1", b"target"))
    for body in (b'{"spec":%s}' % nested(10_000), b'[{"op":"add","path":"/spec/a","value":%s}]' % nested(10_000)):
        answer = hostile.patch(f"{MANIFESTSETS}/target", body, kind)
        assert answer.code == 400, (kind, answer.body)


def test_an_object_of_the_greatest_depth_goes_every_way(hostile: Hostile) -> None:
    def one(letter: bytes) -> bytes:
        return manifest(nested(MOST_DEPTH - 5).replace(b"a", letter), b"deepest")

    assert hostile.ask("POST", MANIFESTSETS, one(b"a")).code == 201
    path = f"{MANIFESTSETS}/deepest"
    for kind, letter in (("merge", b"b"), ("apply", b"c"), ("apply", b"d")):
        answer = hostile.patch(path, one(letter), kind, **({"force": "true"} if kind == "apply" else {}))
        assert answer.code == 200, answer.body
    assert hostile.ask("GET", path, headers=[("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1")]).code == 200
    assert hostile.ask("DELETE", path).code == 200


YAML = {
    "flow lists": b"a: " + b"[" * 10_000 + b"]" * 10_000,
    "block lists": b"- " * 1_000_000,
    "keys of keys": b"? " * 1_000_000,
    "numbers": b"a: [" + b"1," * 1_000_000 + b"1]",
    "aliases": b"a: &a 1\nb: [" + b"*a," * 300_000 + b"*a]",
    "aliases of aliases": b"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (i, i, b",".join([b"*%c" % (i - 1)] * 10)) for i in range(98, 118)),
    "merged maps": b"a: &a {a: 1, b: 2}\n"
    + b"".join(b"%c: &%c {<<: [%s]}\n" % (i, i, b",".join([b"*%c" % (i - 1)] * 5)) for i in range(98, 118)),
    "a list in itself": b"&a [*a]",
    "base 60": b"a: !!int " + b"1:" * 1_000_000 + b"1",
    "infinity": b"a: !!float .inf",
    "too large a number": b"a: !!float 1e400",
    "bytes": b"a: !!binary aGVsbG8=",
    "a set": b"a: !!set {a, b}",
    "a tag of Python": b"a: !!python/object/apply:os.system [ls]",
    "a tag of a megabyte": b"a: !<" + b"x" * MEGABYTE + b"> 1",
    "keys that are lists": b"[1,2]: y",
    "keys that are null": b"null: y",
    "a zero byte": b"a: \x00",
    "no UTF-8": b"a: \xff\xfe\xfd",
    "half a character": b'a: "\\ud800"',
    "half a character in UTF-8": b"a: \xed\xa0\x80",
    "UTF-16, half a character": b"\xff\xfe\x00\xd8a\x00",
    "tabs": b"\t" * 1000,
    "colons": b"a" + b":" * MEGABYTE,
}


@pytest.mark.parametrize("body", YAML.values(), ids=YAML.keys())
def test_yaml_that_stands_for_too_much_or_nothing_is_refused(hostile: Hostile, body: bytes) -> None:
    for answer in (hostile.patch(f"{CONFIGMAPS}/yaml", body, "apply"), hostile.ask("POST", CONFIGMAPS, body, media="application/yaml")):
        assert (answer.code, answer.reason) in {(400, "BadRequest"), (413, "RequestEntityTooLarge")}, answer.body[:300]
        assert len(answer.body) < 32 * 1024


TEXT = {
    "no UTF-8": b'{"a":"\xff"}',
    "half a character in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "overlong": b'{"a":"\xc0\xaf"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "a mark of order": b"\xef\xbb\xbf{}",
    "a zero byte": b'{"a":"\x00"}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "1e400": b'{"a":1e400}',
    "5,000 digits and an exponent": b'{"a":%se9999}' % (b"9" * 5000),
    "a comma too many": b'{"a":1,}',
    "two values": b'{"a":1}{"a":1}',
    "nothing": b"",
    "a comment": b"/* hello */ {}",
    "single quotes": b"{'a':1}",
}


@pytest.mark.parametrize("body", TEXT.values(), ids=TEXT.keys())
def test_what_is_not_json_is_refused(hostile: Hostile, body: bytes) -> None:
    answer = hostile.ask("POST", CLUSTERS, body)
    assert (answer.code, answer.reason) == (400, "BadRequest"), answer.body


def number(answer: Answer) -> object:
    assert answer.code == 201, answer.body
    return answer.json["spec"]["manifests"][0]["value"]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", 9.223372036854775808e18),
        ("99999999999999999999", 1e20),
        ("9" * 300, 1e300),
        ("1e20", 1e20),
        ("1E+2", 100),
        ("1e-400", 0),
        ("-0", 0),
    ],
)
def test_numbers_beyond_64_bits_are_floats_as_they_are_for_kubernetes(hostile: Hostile, written: str, kept: float) -> None:
    body = manifest(written.encode()).replace(b'"name":"m"', b'"generateName":"number-"')
    assert number(hostile.ask("POST", MANIFESTSETS, body)) == kept


@pytest.mark.parametrize("written", ["99999999999999999999", "1e19", "-1e30", "1.5", "1e400"])
def test_metadata_takes_no_number_that_is_no_int64(hostile: Hostile, written: str) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","generation":%s}}' % written.encode()
    assert hostile.ask("POST", CONFIGMAPS, body).code == 400


def test_halves_of_characters_are_replaced_and_zero_bytes_are_kept_in_text(hostile: Hostile) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"text-"},"data":{"a":"\\ud800x","b":"\\u0000"}}'
    answer = hostile.ask("POST", CONFIGMAPS, body)
    assert (answer.code, answer.json["data"]) == (201, {"a": "\ufffdx", "b": "\0"})


TWICE = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"twice"},"data":{"a":"1","a":"2"},"data":{"a":"3"},"x":1}'


def test_keys_that_stand_twice_are_refused_told_or_taken_as_field_validation_says(hostile: Hostile) -> None:
    strict = hostile.ask("POST", CONFIGMAPS, TWICE, fieldValidation="Strict", dryRun="All")
    assert strict.code == 400
    assert 'strict decoding error: duplicate field "data.a", duplicate field "data", unknown field "x"' in strict.message
    warn = hostile.ask("POST", CONFIGMAPS, TWICE, dryRun="All")
    assert (warn.code, warn.json["data"]) == (201, {"a": "3"})
    assert [text.split('"')[2].rstrip("\\") for text in warn.warnings] == ["data.a", "data", "x"]
    ignore = hostile.ask("POST", CONFIGMAPS, TWICE, fieldValidation="Ignore", dryRun="All")
    assert (ignore.code, ignore.warnings) == (201, [])
    assert hostile.ask("POST", CONFIGMAPS, TWICE, fieldValidation="Maybe").code == 422


def test_keys_that_stand_twice_in_yaml_are_told_by_their_lines(hostile: Hostile) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: twice}\ndata:\n  a: '1'\n  a: '2'\n"
    assert hostile.patch(f"{CONFIGMAPS}/twice", body, "apply", fieldValidation="Strict", dryRun="All").code == 400
    answer = hostile.patch(f"{CONFIGMAPS}/twice", body, "apply", dryRun="All")
    assert answer.code == 201
    assert "line 6" in answer.warnings[0]


def test_what_is_told_of_many_mistakes_is_bounded(hostile: Hostile) -> None:
    unknown = {**config_map("many"), **{f"field{i}": 1 for i in range(90_000)}}
    answer = hostile.ask("POST", CONFIGMAPS, unknown, dryRun="All")
    assert answer.code == 201
    assert 0 < len(answer.warnings) < 200
    strict = hostile.ask("POST", CONFIGMAPS, unknown, dryRun="All", fieldValidation="Strict")
    assert (strict.code, len(strict.body) < 32 * 1024) == (400, True)
    illegal = hostile.ask("POST", CONFIGMAPS, config_map("many", labels={f"l!{i}": "v" for i in range(40_000)}))
    assert (illegal.code, illegal.reason) == (422, "Invalid")
    assert len(illegal.body) < 64 * 1024
    assert illegal.json["details"]["causes"][-1]["message"] == "and 39900 more mistakes"
