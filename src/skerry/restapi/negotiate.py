"""Which form of an answer a client asked for: the object itself, its metadata alone, or rows of a table.

The Accept header lists what a client takes, best first. JSON is all that is spoken; a client
that prefers protobuf or CBOR and also takes JSON gets JSON, one that takes nothing else is
told so.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from skerry.machinery.errors import NotAcceptable, UnsupportedMediaType


class Form(NamedTuple):
    """``kind`` is empty (the object), Table, PartialObjectMetadata(List) or APIGroupDiscoveryList; ``version`` its API version."""

    kind: str = ""
    version: str = ""


PLAIN = Form()
KNOWN = {
    ("meta.k8s.io", "Table"): ("v1", "v1beta1"),
    ("meta.k8s.io", "PartialObjectMetadata"): ("v1", "v1beta1"),
    ("meta.k8s.io", "PartialObjectMetadataList"): ("v1", "v1beta1"),
    ("apidiscovery.k8s.io", "APIGroupDiscoveryList"): ("v2", "v2beta1"),
}
JSON_TYPES = frozenset(("application/json", "*/*", "application/*", ""))


@lru_cache(maxsize=256)
def form(accept: str, *, discovery: bool = False) -> Form:
    """Choose the form; raises NotAcceptable."""
    if not accept:
        return PLAIN
    for clause in accept.split(","):
        media, *pairs = (part.strip() for part in clause.split(";"))
        if media not in JSON_TYPES:
            continue
        asked = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        kind = asked.get("as", "")
        if not kind:
            return PLAIN
        if asked.get("v") in KNOWN.get((asked.get("g", ""), kind), ()) and discovery == (kind == "APIGroupDiscoveryList"):
            return Form(kind, asked["v"])
    raise NotAcceptable(
        "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
        if discovery
        else "only the following media types are accepted: application/json"
    )


def body_type(header: str, *allowed: str) -> str:
    """The media type of a body, without parameters; raises UnsupportedMediaType for one that is not allowed."""
    media = header.split(";", 1)[0].strip().lower() or allowed[0]
    if media not in allowed:
        raise UnsupportedMediaType(f"the body of the request was in an unknown format - accepted media types include: {', '.join(allowed)}")
    return media


def accepted(accept: str, offered: Iterable[str]) -> str | None:
    """Choose one of several media types, the first of which is the usual one; None if none of them is taken."""
    types = list(offered)
    for clause in sorted(accept.split(","), key=_quality, reverse=True):
        media = clause.split(";", 1)[0].strip()
        if media in types:
            return media
        if media in {"", "*/*", "application/*"}:
            return types[0]
    return None


def _quality(clause: str) -> float:
    _, found, rest = clause.replace(" ", "").partition(";q=")
    try:
        return float(rest.split(";", 1)[0]) if found else 1.0
    except ValueError:
        return 1.0
