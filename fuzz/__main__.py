"""``python -m fuzz [TARGET ...] [--seconds N]``: each target for so long, in a process of its own.

A target takes any bytes, and may raise nothing but the errors that its part promises; some also
check a law. What breaks it is printed, with a file that repeats it (``python -m fuzz TARGET FILE``).
The corpus is kept between runs in the user's cache folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["skerry"]):
    from skerry.access import chain
    from skerry.kit import yamls
    from skerry.machinery import fieldset, patches, protobuf, reading, selectors
    from skerry.machinery.errors import ApiError
    from skerry.restapi import negotiate, request

CORPUS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skerry" / "fuzz"


def json(data: bytes) -> None:
    """The quick way and the careful way agree."""
    try:
        quick = reading.parse(data)
    except ApiError:
        return
    careful = reading._parse_with_care(data)  # noqa: SLF001 the law is about it
    assert repr(quick) == repr(careful), (quick, careful)


def yaml(data: bytes) -> None:
    """A document is read or refused."""
    try:
        yamls.read(data)
    except (yamls.YamlError, ApiError):
        pass


def proto(data: bytes) -> None:
    """Options as client-go encodes them."""
    try:
        protobuf.decode(data)
    except ApiError:
        pass


def labels(data: bytes) -> None:
    """Selectors are read or refused; those that are read can be asked."""
    text = data.decode("utf-8", "replace")
    for read in (selectors.parse_labels, lambda text: selectors.parse_fields(text, lambda _: True)):
        try:
            found = read(text)
        except ApiError:
            continue
        found.matches({"a": "b", "": ""})


def _value(data: bytes) -> Any:
    try:
        return reading.parse(data)[0]
    except ApiError:
        return None


def patch(data: bytes) -> None:
    """``[document, patch]``: a patch fits or is refused, and never changes the document that it was given."""
    both = _value(data)
    if not isinstance(both, list) or len(both) != 2 or not isinstance(both[0], dict):
        return
    document, change = both
    before = repr(document)
    apply: Callable[[Any, Any], Any]
    for apply in (patches.merge_patch, patches.json_patch, lambda one, other: patches.strategic_patch(one, other, {})):
        try:
            apply(document, change)
        except ApiError:
            pass
        assert repr(document) == before, apply


def fields(data: bytes) -> None:
    """Field sets that are taken for sound obey the laws of sets."""
    both = _value(data)
    if not isinstance(both, list) or len(both) != 2 or not all(isinstance(each, dict) and fieldset.is_sound(each) for each in both):
        return
    one, other = both
    assert fieldset.union(one, other) == fieldset.union(other, one)
    assert not fieldset.difference(one, one)
    list(fieldset.paths(fieldset.intersection(one, other)))


def headers(data: bytes) -> None:
    """Accept headers and queries are understood or refused."""
    text = data.decode("latin-1")
    accept, _, query = text.partition("\0")
    try:
        negotiate.form(accept)
        request.options(dict(part.partition("=")[::2] for part in query.split("&")), "PATCH")
    except ApiError:
        pass


def audit(data: bytes) -> None:
    """A file that is no audit has findings, and raises nothing."""
    lines = data.splitlines()
    assert chain.verify(lines).findings or not lines or chain.read(lines[0])


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (json, yaml, proto, labels, patch, fields, headers, audit)
}


SEEDS: dict[str, tuple[bytes, ...]] = {
    "json": (b'{"a": [1, -2.5e3, true, null, "\\u00e9\\n"], "a": {}}', b"123456789012345678901"),
    "yaml": (b"a: &x [1, 2]\nb: *x\nc: |\n  text\n", b"---\n? [a]\n: !!str 1\n"),
    "proto": (b"k8s\x00\x0a\x06\x0a\x02v1\x12\x00\x12\x02\x08\x01",),
    "labels": (b"a=b,c!=d,e in (f,g),!h,i notin (j)", b"metadata.name=x,spec.a!=b"),
    "patch": (
        b'[{"a": [1, {"b": 2}]}, [{"op": "move", "from": "/a/1/b", "path": "/c~1d"}, {"op": "test", "path": "/a/-", "value": 1}]]',
        b'[{"a": {"b": 1}}, {"a": {"b": null, "$patch": "replace"}, "$setElementOrder/l": [1]}]',
    ),
    "fields": (b'[{"f:a": {".": {}, "k:{\\"n\\":1}": {}}}, {"f:a": {"v:1": {}}, "f:b": {}}]',),
    "headers": (b"application/json;as=Table;v=v1;g=meta.k8s.io,*/*;q=0.1\0dryRun=All&force=true&fieldManager=a",),
    "audit": (b'{"a":1,"hash":"x","before":"y"}\n',),
}
"""Where each begins."""


def main() -> None:
    """Run one target in this process, or several one after the other."""
    arguments = [each for each in sys.argv[1:] if not each.startswith("-")]
    if os.environ.get("SKERRY_FUZZ") in TARGETS:
        atheris.Setup(sys.argv, TARGETS[os.environ["SKERRY_FUZZ"]])
        atheris.Fuzz()
        return
    seconds = next((each.partition("=")[2] for each in sys.argv[1:] if each.startswith("--seconds=")), "60")
    wanted, files = [each for each in arguments if each in TARGETS], [each for each in arguments if each not in TARGETS]
    broken = []
    for name in wanted or TARGETS:
        corpus = CORPUS / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(SEEDS[name]):
            (corpus / f"seed-{number}").write_bytes(seed)
        options = files or [str(corpus), f"-max_total_time={seconds}", f"-artifact_prefix={corpus}/../{name}-", "-print_final_stats=0"]
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, "-m", "fuzz", *options], env={**os.environ, "SKERRY_FUZZ": name}, check=False)
        broken += [name] if done.returncode else []
    sys.exit(f"broken: {', '.join(broken)}" if broken else 0)


if __name__ == "__main__":
    main()
