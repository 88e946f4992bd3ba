"""When certificates end, as a metric: of every file in a folder, and of one that somebody holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from skerry.kit.metrics import Value, gauge
from skerry.pki.authority import PkiError, lifetime

EXPIRY = gauge(
    "skerry_certificate_expiration_timestamp_seconds",
    "When a certificate ends, in seconds since 1970; of a chain or a bundle the one that ends first.",
    "name",
)


def in_folder(folder: Path) -> Iterator[Value]:
    """Every certificate in a folder of PEM files, by the name of its file; one that cannot be read has ended."""
    for path in sorted(folder.glob("*.pem")):
        try:
            ends = earliest(path.read_bytes())
        except FileNotFoundError:
            continue  # it was taken away meanwhile
        except (OSError, ValueError):
            ends = 0.0
        yield (path.stem,), ends


def of(held: Mapping[str, bytes]) -> Iterator[Value]:
    """Certificates that are held in memory, PEM, by name."""
    for name, pem in held.items():
        yield (name,), earliest(pem)


def earliest(pem: bytes) -> float:
    """When the first of the certificates in a file ends; raises ValueError if there is none."""
    mark = b"-----BEGIN CERTIFICATE-----"
    parts = pem.split(mark)[1:]
    if not parts:
        raise ValueError("there is no certificate in it")
    try:
        return min(lifetime(mark + part)[1].timestamp() for part in parts)
    except PkiError as error:
        raise ValueError(str(error)) from error
