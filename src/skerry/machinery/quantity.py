"""Quantities as Kubernetes writes them (``100m``, ``1.5``, ``2Gi``, ``1e3``), read and written. Pure.

Source: ``k8s.io/apimachinery/pkg/api/resource``.
"""

from __future__ import annotations

import re
from decimal import Decimal

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,2})?")
_SUFFIXES = {
    **{suffix: Decimal(10) ** power for suffix, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)},
    **{f"{letter}i": Decimal(1024) ** (power + 1) for power, letter in enumerate("KMGTPE")},
}


def parsed(text: str) -> Decimal | None:
    """The number that a quantity stands for; None for what is none."""
    found = _FORM.fullmatch(text)
    if found is None or len(text) > 64:
        return None
    number, suffix = found.groups()
    if suffix is None:
        return Decimal(number)
    if suffix in _SUFFIXES:
        return Decimal(number) * _SUFFIXES[suffix]
    return Decimal(f"{number}{suffix}")


def cpu(millicores: int) -> str:
    """Cores, or thousandths where they are no whole ones."""
    return f"{millicores}m" if millicores % 1000 else str(millicores // 1000)


def memory(size: int) -> str:
    """Bytes, in the largest binary unit that loses nothing."""
    for unit in ("", "Ki", "Mi", "Gi"):
        if size % 1024 or not size:
            return f"{size}{unit}"
        size //= 1024
    return f"{size}Ti"
