"""The formats that a schema may ask of a string, as ``kube-openapi``'s strfmt understands them.

A format that a Kubernetes API server does not know, or that does not fit the type, is ignored:
:func:`format_of` says which one counts. Dashes in a format's name mean nothing, so that
``date-time`` and ``datetime`` are one. Addresses may have leading zeros, as Go before 1.17
took them. E-mail addresses are held to less than RFC 5322 says.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from skerry.machinery.names import label_problems, subdomain_problems

Json = dict[str, Any]
Test = Callable[[str], object]

NUMBERS = {"integer": ("int32", "int64"), "number": ("float", "double")}
_UNITS = (
    "ns nano|us µs micro|ms milli|s sec|m min|h hr hour|d day|w wk week",
    re.compile(r"(\d+)\s*([A-Za-zµ]+)"),
    re.compile(r"[-+]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)"),
)
_CARD = (
    r"4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}"
    r"|(?:2131|1800|35\d{3})\d{11}"
)
_OCTET = r"(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])"
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})")
_USUAL_TIME = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?Z", re.ASCII).fullmatch
_HOST = re.compile(r"[\w.~!$&'()*+,;=:\[\]<>\"%-]*")
_HOSTNAME = re.compile(r"[^\W_]([^\W_]|-(?!\.|\Z))*(\.[^\W_]([^\W_]|-(?!\.|\Z))*)*")


def format_of(schema: Json) -> str:
    """The format that counts for a schema, as it is written there; empty if there is none."""
    name: str = schema.get("format", "")
    if not name:
        return ""
    kind = "" if schema.get("x-kubernetes-int-or-string") else schema.get("type", "")
    if kind in {"", "string"}:
        return name if name.replace("-", "") in FORMATS else ""
    return name if name in NUMBERS.get(kind, ()) else ""


def tester(name: str) -> Test | None:
    """The test of a string format; None for an unknown one."""
    return FORMATS.get(name.replace("-", ""))


def _full(pattern: str) -> Test:
    return re.compile(pattern, re.ASCII).fullmatch


def _is_date(text: str) -> bool:
    if len(text) != 10 or text[4] != "-":
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return text[:4] == "0000" and text[5:] != "" and _is_date(f"2000{text[4:]}")
    return True


def _is_time(text: str) -> bool:
    if _USUAL_TIME(text):
        return True
    day, mark, clock = text.lower().partition("t")
    match = _TIME.fullmatch(clock.partition("t")[0])
    return bool(mark and _is_date(day) and match and match[1] <= "23" and match[2] <= "59" and match[3] <= "59")


def _is_duration(text: str) -> bool:
    variants, loose, strict = _UNITS
    if strict.fullmatch(text):
        return True
    units = [group.split() for group in variants.split("|")]
    found = (match[2].lower() for match in loose.finditer(text))
    return any(unit in group or unit.startswith(group[-1]) for unit in found for group in units)


def _plain_ipv4(text: str) -> str:
    """Drop leading zeros of a dotted address."""
    return ".".join(part.lstrip("0") or "0" if part.isdecimal() and part.isascii() else part for part in text.split("."))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text if ":" in text else _plain_ipv4(text)) if "%" not in text else None
    except ValueError:
        return None


def _is_cidr(text: str) -> bool:
    host, slash, bits = text.partition("/")
    found = _address(host)
    return bool(found and slash and re.fullmatch("[0-9]{1,8}", bits) and int(bits) <= found.max_prefixlen)


def _is_mac(text: str) -> bool:
    for mark, digits in ((":", 2), ("-", 2), (".", 4)):
        parts = text.split(mark)
        if len(parts) * digits in {12, 16, 40} and all(re.fullmatch(f"[0-9A-Fa-f]{{{digits}}}", part) for part in parts):
            return True
    return False


def _is_uri(text: str) -> bool:
    """What ``url.ParseRequestURI`` takes: an absolute path, or a scheme and the rest."""
    if not text or any(char < " " or char == "\x7f" for char in text) or re.search("%(?![0-9A-Fa-f]{2})", text.partition("?")[0]):
        return False
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text)
    rest = text[scheme.end() :] if scheme else text
    if not rest.startswith("/"):
        return scheme is not None or text == "*"
    if not rest.startswith("//") or (not scheme and rest.startswith("///")):
        return True
    host = re.split("[/?]", rest[2:], maxsplit=1)[0].rpartition("@")[2]
    port = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]*)?", host)
    return bool(port and (_HOST.fullmatch(host) or not host.isascii()) and " " not in host)


def _is_hostname(text: str) -> bool:
    return len(text.encode()) <= 255 and bool(_HOSTNAME.fullmatch(text)) and all(len(part.encode()) <= 63 for part in text.split("."))


def _is_email(text: str) -> object:
    return re.fullmatch(r"([^<>@,;:]*<)?[^\s@<>()\[\]:;,]+@[^\s@<>()\[\]:;,]+(?(1)>)", text) and ".." not in text


def _is_card(text: str) -> bool:
    digits = re.sub("[^0-9]+", "", text)
    doubled = (int(each) * (1 + place % 2) for place, each in enumerate(reversed(digits)))
    return bool(re.fullmatch(_CARD, digits)) and sum(each // 10 + each % 10 for each in doubled) % 10 == 0


def _is_isbn10(text: str) -> bool:
    plain = re.sub(r"[\s-]+", "", text)
    figures = (10 if each == "X" else int(each) for each in plain) if re.fullmatch("[0-9]{9}[0-9X]", plain) else (1,)
    return sum(place * figure for place, figure in enumerate(figures, 1)) % 11 == 0


def _is_isbn13(text: str) -> bool:
    plain = re.sub(r"[\s-]+", "", text)
    return bool(re.fullmatch("[0-9]{13}", plain)) and sum(int(each) * (1, 3)[place % 2] for place, each in enumerate(plain)) % 10 == 0


def _uuid(third: str, fourth: str) -> Test:
    return _full(rf"(?i)[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{third}-?{fourth}-?[0-9a-f]{{12}}")


_HEX4, _VARIANT = "[0-9a-f]{4}", "[89ab][0-9a-f]{3}"

FORMATS: dict[str, Test] = {
    "bsonobjectid": _full("[0-9a-fA-F]{24}"),
    "byte": _full(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"),
    "cidr": _is_cidr,
    "creditcard": _is_card,
    "date": _is_date,
    "datetime": _is_time,
    "duration": _is_duration,
    "email": _is_email,
    "hexcolor": _full("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "hostname": _is_hostname,
    "ipv4": lambda text: "." in text and _address(text),
    "ipv6": lambda text: ":" in text and _address(text),
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "k8slongname": lambda text: not subdomain_problems(text),
    "k8sshortname": lambda text: not label_problems(text),
    "mac": _is_mac,
    "password": lambda text: text is not None,
    "rgbcolor": _full(rf"rgb\(\s*{_OCTET}\s*,\s*{_OCTET}\s*,\s*{_OCTET}\s*\)"),
    "ssn": _full(r"\d{3}[- ]?\d{2}[- ]?\d{4}(?<=...........)"),
    "uri": _is_uri,
    "uuid": _uuid(_HEX4, _HEX4),
    "uuid3": _uuid("3[0-9a-f]{3}", _HEX4),
    "uuid4": _uuid("4[0-9a-f]{3}", _VARIANT),
    "uuid5": _uuid("5[0-9a-f]{3}", _VARIANT),
}
