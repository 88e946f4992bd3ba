"""Values as Go prints them: the texts of Kubernetes' errors are made with ``%q``, ``%v`` and ``encoding/json``.

People grep for these texts and programs compare them, so a quote, an exponent or an escaped
``<`` that is written differently is a difference that somebody meets. Only what JSON can hold
is here.
"""

from __future__ import annotations

import json
from typing import Any

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", '"': '\\"', "\\": "\\\\"}
_PLAIN_DIGITS = 6
_HTML = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def quoted(text: str) -> str:
    """A string as ``%q`` writes it."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def number(value: float) -> str:
    """A number as ``%v`` writes it: floats in the shortest form, with an exponent from 1e+06 on and below 1e-04."""
    if isinstance(value, int):
        return str(value)
    digits, _, power = f"{value!r}".partition("e")
    exponent = int(power or 0)
    if not power and digits.endswith(".0"):
        digits = digits[:-2]
    sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    whole, _, fraction = digits.partition(".")
    point = len(whole) + exponent
    figures = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(figures)
    figures = figures.rstrip("0")
    if not figures:
        return sign + "0"
    if point - 1 < -4 or point - 1 >= _PLAIN_DIGITS:
        mantissa = figures[0] + (f".{figures[1:]}" if figures[1:] else "")
        return f"{sign}{mantissa}e{'-' if point < 1 else '+'}{abs(point - 1):02d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{figures}"
    padded = figures.ljust(point, "0")
    return sign + padded[:point] + (f".{padded[point:]}" if padded[point:] else "")


def marshalled(value: Any, *, in_order: bool = False) -> str:
    """A value as ``encoding/json`` writes it: keys sorted (or ``in_order``, as of a struct), no spaces, ``<``, ``>`` and ``&`` escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=not in_order).translate(_HTML)


def shown(value: Any) -> str:
    """A value as field errors show it: strings quoted, numbers and booleans plain, everything else as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int | float):
        return number(value)
    return marshalled(value)


def printed(value: Any) -> str:
    """A value as ``%v`` prints it out of an ``interface{}``."""
    if value is None:
        return "<nil>"
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{printed(value[key])}' for key in sorted(value))}]"
    return f"[{' '.join(map(printed, value))}]" if isinstance(value, list) else shown(value)


def runtime_type(value: Any) -> str:
    """The type of a decoded value as ``%T`` prints it."""
    names = {bool: "bool", int: "int64", float: "float64", str: "string", list: "[]interface {}", dict: "map[string]interface {}"}
    return names.get(type(value), "<nil>")
