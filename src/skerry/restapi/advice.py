"""Warning headers: as many and as long as Kubernetes sends, and safe to stand in a head.

Clients bound a head, and an object can be unsound in a hundred thousand places. The bounds are
those of ``k8s.io/apiserver/pkg/endpoints/filters/warning.go``: 4,096 characters in all, and once
they are reached 256 of each.
"""

from __future__ import annotations

from collections.abc import Sequence

from skerry.machinery.document import dumps

MOST_IN_ALL = 4096
MOST_OF_ONE = 256


def warning_headers(texts: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """The headers that tell a caller what is ill-advised, each thing once."""
    texts = list(dict.fromkeys(texts))
    if sum(map(len, texts)) > MOST_IN_ALL:
        texts = [text[:MOST_OF_ONE] for text in texts]
    found, left = [], MOST_IN_ALL
    for text in texts:
        left -= len(text)
        if left < 0:
            break
        found.append((b"warning", b"299 - " + dumps("".join(char if char.isprintable() else "\ufffd" for char in text))))
    return found
